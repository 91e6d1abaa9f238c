# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every way of reading, on a device that fails under the reader: lost bytes are reported, all others are right.

Each function opens the file, lets the device fail, reads, and checks the result. SIGBUS ends the process if the loss
is not contained, so the function runs in a child. This module knows nothing of pytest, since the guest of the virtual
machine uses it as well.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

from mmapguard import abi

from . import lease_settings
from . import library as mmg

_FIEMAP = 0xC020660B
UNIT = 4 << 20
"""The kernel may read so much at once, and fail as a whole: that much before the place of the failure may be lost."""


def place_on_device(path: Path, offset: int) -> int:
    """Return where a byte of a file lies on its device."""
    fd = os.open(path, os.O_RDONLY)
    try:
        room = bytearray(struct.pack("=QQLLLL", 0, 2**64 - 1, 1, 0, 64, 0) + bytes(56 * 64))
        ioctl(fd, _FIEMAP, room)
    finally:
        os.close(fd)
    for index in range(struct.unpack_from("=L", room, 20)[0]):
        first, start, length = struct.unpack_from("=QQQ", room, 32 + 56 * index)
        if first <= offset < first + length:
            return int(start + offset - first)
    raise AssertionError("the byte is in no extent")


def _cached_pages(fd: int) -> int:
    """Return how many pages of a file are in the page cache."""
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, access=mmap.ACCESS_COPY) as mapped:
        pages = bytearray(-(-size // mmap.PAGESIZE))
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        told = ctypes.CDLL(None, use_errno=True).mincore(
            ctypes.c_void_p(start), ctypes.c_size_t(size), (ctypes.c_char * len(pages)).from_buffer(pages)
        )
        assert told == 0, os.strerror(ctypes.get_errno())
    return sum(page & 1 for page in pages)


def drop_from_cache(path: Path) -> None:
    """Remove a file from the page cache.

    The kernel leaves a page alone that is in use at that moment, for example because it is moved. So the function asks
    whether pages are left, and tries again.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        for _ in range(200):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if _cached_pages(fd) == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"{_cached_pages(fd)} pages of {path} stay in the page cache")
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Failing:
    """A file, the place where its device will fail, and the call that makes it fail.

    No byte of the file is in the page cache.
    """

    path: Path
    data: bytes
    lost: int
    fail: Callable[[], None]


def _judge_loss(handle: int, failing: Failing) -> None:
    found = mmg.info(handle)
    assert found.fault_cause == abi.MMG_E_IO
    assert failing.lost - UNIT <= found.fault_offset <= failing.lost, found.fault_offset
    assert mmg.check(handle) == abi.MMG_E_IO
    assert mmg.lib.mmg_verify(handle) == abi.MMG_E_IO
    assert mmg.pin(handle)[0] == abi.MMG_E_IO
    assert mmg.read(handle, failing.lost, 1)[0] == abi.MMG_E_IO


def through_a_span(failing: Failing) -> None:
    """Read page after page through a span."""
    with mmg.opened(mmg.try_open(failing.path, backing=abi.MMG_BACKING_MAP)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        failing.fail()
        place = mmg.address(span)
        assert ctypes.string_at(place + failing.lost, 1) == b"\0"
        seen = mmg.span_bytes(span)
        assert mmg.unpin(span) == abi.MMG_E_IO
        whole = mmg.info(handle).fault_offset
        assert seen[:whole] == failing.data[:whole]
        _judge_loss(handle, failing)


def by_copying_out(failing: Failing) -> None:
    """Read by mmg_read(), which raises no signal and says how far it came."""
    with mmg.opened(mmg.try_open(failing.path, backing=abi.MMG_BACKING_MAP)) as handle:
        failing.fail()
        status, got = mmg.read(handle, 0, len(failing.data))
        assert status == abi.MMG_E_IO
        assert got == failing.data[: len(got)]
        assert len(got) <= failing.lost
        assert mmg.read(handle, failing.lost, 4096)[0] == abi.MMG_E_IO


def by_searching(failing: Failing) -> None:
    """Search. The library must not say that a needle is absent from bytes that it cannot read."""
    with mmg.opened(mmg.try_open(failing.path, backing=abi.MMG_BACKING_MAP)) as handle:
        failing.fail()
        assert mmg.find(handle, failing.data[failing.lost + 77 : failing.lost + 109])[0] == abi.MMG_E_IO


def by_a_copy(failing: Failing) -> None:
    """Copy the file. A copy is complete, or the call fails."""
    failing.fail()
    for members in (
        {"backing": abi.MMG_BACKING_COPY},
        {
            "guarantee": abi.MMG_GUARANTEE_STABLE,
            "backing": abi.MMG_BACKING_COPY,
            "flags": abi.MMG_FLAG_NO_LEASE,
        },
    ):
        mmg.refused(mmg.try_open(failing.path, **members), abi.MMG_E_IO)


def by_a_stream(failing: Failing) -> None:
    """Read a descriptor to its end."""
    failing.fail()
    fd = os.open(failing.path, os.O_RDONLY)
    mmg.refused(mmg.try_read_fd(fd), abi.MMG_E_IO)
    os.close(fd)


def _judge_reflink(handle: int, failing: Failing) -> None:
    """Judge a clone, which shares the blocks and is read from the same device."""
    found = mmg.info(handle)
    assert found.means == abi.MMG_MEANS_REFLINK, f"stable by means {found.means} on a device that fails"
    status, got = mmg.read(handle, failing.lost, 4096)
    assert (status, got) == (abi.MMG_E_IO, b"")


def by_a_snapshot(failing: Failing) -> None:
    """Take a snapshot. Without bytes that can be read there is no snapshot, and the region is not called stable."""
    os.environ["TMPDIR"] = "/dev/shm"
    failing.fail()
    attempt = mmg.try_open(
        failing.path,
        guarantee=abi.MMG_GUARANTEE_STABLE,
        flags=abi.MMG_FLAG_NO_LEASE,
        backing=abi.MMG_BACKING_MAP,
    )
    if attempt.status == abi.MMG_OK:
        with mmg.opened(attempt) as handle:
            _judge_reflink(handle, failing)
    else:
        mmg.refused(attempt, abi.MMG_E_UNSTABLE)


def under_a_lease(failing: Failing) -> None:
    """Read under a lease, which holds writers back but does not protect from the device."""
    lease_settings.need_leases()
    with mmg.opened(
        mmg.try_open(failing.path, guarantee=abi.MMG_GUARANTEE_STABLE, backing=abi.MMG_BACKING_MAP)
    ) as handle:
        assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
        failing.fail()
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        assert ctypes.string_at(mmg.address(span) + failing.lost, 1) == b"\0"
        assert mmg.unpin(span) == abi.MMG_E_IO
        _judge_loss(handle, failing)


def when_the_lease_breaks(failing: Failing) -> None:
    """Break the lease. Bytes that the library cannot copy for the reader are reported before the writer is let in."""
    lease_settings.need_leases()
    os.environ["TMPDIR"] = "/dev/shm"
    with mmg.opened(
        mmg.try_open(failing.path, guarantee=abi.MMG_GUARANTEE_STABLE, backing=abi.MMG_BACKING_MAP)
    ) as handle:
        assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
        failing.fail()
        os.close(os.open(failing.path, os.O_RDWR))
        found = mmg.info(handle)
        if found.guarantee == abi.MMG_GUARANTEE_STABLE:
            _judge_reflink(handle, failing)
            return
        if found.shortfall == abi.MMG_SHORT_TIME:
            lease_settings.need_long_breaks()
        assert (found.guarantee, found.shortfall) == (abi.MMG_GUARANTEE_CONTAINED, abi.MMG_SHORT_READ)
        assert found.fault_offset <= failing.lost
        assert mmg.check(handle) == abi.MMG_E_UNSTABLE
        if found.fault_offset > 0:
            assert mmg.content(handle, 0, found.fault_offset) == failing.data[: found.fault_offset]


WAYS: dict[str, Callable[[Failing], None]] = {
    way.__name__.replace("_", " "): way
    for way in (
        through_a_span,
        by_copying_out,
        by_searching,
        by_a_copy,
        by_a_stream,
        by_a_snapshot,
        under_a_lease,
        when_the_lease_breaks,
    )
}
