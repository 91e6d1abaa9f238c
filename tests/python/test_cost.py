# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls cost about as many instructions as those of the standard library's mmap.

A busy machine does not change the numbers.

One program runs under callgrind for each side. It calls getppid(2) between the pieces of work, and callgrind writes down what
was executed until then.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Each piece of work, done `rounds` times, and how many times the instructions of mmap it may take.
WORK: dict[str, tuple[str, float]] = {
    "iteration": ("for _ in itertools.islice(x, 20 * rounds): pass", 1.2),
    "readline": ("x.seek(0)\nfor _ in range(rounds): x.readline()", 1.1),
    "find, hit by hit": ("at = -1\nfor _ in range(rounds): at = x.find(b'\\n', at + 1)", 2.0),
    "find a word": ("at = -1\nfor _ in range(rounds): at = x.find(b'wor', at + 1)", 2.0),
    "rfind, hit by hit": ("at = len(x)\nfor _ in range(rounds): at = x.rfind(b'\\n', 0, at)", 2.0),
    "read": ("x.seek(0)\nfor _ in range(rounds): x.read(12)", 1.1),
    "an index": ("for at in range(rounds): x[at]", 1.1),
    "a slice": ("for at in range(rounds): x[at:at + 12]", 1.15),
    "a view": ("for _ in range(rounds): memoryview(x)", 1.15),
}

PROGRAM = r"""
import gc, itertools, mmap, os, sys
path, side = sys.argv[1:]
if side == "mmap":
    x = mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_READ)
else:
    import mmapguard
    x = mmapguard.open(path)
gc.disable()
x[0]
for text in {work!r}:
    # In a function: the look-up of a global name takes as long as its place in the table has it.
    exec("def work(x):\n" + "".join("    " + line + "\n" for line in text.splitlines()))
    work(x)  # once for what happens the first time only
    os.getppid()
    work(x)
    os.getppid()
"""


def _instructions(side: str, path: Path, folder: Path) -> list[int]:
    """Return the instructions of each piece of work on one side."""
    source = PROGRAM.replace("{work!r}", repr([text.replace("rounds", "2000") for text, _ in WORK.values()]))
    command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/out"]
    done = subprocess.run(
        [*command, sys.executable, "-s", "-c", source, path, side],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = []
    for number in range(1, 2 * len(WORK) + 1):
        found = re.search(r"^(?:summary|totals): (\d+)", (folder / f"out.{number}").read_text(), re.MULTILINE)
        assert found is not None
        counts.append(int(found[1]))
    return counts[1::2]


def test_calls_take_about_as_many_instructions_as_those_of_mmap(tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind counts the instructions, and is not here")
    path = tmp_path / "file"
    path.write_bytes(b"hello world\n" * 20_000)
    counts = {}
    for side in ("mmap", "mmapguard"):
        (tmp_path / side).mkdir()
        counts[side] = _instructions(side, path, tmp_path / side)
    ratios = {
        name: ours / theirs
        for name, ours, theirs in zip(WORK, counts["mmapguard"], counts["mmap"], strict=True)
    }
    print({name: round(ratio, 2) for name, ratio in ratios.items()})
    excessive = {name: ratio for name, ratio in ratios.items() if ratio > WORK[name][1]}
    assert not excessive, ratios
