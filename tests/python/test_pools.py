# SPDX-License-Identifier: MIT OR Apache-2.0
"""A reference whose file changes on the way to a pool of processes is an error of the task, and the pool goes on.

Each pool runs in a program of its own, since it leaves helpers behind. The task gets a reference to a file that was changed in
between; its error arrives, with the path, and the same workers then do the next task.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: What happens to the file between the submission of a task and its start.
CHANGES: dict[str, str] = {
    "cut": "os.truncate(path, 5000)",
    "rewritten": "time.sleep(0.01); open(path, 'r+b').write(b'other')",
    "replaced": "shutil.copy(path, path + '.new'); os.replace(path + '.new', path)",
    "renamed": "os.rename(path, path + '.away')",
}

COMMON = """
import os, shutil, sys, time, zlib
import mmapguard
path = sys.argv[1]

def digest(region):
    time.sleep(0.02)                       # so that each worker gets some of the tasks
    with region:
        return os.getpid(), zlib.crc32(region)

def change():
    {change}

def windows():
    with mmapguard.open(path) as whole:
        return [whole.reference(at, 100_000) for at in range(0, len(whole) - 100_000, 100_000)]

def main():
    before = windows()
    {start}
    fine, deadline = [], time.monotonic() + 200
    while len({{pid for pid, _ in fine}}) < 2:     # the second worker may still start
        assert time.monotonic() < deadline, fine
        fine = submit(before)
        assert len(fine) == len(before) and all(isinstance(one, tuple) for one in fine), fine
    change()
    lost = submit(before)
    for error in lost:
        assert type(error) is mmapguard.StaleError and error.filename == path, repr(error)
    if not os.path.exists(path):
        os.rename(path + ".away", path)
    if os.path.getsize(path) < 100_000:
        os.truncate(path, 400_000)
    again = submit(windows())
    assert all(isinstance(one, tuple) for one in again), again
    assert {{pid for pid, _ in again}} <= workers(fine), (again, fine)
    {end}
    print(len(lost), "stale")

if __name__ == "__main__":
    main()
"""

POOLS: dict[str, tuple[str, str]] = {
    "multiprocessing.Pool": (
        """
    import multiprocessing
    pool = multiprocessing.get_context("spawn").Pool(2)
    def one(reply):
        try: return reply.get(timeout=60)
        except Exception as error: return error
    def submit(regions): return [one(reply) for reply in [pool.apply_async(digest, (each,)) for each in regions]]
    def workers(done): return {process.pid for process in pool._pool}
    """,
        "pool.terminate(); pool.join()",
    ),
    "ProcessPoolExecutor": (
        """
    import concurrent.futures, multiprocessing
    pool = concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    def one(future): return future.exception(timeout=60) or future.result()
    def submit(regions): return [one(future) for future in [pool.submit(digest, each) for each in regions]]
    def workers(done): return set(pool._processes)
    """,
        "pool.shutdown()",
    ),
    "joblib": (
        """
    import joblib
    def caught(region):
        try: return digest(region)
        except OSError as error: return error
    pool = joblib.Parallel(2, return_as="generator_unordered", timeout=60)
    pids = set()
    def submit(regions):
        done = list(pool(joblib.delayed(caught)(each) for each in regions))
        pids.update(each[0] for each in done if isinstance(each, tuple))
        try:
            list(joblib.Parallel(2, timeout=60)(joblib.delayed(digest)(each) for each in regions))
        except mmapguard.StaleError as error:
            assert type(done[0]) is mmapguard.StaleError and error.filename == path
        return done
    def workers(done): return pids
    """,
        "from joblib.externals.loky import get_reusable_executor; get_reusable_executor().shutdown()",
    ),
    "Ray": (
        """
    import logging, ray
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False,
             _node_ip_address="127.0.0.1", object_store_memory=80 << 20)
    remote = ray.remote(max_retries=0)(digest)
    def one(reply):
        try: return ray.get(reply, timeout=60)
        except ray.exceptions.RayTaskError as error: return error.cause
    def submit(regions): return [one(reply) for reply in [remote.remote(each) for each in regions]]
    def workers(done): return {pid for pid, _ in done}
    """,
        "ray.shutdown()",
    ),
}


def _sample(path: Path) -> Path:
    path.write_bytes(os.urandom(1000) * 1000)
    return path


def _run(pool: str, change: str, path: Path) -> None:
    start, end = POOLS[pool]
    source = COMMON.format(start=start.strip(), end=end, change=CHANGES[change])
    folder = path.parent / "program"
    folder.mkdir()
    script = folder / "pool_program.py"
    script.write_text(source)
    # The program is run from a file and not by -c, since the workers of a spawned pool import the main module.
    done = subprocess.run(
        [sys.executable, script, path],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "9 stale\n"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pool", ["multiprocessing.Pool", "ProcessPoolExecutor", "joblib"])
def test_a_changed_file_is_an_error_of_the_task(pool: str, change: str, tmp_path: Path) -> None:
    _run(pool, change, _sample(tmp_path / "file"))


@pytest.mark.parametrize("change", ["cut", "renamed"])
def test_ray_goes_on_as_well(change: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray publishes no package for this Python")
    _run("Ray", change, _sample(tmp_path / "file"))
