# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures what `mmapguard run` costs where nothing is lost: `launcher.py [--build DIR] [--size MIB] [--rounds N]`.

Runs a program alone and in the launcher, in turn, and prints both times and their ratio: the start of a program that
does nothing, ripgrep over a file that it maps, and the sum that NumPy makes of one (where these are installed). It compares the medians, the fastest runs,
the processor time, which is more reliable on a busy machine, and the page faults, which are the same in every run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = b"2026-11-28 12:00:00 a line of a log that says nothing of interest\n"


@dataclass(frozen=True)
class Cost:
    """The costs of a run."""

    clock: float
    processor: float
    faults: int


def cost(command: Sequence[str]) -> Cost:
    """Run a command from fork to exit; it must succeed."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    took = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"launcher.py: {' '.join(command)} ended with {child.returncode}")
    return Cost(took * 1e3, (used.ru_utime + used.ru_stime) * 1e3, used.ru_minflt)


def compare(name: str, command: Sequence[str], run: Sequence[str], rounds: int) -> None:
    """Print the lines of the table for one program."""
    alone, guarded = [], []
    cost([*run, *command])  # then both find everything in memory
    for _ in range(rounds):
        alone.append(cost(command))
        guarded.append(cost([*run, *command]))
    figures: tuple[tuple[str, Callable[[list[Cost]], float]], ...] = (
        ("median, ms", lambda runs: statistics.median(one.clock for one in runs)),
        ("fastest, ms", lambda runs: min(one.clock for one in runs)),
        ("processor, ms", lambda runs: statistics.median(one.processor for one in runs)),
        ("page faults", lambda runs: statistics.median(one.faults for one in runs)),
    )
    for what, value in figures:
        one, two = value(alone), value(guarded)
        print(f"{name:<24} {what:<14} {one:11.2f} {two:11.2f} {two - one:+10.2f} {two / one:8.3f}")


def log_of(path: Path, size: int) -> None:
    """Write a file of lines, so that reading it takes no seek and no copy."""
    block = LINE * ((1 << 20) // len(LINE))
    with path.open("wb") as file:
        for _ in range(size):
            file.write(block)


SUM = "import numpy, sys; print(numpy.memmap(sys.argv[1], 'u8', 'r', shape=int(sys.argv[2])).sum())"


def readers(path: Path) -> list[tuple[str, list[str] | None]]:
    """The programs that read the file through a mapping: name and command, None where it is not installed."""
    ripgrep = shutil.which("rg")
    has_numpy = subprocess.run([sys.executable, "-c", "import numpy"], capture_output=True).returncode == 0
    search = [ripgrep, "--mmap", "--text", "--count", "interest", str(path)] if ripgrep else None
    add = [sys.executable, "-c", SUM, str(path), str(path.stat().st_size // 8)]
    return [("ripgrep", search), ("NumPy's sum", add if has_numpy else None)]


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description="Compare programs alone and in `mmapguard run`.")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release")
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB", help="of the file that ripgrep searches"
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    run = [str(given.build / "launcher" / "mmapguard"), "run", "--"]
    if not os.access(run[0], os.X_OK):
        print(f"launcher.py: {run[0]} is missing (./dev bench launcher builds it)", file=sys.stderr)
        return 2
    print(f"{'':<24} {'':<14} {'alone':>11} {'launcher':>11} {'more':>10} {'ratio':>8}")
    compare("start of true(1)", [shutil.which("true") or "true"], run, given.rounds * 20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        log_of(path, given.size)
        for name, words in readers(path):
            if words is None:
                print(f"{name} is not installed: its reading is not compared")
            else:
                compare(f"{name} over {given.size} MiB", words, run, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
