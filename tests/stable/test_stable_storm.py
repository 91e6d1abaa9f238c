# SPDX-License-Identifier: MIT OR Apache-2.0
"""The storm runs on every file system as everybody, briefly. CTest runs it at length, label stable_storm."""

from __future__ import annotations

from pathlib import Path

import pytest

from stable import mounts
from stable.storm import READERS, SKIPPED, blow, blow_at_medium
from support import files
from support.library import library_path

ROUNDS = 48
"""Three times each of what the storm does now and then."""

ROUNDS_ON_A_MEDIUM = 16
"""Once each: there is one way to hold a medium that nobody can write to."""


def _program() -> Path:
    program = library_path().parent / "tests" / "stable" / "stable_storm"
    if not program.exists():
        pytest.fail(f"{program} is not built: cmake --build builds it beside the library")
    return program


@pytest.mark.parametrize("reader", READERS)
def test_no_byte_changes_in_the_storm(folder: Path, reader: str) -> None:
    program = _program()
    if reader != "root":
        files.require_root("becomes another user")
    done = blow(program, folder, ROUNDS, reader)
    assert done.returncode != SKIPPED, done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", mounts.READ_ONLY)
def test_no_byte_of_a_read_only_medium_changes_in_the_storm(kind: str, reader: str) -> None:
    done = blow_at_medium(_program(), kind, ROUNDS_ON_A_MEDIUM, reader)
    assert done.returncode == 0, done.stdout + done.stderr
