# SPDX-License-Identifier: MIT OR Apache-2.0
"""Streams: read here rather than by the library, since Python's own waits hear Ctrl-C and keep time limits.

A stream is a pipe, a FIFO, a socket, a terminal or another device whose bytes come when somebody writes them. It is
collected in a memory file, from which the library makes the region.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import Final

from . import _mmapguard as native
from ._errors import filename

_CHUNK: Final = 1 << 20
_DEFAULT_CAP: Final = 1 << 30
_NO_LIMIT: Final = 2**64 - 1


class _Reader:
    """Reads a descriptor and waits for it, until a moment."""

    def __init__(self, fd: int, source: object, timeout: float | None) -> None:
        self._fd = fd
        self._name = filename(source)
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def ready(self) -> bool:
        """Return True when a read would not wait: there are bytes, the end, or an error."""
        return bool(self._poll.poll(0))

    def read_now(self, size: int) -> bytes | None:
        """Return what is there; nothing at the end, None when the writer has not written yet."""
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            return None
        except OSError as failed:
            raise OSError(failed.errno, failed.strerror, self._name) from None

    def read(self, size: int) -> bytes:
        """Return the next bytes, for which it waits; nothing at the end. Raises TimeoutError."""
        while True:
            left = None if self._end is None else max(self._end - time.monotonic(), 0) * 1000
            if not self._poll.poll(left):
                text = f"the stream has not ended within {self._timeout:g} s"
                raise TimeoutError(errno.ETIMEDOUT, text, self._name)
            data = self.read_now(size)
            if data is not None:
                return data

    def first(self, size: int, mode: int, flags: int) -> bytes:
        """As read(), for the first time: a FIFO that no writer has opened is an error, unless a wait was asked for.

        poll(2) reports the end of a FIFO only once a writer has come and gone; before, a read returns nothing, and
        EAGAIN when there is a writer that is silent.
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
    """Copy the stream into a memory file: to its end, or as far as the window reaches, or beyond the cap.

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


def _opened(path: bytes, flags: int) -> int | None:
    """Open a path as the library does: without a wait for a writer, and without getting a terminal. None: not possible."""
    extra = os.O_NOFOLLOW if flags & native.FLAG_NOFOLLOW else 0
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | extra)
    except OSError:
        return None


def _into_memory(
    reader: _Reader, window: tuple[int, int], cap: int, mode: int, flags: int, source: object
) -> int:
    """The memory file with the bytes of the stream, at its start."""
    memory = os.memfd_create("mmapguard")
    try:
        if window[1] <= cap:  # else the library refuses the window, and need not see a byte
            done = _collect(reader, memory, window, cap, mode, flags)
            if not window[1] and done - window[0] > cap:
                raise OSError(errno.EFBIG, f"has more than the {cap} bytes of max_bytes", filename(source))
        os.lseek(memory, 0, os.SEEK_SET)
    except BaseException:
        os.close(memory)
        raise
    return memory


def collect(
    source: object,
    path: bytes | None,
    fd: int,
    flags: int,
    offset: int,
    length: int,
    max_bytes: int,
    timeout: float | None,
) -> int | None:
    """Read a stream into a memory file and return its descriptor; None if the source is no stream.

    Called by the extension. Returns None as well where the source cannot be opened: the library then says why.
    """
    own = None if path is None else _opened(path, flags)
    if path is not None and own is None:
        return None
    used = fd if own is None else own
    try:
        mode = os.fstat(used).st_mode
        reader = _Reader(used, source, timeout)
        # A file of size 0 is a stream if it has nothing to read now, not even its end, as in tracefs.
        if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and reader.ready()):
            return None
        return _into_memory(reader, (offset, length), max_bytes or _DEFAULT_CAP, mode, flags, source)
    finally:
        if own is not None:
            os.close(own)
