# SPDX-License-Identifier: MIT OR Apache-2.0
"""A test that changes a setting of the machine leaves the machine as it was, even when the test fails or is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

_CHANGE = """
import os, signal, sys
from pathlib import Path
from support import lease_settings

setting = Path(sys.argv[1])
with lease_settings.kept(), lease_settings.changed(str(setting), 1):
    assert setting.read_text() == "1"
    {end}
"""

#: Whoever gets the lock sees the old value.
_READ = """
import sys
from pathlib import Path
from support import lease_settings

with lease_settings.kept():
    print(Path(sys.argv[1]).read_text(), end="")
"""


def _run(program: str, setting: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, setting], cwd=TESTS, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("end", "code"),
    [("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL), ("sys.exit(7)", 7), ("pass", 0)],
)
def test_a_setting_is_put_back_however_its_test_ends(tmp_path: Path, end: str, code: int) -> None:
    setting = tmp_path / "setting"
    setting.write_text("45\n")
    ended = _run(_CHANGE.format(end=end), setting)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert _run(_READ, setting).stdout == "45\n"
