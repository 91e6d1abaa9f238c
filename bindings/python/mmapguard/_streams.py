# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads streams in Python and not in the library, since Ctrl-C and time limits work in Python's own waits.

A stream is a pipe, a FIFO, a socket, a terminal or another device whose bytes come when another program
writes them. The code copies the stream into a memory file, from which the library makes the region.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import Any, Final

from . import _mmapguard as native
from ._errors import filename

_CHUNK: Final = 1 << 20
_DEFAULT_CAP: Final = 1 << 30
_NO_LIMIT: Final = 2**64 - 1


class _Reader:
    """Reads from a descriptor, and waits for bytes until a deadline."""

    def __init__(self, fd: int, source: object, timeout: float | None) -> None:
        self._fd = fd
        self._name = filename(source)
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def ready(self) -> bool:
        """Return True when a read would not wait, because there are bytes, the end, or an error."""
        return bool(self._poll.poll(0))

    def read_now(self, size: int) -> bytes | None:
        """Return the bytes that can be read now; b"" at the end, None when the writer has not written yet."""
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            return None
        except OSError as failed:
            raise OSError(failed.errno, failed.strerror, self._name) from None

    def read(self, size: int) -> bytes:
        """Wait for the next bytes and return them; b"" at the end. Raises TimeoutError."""
        while True:
            left = None if self._end is None else max(self._end - time.monotonic(), 0) * 1000
            if not self._poll.poll(left):
                text = f"the stream has not ended within {self._timeout:g} s"
                raise TimeoutError(errno.ETIMEDOUT, text, self._name)
            data = self.read_now(size)
            if data is not None:
                return data

    def first(self, size: int, mode: int, flags: int) -> bytes:
        """Do the first read().

        A FIFO that no writer has opened is an error, unless the caller has asked for a wait.

        poll(2) reports the end of a FIFO only after a writer has come and gone. Before, a read returns b"",
        or fails with EAGAIN when there is a writer that has not written yet.
        """
        may_lack_writer = stat.S_ISFIFO(mode) and not os.get_blocking(self._fd)
        if may_lack_writer and not flags & native.FLAG_FIFO_WAIT and not self.ready():
            data = self.read_now(size)
            if data:
                return data
            if data is not None:
                raise BlockingIOError(errno.EWOULDBLOCK, "no writer has the FIFO open", self._name)
        return self.read(size)


def _collect(reader: _Reader, memory: int, window: tuple[int, int], cap: int, mode: int, flags: int) -> int:
    """Copy the stream into a memory file, up to its end or the end of the window, or until the cap is
    exceeded.

    Returns the number of bytes.
    """
    skip, length = window
    limit = skip + length if length else min(skip + cap + 1, _NO_LIMIT)
    done = 0
    read = reader.first(min(_CHUNK, limit), mode, flags)
    while read:
        done += len(read)
        view = memoryview(read)
        while view:
            view = view[os.write(memory, view) :]
        if done >= limit:
            break
        read = reader.read(min(_CHUNK, limit - done))
    return done


def _listens(fd: int) -> bool:
    """Return True for a socket that accepts connections and has no bytes, so that poll(2) waits for a connection."""
    import socket

    with socket.socket(fileno=os.dup(fd)) as duplicate:
        return bool(duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _opened(path: bytes, flags: int) -> int | None:
    """Open a path as the library does, without waiting for a writer or getting a controlling terminal.

    Return None on failure.
    """
    extra = os.O_NOFOLLOW if flags & native.FLAG_NOFOLLOW else 0
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | extra)
    except OSError:
        return None


def _into_memory(
    reader: _Reader, window: tuple[int, int], cap: int, mode: int, flags: int, source: object
) -> int:
    """Return the memory file with the bytes of the stream, positioned at its start."""
    memory = os.memfd_create("mmapguard")
    try:
        if window[1] <= cap:  # otherwise the library refuses the window before it reads
            done = _collect(reader, memory, window, cap, mode, flags)
            if not window[1] and done - window[0] > cap:
                raise OSError(errno.EFBIG, f"has more than the {cap} bytes of max_bytes", filename(source))
        os.lseek(memory, 0, os.SEEK_SET)
    except BaseException:
        os.close(memory)
        raise
    return memory


def collect(
    arguments: tuple[Any, ...],
    path: bytes | None,
    fd: int,
    flags: int,
    offset: int,
    length: int,
    max_bytes: int,
    timeout: float | None,
) -> int | None:
    """Read a stream into a memory file and return its descriptor; None if the source is not a stream.

    The extension calls this function. It also returns None when the source cannot be opened, since the
    library then reports the reason. Options that do not fit a stream are refused before a byte is read.
    """
    source = arguments[0]
    own = None if path is None else _opened(path, flags)
    if path is not None and own is None:
        return None
    used = fd if own is None else own
    try:
        mode = os.fstat(used).st_mode
        reader = _Reader(used, source, timeout)
        # A file of size 0 is a stream if a read would wait for bytes or for the end, as in tracefs.
        if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and reader.ready()):
            return None
        if not stat.S_ISREG(mode):
            native.refuse_stream(used, arguments, path is not None)
        if stat.S_ISSOCK(mode) and _listens(used):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), filename(source))
        return _into_memory(reader, (offset, length), max_bytes or _DEFAULT_CAP, mode, flags, source)
    finally:
        if own is not None:
            os.close(own)
