# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handles and pins: no value of either can do harm, and what a pin holds outlives the handle."""

from __future__ import annotations

import ctypes
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import in_child, sanitizers
from support.files import LARGE, Sample

BUFFER = ctypes.create_string_buffer(64)
ARRAY = (ctypes.c_uint64 * 10)()
"""Room for an Arrow array, which none of these handles gets."""


def every_call(handle: int) -> Iterator[tuple[str, int]]:
    """Make every call that takes a handle with this one and with valid arguments.

    Yield the name and the status of each.
    """
    number, span, what = ctypes.c_uint64(), abi.mmg_span(), ctypes.c_uint32()
    described = abi.mmg_info(struct_size=ctypes.sizeof(abi.mmg_info))
    yield "pin", mmg.lib.mmg_pin(handle, 0, 0, ctypes.byref(span))
    yield "read", mmg.lib.mmg_read(handle, 0, BUFFER, 1, ctypes.byref(number))
    yield "find", mmg.lib.mmg_find(handle, 0, 0, b"", 0, ctypes.byref(number))
    yield "check", mmg.lib.mmg_check(handle)
    yield "changed", mmg.lib.mmg_changed(handle, ctypes.byref(what))
    yield "info", mmg.lib.mmg_info_get(handle, ctypes.byref(described))
    yield "advise", mmg.lib.mmg_advise(handle, 0, 0, abi.MMG_ADVICE_NORMAL)
    yield "resident", mmg.lib.mmg_resident(handle, 0, 0, ctypes.byref(number))
    yield "export", mmg.lib.mmg_export_arrow(handle, 0, 0, ctypes.byref(ARRAY), None)
    yield "strict close", mmg.lib.mmg_close(handle, abi.MMG_CLOSE_STRICT)
    yield "close", mmg.lib.mmg_close(handle, 0)


def expect_dead(handle: int) -> None:
    """Check that every call says that this is no handle."""
    for name, status in every_call(handle):
        assert status == abi.MMG_E_HANDLE, f"{name} of {handle:#x} says {mmg.status_name(status)}"


# --------------------------------------------------------------------------------------------------- handles --


def test_handles_are_below_two_to_the_53_and_never_zero(small: Sample) -> None:
    handles = [mmg.accepted(mmg.try_open(small.path)) for _ in range(2000)]
    assert len(set(handles)) == len(handles)
    assert all(0 < handle < 2**53 for handle in handles)
    assert all(int(float(handle)) == handle for handle in handles), "a handle does not survive as a double"
    for handle in handles:
        assert mmg.close(handle) == abi.MMG_OK
    # The library uses a slot again under another handle.
    for _ in range(5000):
        handle = mmg.accepted(mmg.try_open(small.path))
        assert 0 < handle < 2**53
        assert handle not in handles
        assert mmg.close(handle) == abi.MMG_OK


def test_a_stale_handle_is_dead_for_every_call(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    assert mmg.close(handle) == abi.MMG_OK
    expect_dead(handle)


def test_a_stale_handle_stays_dead_when_its_slot_is_used_again(small: Sample) -> None:
    old: list[int] = []
    for _ in range(300):
        handle = mmg.accepted(mmg.try_open(small.path))
        for stale in old[-3:]:
            expect_dead(stale)
        assert mmg.close(handle) == abi.MMG_OK
        old.append(handle)
    with mmg.opened(mmg.try_open(small.path)) as handle:
        for stale in old:
            assert stale != handle
            assert mmg.check(stale) == abi.MMG_E_HANDLE
            assert mmg.close(stale) == abi.MMG_E_HANDLE
        assert mmg.content(handle) == small.data


def test_a_handle_closes_once(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    assert [mmg.close(handle) for _ in range(3)] == [abi.MMG_OK, abi.MMG_E_HANDLE, abi.MMG_E_HANDLE]


def test_a_forged_handle_is_dead(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        forged = {handle ^ (1 << bit) for bit in range(64)}
        forged |= {handle + step for step in (-2, -1, 1, 2, 1 << 20, 1 << 32)}
        forged |= {0, 1, 2, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, 2**64 - 2}
        forged |= {~handle & (2**64 - 1), -handle & (2**64 - 1), handle << 1 & (2**64 - 1), handle >> 1}
        for value in forged - {handle}:
            expect_dead(value & (2**64 - 1))
        assert mmg.content(handle) == either.data


def test_a_random_handle_is_dead(small: Sample) -> None:
    draw = random.Random(20)
    with mmg.opened(mmg.try_open(small.path)) as handle:
        for _ in range(20_000):
            value = draw.getrandbits(draw.randint(1, 64))
            if value != handle:
                assert mmg.check(value) == abi.MMG_E_HANDLE
                assert mmg.close(value) == abi.MMG_E_HANDLE
        assert mmg.content(handle) == small.data


def test_of_racing_closes_exactly_one_succeeds(either: Sample) -> None:
    for _ in range(150):
        handle = mmg.accepted(mmg.try_open(either.path))
        barrier = threading.Barrier(4)
        results: list[int] = []

        def race(
            handle: int = handle, barrier: threading.Barrier = barrier, results: list[int] = results
        ) -> None:
            barrier.wait()
            results.append(mmg.close(handle))

        racers = [threading.Thread(target=race) for _ in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(results) == [abi.MMG_E_HANDLE] * 3 + [abi.MMG_OK]


def test_pins_that_race_a_close_get_the_bytes_or_a_dead_handle(either: Sample) -> None:
    wrong: list[str] = []
    outcomes: set[int] = set()

    def reader(box: list[int], stop: threading.Event) -> None:
        handle = box[0]
        while not stop.is_set():  # each handle is used until it is dead
            status, span = mmg.pin(handle, 10, 500)
            outcomes.add(status)
            if status == abi.MMG_E_HANDLE:
                handle = box[0]
            elif status == abi.MMG_OK:
                if mmg.span_bytes(span) != either.data[10:510]:
                    wrong.append("other bytes")
                if mmg.unpin(span) != abi.MMG_OK:
                    wrong.append("unpin failed")
            else:
                wrong.append(mmg.status_name(status))
            status, data = mmg.read(handle, 0, 100)
            if status != abi.MMG_E_HANDLE and (status, data) != (abi.MMG_OK, either.data[:100]):
                wrong.append(f"read: {mmg.status_name(status)}")
            status, place = mmg.find(handle, either.data[300:320])
            if status != abi.MMG_E_HANDLE and (status, place) != (abi.MMG_OK, 300):
                wrong.append(f"find: {mmg.status_name(status)}")

    box, stop = [mmg.accepted(mmg.try_open(either.path))], threading.Event()
    readers = [threading.Thread(target=reader, args=(box, stop)) for _ in range(3)]
    for one in readers:
        one.start()
    until, closed = time.monotonic() + 120, 0
    while closed < 400 or (len(outcomes) < 2 and time.monotonic() < until):
        old = box[0]
        box[0] = mmg.accepted(mmg.try_open(either.path))
        if mmg.close(old) != abi.MMG_OK:
            wrong.append("close failed")
        closed += 1
        time.sleep(0)
    stop.set()
    for one in readers:
        one.join()
    assert mmg.close(box[0]) == abi.MMG_OK
    assert wrong == []
    assert outcomes == {abi.MMG_OK, abi.MMG_E_HANDLE}


# ------------------------------------------------------------------------------------------------------ pins --


def test_a_strict_close_is_refused_while_pins_live(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    spans = [mmg.pin(handle, index, 1)[1] for index in range(3)]
    for span in spans:
        assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_E_BUSY
        assert mmg.content(handle, 0, 10) == either.data[:10], "a refused close changed the region"
        assert mmg.unpin(span) == abi.MMG_OK
    assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_OK
    expect_dead(handle)


def test_a_closed_region_keeps_its_bytes_until_the_last_pin(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    status, first = mmg.pin(handle)
    assert status == abi.MMG_OK
    status, second = mmg.pin(handle, 100, 200)
    assert status == abi.MMG_OK
    before = watch.counters()
    assert mmg.close(handle) == abi.MMG_OK
    expect_dead(handle)
    after = watch.counters()
    assert after["handles"] == before["handles"] - 1
    assert after["regions"] == before["regions"]
    assert mmg.span_bytes(first) == either.data
    assert mmg.unpin(first) == abi.MMG_OK
    assert watch.counters()["regions"] == before["regions"]
    assert mmg.span_bytes(second) == either.data[100:300]
    assert mmg.unpin(second) == abi.MMG_OK
    assert watch.counters()["regions"] == before["regions"] - 1
    assert watch.mappings_of(either.path) == []
    assert watch.descriptors_of(either.path) == []


def test_an_empty_pin_pins_all_the_same(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    for offset in (0, 1, either.size):
        status, span = mmg.pin(handle, offset, 0)
        assert status == abi.MMG_OK
        assert span.size == 0
        assert mmg.address(span) != 0
        assert mmg.info(handle).pins == 1
        assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_E_BUSY
        assert mmg.unpin(span) == abi.MMG_OK
    assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_OK


def test_pins_are_counted(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        spans = []
        for count in range(1, 50):
            spans.append(mmg.pin(handle, count, 10)[1])
            assert mmg.info(handle).pins == count
        for span in spans:
            assert mmg.unpin(span) == abi.MMG_OK
        assert mmg.info(handle).pins == 0


def test_an_unpinned_span_is_empty_and_may_be_unpinned_again(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        for _ in range(3):
            assert mmg.unpin(span) == abi.MMG_OK
            assert (span.size, span.pin) == (0, 0)
            assert mmg.address(span) != 0
        assert mmg.info(handle).pins == 0


def test_a_span_that_was_never_filled_unpins_to_a_valid_pointer() -> None:
    span = abi.mmg_span()
    assert mmg.unpin(span) == abi.MMG_OK
    assert mmg.address(span) != 0
    assert ctypes.string_at(mmg.address(span), 0) == b""


def test_a_second_copy_of_a_span_has_no_pin_to_end(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        _, other = mmg.pin(handle, 5, 5)
        _, span = mmg.pin(handle, 100, 10)
        twin = mmg.copy_span(span)
        third = mmg.copy_span(span)
        assert mmg.unpin(span) == abi.MMG_OK
        for second in (twin, third):
            assert mmg.unpin(second) == abi.MMG_E_HANDLE
        assert mmg.info(handle).pins == 1, "the second copy ended the pin of another span"
        assert mmg.unpin(other) == abi.MMG_OK


def test_a_second_copy_of_a_span_is_dead_even_when_many_pins_came_since(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        twins = []
        for _ in range(500):
            _, span = mmg.pin(handle, 0, 1)
            twins.append(mmg.copy_span(span))
            assert mmg.unpin(span) == abi.MMG_OK
        live = [mmg.pin(handle, 0, 1)[1] for _ in range(100)]
        for twin in twins:
            assert mmg.unpin(twin) == abi.MMG_E_HANDLE
        assert mmg.info(handle).pins == 100
        for span in live:
            assert mmg.unpin(span) == abi.MMG_OK


def test_a_forged_pin_is_dead(either: Sample) -> None:
    draw = random.Random(21)
    with mmg.opened(mmg.try_open(either.path)) as handle:
        _, span = mmg.pin(handle, 0, 10)
        tokens = {span.pin ^ (1 << bit) for bit in range(64)} | {draw.getrandbits(64) for _ in range(5000)}
        tokens |= {span.pin + 1, span.pin - 1, 1, 2, handle, 2**64 - 1}
        for token in tokens - {span.pin, 0}:
            forged = mmg.copy_span(span)
            forged.pin = token
            assert mmg.unpin(forged) == abi.MMG_E_HANDLE, hex(token)
        assert mmg.info(handle).pins == 1
        assert mmg.unpin(span) == abi.MMG_OK


def test_any_thread_may_end_a_pin_of_another(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    spans: list[Any] = []
    taker = threading.Thread(target=lambda: spans.extend(mmg.pin(handle, 0, 100)[1] for _ in range(50)))
    taker.start()
    taker.join()
    assert mmg.close(handle) == abi.MMG_OK
    results: list[int] = []
    ender = threading.Thread(target=lambda: results.extend(mmg.unpin(span) for span in spans))
    assert all(mmg.span_bytes(span) == either.data[:100] for span in spans)
    ender.start()
    ender.join()
    assert results == [abi.MMG_OK] * 50


PIN_RANGES: list[tuple[str, Callable[[int], tuple[int, int]]]] = [
    ("one beyond", lambda size: (0, size + 1)),
    ("starts beyond", lambda size: (size + 1, 0)),
    ("starts beyond, to the end", lambda size: (size + 1, mmg.TO_END)),
    ("straddles", lambda size: (size - 1, 2)),
    ("at the end", lambda size: (size, 1)),
    ("overflows to inside", lambda size: (2**64 - 10, 20)),
    ("far", lambda size: (2**63, 2**63)),
    ("almost to the end", lambda size: (0, mmg.TO_END - 1)),
    ("last", lambda size: (2**64 - 1, 1)),
]


@pytest.mark.parametrize(("name", "make"), PIN_RANGES)
def test_a_pin_outside_the_region_is_a_range_error_and_pins_nothing(
    either: Sample, name: str, make: Callable[[int], tuple[int, int]]
) -> None:
    offset, length = make(either.size)
    with mmg.opened(mmg.try_open(either.path)) as handle:
        span = abi.mmg_span(size=7, pin=9)
        before = bytes(span)
        assert mmg.lib.mmg_pin(handle, offset, length, ctypes.byref(span)) == abi.MMG_E_RANGE
        assert bytes(span) == before
        assert mmg.info(handle).pins == 0


def test_a_pin_inside_the_region_shows_exactly_its_bytes(either: Sample) -> None:
    size = either.size
    with mmg.opened(mmg.try_open(either.path)) as handle:
        for offset, length in ((0, size), (0, 1), (size - 1, 1), (17, 1001), (size, 0), (0, 0)):
            assert mmg.content(handle, offset, length) == either.data[offset : offset + length]
        for offset in (0, 5, size - 1, size):
            assert mmg.content(handle, offset, mmg.TO_END) == either.data[offset:]


# ------------------------------------------------------------------------------------------------- very many --


def test_thousands_of_mapped_files_open_at_once(tmp_path: Path) -> None:
    """The test opens as many as limits allow for descriptors and mappings, less what the process itself needs."""
    made = [files.sample(tmp_path / str(index), LARGE // 2, seed=index) for index in range(50)]
    most = int(Path("/proc/sys/vm/max_map_count").read_text())

    def within() -> int:
        before = watch.counters()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64_000, 64_000))
            hard = 64_000
        except (ValueError, OSError):  # raising the hard limit takes a privilege
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(60_000, hard - 200, most - 2000) if not sanitizers() else 1500
        call = mmg.lib.mmg_open
        paths, handle = [mmg.raw_path(file.path) for file in made], ctypes.c_uint64()
        place = ctypes.byref(handle)
        handles: list[int] = []
        for index in range(count):
            status = call(paths[index % len(paths)], None, place, None)
            assert status == 0, f"{mmg.status_name(status)} after {len(handles)}"
            handles.append(handle.value)
        assert watch.counters()["mappings"] == before["mappings"] + count
        for index in range(0, count, 997):
            data = made[index % len(made)].data
            assert mmg.read(handles[index], 5000, 50) == (abi.MMG_OK, data[5000:5050])
        for one in handles:
            assert mmg.close(one) == abi.MMG_OK
        assert watch.counters() == before
        return count

    if in_child(within) < 1000:
        pytest.skip("RLIMIT_NOFILE or vm.max_map_count leaves no room for thousands of mappings here")


def test_a_hundred_thousand_pins_live_at_once(either: Sample) -> None:
    count = 100_000 if not sanitizers() else 10_000
    with mmg.opened(mmg.try_open(either.path)) as handle:
        spans = (abi.mmg_span * count)()
        for span in spans:
            assert mmg.lib.mmg_pin(handle, 0, 10, ctypes.byref(span)) == abi.MMG_OK
        assert mmg.info(handle).pins == count
        assert len({span.pin for span in spans}) == count
        assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_E_BUSY
        for span in spans:
            assert mmg.lib.mmg_unpin(ctypes.byref(span)) == abi.MMG_OK
        assert mmg.info(handle).pins == 0


def test_slots_are_reused_and_counters_return(small: Sample) -> None:
    before = watch.counters()
    opened = mmg.stats().opened
    for _ in range(5):
        handles = [mmg.accepted(mmg.try_open(small.path)) for _ in range(500)]
        assert watch.counters()["handles"] == before["handles"] + 500
        for handle in handles:
            assert mmg.close(handle) == abi.MMG_OK
        assert watch.counters() == before
    assert mmg.stats().opened == opened + 2500


def test_regions_of_different_files_do_not_mix(tmp_path: Path) -> None:
    made = [files.sample(tmp_path / str(index), 50 + index * 700, seed=index) for index in range(60)]
    made.append(files.sample(tmp_path / "large", LARGE, seed=99))
    handles = [mmg.accepted(mmg.try_open(file.path)) for file in made]
    order = list(range(len(made)))
    random.Random(1).shuffle(order)
    for index in order:
        assert mmg.content(handles[index]) == made[index].data
    for index in order:
        assert mmg.close(handles[index]) == abi.MMG_OK
