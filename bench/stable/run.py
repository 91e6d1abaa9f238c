# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures what opening and closing cost with each means of STABLE, by size, beside a plain copy.

This needs root for images of ext4, xfs and btrfs.

usage: run.py LIBRARY    for example: .venv/bin/python bench/stable/run.py build/release/libmmapguard.so.1

The order of means in src/stable/stable.c is taken from this table. Each number is the fastest of many rounds, so that
other work on the machine matters little. "chosen" is what the library takes by itself for a file that it may lease,
and for one that somebody has open for writing.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ["MMAPGUARD_LIBRARY"] = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else ""
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bindings" / "python")]

from mmapguard import abi  # noqa: E402
from stable import mounts  # noqa: E402
from support import library as mmg  # noqa: E402

SIZES = {"64 KiB": 64 << 10, "256 KiB": 256 << 10, "1 MiB": 1 << 20, "16 MiB": 16 << 20, "256 MiB": 256 << 20}
NO_LEASE, MAP, COPY = abi.MMG_FLAG_NO_LEASE, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY
WAYS: dict[str, dict[str, int]] = {
    "copy": {"backing": COPY},
    "lease": {"backing": MAP},
    "reflink or snapshot": {"backing": MAP, "flags": NO_LEASE},
    "chosen": {},
    "chosen, no lease": {"flags": NO_LEASE},
}
TURNS, BUDGET = (
    6,
    0.06,
)  # seconds for one way; the ways take turns, so that other work on the machine affects all of them


def fastest(work: object) -> float:
    """Return the fastest of the rounds that fit into the budget, in microseconds."""
    best, until = float("inf"), time.perf_counter() + BUDGET
    while True:
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        ended = time.perf_counter()
        best = min(best, ended - begun)
        if ended > until:
            return best * 1e6


def plain_copy(path: bytes) -> object:
    """Copy a file by open, fstat, malloc, read, close and free."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]

    def work() -> None:
        fd = libc.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        place = libc.malloc(size)
        assert libc.read(fd, place, size) == size
        libc.close(fd)
        libc.free(place)

    return work


def opened(path: bytes, members: dict[str, int]) -> tuple[object, str]:
    """Open and close a file in one way. Return the means that the library chose."""
    options = mmg.options(guarantee=abi.MMG_GUARANTEE_STABLE, copy_threshold=1, **members)
    handle = ctypes.c_uint64()
    library = mmg.lib

    def work() -> None:
        assert library.mmg_open(path, ctypes.byref(options), ctypes.byref(handle), None) == abi.MMG_OK
        library.mmg_close(handle, 0)

    attempt = mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE, copy_threshold=1, **members)
    with mmg.opened(attempt) as one:
        word = library.mmg_term(abi.MMG_TERM_MEANS, mmg.info(one).means).decode()
    return work, word


def table(kind: str) -> None:
    """Measure on one file system, and print its table."""
    print(f"\n{kind}: microseconds to open and close; in brackets against the plain copy\n")
    print(
        "| size | plain copy | "
        + " | ".join(WAYS)
        + " | chosen against the cheapest |\n|"
        + "---|" * (len(WAYS) + 3)
    )
    with mounts.image(kind, 900 << 20) as (where, _):
        for name, size in SIZES.items():
            path = where / "file"
            path.write_bytes(os.urandom(1 << 16) * (size >> 16))
            os.sync()
            time.sleep(0.1)  # the last change is then no longer recent
            works = {way: opened(os.fsencode(path), members) for way, members in WAYS.items()}
            works["plain"] = plain_copy(os.fsencode(path)), ""
            cost = dict.fromkeys(works, float("inf"))
            for _ in range(TURNS):
                for way, (work, _) in works.items():
                    cost[way] = min(cost[way], fastest(work))
            plain = cost["plain"]
            cells = [f"{cost[way]:.0f} ({cost[way] / plain:.2f}, {works[way][1]})" for way in WAYS]
            unleased = min(cost["copy"], cost["reflink or snapshot"])
            ratios = f"{cost['chosen'] / min(unleased, cost['lease']):.2f}, {cost['chosen, no lease'] / unleased:.2f}"
            print(f"| {name} | {plain:.0f} | " + " | ".join(cells) + f" | {ratios} |", flush=True)
            path.unlink()


if __name__ == "__main__":
    for each in ("ext4", "xfs", "btrfs"):
        try:
            table(each)
        except mounts.Unavailable as reason:
            print(f"{each}: {reason}")
