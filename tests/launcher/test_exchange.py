# SPDX-License-Identifier: MIT OR Apache-2.0
"""An owner who exchanges a mapping while the guard is about to replace it: in the launcher, nothing of the new one is touched.

The kernel leaves a moment between the guard's last question and the replacement. strace makes that moment 20 ms long, so
that the owner's call falls into it: the handler's first mmap(2) waits for changes, and the second replaces. strace slows the
whole handler down, too, so the owner pauses for up to 20 ms after each cut. Without the delay, CTest runs 100 000 rounds
(`ctest -R launcher.exchange`).
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from launcher.launching import BUILD, guarded, run
from support import children

ROUNDS = 30
PAUSE = 20000  # microseconds
LONG = os.environ.get("MMAPGUARD_LAUNCHER") == "all"
OPTIONS = ["--on-loss=report"]


def delayed() -> list[str]:
    """A command prefix that delays each second mmap(2) of a thread."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if children.sanitizers():
        pytest.skip("sanitizers make system calls of their own")
    calls = "inject=mmap:delay_enter=20000:when=2+2"
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=mmap", "-e", calls]


def counted(pattern: str, text: str) -> tuple[int, ...]:
    """The numbers in a line that a program prints."""
    found = re.search(pattern, text)
    assert found, text
    return tuple(map(int, found.groups()))


def exchanger(rounds: int) -> list[str]:
    return guarded(BUILD / "tests" / "launcher" / "exchanger", str(rounds), str(PAUSE), options=OPTIONS)


def test_the_twin_loses_pages_of_the_new_mapping(tmp_path: Path) -> None:
    """The library alone cannot hold up the owner's calls, as SAFETY.md says."""
    twin = BUILD / "tests" / "fault" / "fault_exchange"
    ended = run(*delayed(), twin, str(ROUNDS), str(PAUSE), folder=tmp_path)
    rounds, lost, replaced = counted(r"\((\d+) rounds, (\d+) losses, (\d+) rounds", ended.output)
    assert rounds == ROUNDS and lost > 0, str(ended)
    assert replaced > 0, "the delay does not meet the moment"


def test_in_the_launcher_the_owner_waits(tmp_path: Path) -> None:
    rounds = 10 * ROUNDS if LONG else ROUNDS
    ended = run(*delayed(), *exchanger(rounds), folder=tmp_path)
    assert counted(r"(\d+) rounds, (\d+) replaced", ended.output) == (rounds, 0), str(ended)
    assert "the file was cut short" in ended.errors, "no round met the guard"
