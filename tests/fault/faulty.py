# SPDX-License-Identifier: MIT OR Apache-2.0
"""Serves a file whose device fails on demand: for one page or for many, after a while, or for good.

support.fuse serves the file in another process. What the test wants stands in memory that both processes share. The
server takes slices of a Device as the contents of the file. A slice is bytes, fewer bytes than wanted, or an errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from mmapguard import abi
from support import fuse
from support import library as mmg
from support.children import DEADLINE
from support.files import PAGE
from support.library import pattern

NAME = "faulty"

#: The file that the tests read: so many pages, of which usually this one is bad.
PAGES = 256
BAD = 100

MAPPED = {"backing": abi.MMG_BACKING_MAP}

_PAGES = 4096  # of a file, at most: one byte of the shared memory each
_GOOD, _BAD, _SHORT, _SLOW, _DEADLY = range(5)
_ASKED = _PAGES
_RELEASED = _PAGES + 8
_READS = _PAGES + 16
_READ_ERROR = _PAGES + 24
_STATUS_ERROR = _PAGES + 25


class Device:
    """The contents of the file, and what happens to a reader of each page."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._shared = mmap.mmap(-1, 2 * _PAGES)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, part: slice) -> bytes | int:
        """Return what a read gets. This runs in the server."""
        start, stop, _ = part.indices(len(self.data))
        self._shared[_READS : _READS + 8] = struct.pack("Q", self.reads + 1)
        for page in range(start // PAGE, (stop + PAGE - 1) // PAGE):
            state = self._shared[page]
            if state == _BAD:
                return self._shared[_READ_ERROR] or errno.EIO
            if state == _SHORT:
                return self.data[start : max(start, page * PAGE)]
            if state == _DEADLY:
                os._exit(0)
            if state == _SLOW:
                self._wait(page)
        return self.data[start:stop]

    def _wait(self, page: int) -> None:
        self._shared[_ASKED : _ASKED + 8] = struct.pack("Q", page)
        until = time.monotonic() + DEADLINE
        while self._shared[_RELEASED] == 0 and time.monotonic() < until:
            time.sleep(0.0005)

    @property
    def reads(self) -> int:
        """Return how often the kernel has asked for contents."""
        return int(struct.unpack("Q", self._shared[_READS : _READS + 8])[0])

    def status_error(self) -> int:
        """Return the errno with which a question for the size of the file fails, or 0. This runs in the server."""
        return self._shared[_STATUS_ERROR]

    def hide_status(self, code: int) -> None:
        """Make every question for the size of the file fail with an errno. With 0 the device answers again."""
        self._shared[_STATUS_ERROR] = code

    def close(self) -> None:
        """Release the memory that is shared with the server."""
        self._shared.close()

    def _mark(self, state: int, pages: tuple[int, ...]) -> None:
        for page in pages:
            self._shared[page] = state

    def fail(self, *pages: int, code: int = errno.EIO) -> None:
        """Make reads of these pages fail with this errno."""
        self._shared[_READ_ERROR] = code
        self._mark(_BAD, pages)

    def shorten(self, *pages: int) -> None:
        """Make reads end where these pages begin."""
        self._mark(_SHORT, pages)

    def delay(self, *pages: int) -> None:
        """Make reads of these pages wait for release().

        All later reads wait as well: the server does one thing at a time.
        """
        self._mark(_SLOW, pages)

    def die(self, *pages: int) -> None:
        """Make the server die when one of these pages is read."""
        self._mark(_DEADLY, pages)

    def heal(self, *pages: int) -> None:
        """Make these pages readable again."""
        self._mark(_GOOD, pages)

    def wait_until_asked(self) -> None:
        """Wait until a reader waits for a slow page."""
        until = time.monotonic() + DEADLINE
        while self._shared[_ASKED : _ASKED + 8] == bytes(8):
            assert time.monotonic() < until, "nobody reads the slow page"
            time.sleep(0.0005)

    def release(self) -> None:
        """Let the readers of a slow page go on."""
        self._shared[_RELEASED] = 1


@contextlib.contextmanager
def served(pages: int) -> Iterator[tuple[Path, Device]]:
    """Provide a file of `pages` pages and its device. Skip the test where the system cannot mount them."""
    device = Device(pattern(pages * PAGE, seed=5))
    # The server needs only an object that has a length and slices.
    try:
        file = fuse.File(cast(bytes, device), status_error=device.status_error)
        with fuse.mounted({NAME: file}) as folder:
            yield folder / NAME, device
    finally:
        device.close()


def page_of(data: bytes, number: int) -> bytes:
    """Return one page of the contents."""
    return data[number * PAGE : (number + 1) * PAGE]


def view(span: object, number: int) -> bytes:
    """Return one page, read through a span that starts at page 0."""
    return ctypes.string_at(mmg.address(span) + number * PAGE, PAGE)


def read_plain_to_the_end(path: Path) -> None:
    """Read a plain mapping of a file to its end, where SIGBUS kills."""
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[len(mapped) - 1] == 0
