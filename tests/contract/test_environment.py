# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that runs with more rights than its caller does not obey what the caller has put into the environment."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support.children import sanitizers
from support.library import ROOT, library_path

NOBODY = 65534
PROGRAM = """
#include <mmapguard.h>
#include <stdio.h>
int main(void) { return printf("%d\\n", (int)mmg_guard_state()) < 0; }
"""


@pytest.fixture
def program() -> Iterator[Path]:
    """A program that prints the state of the guard. It has the library inside, since it ignores paths for libraries."""
    library = library_path().parent / "libmmapguard.a"
    if os.geteuid() != 0:
        pytest.skip("needs root: gives a program the rights of root")
    if sanitizers() or not library.exists():
        pytest.skip("a sanitized library cannot be linked into a plain program")
    with tempfile.TemporaryDirectory(prefix="mmapguard-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for a caller without privileges
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            pytest.skip("the temporary folder is mounted nosuid")
        source, path = folder / "state.c", folder / "state"
        source.write_text(PROGRAM)
        command: list[str | Path] = [
            "cc",
            f"-I{ROOT / 'include'}",
            source,
            library,
            "-pthread",
            "-ldl",
            "-o",
            path,
        ]
        subprocess.run(command, check=True)
        yield path


def state_of(program: Path, mode: int) -> int:
    """Return the state that the program prints for a caller without privileges who switches the guard off."""
    program.chmod(mode)
    done = subprocess.run(
        [program],
        env={"MMAPGUARD_NO_SIGNAL": "1"},
        user=NOBODY,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_a_set_user_id_program_does_not_obey_the_variable(program: Path) -> None:
    assert state_of(program, 0o755) == abi.MMG_GUARD_DISABLED
    assert state_of(program, 0o4755) == abi.MMG_GUARD_NONE
