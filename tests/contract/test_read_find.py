# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_read() and mmg_find() give exact bytes, exact places and exact ranges."""

from __future__ import annotations

import ctypes
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.files import LARGE, PAGE, Sample


@pytest.fixture
def handle(either: Sample) -> Iterator[int]:
    """Provide an open region over `either`."""
    with mmg.opened(mmg.try_open(either.path)) as opened:
        yield opened


# ------------------------------------------------------------------------------------------------------------ read --


def test_read_gives_exactly_the_bytes_asked_for(either: Sample, handle: int) -> None:
    size = either.size
    draw = random.Random(4)
    places = [(0, 1), (0, size), (size - 1, 1), (1, size - 1), (size // 2, 100)]
    places += [(draw.randrange(size), draw.randrange(1, 5000)) for _ in range(200)]
    for offset, length in places:
        assert mmg.read(handle, offset, length) == (abi.MMG_OK, either.data[offset : offset + length])


def test_read_stops_at_the_end_and_says_so_by_the_count(either: Sample, handle: int) -> None:
    size = either.size
    assert mmg.read(handle, 0, size + 1) == (abi.MMG_OK, either.data)
    assert mmg.read(handle, size - 3, 100) == (abi.MMG_OK, either.data[-3:])
    assert mmg.read(handle, size, 100) == (abi.MMG_OK, b"")
    assert mmg.read(handle, size, 0) == (abi.MMG_OK, b"")


@pytest.mark.parametrize("beyond", [1, 2, PAGE, 2**40, 2**63])
def test_read_beyond_the_end_is_a_range_error(either: Sample, handle: int, beyond: int) -> None:
    for size in (0, 1, 100):
        assert mmg.read(handle, either.size + beyond, size) == (abi.MMG_E_RANGE, b"")
    assert mmg.read(handle, 2**64 - 1, 1)[0] == abi.MMG_E_RANGE


def test_read_writes_nothing_beyond_what_it_got(either: Sample, handle: int) -> None:
    buffer = ctypes.create_string_buffer(b"\xaa" * 64, 64)
    got = ctypes.c_uint64()
    assert mmg.lib.mmg_read(handle, either.size - 10, buffer, 64, ctypes.byref(got)) == abi.MMG_OK
    assert got.value == 10
    assert buffer.raw == either.data[-10:] + b"\xaa" * 54
    assert mmg.lib.mmg_read(handle, 0, ctypes.byref(buffer, 10), 5, ctypes.byref(got)) == abi.MMG_OK
    assert buffer.raw == either.data[-10:] + either.data[:5] + b"\xaa" * 49


def test_read_of_a_huge_size_stops_at_the_region(either: Sample, handle: int) -> None:
    buffer = ctypes.create_string_buffer(either.size)
    got = ctypes.c_uint64()
    # The buffer need only have room for the rest of the region.
    assert mmg.lib.mmg_read(handle, 0, buffer, 2**64 - 1, ctypes.byref(got)) == abi.MMG_OK
    assert (got.value, buffer.raw) == (either.size, either.data)


def test_read_does_not_disturb_a_pin(either: Sample, handle: int) -> None:
    with mmg.pinned(handle, 100, 100) as span:
        assert mmg.read(handle, 0, 1000) == (abi.MMG_OK, either.data[:1000])
        assert mmg.span_bytes(span) == either.data[100:200]


def test_read_reports_a_file_that_ends_before_the_region_and_gives_what_is_left(tmp_path: Path) -> None:
    file = files.sample(tmp_path / "file", LARGE)
    with mmg.opened(mmg.try_open(file.path)) as handle:
        os.truncate(file.path, 10_000)
        assert mmg.read(handle, 0, 5000) == (abi.MMG_OK, file.data[:5000])
        assert mmg.read(handle, 5000, 10_000) == (abi.MMG_E_TRUNCATED, file.data[5000:10_000])
        assert mmg.read(handle, 10_000, 1) == (abi.MMG_E_TRUNCATED, b"")
        assert mmg.read(handle, 500_000, 100) == (abi.MMG_E_TRUNCATED, b"")


def test_readers_in_many_threads_get_their_own_bytes(either: Sample, handle: int) -> None:
    wrong: list[int] = []

    def reader(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(300):
            offset, size = draw.randrange(either.size), draw.randrange(1, 3000)
            if mmg.read(handle, offset, size) != (abi.MMG_OK, either.data[offset : offset + size]):
                wrong.append(offset)

    readers = [threading.Thread(target=reader, args=(seed,)) for seed in range(4)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    assert wrong == []


# ------------------------------------------------------------------------------------------------------------ find --


def expected(data: bytes, needle: bytes, offset: int, length: int) -> int:
    """Return where the needle is, as Python sees it."""
    end = len(data) if length == mmg.TO_END else offset + length
    place = data.find(needle, offset, end)
    return mmg.NOT_FOUND if place < 0 else place


def test_find_agrees_with_python_on_random_needles(either: Sample, handle: int) -> None:
    draw = random.Random(7)
    size = either.size
    for _ in range(400):
        start = draw.randrange(size)
        length = draw.choice((1, 2, 3, 4, 7, 8, 15, 16, 17, 100, 1000))
        needle = either.data[start : start + length]
        if draw.random() < 0.3:
            needle = needle[:-1] + bytes([needle[-1] ^ 1])
        offset = draw.choice((0, start, max(0, start - 1), min(size, start + 1), draw.randrange(size)))
        limit = draw.choice((mmg.TO_END, draw.randrange(size - offset + 1)))
        assert mmg.find(handle, needle, offset, limit) == (
            abi.MMG_OK,
            expected(either.data, needle, offset, limit),
        )


def test_find_sees_the_first_of_many(tmp_path: Path) -> None:
    for size in (5000, LARGE):
        path = tmp_path / str(size)
        path.write_bytes((b"ab" * size)[:size])
        with mmg.opened(mmg.try_open(path)) as handle:
            assert mmg.find(handle, b"ab") == (abi.MMG_OK, 0)
            assert mmg.find(handle, b"ba") == (abi.MMG_OK, 1)
            assert mmg.find(handle, b"ab", 1) == (abi.MMG_OK, 2)
            assert mmg.find(handle, b"aa") == (abi.MMG_OK, mmg.NOT_FOUND)
            assert mmg.find(handle, b"b" * 2) == (abi.MMG_OK, mmg.NOT_FOUND)


def test_find_finds_what_straddles_every_boundary(tmp_path: Path) -> None:
    needle = b"NEEDLE-OF-20-BYTES!!"
    path = tmp_path / "file"
    for middle in (PAGE, 16 * PAGE, 65_536, 131_072, 262_144, 1 << 20):
        for shift in (-20, -19, -10, -1, 0):
            data = bytearray(LARGE + PAGE)
            data[middle + shift : middle + shift + 20] = needle
            path.write_bytes(data)
            with mmg.opened(mmg.try_open(path)) as handle:
                assert mmg.find(handle, needle) == (abi.MMG_OK, middle + shift)
                assert mmg.find(handle, needle, middle + shift) == (abi.MMG_OK, middle + shift)
                assert mmg.find(handle, needle, middle + shift + 1) == (abi.MMG_OK, mmg.NOT_FOUND)
                assert mmg.find(handle, needle, 0, middle + shift + 20) == (abi.MMG_OK, middle + shift)
                assert mmg.find(handle, needle, 0, middle + shift + 19) == (abi.MMG_OK, mmg.NOT_FOUND)


def test_find_is_not_fooled_by_repetitive_needles(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = b"a" * 200_000 + b"b" + b"a" * 100_000
    path.write_bytes(data)
    with mmg.opened(mmg.try_open(path)) as handle:
        for needle in (
            b"a" * 1000 + b"b",
            b"b" + b"a" * 1000,
            b"a" * 500 + b"b" + b"a" * 500,
            b"aab" * 10,
            b"a" * 100_001,
        ):
            assert mmg.find(handle, needle) == (abi.MMG_OK, expected(data, needle, 0, mmg.TO_END))


def test_find_cost_does_not_explode_with_a_hostile_needle(tmp_path: Path) -> None:
    """A search that compares needle times haystack would need hours for this, and the test would be ended as hung."""
    from support.children import in_child

    path = tmp_path / "file"
    path.write_bytes(b"a" * (4 << 20))

    def within() -> list[tuple[int, int]]:
        needles = (b"a" * 500_000 + b"b", b"b" + b"a" * 500_000, b"a" * 250_000 + b"b" + b"a" * 250_000)
        with mmg.opened(mmg.try_open(path)) as handle:
            return [mmg.find(handle, needle) for needle in needles]

    assert in_child(within) == [(abi.MMG_OK, mmg.NOT_FOUND)] * 3


def test_an_empty_needle_is_found_at_the_offset(either: Sample, handle: int) -> None:
    position = ctypes.c_uint64(99)
    for offset in (0, 1, 100, either.size):
        assert mmg.find(handle, b"", offset) == (abi.MMG_OK, offset)
        assert mmg.find(handle, b"", offset, 0) == (abi.MMG_OK, offset)
        assert mmg.lib.mmg_find(handle, offset, mmg.TO_END, None, 0, ctypes.byref(position)) == abi.MMG_OK
        assert position.value == offset


def test_a_needle_longer_than_the_range_is_not_found(either: Sample, handle: int) -> None:
    assert mmg.find(handle, either.data + b"x") == (abi.MMG_OK, mmg.NOT_FOUND)
    assert mmg.find(handle, either.data[:11], 0, 10) == (abi.MMG_OK, mmg.NOT_FOUND)
    assert mmg.find(handle, either.data[:1], 0, 0) == (abi.MMG_OK, mmg.NOT_FOUND)
    assert mmg.find(handle, either.data) == (abi.MMG_OK, 0)


@pytest.mark.parametrize("case", range(7))
def test_find_outside_the_region_is_a_range_error(either: Sample, handle: int, case: int) -> None:
    size = either.size
    ranges = [
        (size + 1, 0),
        (size + 1, mmg.TO_END),
        (0, size + 1),
        (size, 1),
        (1, 2**64 - 2),
        (2**64 - 1, 2),
        (2**63, 2**63),
    ]
    position = ctypes.c_uint64(4711)
    for needle in (b"x", b""):
        status = mmg.lib.mmg_find(handle, *ranges[case], needle, len(needle), ctypes.byref(position))
        assert status == abi.MMG_E_RANGE
        assert position.value == 4711


def test_find_reports_bytes_that_are_gone(tmp_path: Path) -> None:
    file = files.sample(tmp_path / "file", LARGE)
    with mmg.opened(mmg.try_open(file.path)) as handle:
        os.truncate(file.path, 100_000)
        assert mmg.find(handle, file.data[200_000:200_016])[0] == abi.MMG_E_TRUNCATED
        assert mmg.find(handle, file.data[500:516], 0, 90_000) == (abi.MMG_OK, 500)
        assert mmg.find(handle, b"x", 900_000, 10)[0] == abi.MMG_E_TRUNCATED


def test_find_reports_a_cut_inside_a_page_as_soon_as_it_looks_again(tmp_path: Path) -> None:
    """A thread relies for 10 ms on what it knows about the file.

    The rest of the page reads as zeros without a fault.
    """
    file = files.sample(tmp_path / "file", LARGE)
    zeros = bytes(8)
    with mmg.opened(mmg.try_open(file.path)) as handle:
        place = len(file.data) - PAGE + 100
        assert mmg.find(handle, file.data[place : place + 16], place) == (abi.MMG_OK, place)
        os.truncate(file.path, place + 16)
        time.sleep(0.05)
        assert mmg.find(handle, zeros, place)[0] == abi.MMG_E_TRUNCATED


def test_find_asks_again_for_a_search_that_goes_far(tmp_path: Path) -> None:
    """The library does so however recently the thread has looked at the file."""
    file = files.sample(tmp_path / "file", LARGE)
    with mmg.opened(mmg.try_open(file.path)) as handle:
        for _ in range(100):
            assert mmg.find(handle, file.data[:16]) == (abi.MMG_OK, 0)
        os.truncate(file.path, LARGE - 10)
        assert mmg.find(handle, b"absent from these bytes")[0] == abi.MMG_E_TRUNCATED
