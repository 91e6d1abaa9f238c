# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls that can block let other threads run, and closing at any moment is safe."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from children import program

import mmapguard
from support import files

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def test_waiting_for_a_writer_lets_other_threads_run(tmp_path: Path) -> None:
    """If the call held the GIL, the writing thread would never run, and the test would hang."""
    os.mkfifo(tmp_path / "fifo")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(mmapguard.open, tmp_path / "fifo", fifo_wait=True)
        (tmp_path / "fifo").write_bytes(b"at last")
        with reading.result() as region:
            assert region[:] == b"at last"


def test_waiting_for_a_stream_lets_other_threads_run() -> None:
    inlet, outlet = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(mmapguard.read_fd, inlet)
        for _ in range(3):
            os.write(outlet, b"piece ")
        os.close(outlet)
        with reading.result() as region:
            assert region[:] == b"piece " * 3
    os.close(inlet)


def test_waiting_for_a_lock_lets_other_threads_run(large: Path) -> None:
    with files.held_elsewhere(large, "flock exclusive") as held, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mmapguard.open, large, lock_wait=None)
        assert not waiting.done()
        held.give_back()
        with waiting.result() as region:
            assert region.info.lock == "shared"


def test_a_signal_ends_the_wait_for_a_lock(large: Path) -> None:
    """Ctrl-C must not wait until another process unlocks."""
    source = """
import signal, sys, mmapguard
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    mmapguard.open(sys.argv[1], lock_wait=None)
except KeyboardInterrupt:
    print("interrupted", mmapguard.stats().handles)
"""
    with files.held_elsewhere(large, "flock exclusive"):
        assert program(source, large).returned() == "interrupted 0\n"


def test_opening_and_closing_in_many_threads_leaves_nothing(either: Path) -> None:
    data = either.read_bytes()

    def work(seed: int) -> None:
        for turn in range(100):
            with mmapguard.open(either) as region:
                place = (seed * 7919 + turn * 104729) % len(data)
                view = memoryview(region)
                assert region[place] == view[place] == data[place]
                assert region.find(data[place : place + 20], 0) <= place
                if turn % 3 == 0:
                    region.close()
                assert bytes(view[-5:]) == data[-5:]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, seed) for seed in range(8)]:
            done.result()


def _read_into(region: mmapguard.Region, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: region.readinto(buffer)])


SHARED_OUT: dict[str, Callable[[mmapguard.Region, int], bytes]] = {
    "read": lambda region, size: region.read(size),
    "readinto": _read_into,
    "readline": lambda region, _: region.readline(),
}


@pytest.mark.parametrize("size", [16, 1000, 70_000, 256 << 10, 2 << 20])
@pytest.mark.parametrize("how", SHARED_OUT)
def test_threads_that_read_get_each_chunk_once(how: str, size: int, tmp_path: Path) -> None:
    """A region is a queue of chunks for its threads, as a mapping of mmap's is, whose calls hold the GIL."""
    count, path, take = max(24, min(4000, (16 << 20) // size)), tmp_path / "chunks", SHARED_OUT[how]
    path.write_bytes(b"".join(b"%010d" % number + b"." * (size - 11) + b"\n" for number in range(count)))

    def work(region: mmapguard.Region, start: threading.Barrier) -> list[bytes]:
        start.wait()
        return list(iter(lambda: take(region, size), b""))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with mmapguard.open(path) as region, ThreadPoolExecutor(4) as pool:
            start = threading.Barrier(4)
            taken = [pool.submit(work, region, start) for _ in range(4)]
            chunks = [chunk for one in taken for chunk in one.result()]
    finally:
        sys.setswitchinterval(before)
    assert {len(chunk) for chunk in chunks} == {size}
    assert sorted(int(chunk[:10]) for chunk in chunks) == list(range(count))


@pytest.mark.parametrize(
    "use",
    [
        lambda region: region.find(b"not in there at all"),
        lambda region: region.rfind(b"not in there at all"),
        lambda region: region.read(1 << 20),
        lambda region: region.read_into(bytearray(1 << 20)),
        lambda region: region.readline(),
        lambda region: region.prefetch(),
        lambda region: region.check(),
        lambda region: region.changed(),
        lambda region: region.resident(),
        lambda region: bytes(memoryview(region)[-100:]),
        lambda region: (region[5], region[10:20]),
        lambda region: region.info,
    ],
)
def test_closing_under_a_call_gives_its_result_or_a_value_error(
    use: Callable[[mmapguard.Region], object], large: Path
) -> None:
    with mmapguard.open(large) as region:
        expected = use(region)
    outcomes = set()
    for _ in range(60):
        region = mmapguard.open(large)
        ready = threading.Barrier(2)

        def call(region: mmapguard.Region = region, ready: threading.Barrier = ready) -> str:
            ready.wait()
            try:
                result = use(region)
            except ValueError as error:
                assert "closed" in str(error)
                return "closed"
            assert result == expected or hasattr(result, "backing")
            return "result"

        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(call)
            ready.wait()
            region.close()
            outcomes.add(answer.result())
    assert outcomes <= {"result", "closed"}


def test_the_asyncio_example_keeps_its_loop_running(large: Path) -> None:
    spec = importlib.util.spec_from_file_location("asyncio_digest", EXAMPLES / "asyncio_digest.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    import hashlib

    digests = asyncio.run(example.digests([large, large]))
    assert digests == [hashlib.sha256(large.read_bytes()).hexdigest()] * 2
    done = subprocess.run(
        [sys.executable, EXAMPLES / "asyncio_digest.py", large],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert digests[0] in done.stdout
