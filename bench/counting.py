# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts system calls and instructions: the measuring program runs again, under strace and under callgrind.

The program marks where the work of one contender begins and ends: by a write that fails, which strace shows, and by a
function, at whose end callgrind writes down what it has counted in that function.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Counts, Results

FUNCTION = "mmapguard_bench_counted"
BEGIN, END = "counted: begin", "counted: end"


def counted_lines(output: str) -> list[dict[str, Any]]:
    """Return the lines of the program that say what was counted."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if "operations" in line]


def calls_between_marks(trace: Path) -> Iterator[int]:
    """Return how many system calls stand between each pair of marks, without the two that this program makes
    itself."""
    calls = 0
    for line in trace.read_text(errors="replace").splitlines():
        if BEGIN in line:
            calls = 0
        elif END in line:
            yield calls
        elif re.match(r"\d+ +\w+\(", line) and "getrusage(" not in line:
            calls += 1


def instructions_by_part(output: Path) -> Iterator[int]:
    """Return what callgrind wrote down at each end of the function."""
    part = 1
    while (file := output.with_name(f"{output.name}.{part}")).exists():
        found = re.search(r"^totals: (\d+)$", file.read_text(errors="replace"), re.M)
        yield int(found[1]) if found else 0
        part += 1


def run_looked_at(prefix: list[str], command: list[str], results: Results) -> list[dict[str, Any]]:
    """Run the program under a tool. Return the lines that it prints."""
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        results.failures.append(f"{prefix[0]}: ended with {done.returncode}")
    return counted_lines(done.stdout)


def count(program: Path, work: str, folder: Path, most_bytes: int, results: Results) -> list[str]:
    """Count one work with the installed tools. Return the names of the missing ones."""
    command = [str(program), "--count", work, str(folder), "1", str(most_bytes)]
    missing = [tool for tool in ("strace", "valgrind") if shutil.which(tool) is None]
    for line in run_looked_at(["env"], command, results):
        results.add_counts(line, Counts(faults=line["faults"] / line["operations"]))
    if "strace" not in missing:
        trace = folder / "trace"
        lines = run_looked_at(["strace", "-f", "-qq", "-o", str(trace)], command, results)
        for line, calls in zip(lines, calls_between_marks(trace), strict=True):
            results.add_counts(line, Counts(system_calls=calls / line["operations"]))
        trace.unlink()
    if "valgrind" not in missing:
        output = folder / "callgrind"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
        tool += [f"--zero-before={FUNCTION}", f"--dump-after={FUNCTION}"]
        lines = run_looked_at(tool, command, results)
        # Each contender warms up outside of the function, so there is one part for each line.
        for line, instructions in zip(lines, instructions_by_part(output), strict=False):
            results.add_counts(line, Counts(instructions=instructions / line["operations"]))
        for file in folder.glob("callgrind*"):
            file.unlink()
    return missing
