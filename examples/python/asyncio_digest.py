# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compute SHA-256 of many files in an asyncio program, while the event loop never waits.

    python asyncio_digest.py FILE...

Calls that can block run in a thread: opening (disk, lock), and the first touch of each page. hashlib and mmapguard
let other threads run meanwhile, so the loop goes on, and prints how much is done.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import mmapguard

PIECE = 8 << 20


def digest(path: Path, done: list[int]) -> str:
    """Hash one file. This runs in a thread. `done` is called with the number of bytes that are hashed."""
    hasher = hashlib.sha256()
    with mmapguard.open(path, access="sequential") as region:
        view = memoryview(region)
        for start in range(0, len(region), PIECE):
            region.prefetch(start, min(PIECE, len(region) - start))
            hasher.update(view[start : start + PIECE])
            done.append(min(PIECE, len(region) - start))
        view.release()
    return hasher.hexdigest()


async def digests(paths: Sequence[Path]) -> list[str]:
    """Hash files side by side."""
    done: list[int] = []

    async def show() -> None:
        while True:
            print(f"\r{sum(done) / 2**20:10.1f} MiB", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)

    showing = asyncio.create_task(show())
    try:
        return list(await asyncio.gather(*(asyncio.to_thread(digest, path, done) for path in paths)))
    finally:
        showing.cancel()
        print(f"\r{sum(done) / 2**20:10.1f} MiB", file=sys.stderr)


def main() -> None:
    """Run the command."""
    paths = [Path(name) for name in sys.argv[1:]]
    for path, result in zip(paths, asyncio.run(digests(paths)), strict=True):
        print(result, path)


if __name__ == "__main__":
    main()
