# SPDX-License-Identifier: MIT OR Apache-2.0
"""A device that fails under a reader: a page is lost and reported as MMG_E_IO, its neighbours are not, nobody dies."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault.faulty import Device, served
from mmapguard import abi
from stable import mounts
from support import files, watch
from support import library as mmg
from support.children import Helper, Line, in_child, run_child
from support.files import PAGE

PAGES = 256
BAD = 100

MAPPED = {"backing": abi.MMG_BACKING_MAP}


@pytest.fixture
def faulty() -> Iterator[tuple[Path, Device]]:
    """Provide a file on a device that can be told to fail."""
    with served(PAGES) as (path, device):
        yield path, device


def page_of(data: bytes, number: int) -> bytes:
    return data[number * PAGE : (number + 1) * PAGE]


def view(span: object, number: int) -> bytes:
    """Return one page, read through a span that starts at page 0."""
    return ctypes.string_at(mmg.address(span) + number * PAGE, PAGE)


# ------------------------------------------------------------------------------------------------------- one page --


def read_all_but(path: Path, data: bytes, bad: list[int], tell: bool = True) -> None:
    """Read page after page: pages in `bad` are zeros, the others are right.

    All losses are reported, with `tell` exactly.
    """
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        before = mmg.stats().faults
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        for number in range(PAGES):
            assert view(span, number) == (bytes(PAGE) if number in bad else page_of(data, number)), number
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO
        info = mmg.info(handle)
        assert (info.fault_cause, info.fault_offset) == (abi.MMG_E_IO, bad[0] * PAGE)
        assert (info.faults, mmg.stats().faults - before) == (len(bad), len(bad))
        for number in range(PAGES):
            status, span = mmg.pin(handle, number * PAGE, PAGE)
            if number in bad:
                assert status == abi.MMG_E_IO
            elif tell or status == abi.MMG_OK:
                assert status == abi.MMG_OK, number
                assert mmg.span_bytes(span) == page_of(data, number)
                assert mmg.unpin(span) == abi.MMG_OK


def read_in_one_scan(path: Path, data: bytes) -> None:
    """Read page after page of a scan that was announced: each page is right, or zeros and reported."""
    with mmg.opened(mmg.try_open(path, **MAPPED, access=abi.MMG_ADVICE_SEQUENTIAL)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        lost = [number for number in range(PAGES) if view(span, number) != page_of(data, number)]
        assert all(view(span, number) == bytes(PAGE) for number in lost)
        assert BAD in lost
        assert mmg.unpin(span) == abi.MMG_E_IO
        for number in lost:
            assert mmg.pin(handle, number * PAGE, PAGE)[0] == abi.MMG_E_IO


def test_an_announced_scan_reports_every_page_that_it_loses(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(read_in_one_scan, path, device.data)


def test_an_unreadable_page_costs_that_page_only(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(read_all_but, path, device.data, [BAD])


def test_unreadable_pages_at_both_ends_and_side_by_side_cost_these_only(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    bad = [0, 50, 51, 52, 200, PAGES - 1]
    device.fail(*bad)
    in_child(read_all_but, path, device.data, bad)


def test_however_many_pages_are_unreadable_each_is_told(faulty: tuple[Path, Device]) -> None:
    """Beyond some number of separate losses, the library may report more pages than are lost.

    Their bytes stay right.
    """
    path, device = faulty
    bad = list(range(3, PAGES, 4))
    device.fail(*bad)
    in_child(read_all_but, path, device.data, bad, False)


def read_plain(path: Path) -> None:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[BAD * PAGE] == 0


def test_a_plain_mapping_of_an_unreadable_page_kills(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    run_child(read_plain, path).died_of(signal.SIGBUS)


def lose_in_a_window(path: Path, data: bytes) -> None:
    start = (BAD - 10) * PAGE + 77
    with mmg.opened(mmg.try_open(path, offset=start, length=20 * PAGE, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        found = mmg.span_bytes(span)
        lost = BAD * PAGE - start
        assert found == data[start : BAD * PAGE] + bytes(PAGE) + data[(BAD + 1) * PAGE : start + 20 * PAGE]
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.info(handle).fault_offset == lost
        for offset, length, expected in (
            (0, lost, abi.MMG_OK),
            (0, lost + 1, abi.MMG_E_IO),
            (lost + PAGE - 1, 1, abi.MMG_E_IO),
            (lost + PAGE, mmg.TO_END, abi.MMG_OK),
        ):
            status, span = mmg.pin(handle, offset, length)
            assert status == expected
            if status == abi.MMG_OK:
                assert mmg.unpin(span) == abi.MMG_OK


def test_in_a_window_at_any_byte_the_place_is_right(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(lose_in_a_window, path, device.data)


def lose_and_heal(path: Path, device: Device) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        assert view(span, BAD) == bytes(PAGE)
        device.heal(BAD)
        assert view(span, BAD) == bytes(PAGE), "bytes that were reported lost do not come back"
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        assert mmg.content(handle) == device.data
        assert mmg.check(handle) == abi.MMG_OK


def test_a_loss_stays_reported_when_the_device_recovers(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(lose_and_heal, path, device)


# ------------------------------------------------------------------------------------------------ calls on bad pages --


def call_everything(path: Path, data: bytes) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, got = mmg.read(handle, 0, len(data))
        assert (status, got) == (abi.MMG_E_IO, data[: BAD * PAGE])
        assert mmg.read(handle, BAD * PAGE + 5, 10) == (abi.MMG_E_IO, b"")
        assert mmg.read(handle, (BAD + 1) * PAGE, 2 * PAGE) == (
            abi.MMG_OK,
            data[(BAD + 1) * PAGE : (BAD + 3) * PAGE],
        )
        assert mmg.info(handle).faults == 0, "mmg_read never depends on a signal"
        assert mmg.advise(handle, abi.MMG_ADVICE_POPULATE, 0, 10 * PAGE) == abi.MMG_OK
        assert mmg.advise(handle, abi.MMG_ADVICE_POPULATE) == abi.MMG_E_IO
        assert mmg.info(handle).faults == 0
        needle = data[20 * PAGE : 20 * PAGE + 40]
        assert mmg.find(handle, needle) == (abi.MMG_OK, 20 * PAGE)
        assert mmg.find(handle, data[-40:])[0] == abi.MMG_E_IO
        assert mmg.find(handle, data[-40:], (BAD + 1) * PAGE) == (abi.MMG_OK, len(data) - 40)
        assert mmg.find(handle, b"absent from these bytes")[0] == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO
        assert mmg.info(handle).fault_offset == BAD * PAGE


def test_calls_on_an_unreadable_page_give_statuses(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(call_everything, path, device.data)


def call_while_blocked(path: Path, data: bytes) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGBUS])
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        assert mmg.lib.mmg_guard_state() == abi.MMG_GUARD_BLOCKED
        assert mmg.find(handle, b"absent from these bytes")[0] == abi.MMG_E_IO
        assert mmg.read(handle, BAD * PAGE, 1) == (abi.MMG_E_IO, b"")
        assert mmg.find(handle, data[-40:], (BAD + 1) * PAGE) == (abi.MMG_OK, len(data) - 40)


def test_calls_on_an_unreadable_page_give_statuses_while_sigbus_is_blocked(
    faulty: tuple[Path, Device],
) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(call_while_blocked, path, device.data)


def copy_unreadable(path: Path) -> None:
    mmg.refused(mmg.try_open(path, backing=abi.MMG_BACKING_COPY), abi.MMG_E_IO)


def test_a_file_that_cannot_be_read_is_not_copied(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.fail(BAD)
    in_child(copy_unreadable, path)


# ------------------------------------------------------------------------------------ short, slow, gone altogether --


def read_short(path: Path, data: bytes) -> None:
    """The kernel takes a short answer for the end of the file, and fills the rest with zeros."""
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        found = mmg.span_bytes(span)
        assert found[: BAD * PAGE] == data[: BAD * PAGE]
        for number in range(BAD, PAGES):
            assert found[number * PAGE : (number + 1) * PAGE] in (bytes(PAGE), page_of(data, number))
        ended, checked = mmg.unpin(span), mmg.check(handle)
        told = (ended, checked, mmg.changed(handle)[1])
        assert found == data or told != (abi.MMG_OK, abi.MMG_OK, 0), (
            "zeros were read, and no loss was reported"
        )
        assert {ended, checked} <= {abi.MMG_OK, abi.MMG_E_TRUNCATED, abi.MMG_E_IO}


def test_short_answers_do_not_kill(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.shorten(BAD)
    in_child(read_short, path, device.data)


def close_while_waiting(path: Path, device: Device) -> None:
    """While one reader waits for the device, other threads pin, unpin and close the handle without waiting."""
    handle = mmg.accepted(mmg.try_open(path, **MAPPED))
    status, span = mmg.pin(handle)
    assert status == abi.MMG_OK
    assert view(span, 0) == page_of(device.data, 0)
    copy = ctypes.create_string_buffer(PAGE)
    # ctypes calls a function of the C library without the interpreter's lock.
    copy_memory = ctypes.CDLL(None).memcpy
    copy_memory.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    reader = threading.Thread(target=copy_memory, args=(copy, mmg.address(span) + BAD * PAGE, PAGE))
    device.delay(BAD)
    reader.start()
    device.wait_until_asked()
    status, second = mmg.pin(handle, 0, PAGE)
    assert status == abi.MMG_OK
    assert mmg.span_bytes(second) == page_of(device.data, 0)
    assert mmg.unpin(second) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_E_HANDLE
    assert reader.is_alive()
    device.release()
    reader.join()
    assert copy.raw == page_of(device.data, BAD)
    assert mmg.unpin(span) == abi.MMG_OK


def test_a_region_is_closed_while_a_reader_waits_for_the_device(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    in_child(close_while_waiting, path, device)


def fail_after_waiting(path: Path, device: Device) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        device.delay(BAD)
        device.fail(BAD + 1)
        with Helper(release_when_asked, device):
            found = mmg.span_bytes(span)
        assert found == device.data[: (BAD + 1) * PAGE] + bytes(PAGE) + device.data[(BAD + 2) * PAGE :]
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.info(handle).fault_offset == (BAD + 1) * PAGE


def release_when_asked(_: Line, device: Device) -> None:
    device.wait_until_asked()
    device.release()


def test_a_page_that_fails_after_a_while_is_contained(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    in_child(fail_after_waiting, path, device)


def lose_the_device(path: Path, data: bytes) -> None:
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        assert view(span, 0) == page_of(data, 0)
        assert view(span, PAGES - 1) == bytes(PAGE)
        assert view(span, PAGES // 2) == bytes(PAGE)
        assert view(span, 0) == page_of(data, 0), "bytes that were read before are still right"
        assert mmg.unpin(span) == abi.MMG_E_IO
        assert mmg.check(handle) == abi.MMG_E_IO
        assert mmg.read(handle, (PAGES - 3) * PAGE, 1) == (abi.MMG_E_IO, b"")


def test_a_device_that_goes_away_does_not_kill(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.die(PAGES - 1)
    in_child(lose_the_device, path, device.data)


def read_plain_to_the_end(path: Path) -> None:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[len(mapped) - 1] == 0


def test_a_plain_mapping_dies_with_its_device(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.die(PAGES - 1)
    run_child(read_plain_to_the_end, path).died_of(signal.SIGBUS)


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
