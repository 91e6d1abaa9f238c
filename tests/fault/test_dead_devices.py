# SPDX-License-Identifier: MIT OR Apache-2.0
"""A device that is slow to fail or gone: it is not asked for each page, the cause is told, and other mappings lose as little."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault.faulty import BAD, MAPPED, PAGES, Device, page_of, read_plain_to_the_end, served, view
from mmapguard import abi
from stable import mounts
from support import files, watch
from support import library as mmg
from support.children import in_child, run_child
from support.files import PAGE

# ------------------------------------------------------------------------------------------- slow to fail, and why --

#: Reads that the kernel makes for one fault on a failing page: it reads ahead, in one piece or two, and then tries the
#: page alone.
READS_A_FAULT = 3


@pytest.fixture
def dead() -> Iterator[tuple[Path, Device]]:
    """Provide a file of 4 MiB of which nothing can be read once it is open, on a device that counts the attempts."""
    with served(4 * PAGES) as (path, device):
        yield path, device


def scan(handle: int) -> int:
    status, span = mmg.pin(handle)
    assert status == abi.MMG_OK
    assert mmg.span_bytes(span) == bytes(4 * PAGES * PAGE)
    return mmg.unpin(span)


def search(handle: int) -> int:
    return mmg.find(handle, b"absent from these bytes")[0]


def populate(handle: int) -> int:
    return mmg.advise(handle, abi.MMG_ADVICE_POPULATE)


def read(handle: int) -> int:
    status, got = mmg.read(handle, 0, 4 * PAGES * PAGE)
    assert got == b""
    return status


#: A call, and how often it may ask the device: each time may take seconds. A scan of 1024 pages takes 16 faults.
ASKED_AT_MOST = [(scan, 20 * READS_A_FAULT), (search, 13 * READS_A_FAULT), (populate, 3), (read, 3)]


def ask_the_dead(path: Path, device: Device, call: Callable[[int], int], most: int) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        device.fail(*range(4 * PAGES))
        before = device.reads
        assert call(handle) == abi.MMG_E_IO
        assert device.reads - before <= most


@pytest.mark.parametrize(("call", "most"), ASKED_AT_MOST)
def test_a_dead_device_is_not_asked_for_each_page(
    dead: tuple[Path, Device], call: Callable[[int], int], most: int
) -> None:
    in_child(ask_the_dead, *dead, call, most)


CODES = [
    "EIO",
    "EBADF",
    "EINVAL",
    "EACCES",
    "ETIMEDOUT",
    "ESTALE",
    "ENOTCONN",
    "EAGAIN",
    "ENODATA",
    "ENOMEM",
    "ENOENT",
]
"""What servers answer to a read."""


def name_the_cause(path: Path, device: Device, code: int) -> None:
    needle = b"absent from these bytes"
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        device.fail(*range(BAD, PAGES), code=code)
        assert mmg.read(handle, 0, PAGES * PAGE) == (abi.MMG_E_IO, device.data[: BAD * PAGE])
        assert mmg.info(handle).os_error == code
        assert mmg.check(handle) == abi.MMG_OK, "no byte that the caller got is lost"
        assert mmg.find(handle, needle)[0] == abi.MMG_E_IO
        status, span = mmg.pin(handle, (PAGES - 1) * PAGE)
        if status == abi.MMG_OK:
            assert mmg.span_bytes(span) == bytes(PAGE)
            status = mmg.unpin(span)
        assert status == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO
        assert mmg.info(handle).fault_cause == abi.MMG_E_IO


@pytest.mark.parametrize("name", CODES)
def test_whatever_a_server_answers_the_cause_is_the_same_everywhere(
    faulty: tuple[Path, Device], name: str
) -> None:
    in_child(name_the_cause, *faulty, getattr(errno, name))


def name_missing_bytes(path: Path, device: Device) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        device.shorten(*range(BAD, PAGES))
        assert mmg.read(handle, 0, PAGES * PAGE) == (abi.MMG_E_IO, device.data[: BAD * PAGE])
        status, span = mmg.pin(handle, BAD * PAGE)
        assert status == abi.MMG_OK
        shown = mmg.span_bytes(span)
        assert mmg.unpin(span) in (
            abi.MMG_E_IO,
            abi.MMG_OK if shown == device.data[BAD * PAGE :] else abi.MMG_E_IO,
        )


def test_bytes_inside_the_size_that_do_not_come_are_no_truncation(faulty: tuple[Path, Device]) -> None:
    in_child(name_missing_bytes, *faulty)


def ask_a_server_that_is_gone(path: Path, device: Device) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        device.hide_status(errno.ESTALE)
        assert mmg.check(handle) == abi.MMG_E_IO
        assert mmg.changed(handle)[0] == abi.MMG_E_IO
        assert mmg.lib.mmg_verify(handle) == abi.MMG_E_IO
        error = mmg.new_error()
        assert mmg.lib.mmg_explain(handle, ctypes.byref(error)) == abi.MMG_E_IO
        told = mmg.details(error)
        assert (told.os_code, told.offset) == (errno.ESTALE, 0)
        assert "cannot be asked" in told.message and "zeros" not in told.message
        info = mmg.info(handle)
        assert (info.os_error, info.fault_cause, info.fault_offset) == (errno.ESTALE, abi.MMG_OK, mmg.TO_END)
        assert mmg.span_bytes(span) == device.data
        assert mmg.unpin(span) == abi.MMG_OK, "the library knows of no loss"
        device.hide_status(0)
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.changed(handle) == (abi.MMG_OK, 0)


def test_a_file_that_cannot_be_asked_is_told_and_asked_again(faulty: tuple[Path, Device]) -> None:
    in_child(ask_a_server_that_is_gone, *faulty)


def lose_and_ask(path: Path, device: Device) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        device.fail(BAD)
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        assert view(span, BAD) == bytes(PAGE)
        device.hide_status(errno.EACCES)
        assert mmg.check(handle) == abi.MMG_E_IO
        assert mmg.info(handle).fault_offset == BAD * PAGE
        assert mmg.unpin(span) == abi.MMG_E_IO
        device.hide_status(0)
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        os.close(next(iter(watch.descriptors_of(path))))
        status, span = mmg.pin(handle)
        assert view(span, BAD) == bytes(PAGE)
        assert mmg.check(handle) == abi.MMG_E_IO, "a loss that was seen stays reported"
        assert mmg.unpin(span) == abi.MMG_E_IO


def test_a_loss_stays_reported_when_the_file_cannot_be_asked(faulty: tuple[Path, Device]) -> None:
    in_child(lose_and_ask, *faulty)


def read_holes(path: Path) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        size = 64 * PAGE
        assert mmg.read(handle, 0, size) == (abi.MMG_OK, bytes(size)), (
            "the kernel reads a hole without filling it"
        )
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        assert mmg.span_bytes(span) == bytes(size)
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO


def test_a_hole_that_cannot_be_filled_is_no_truncation() -> None:
    """A read of a hole in tmpfs needs a new page, and there is none."""
    try:
        with mounts.folder() as folder, mounts.mount("tmpfs", folder, "tmpfs", "size=1m"):
            holes = files.sparse(folder / "holes", 64 * PAGE)
            with contextlib.suppress(OSError), open(folder / "rest", "wb") as rest:
                while True:
                    rest.write(bytes(PAGE))
                    rest.flush()
            in_child(read_holes, holes)
            run_child(read_plain_to_the_end, holes).died_of(signal.SIGBUS)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


# ------------------------------------------------------------------------------------ mappings that others made --


def map_plainly(path: Path) -> mmap.mmap:
    with open(path, "rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def read_foreign(path: Path, device: Device, bad: list[int]) -> None:
    """Each failing page reads as zeros and makes one record, its neighbours are right, and the file keeps its
    length."""
    assert mmg.lib.mmg_guard_process(abi.MMG_SCOPE_FILES, 0) == abi.MMG_OK
    mark = mmg.losses(0)[1]
    with map_plainly(path) as mapped:
        for number in range(PAGES):
            shown = mapped[number * PAGE : (number + 1) * PAGE]
            assert shown == (bytes(PAGE) if number in bad else page_of(device.data, number)), number
    told = [(abi.MMG_E_IO, abi.MMG_ORIGIN_FOREIGN, number * PAGE, PAGE, str(path)) for number in bad]
    assert mmg.losses(mark)[0] == told
    assert mmg.stats().losses_io == len(bad)


@pytest.mark.parametrize("bad", [[BAD], [0, 50, 51, PAGES - 1]], ids=["one", "several"])
def test_a_foreign_mapping_loses_the_unreadable_pages_only(
    faulty: tuple[Path, Device], bad: list[int]
) -> None:
    path, device = faulty
    device.fail(*bad)
    in_child(read_foreign, path, device, bad)


def read_adopted(path: Path, device: Device) -> None:
    mark = mmg.losses(0)[1]
    with map_plainly(path) as mapped:
        place = watch.mappings_of(path)[0].start
        handle = mmg.type_handle()
        status = mmg.lib.mmg_adopt(place, len(mapped), -1, None, ctypes.byref(handle), None)
        assert status == abi.MMG_OK
        assert mapped[(BAD - 1) * PAGE : (BAD + 2) * PAGE] == (
            page_of(device.data, BAD - 1) + bytes(PAGE) + page_of(device.data, BAD + 1)
        )
        assert mmg.check(handle.value) == abi.MMG_E_IO
        assert mmg.read(handle.value, BAD * PAGE, 10)[0] == abi.MMG_E_IO
        assert (mmg.info(handle.value).fault_offset, mmg.info(handle.value).faults) == (BAD * PAGE, 1)
        assert mmg.losses(mark)[0] == [(abi.MMG_E_IO, abi.MMG_ORIGIN_ADOPTED, BAD * PAGE, PAGE, str(path))]
        assert mmg.close(handle.value) == abi.MMG_OK


def test_an_adopted_mapping_loses_the_unreadable_page_only(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(read_adopted, path, device)
