# SPDX-License-Identifier: MIT OR Apache-2.0
"""A device that fails under a reader: a page is lost and reported as MMG_E_IO, its neighbours are not, nobody dies."""

from __future__ import annotations

import ctypes
import mmap
import signal
import threading
from pathlib import Path

from fault.faulty import BAD, MAPPED, PAGES, Device, page_of, read_plain_to_the_end, view
from mmapguard import abi
from support import library as mmg
from support.children import Helper, Line, in_child, run_child
from support.files import PAGE

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


def test_a_plain_mapping_dies_with_its_device(faulty: tuple[Path, Device]) -> None:
    path, device = faulty
    device.die(PAGES - 1)
    run_child(read_plain_to_the_end, path).died_of(signal.SIGBUS)
