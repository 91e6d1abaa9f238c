# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a program that knows nothing of mmapguard, and cuts its file when the program has mapped it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SIZE = 2 << 30
"""The file is a gap for the most part: it takes a second to read, and no place."""
KEPT = 1 << 20
BY_PYTHON = "import mmap, sys; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, access=1); print(m[:].count(b'line'))"
ATTEMPTS = 5


@dataclass(frozen=True)
class Ending:
    """How the program ended, and what it said."""

    code: int
    output: str
    errors: str
    was_cut: bool


def command_for(path: Path) -> list[str]:
    """Return the command line of the first of these programs that this machine has."""
    if shutil.which("rg"):
        return ["rg", "--mmap", "--text", "--count", "line", str(path)]
    if shutil.which("b3sum"):
        return ["b3sum", str(path)]
    return [sys.executable, "-c", BY_PYTHON, str(path)]


def make(path: Path) -> None:
    """Write the file: lines of text and a hole."""
    path.write_bytes(b"one line of a log, and many more\n" * (KEPT // 33 + 1))
    os.truncate(path, SIZE)


def _has_mapped(child: subprocess.Popen[str], path: Path) -> bool:
    """Wait until the program has mapped the file. Returns False when it ended before."""
    while child.poll() is None:
        with contextlib.suppress(OSError):
            if str(path) in Path(f"/proc/{child.pid}/maps").read_text(errors="replace"):
                return True
        time.sleep(0.0005)
    return False


def _run_once(command: list[str], path: Path) -> Ending:
    make(path)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        was_cut = _has_mapped(child, path)
        if was_cut:
            child.send_signal(signal.SIGSTOP)
            subprocess.run(["truncate", f"--size={KEPT}", path], check=True)
            child.send_signal(signal.SIGCONT)
        output, errors = child.communicate()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    return Ending(child.returncode, output.strip(), errors.strip(), was_cut)


def run_and_cut(command: list[str], path: Path) -> Ending:
    """Run a command, and cut the file when it is mapped. A program that ended before the cut is run again."""
    for _ in range(ATTEMPTS):
        ending = _run_once(command, path)
        if ending.was_cut and (ending.code != 0 or ending.errors):
            break
    return ending
