# SPDX-License-Identifier: MIT OR Apache-2.0
"""The storm of the soak: makes 5 000 files, and changes them in every way that a file can change.

usage: storm.py INDEX COUNT FOLDER...

COUNT of these programs share the files: this one has the files whose number modulo COUNT is INDEX. File N is in folder
N modulo the number of folders. Each byte of it is a mark: 128, plus 16 times N modulo 8, plus a number that
counts how often the file was written. A file that was cut has no zeros when it grows again, unless a system call of
the storm left a hole, which no call here does. So a reader that meets a zero has met a loss.

The program prints "ready" when the files are there, then a line of names and numbers every five seconds, and ends on
SIGTERM.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

FILES = 5000
#: A cut file stays short for so long, so that its times differ from those after it has grown again.
SHORT = 0.03


class Storm:
    """The files, and what was done to them."""

    def __init__(self, index: int, count: int, folders: list[Path]) -> None:
        self.random = random.Random(index)
        self.folders = folders
        self.own = range(index, FILES, count)
        self.written = Counter[int]()
        self.done = Counter[str]()
        self.shares = list(itertools.accumulate(1 / (rank + 1) for rank in self.own))
        sizes = random.Random(1)
        self.sizes = [self.size(sizes) for _ in range(FILES)]

    @staticmethod
    def size(draw: random.Random) -> int:
        """Return the size of a file: most are small, and three of a hundred are large."""
        kind = draw.random()
        if kind < 0.9:
            return draw.randint(1, 4096)
        return draw.randint(16 << 10, 64 << 10) if kind < 0.97 else draw.randint(128 << 10, 512 << 10)

    def path(self, number: int) -> Path:
        """Return where a file is."""
        return self.folders[number % len(self.folders)] / str(number)

    def content(self, number: int) -> bytes:
        """Return the next version of a file."""
        self.written[number] += 1
        return bytes([128 | number % 8 << 4 | self.written[number] % 16]) * self.sizes[number]

    def choose(self) -> int:
        """Return the number of a file by Zipf's law."""
        return self.random.choices(self.own, cum_weights=self.shares)[0]

    # ------------------------------------------------------------------------------------------ the ways to change --

    def cut(self, number: int) -> None:
        """Cut a file, and let it grow again."""
        os.truncate(self.path(number), self.random.randrange(self.sizes[number]))
        time.sleep(SHORT)
        with self.path(number).open("r+b", buffering=0) as file:
            # From the end that it has now on, so that it has no hole at any moment.
            missing = self.content(number)[file.seek(0, os.SEEK_END) :]
            file.write(missing)

    def empty(self, number: int) -> None:
        """Empty a file by open(2) with O_TRUNC, and write it again."""
        with self.path(number).open("wb", buffering=0) as file:
            time.sleep(SHORT)
            file.write(self.content(number))

    def rewrite(self, number: int) -> None:
        """Write other bytes into a file, in place."""
        with self.path(number).open("r+b", buffering=0) as file:
            file.write(self.content(number))

    def honest(self, number: int) -> None:
        """Write into a file as a program does that asks for the lock."""
        with self.path(number).open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(self.content(number))

    def append(self, number: int) -> None:
        """Append to a file, and take that away again."""
        with self.path(number).open("ab", buffering=0) as file:
            file.write(self.content(number)[:100])
        time.sleep(SHORT)
        os.truncate(self.path(number), self.sizes[number])

    def replace(self, number: int) -> None:
        """Put another file in its place."""
        other = self.path(number).with_suffix(".new")
        other.write_bytes(self.content(number))
        other.rename(self.path(number))

    def remove(self, number: int) -> None:
        """Remove a file, and make it again."""
        self.path(number).unlink()
        self.replace(number)

    def touch(self, number: int) -> None:
        """Change the times and the mode of a file."""
        os.utime(self.path(number))
        self.path(number).chmod(self.random.choice((0o600, 0o640, 0o644)))

    def run(self) -> None:
        """Change one file after another, for ever."""
        ways = (
            self.cut,
            self.empty,
            self.rewrite,
            self.honest,
            self.append,
            self.replace,
            self.remove,
            self.touch,
        )
        shown = time.monotonic()
        while True:
            way = self.random.choice(ways)
            # A writer that finds the file locked leaves it alone.
            with contextlib.suppress(BlockingIOError):
                way(self.choose())
                self.done[way.__name__] += 1
            time.sleep(0.001)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                counts = " ".join(f"{name}={count}" for name, count in sorted(self.done.items()))
                print(f"now operations={self.done.total()} {counts}", flush=True)


def main() -> None:
    """Make the files, and begin."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    storm = Storm(int(sys.argv[1]), int(sys.argv[2]), [Path(folder) for folder in sys.argv[3:]])
    for number in storm.own:
        storm.path(number).write_bytes(storm.content(number))
    print("ready", flush=True)
    storm.run()


if __name__ == "__main__":
    main()
