# SPDX-License-Identifier: MIT OR Apache-2.0
"""Shared by the tests of the launcher: the program, the report that it prints, and its victim."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.library import library_path

BUILD = library_path().absolute().parent
SIZE, LEFT = 1 << 20, 5000
"""The file of the victim, before and after the cut."""


def launcher() -> Path:
    """Return the path of the launcher of this build."""
    path = BUILD / "launcher" / "mmapguard"
    if not path.exists():
        pytest.fail(f"{path} is not built: cmake --build builds it beside the library")
    return path


def victim() -> Path:
    """Return the program that does what its arguments say."""
    return BUILD / "tests" / "launcher" / "victim"


def guarded(*command: str | Path, options: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs a command in the launcher."""
    return [str(launcher()), "run", *options, "--", *map(str, command)]


@dataclass(frozen=True)
class Loss:
    """A line of the report."""

    path: str
    length: int
    offset: int
    cause: str
    count: int


_LINE = re.compile(r"^mmapguard:   (.*): (\d+) bytes? from offset (\d+), (.*) \((\d+) loss(?:es)?\)$")


def losses(errors: str) -> list[Loss]:
    """Return the files that a report names."""
    found = map(_LINE.match, errors.splitlines())
    return [Loss(m[1], int(m[2]), int(m[3]), m[4], int(m[5])) for m in found if m]


def environment(**more: str) -> dict[str, str]:
    """Return the environment without the variables of the library and of the loader."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("MMAPGUARD_", "LD_PRELOAD"))
    }
    return own | more


@dataclass(frozen=True)
class Ended:
    """How a command ended; a negative code is a signal."""

    code: int
    output: str
    errors: str

    def __str__(self) -> str:
        return f"ended with {self.code}\n{self.output}{self.errors}"

    @property
    def lines(self) -> list[str]:
        """Return what was printed, line by line."""
        return self.output.splitlines()


def run(
    *command: str | Path,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    before: Callable[[], object] | None = None,
) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(**(variables or {})),
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_victim(*steps: str, folder: Path, options: Sequence[str] = (), **variables: str) -> Ended:
    """Run the victim in the launcher."""
    return run(*guarded(victim(), *steps, options=options), folder=folder, variables=variables)


def run_twin(*steps: str, folder: Path) -> Ended:
    """Run the victim without the launcher."""
    return run(victim(), *steps, folder=folder)


def the_loss(folder: Path) -> Loss:
    """Return what the report says of the victim's file."""
    return Loss(str(folder / "lost"), SIZE - LEFT, LEFT, "the file was cut short", 1)
