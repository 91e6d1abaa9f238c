# SPDX-License-Identifier: MIT OR Apache-2.0
"""In a Dask cluster, references pass through a scheduler that does not have the file, and a file that changes is an
error.

The scheduler runs in a mount namespace in which the folder of the file is empty. Client and workers run beside it.
Dask leaves threads behind, so all of this runs in programs of its own. The example runs as a user runs it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import program

from support import files

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def haystack(path: Path, size: int) -> int:
    """Write a file of `size` bytes with 'needle' in some places, also across the edges of pieces.

    Return how often.
    """
    with path.open("wb") as file:
        file.truncate(size)
        places = {*range(1000, size - 6, 777_777), *range((8 << 20) - 3, size - 6, 8 << 20)}
        for place in places:
            file.seek(place)
            file.write(b"needle")
    return len(places)


def test_the_example_counts_the_same_as_one_process(tmp_path: Path) -> None:
    expected = haystack(tmp_path / "big", 70 << 20)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "dask_scan.py", tmp_path / "big", "needle"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"(\d+) times 'needle', by (\d) processes\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) == expected
    assert int(found[2]) >= 1
    assert "70.0 of 70.0 MiB" in done.stderr


# --------------------------------------------------------------------------------------------- a cluster of its own --


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(*command: str | Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def _address(file: Path, scheduler: subprocess.Popen[bytes]) -> str:
    for _ in range(1200):
        if scheduler.poll() is not None:
            break
        try:
            return str(json.loads(file.read_text())["address"])
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)
    raise AssertionError("the scheduler does not start")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Provide the address of a scheduler with two workers, and the folder of the data, which the scheduler sees
    empty."""
    files.require_root("mounts an empty file system over a folder, for one process")
    data, rest = tmp_path / "data", tmp_path / "cluster"
    data.mkdir()
    rest.mkdir()
    hide = f"mount -t tmpfs none '{data}' && exec \"$@\""
    common = ("--host", "127.0.0.1", "--no-dashboard")
    running = [
        _start(
            *(
                "unshare",
                "--mount",
                "sh",
                "-c",
                hide,
                "sh",
                sys.executable,
                "-m",
                "distributed.cli.dask_scheduler",
            ),
            *(*common, "--port", "0", "--scheduler-file", str(rest / "scheduler.json")),
            log=rest / "scheduler.log",
        )
    ]
    try:
        address = _address(rest / "scheduler.json", running[0])
        running += [
            _start(
                *(sys.executable, "-m", "distributed.cli.dask_worker", address, *common, "--no-nanny"),
                *("--nthreads", "1", "--local-directory", str(rest)),
                log=rest / f"worker{number}.log",
            )
            for number in range(2)
        ]
        yield address, data
    finally:
        for process in reversed(running):
            _end(process)


CLIENT = """
import os, shutil, sys, time
import mmapguard
from distributed import Client, Event
address, path, change = sys.argv[1:]

def digest(region):
    import zlib
    with region:
        return os.getpid(), zlib.crc32(region)

def hold(number):
    from distributed import Event
    Event("go").wait()
    return os.getpid()

def under_way(region):
    "A loss in the middle of a scan: the task reads, waits for the change, and reads on."
    import zlib
    from distributed import Event
    with region:
        first = zlib.crc32(memoryview(region)[:4096])
        Event("reading").set()
        Event("changed").wait()
        return zlib.crc32(region)

CHANGES = {
    "cut": lambda: os.truncate(path, 5000),
    "rewritten": lambda: open(path, "r+b").write(b"other bytes"),
    "replaced": lambda: (shutil.copy(path, path + ".new"), os.replace(path + ".new", path)),
    "renamed": lambda: os.rename(path, path + ".away"),
}

def windows():
    with mmapguard.open(path, backing="map") as whole:
        return [whole.reference(at, 100_000) for at in range(0, len(whole), 100_000)]

with Client(address, timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
    workers = set(client.run(os.getpid).values())
    assert not client.run_on_scheduler(os.path.exists, path) and all(client.run(os.path.exists, path).values())
    fine = client.gather([client.submit(digest, one, pure=False) for one in windows()], errors="raise")
    assert {pid for pid, _ in fine} <= workers

    # Both workers are busy while the references wait, in the scheduler or in a worker; then the file changes.
    held = [client.submit(hold, number, pure=False) for number in range(2)]
    waiting = [client.submit(digest, one, pure=False) for one in windows()]
    time.sleep(0.2)
    CHANGES[change]()
    Event("go").set()
    assert set(client.gather(held)) <= workers
    for one in waiting:
        error = one.exception(timeout=60)
        assert type(error) is mmapguard.StaleError and error.filename == path, repr(error)
    if not os.path.exists(path):
        os.rename(path + ".away", path)
    if os.path.getsize(path) < 400_000:
        os.truncate(path, 400_000)

    # A scan under way.
    reading = client.submit(under_way, windows()[0], pure=False)
    Event("reading").wait(timeout=60)
    os.truncate(path, 5000)
    Event("changed").set()
    error = reading.exception(timeout=60)
    assert type(error) is mmapguard.TruncatedError and (error.offset, error.filename) == (5000, path), repr(error)

    # The cluster goes on, with the same workers.
    os.truncate(path, 400_000)
    again = client.gather([client.submit(digest, one, pure=False) for one in windows()])
    assert len(again) == 4 and {pid for pid, _ in again} <= workers
    assert set(client.run(os.getpid).values()) == workers
    print("goes on")
"""


@pytest.mark.parametrize("change", ["cut", "rewritten", "replaced", "renamed"])
def test_a_file_that_changes_is_an_error_of_its_tasks(change: str, cluster: tuple[str, Path]) -> None:
    address, folder = cluster
    path = folder / "file"
    path.write_bytes(os.urandom(1000) * 1000)
    assert program(CLIENT, address, path, change).returned() == "goes on\n"


def test_the_example_says_that_its_file_changed(tmp_path: Path) -> None:
    """The file is cut while the cluster starts or searches.

    The example ends with one line and an exit status, within the time of a run.
    """
    haystack(tmp_path / "big", 40 << 20)
    source = """
import os, sys
sys.path[:0] = [sys.argv[2]]

def main():
    import dask_scan
    from distributed import Client
    whole = dask_scan.windows

    def windows(path, word):
        pieces = list(whole(path, word))
        os.truncate(path, 9 << 20)
        return iter(pieces)

    dask_scan.windows = windows
    print(dask_scan.main([sys.argv[1], "needle"]))

if __name__ == "__main__":
    main()
"""
    ended = program(source, tmp_path / "big", EXAMPLES, environment={"PYTHONPATH": _with(EXAMPLES)})
    assert ended.returned() == "1\n"
    assert "changed while it was searched" in ended.errors and str(tmp_path / "big") in ended.errors


def _with(folder: Path) -> str:
    """Return a PYTHONPATH that has the folder as well, for the workers."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
