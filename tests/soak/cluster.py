# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Dask cluster of the soak: `cluster.py FOLDER...`.

References to files of storm.py travel to two workers, which read them. A task ends with the bytes of the file, or with one of
the exceptions that are documented for a file that changes. The workers must be the same from the first task to the
last. Prints a line of names and numbers every five seconds, and ends on SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import mmapguard
from soak import readers

TASKS = 64


def task(region: mmapguard.Region, number: int) -> int:
    """Read a file through its reference. Runs in a worker, and returns the number of its process."""
    with region:
        data = bytes(region)
        has_changed = bool(region.changed())
    if not has_changed:
        readers.judge(number, data, stable=False)
    return os.getpid()


def references(folders: list[str], draw: random.Random) -> list[tuple[mmapguard.Region, int]]:
    """Return references to some files, popular ones more often."""
    made = []
    for _ in range(TASKS):
        number = int(draw.random() ** 2 * readers.FILES)
        with (
            contextlib.suppress(*readers.EXPECTED),
            mmapguard.open(readers.path_of(number, folders), on_change="raise") as region,
        ):
            made.append((region.reference(), number))
    return made


def outcome(job: Any, workers: set[int]) -> str:
    """Wait for a task, and return a word for what happened."""
    try:
        pid = job.result(timeout=60)
    except readers.EXPECTED as told:
        return type(told).__name__
    if pid not in workers:
        raise AssertionError(f"a worker was replaced: {pid} is not one of {workers}")
    return "operations"


def run(client: Any, folders: list[str]) -> None:
    """Send tasks for ever."""
    workers = set(client.run(os.getpid).values())
    counts, draw, shown = Counter[str](), random.Random(7), time.monotonic()
    while True:
        jobs = [client.submit(task, *pair, pure=False) for pair in references(folders, draw)]
        counts.update(outcome(job, workers) for job in jobs)
        del jobs
        if time.monotonic() - shown >= 5:
            shown = time.monotonic()
            print("now", *(f"{name}={count}" for name, count in sorted(counts.items())), flush=True)


def main() -> None:
    """Start the cluster."""
    from distributed import Client, LocalCluster

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # run.py ends the workers
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        run(client, sys.argv[1:])


if __name__ == "__main__":
    main()
