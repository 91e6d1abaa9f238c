# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `mmapguard run` costs where nothing is lost: `launcher.py [--build DIR] [--size MIB] [--rounds N]`.

Runs a program alone and in the launcher, in turn, and prints both times and their ratio: the start of a program that does
nothing, and ripgrep (where it is installed) over a file that it maps. The medians are compared, and the fastest runs.
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
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = b"2026-11-28 12:00:00 a line of a log that says nothing of interest\n"


def duration(command: Sequence[str]) -> float:
    """Seconds that a command takes, from fork to exit; it must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise SystemExit(f"launcher.py: {' '.join(command)} ended with {done.returncode}")
    return took


def compare(name: str, command: Sequence[str], run: Sequence[str], rounds: int) -> None:
    """Print a line of the table."""
    alone, guarded = [], []
    duration([*run, *command])  # so that both find everything in memory
    for _ in range(rounds):
        alone.append(duration(command))
        guarded.append(duration([*run, *command]))
    for what, choose in (("median", statistics.median), ("fastest", min)):
        one, two = choose(alone) * 1e3, choose(guarded) * 1e3
        print(f"{name:<28} {what:<8} {one:10.2f} ms {two:10.2f} ms {two - one:+9.2f} ms {two / one:8.3f}")


def log_of(path: Path, size: int) -> None:
    """Write a file of lines, so that reading it takes no seek and no copy."""
    block = LINE * ((1 << 20) // len(LINE))
    with path.open("wb") as file:
        for _ in range(size):
            file.write(block)


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
    print(f"{'':<28} {'':<8} {'alone':>13} {'launcher':>13} {'more':>12} {'ratio':>8}")
    compare("start of true(1)", [shutil.which("true") or "true"], run, given.rounds * 20)
    ripgrep = shutil.which("rg")
    if ripgrep is None:
        print("ripgrep is not installed: nothing to compare reading with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        log_of(path, given.size)
        words = [ripgrep, "--mmap", "--text", "--count", "interest", str(path)]
        compare(f"ripgrep over {given.size} MiB", words, run, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
