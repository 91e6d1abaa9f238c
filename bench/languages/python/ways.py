# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways of Python to read a file, for other_languages.py, which says what the requests and the answers are."""

from __future__ import annotations

import json
import mmap
import os
import platform
import select
import sys
from collections.abc import Callable
from pathlib import Path

PAGE = 4096
View = bytes | mmap.mmap


def mapped(path: str) -> View:
    """Map a file as the documentation of mmap does."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read(path: str) -> View:
    """Read a file."""
    return Path(path).read_bytes()


def close(view: View) -> None:
    """Give back what a way has made."""
    if isinstance(view, mmap.mmap):
        view.close()


WAYS: dict[str, Callable[[str], View]] = {"mmap.mmap": mapped, "Path.read_bytes": read}


def touch_pages(view: View) -> int:
    """Read a byte of each page."""
    return sum(view[::PAGE])


def run(task: str, way: Callable[[str], View], times: int, path: str) -> None:
    """Do a task so many times."""
    standing = way(path)
    with memoryview(standing) as bytes_, bytes_.cast("Q") as words:
        for _ in range(times):
            if task == "scan":
                sum(words)
            else:
                view = way(path)
                touch_pages(view)
                close(view)
    close(standing)


def survive(way: Callable[[str], View], path: str) -> int:
    """Read until standard input ends. Return 0 when the bytes are those at the start, and 41 when they are not."""
    view = way(path)
    before = bytes(view)
    print("ready", flush=True)
    while not select.select([0], [], [], 0)[0]:
        touch_pages(view)
    os.read(0, 1)
    touch_pages(view)
    return 0 if before == bytes(view) else 41


def main() -> int:
    """Answer requests."""
    if sys.argv[1:2] == ["survive"]:
        return survive(WAYS[sys.argv[2]], sys.argv[3])
    print(json.dumps({"version": platform.python_version(), "ways": list(WAYS)}), flush=True)
    for line in sys.stdin:
        way, task, times, path = line.rstrip("\n").split("\t")
        try:
            run(task, WAYS[way], int(times), path)
            print("done", flush=True)
        except OSError as failure:
            print(f"failed: {failure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
