# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program lives on while it is guarded and one of twenty libraries reads a mapped file that was cut.\n\nThe block
reports which file lost bytes. Each program has a twin without the guard, which dies in the same test.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import foreign_readers
import pytest

from support.children import DEADLINE


def _run(name: str, path: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, foreign_readers.__file__, name, path, how],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


@pytest.mark.parametrize("name", foreign_readers.READERS)
def test_libraries_that_map_by_themselves_live_on(name: str, tmp_path: Path) -> None:
    plain = _run(name, tmp_path / "plain", "plain")
    assert plain.returncode == -signal.SIGBUS, f"the twin must die of SIGBUS: {plain}"
    path = tmp_path / "guarded"
    guarded = _run(name, path, "guarded")
    assert guarded.returncode == 0, guarded
    told = json.loads(guarded.stdout.splitlines()[-1])
    assert (told["raised"], told["path"]) == ("TruncatedError", str(path))
    assert told["offset"] == foreign_readers.LEFT
