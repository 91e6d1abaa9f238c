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
from collections.abc import Callable
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
    calls: tuple[tuple[Callable[..., Any], Any], ...] = (
        (mmapguard.open, inlet),
        (mmapguard.read_fd, inlet),
        (mmapguard.open, tmp_path / "fifo"),
        (mmapguard.load, tmp_path / "fifo"),
    )
    for call, source in calls:
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


@pytest.mark.parametrize("listens", [False, True])
def test_a_socket_without_a_connection_is_refused_and_not_waited_for(listens: bool) -> None:
    with socket.socket() as alone:
        if listens:
            alone.bind(("127.0.0.1", 0))
            alone.listen()
        for source in (alone, alone.fileno()):
            with pytest.raises(OSError, match="not connected") as caught:
                mmapguard.open(source)
            assert caught.value.errno == errno.ENOTCONN
        assert alone.fileno() >= 0


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


class _Child:
    """A Python program that is to be interrupted. Its standard input is a pipe that nobody writes to."""

    def __init__(self, program: str, folder: Path) -> None:
        inlet, self._outlet = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, folder], stdin=inlet, stdout=subprocess.PIPE
        )
        os.close(inlet)

    def says(self) -> str:
        """Return the next line that the program prints; "" when the program has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def interrupt(self) -> str:
        """Send Ctrl-C, and return the next line. The time is only printed."""
        time.sleep(0.1)
        assert self._process.poll() is None
        sent = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        said = self.says()
        print(f"{said}: {time.monotonic() - sent:.3f} s")
        return said

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()
        os.close(self._outlet)


WAITS = {
    "a pipe": "mmapguard.open(0)",
    "standard input": "mmapguard.load('-')",
    "read_fd": "mmapguard.read_fd(0)",
    "a FIFO with a silent writer": "mmapguard.open(path + '/held')",
    "a FIFO without a writer": "mmapguard.open(path + '/fifo', fifo_wait=True)",
    "a lock": "mmapguard.open(path + '/locked', lock_wait=3600)",
}

WAITER = """
import sys, mmapguard
path = sys.argv[1]
try:
    print("waits", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("wait", WAITS)
def test_control_c_ends_the_wait(wait: str, tmp_path: Path) -> None:
    """No wait ends by itself. Before this was mended, the process had to be killed."""
    import fcntl

    os.mkfifo(tmp_path / "fifo")
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDWR)
    with (tmp_path / "locked").open("wb") as locked:
        locked.truncate(100_000)
        fcntl.flock(locked, fcntl.LOCK_EX)
        with _Child(WAITER.format(wait=WAITS[wait]), tmp_path) as child:
            assert child.says() == "waits"
            assert child.interrupt() == "interrupted"
    os.close(held)


SEARCHES = {
    "find": "whole.find(b'\\x01', 0)",
    "find a long needle": "whole.find(b'\\0' * 64 + b'\\x01', 0)",
    "rfind": "whole.rfind(b'\\x01', 0)",
    "rfind a needle that nearly matches": "whole.rfind(b'\\0' * 200 + b'\\x01', 0)",
    "in": "contains(whole, b'\\x01')",
    "readline": "whole.seek(0), whole.readline()",
    "readinto": "whole.seek(0), whole.readinto(target)",
    "a slice with a step": "getitem(whole, slice(0, 1 << 27, 2))",
}

#: The profile function learns how the last call of a function in C has ended. Without it, an exception from within a search
#: could not be told from one that Python raises when the search is over.
SEARCHER = """
import os, signal, sys, mmapguard
from operator import contains, getitem

whole = mmapguard.open(sys.argv[1] + "/sparse")
target = bytearray(1 << 27)
searching, end = False, ""

def profile(frame, event, function):
    global end
    if event in ("c_return", "c_exception"):
        end = event

def say(line):
    os.write(1, line + b"\\n")

def interrupt(*_):
    if searching:
        raise KeyboardInterrupt
    say(b"between two searches")

def search():
    while True:
        {search}

signal.signal(signal.SIGINT, interrupt)
say(b"searches")
while True:
    try:
        sys.setprofile(profile)
        searching = True
        search()
    except KeyboardInterrupt:
        was, searching = end, False
        sys.setprofile(None)  # this is a call in C, too
        say(b"in a search" if was == "c_exception" else b"between two searches")
"""


@pytest.mark.parametrize("search", SEARCHES)
def test_control_c_ends_a_search_before_its_end(search: str, tmp_path: Path) -> None:
    """The program searches again and again. Nearly all signals come within a search, but any single one may come between
    two searches, so the test sends more of them then."""
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(256 << 20)
    with _Child(SEARCHER.format(search=SEARCHES[search]), tmp_path) as child:
        assert child.says() == "searches"
        answers = (child.interrupt() for _ in range(50))
        assert "in a search" in answers
