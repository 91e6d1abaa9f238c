# SPDX-License-Identifier: MIT OR Apache-2.0
"""W8: what users do with a Region and with an mmap alike, and how the two compare when they take turns in one process.

The times are processor times of the thread, since nobody waits: every byte is in memory.
"""

from __future__ import annotations

import mmap
import random
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

import mmapguard

#: On an open file: expressions in which `x` is a Region or an mmap.
EXPRESSIONS = {
    "memoryview(x)": "memoryview(x)",
    "x[a:b], 16 bytes": "x[4096:4112]",
    "x[a:b], 4 KiB": "x[4096:8192]",
    "x[i]": "x[4097]",
    "np.frombuffer(x)": "np.frombuffer(x, np.uint8)",
    "iteration, 64 KiB": "for _ in islice(x, 65536): pass",
    "readline, 1000 lines": "x.seek(0)\nfor _ in range(1000): x.readline()",
    "find, 1000 hits": "at = -1\nfor _ in range(1000): at = x.find(b'\\n', at + 1)",
    "rfind, 1000 hits": "at = len(x)\nfor _ in range(1000): at = x.rfind(b'\\n', 0, at)",
}
#: The highest allowed ratio, by the beginning of the title. "Never slower" allows what the clock cannot tell apart.
TARGETS = {"": 1.15, "open": 0.80, "iteration": 1.2, "readline": 1.1, "find": 2.0, "rfind": 2.0}
#: The size of the file that is opened, read and closed, and of the file for the expressions, in bytes.
SMALL, LARGE = 4096, 16 << 20
#: One batch takes at least so many seconds.
BATCH = 0.002


@dataclass(frozen=True)
class Figure:
    """What two contenders take for one work: medians in seconds, and the ratios of the rounds."""

    title: str
    ours: float
    theirs: float
    ratios: list[float]
    target: float

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The ratios between which half of the rounds lie."""
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


def small_by_mmapguard(path: str) -> object:
    """Read a file in the block that users write, which includes the check at its end."""
    with mmapguard.open(path) as region:
        return region[:]


def small_by_mmap(path: str) -> object:
    """Read a file as the documentation of mmap shows it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[:]


def target_of(title: str, targets: dict[str, float] = TARGETS) -> float:
    """Return the target of a work, by the longest beginning of its title."""
    return targets[max((start for start in targets if title.startswith(start)), key=len)]


def _repetitions(timer: timeit.Timer) -> int:
    """Return how often a statement must run for one batch."""
    count = 1
    while timer.timeit(count) < BATCH:
        count *= 2
    return count


def compare(
    title: str, ours: str | Callable[[], object], theirs: str | Callable[[], object], x: tuple[object, object]
) -> Figure:
    """Let two statements take turns, in a new order for each round. `x` is what each calls by this name."""
    names = {"np": np, "memoryview": memoryview, "islice": islice}
    timers = [
        timeit.Timer(statement, timer=time.thread_time, globals={**names, "x": each})
        for statement, each in zip((ours, theirs), x, strict=True)
    ]
    count = max(map(_repetitions, timers))
    rounds = []
    for _ in range(41):
        taken = {which: timers[which].timeit(count) / count for which in random.sample((0, 1), 2)}
        rounds.append((taken[0], taken[1]))
    return Figure(
        title,
        statistics.median(one for one, _ in rounds),
        statistics.median(other for _, other in rounds),
        [one / other for one, other in rounds],
        target_of(title),
    )


def figures() -> Iterator[Figure]:
    """Measure W8."""
    with tempfile.TemporaryDirectory(prefix="mmapguard-bench-") as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        block = np.random.default_rng(1).random(1 << 18, np.float32).tobytes()
        small.write_bytes(block[:SMALL])
        large.write_bytes(block * (LARGE // len(block)))
        with large.open("rb") as file, mmapguard.open(large) as region:
            plain = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            for title, expression in EXPRESSIONS.items():
                yield compare(title, expression, expression, (region, plain))
        path = str(small)
        title = f"open, read, close {SMALL} B"
        yield compare(title, lambda: small_by_mmapguard(path), lambda: small_by_mmap(path), (None, None))
