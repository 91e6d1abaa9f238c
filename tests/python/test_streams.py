# SPDX-License-Identifier: MIT OR Apache-2.0
"""Streams are read to their end, within a cap and a time limit, and Ctrl-C ends the wait; also a long search."""

from __future__ import annotations

import errno
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import mmapguard
from support import files


def _pipe(content: bytes) -> int:
    inlet, outlet = os.pipe()
    threading.Thread(target=_write, args=(outlet, content), daemon=True).start()
    return inlet


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
@pytest.mark.parametrize("call", [mmapguard.open, mmapguard.load, mmapguard.read_fd])
def test_a_pipe_is_read_to_its_end(call: Any, size: int) -> None:
    content = os.urandom(size)
    inlet = _pipe(content)
    with call(inlet) as region:
        assert region[:] == content
        assert region.info.backing == "copy"
        assert region.info.backing_reason == "stream"
    os.close(inlet)


def test_a_window_of_a_stream_leaves_the_rest() -> None:
    inlet = _pipe(b"0123456789" * 10)
    with mmapguard.open(inlet, offset=5, length=10) as region:
        assert region[:] == b"5678901234"
    assert os.read(inlet, 3) == b"567"
    os.close(inlet)
    inlet = _pipe(b"short")
    with pytest.raises(ValueError, match=r"window|end"):
        mmapguard.open(inlet, offset=3, length=10)
    os.close(inlet)


def test_sockets_fifos_and_devices_are_streams(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"by a socket")
    theirs.close()
    with ours, mmapguard.open(ours) as region:
        assert region[:] == b"by a socket"
    with mmapguard.open("/dev/null") as region:
        assert len(region) == 0
    with pytest.raises(OSError, match="max_bytes") as caught:
        mmapguard.open("/dev/zero", max_bytes=1000)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "/dev/zero")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"by a name"))
    writer.start()
    with mmapguard.open(fifo, fifo_wait=True) as region:
        assert region[:] == b"by a name"
    writer.join()


def test_a_descriptor_that_does_not_wait_is_waited_for() -> None:
    inlet, outlet = os.pipe2(os.O_NONBLOCK)
    later = threading.Timer(0.05, _write, (outlet, b"late"))
    later.start()
    with mmapguard.read_fd(inlet) as region:
        assert region[:] == b"late"
    os.close(inlet)
    later.join()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"regular_only": True}, "is not a regular file"),
        ({"backing": "map"}, "a stream cannot be mapped"),
        ({"require_lock": True}, "a stream has no lock"),
    ],
)
def test_options_that_do_not_fit_a_stream_are_refused_before_it_is_read(
    options: Any, said: str, tmp_path: Path
) -> None:
    """The writer is silent, so a call that reads first would wait for ever."""
    inlet, outlet = os.pipe()
    os.mkfifo(tmp_path / "fifo")
    held = os.open(tmp_path / "fifo", os.O_RDWR)
    for call, source in (
        (mmapguard.open, inlet),
        (mmapguard.read_fd, inlet),
        (mmapguard.open, tmp_path / "fifo"),
        (mmapguard.load, tmp_path / "fifo"),
    ):
        with pytest.raises(OSError, match=said) as caught:
            call(source, **options)
        assert caught.value.filename == (inlet if source == inlet else str(source))
    os.write(outlet, b"all of it")
    os.close(outlet)
    with mmapguard.open(inlet) as region:
        assert region[:] == b"all of it"
    os.close(inlet)
    os.close(held)


@pytest.mark.parametrize("call", [mmapguard.open, mmapguard.read_fd])
def test_the_writing_end_of_a_pipe_is_refused_and_not_waited_for(call: Any) -> None:
    inlet, outlet = os.pipe()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        call(outlet)
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, outlet)
    assert caught.value.__notes__ == [
        f"descriptor {outlet}: descriptor: is open for writing only (Bad file descriptor)"
    ]
    os.close(inlet)
    os.close(outlet)


def test_an_error_names_the_stream_and_not_its_memory_file(tmp_path: Path) -> None:
    inlet = _pipe(b"short")
    with pytest.raises(ValueError, match=rf"^descriptor {inlet}: read: ended before the window did"):
        mmapguard.open(inlet, offset=3, length=10)
    os.close(inlet)
    os.mkfifo(tmp_path / "fifo")
    held = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    os.write(held, b"short")
    with (tmp_path / "fifo").open("rb") as file:
        os.close(held)
        with pytest.raises(ValueError, match=r"/fifo': read: ended before the window did"):
            mmapguard.open(file, offset=3, length=10)


# ------------------------------------------------------------------------------------------------------ time limits --


def test_a_stream_that_does_not_end_is_a_timeout_error(tmp_path: Path) -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"and no more")
    for call in (mmapguard.open, mmapguard.read_fd):
        with pytest.raises(TimeoutError, match=r"0\.05 s") as caught:
            call(inlet, timeout=0.05)
        assert (caught.value.errno, caught.value.filename) == (errno.ETIMEDOUT, inlet)
    os.close(outlet)
    with mmapguard.open(inlet, timeout=10) as region:
        assert region[:] == b""
    os.close(inlet)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TimeoutError):
        mmapguard.open(tmp_path / "fifo", fifo_wait=True, timeout=0.05)
    for bad in (-1, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            mmapguard.open(tmp_path / "fifo", timeout=bad)


def test_times_may_be_infinite(large: Path) -> None:
    with mmapguard.open(large, lock_wait=math.inf, timeout=math.inf) as region:
        assert len(region) == files.LARGE


# ----------------------------------------------------------------------------------------------------------- Ctrl-C --

WAITS = {
    "a pipe": "mmapguard.open(0)",
    "standard input": "mmapguard.load('-')",
    "read_fd": "mmapguard.read_fd(0)",
    "a FIFO with a silent writer": "mmapguard.open(path + '/held')",
    "a FIFO without a writer": "mmapguard.open(path + '/fifo', fifo_wait=True)",
    "a lock": "mmapguard.open(path + '/locked', lock_wait=60)",
    "find": "whole.find(b'\\x01')",
    "find a long needle": "whole.find(b'\\0' * 64 + b'\\x01')",
    "rfind": "whole.rfind(b'\\x01', 0)",
    "rfind a needle that nearly matches": "whole.rfind(b'\\0' * 200 + b'\\x01', 0)",
    "in": "b'\\x01' in whole",
    "readline": "whole.readline()",
}

WAITER = """
import os, sys, mmapguard
path = sys.argv[1]
whole = mmapguard.open(path + "/sparse")
print("waits", flush=True)
try:
    while True:
        {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("wait", WAITS)
def test_control_c_ends_the_wait(wait: str, tmp_path: Path) -> None:
    """Ctrl-C must end the wait at all; the time is only printed.

    Before this was mended, the process had to be killed.
    """
    import fcntl

    os.mkfifo(tmp_path / "fifo")
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDWR)
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(64 << 30)
    with (tmp_path / "locked").open("wb") as locked:
        locked.truncate(100_000)
        fcntl.flock(locked, fcntl.LOCK_EX)
        inlet, outlet = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", WAITER.format(wait=WAITS[wait]), tmp_path],
            stdin=inlet,
            stdout=subprocess.PIPE,
        )
        os.close(inlet)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"waits\n"
            time.sleep(0.3)
            assert process.poll() is None
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == b"interrupted\n"
            print(f"{wait}: {time.monotonic() - sent:.3f} s")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            os.close(outlet)
            os.close(held)
