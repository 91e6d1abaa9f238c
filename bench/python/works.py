# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds the benchmarks for pyperf: mmapguard and all other contenders do each work, one after another in one run.

report.py starts this program. It makes the sample files and reads the result. A benchmark is called "work:
contender".
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pyperf
from w8 import EXPRESSIONS, small_by_mmap, small_by_mmapguard

import mmapguard

#: Where report.py has put the sample files: one of each size, in bytes, named by it.
SAMPLES = Path(os.environ["MMAPGUARD_BENCH_SAMPLES"])
SIZES = sorted(int(path.name) for path in SAMPLES.iterdir())
SMALL, LARGE = SIZES[0], SIZES[-1]

Work = Callable[[str], object]


# W10: SHA-256 of a file.


def hash_by_mmapguard(path: str) -> object:
    """Through the buffer protocol."""
    with mmapguard.open(path) as region:
        return hashlib.sha256(region).digest()


def hash_by_file_digest(path: str) -> object:
    """Hash a file by hashlib.file_digest()."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def hash_by_mmap(path: str) -> object:
    """Hash a file through a plain mapping."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return hashlib.sha256(mapped).digest()


def hash_by_read(path: str) -> object:
    """Hash a file through a copy of all its bytes."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).digest()


# W11: the sum of an array of float32.


def sum_by_mmapguard(path: str) -> object:
    """Through the buffer protocol."""
    with mmapguard.open(path) as region:
        return np.frombuffer(region, np.float32).sum()  # type: ignore[call-overload,unused-ignore]


def sum_by_memmap(path: str) -> object:
    """Sum an array that NumPy has mapped."""
    return np.memmap(path, np.float32, "r").sum()


def sum_by_fromfile(path: str) -> object:
    """Sum an array that NumPy has read."""
    return np.fromfile(path, np.float32).sum()


def sum_by_mmap(path: str) -> object:
    """Sum an array over a plain mapping."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return np.frombuffer(mapped, np.float32).sum()


WORKS: dict[str, dict[str, Work]] = {
    "W10 sha256": {
        "mmapguard": hash_by_mmapguard,
        "file_digest": hash_by_file_digest,
        "mmap": hash_by_mmap,
        "read": hash_by_read,
    },
    "W11 float32 sum": {
        "mmapguard": sum_by_mmapguard,
        "memmap": sum_by_memmap,
        "fromfile": sum_by_fromfile,
        "mmap": sum_by_mmap,
    },
}


def main() -> None:
    """Run the benchmarks in the way of pyperf."""
    runner = pyperf.Runner()
    large = str(SAMPLES / str(LARGE))
    with open(large, "rb") as file:
        plain = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    region = mmapguard.open(large)
    for title, expression in EXPRESSIONS.items():
        for name, x in (("mmapguard", region), ("mmap", plain)):
            runner.timeit(
                f"W8 {title}: {name}",
                expression,
                globals={"x": x, "np": np, "memoryview": memoryview, "islice": islice},
            )
    small = str(SAMPLES / str(SMALL))
    opening: dict[str, Work] = {"mmapguard": small_by_mmapguard, "mmap": small_by_mmap}
    for name, work in opening.items():
        runner.bench_func(f"W8 open, read, close {SMALL} B: {name}", work, small)
    for title, contenders in WORKS.items():
        for size in SIZES[1:]:
            for name, work in contenders.items():
                runner.bench_func(f"{title}, {size >> 10} KiB: {name}", work, str(SAMPLES / str(size)))


if __name__ == "__main__":
    main()
