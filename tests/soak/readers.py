# SPDX-License-Identifier: MIT OR Apache-2.0
"""Readers of the soak in Python: what all of them do, and four threads that do it.

usage: readers.py FOLDER...

A reader takes a file of storm.py and reads it in one of the ways that Python's users have. Either the block ends with one
of the exceptions that are documented for a file that changes, or the bytes are those of the file. Prints a line of
names and numbers every five seconds, and ends on SIGTERM.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

import mmapguard

FILES = 5000
#: What a reader of a file hears that another process cuts, rewrites, replaces, removes or locks.
EXPECTED = (
    mmapguard.TruncatedError,
    mmapguard.FileChangedError,
    mmapguard.UnstableError,
    mmapguard.StaleError,
    FileNotFoundError,
    BlockingIOError,
)


def by_slice(region: mmapguard.Region) -> bytes:
    """Read by a slice."""
    return region[:]


def by_view(region: mmapguard.Region) -> bytes:
    """Read by the buffer protocol."""
    with memoryview(region) as view:
        hashlib.sha256(view).digest()
        return bytes(view)


def by_array(region: mmapguard.Region) -> bytes:
    """Read by NumPy."""
    array = np.frombuffer(region, np.uint8)
    data: bytes = array.tobytes()
    del array
    return data


def by_stream(region: mmapguard.Region) -> bytes:
    """Read by a buffered reader."""
    with io.BufferedReader(region.file()) as stream:
        return stream.read()


def by_reference(region: mmapguard.Region) -> bytes:
    """Read by a reference that was pickled."""
    with pickle.loads(pickle.dumps(region.reference())) as other:
        return bytes(other)


WAYS: tuple[Callable[[mmapguard.Region], bytes], ...] = (by_slice, by_view, by_array, by_stream, by_reference)


def path_of(number: int, folders: list[str]) -> Path:
    """Return where a file is."""
    return Path(folders[number % len(folders)]) / str(number)


def judge(number: int, data: bytes, stable: bool) -> None:
    """Raise AssertionError when bytes that were reported as good are not those of the file."""
    marks = set(data)
    if any(mark >> 4 != (8 | number % 8) for mark in marks):
        raise AssertionError(f"file {number} was read as {sorted(marks)} (stable: {stable})")


def read(number: int, folders: list[str], draw: random.Random) -> None:
    """Read one file in one of the ways."""
    stable = draw.random() < 0.2
    backing: Literal["auto", "map", "copy"] = "auto"
    if not stable:
        backing = draw.choice(("auto", "auto", "map", "copy"))
    with mmapguard.open(
        path_of(number, folders), stable=stable, backing=backing, on_change="raise"
    ) as region:
        data = draw.choice(WAYS)(region)
    judge(number, data, stable)


class Readers:
    """Threads that read, and how often each thing happened."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders
        self.counts = Counter[str]()
        self.lock = threading.Lock()
        self.failure: BaseException | None = None

    def run(self, seed: int) -> None:
        """Read one file after another, for ever."""
        draw = random.Random(seed)
        while self.failure is None:
            # The square makes some files much more popular than others.
            number = int(draw.random() ** 2 * FILES)
            outcome = "operations"
            try:
                read(number, self.folders, draw)
            except EXPECTED as told:
                outcome = type(told).__name__
            except BaseException as failure:
                self.failure = failure
                return
            with self.lock:
                self.counts[outcome] += 1

    def show(self) -> None:
        """Print what has happened so far."""
        with self.lock:
            counts = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        print(f"now {counts} losses={mmapguard.stats().losses}", flush=True)


def main() -> None:
    """Start the threads, and print."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    readers = Readers(sys.argv[1:])
    for seed in range(4):
        threading.Thread(target=readers.run, args=(seed,), daemon=True).start()
    while readers.failure is None:
        time.sleep(5)
        readers.show()
    raise readers.failure


if __name__ == "__main__":
    main()
