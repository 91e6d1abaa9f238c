# SPDX-License-Identifier: MIT OR Apache-2.0
"""The storm on every file system as everybody, briefly; CTest has it at length, label stable_storm."""

from __future__ import annotations

from pathlib import Path

import pytest

from stable.storm import READERS, SKIPPED, blow
from support import files
from support.library import library_path

ROUNDS = 48
"""Three times each of what the storm does now and then."""


@pytest.mark.parametrize("reader", READERS)
def test_no_byte_changes_in_the_storm(folder: Path, reader: str) -> None:
    program = library_path().parent / "tests" / "stable" / "stable_storm"
    if not program.exists():
        pytest.fail(f"{program} is not built: cmake --build builds it beside the library")
    if reader != "root":
        files.require_root("becomes another user")
    done = blow(program, folder, ROUNDS, reader)
    assert done.returncode != SKIPPED, done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
