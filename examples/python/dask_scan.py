# SPDX-License-Identifier: MIT OR Apache-2.0
"""Search one large file with all workers of a Dask cluster.

    python dask_scan.py FILE [WORD] [--workers N]

A worker gets a reference of some hundred bytes: the path, the window, and the identity of the file. Each worker maps
its own window of the file, and makes sure that it is the same file. If the file was replaced or rewritten meanwhile,
the task fails with StaleError instead of counting in another file; if it was cut short under the worker, with
TruncatedError. Either error ends the scan with one line, and the cluster goes on. The scheduler needs no access to
the file. Needs the package `distributed`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmapguard

PIECE = 8 << 20


@dataclass(frozen=True)
class Found:
    """What one worker found in its window."""

    count: int
    bytes: int
    pid: int
    inode: int


def count(window: mmapguard.Region, word: bytes, own: int) -> Found:
    """Count the places among the first `own` bytes of a window at which a word begins. Runs in a worker."""
    with window:
        found, place = 0, window.find(word, 0)
        while 0 <= place < own:
            found += 1
            place = window.find(word, place + 1)
        return Found(found, own, os.getpid(), window.info.inode)


def windows(path: Path, word: bytes) -> Iterator[tuple[mmapguard.Region, int]]:
    """Provide references to the pieces of the file, and how much of each is its own: they overlap, so that no word is cut in two.

    All of them mean the one file that was opened here.
    """
    with mmapguard.open(path, backing="map") as whole:
        size = len(whole)
        for start in range(0, size, PIECE):
            own = min(PIECE, size - start)
            yield whole.reference(start, min(own + len(word) - 1, size - start)), own


def scan(client: Any, path: Path, word: bytes) -> list[Found]:
    """Have the cluster search a file, and show how far it is. Raises StaleError or TruncatedError if the file changed."""
    from distributed import as_completed

    jobs = [client.submit(count, window, word, own, pure=False) for window, own in windows(path, word)]
    size, done, results = path.stat().st_size, 0, []
    try:
        for job in as_completed(jobs):
            results.append(job.result())
            done += results[-1].bytes
            print(f"\r{done / 2**20:10.1f} of {size / 2**20:.1f} MiB", end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)
        client.cancel(jobs)  # the jobs that are left after an error
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("word", nargs="?", default="the", help="what to count (default: the)")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    with (
        LocalCluster(
            n_workers=given.workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            results = scan(client, given.file, os.fsencode(given.word))
        except (mmapguard.StaleError, mmapguard.MapFaultError) as changed:
            print(f"the file changed while it was searched: {changed}", file=sys.stderr)
            return 1
    workers = {one.pid for one in results}
    print(f"{sum(one.count for one in results)} times {given.word!r}, by {len(workers)} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
