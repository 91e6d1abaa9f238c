# SPDX-License-Identifier: MIT OR Apache-2.0
"""A window may start and end at any byte, and is clipped only where no length was given."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.files import LARGE, PAGE, Sample

BACKINGS = [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY]
HUGE = 2**64 - 1

WINDOWS = [
    (0, 1),
    (1, 1),
    (1, PAGE),
    (7, 3 * PAGE),
    (PAGE - 1, 2),
    (PAGE, PAGE),
    (PAGE + 1, 100_000),
    (65_537, 65_537),
    (LARGE - 1, 1),
    (LARGE - PAGE - 3, PAGE + 3),
    (0, LARGE),
    (12_345, LARGE - 12_345),
]


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize(("offset", "length"), WINDOWS)
def test_a_window_starts_at_any_byte_and_shows_only_its_own(
    large: Sample, offset: int, length: int, backing: int
) -> None:
    expected = large.data[offset : offset + length]
    with mmg.opened(mmg.try_open(large.path, offset=offset, length=length, backing=backing)) as handle:
        assert mmg.content(handle) == expected
        found = mmg.info(handle)
        assert (found.size, found.offset, found.file_size) == (length, offset, large.size)
        assert mmg.read(handle, 0, length + 100) == (abi.MMG_OK, expected)
        assert mmg.find(handle, expected[-20:])[1] == max(length - 20, 0)
        status, _ = mmg.pin(handle, 0, length + 1)
        assert status == abi.MMG_E_RANGE
        assert mmg.check(handle) == abi.MMG_OK


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 4097, 65_537, LARGE - 1])
def test_without_a_length_the_window_is_clipped_to_the_end(large: Sample, offset: int, backing: int) -> None:
    with mmg.opened(mmg.try_open(large.path, offset=offset, backing=backing)) as handle:
        assert mmg.content(handle) == large.data[offset:]
        assert mmg.info(handle).size == large.size - offset


@pytest.mark.parametrize("backing", BACKINGS)
def test_a_window_that_starts_at_the_end_is_empty(either: Sample, backing: int) -> None:
    with mmg.opened(mmg.try_open(either.path, offset=either.size, backing=backing)) as handle:
        found = mmg.info(handle)
        assert (found.size, found.offset, found.file_size) == (0, either.size, either.size)
        with mmg.pinned(handle) as span:
            assert mmg.address(span) != 0


OUTSIDE: list[Callable[[int], tuple[int, int]]] = [
    lambda size: (0, size + 1),
    lambda size: (1, size),
    lambda size: (size - 1, 2),
    lambda size: (size, 1),
    lambda size: (size + 1, 1),
    lambda size: (0, 2**63),
    lambda size: (0, 2**63 - 1),
    lambda size: (2**63, 1),
    lambda size: (0, HUGE - 1),
    lambda size: (HUGE, 1),
    lambda size: (HUGE, HUGE),
    lambda size: (HUGE - PAGE + 2, PAGE),
    lambda size: (2**63, 2**63),
    lambda size: (2**63 - 1, 2**63 + 1),
]


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("window", OUTSIDE)
def test_a_window_with_a_length_that_ends_outside_the_file_is_a_range_error(
    either: Sample, window: Callable[[int], tuple[int, int]], backing: int
) -> None:
    offset, length = window(either.size)
    told = mmg.refused(
        mmg.try_open(either.path, offset=offset, length=length, backing=backing), abi.MMG_E_RANGE
    )
    assert str(either.path) in told.message
    assert told.os_code == 0
    fd = os.open(either.path, os.O_RDONLY)
    try:
        mmg.refused(mmg.try_open_fd(fd, offset=offset, length=length, backing=backing), abi.MMG_E_RANGE)
    finally:
        os.close(fd)


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("beyond", [1, 4096, 2**40, 2**62, 2**63, HUGE])
def test_a_window_that_starts_outside_the_file_is_a_range_error_even_without_a_length(
    either: Sample, beyond: int, backing: int
) -> None:
    offset = min(either.size + beyond, HUGE)
    mmg.refused(mmg.try_open(either.path, offset=offset, backing=backing), abi.MMG_E_RANGE)


def test_a_window_of_an_empty_file(empty: Sample) -> None:
    with mmg.opened(mmg.try_open(empty.path, offset=0, length=0)) as handle:
        assert mmg.info(handle).size == 0
    mmg.refused(mmg.try_open(empty.path, length=1), abi.MMG_E_RANGE)
    mmg.refused(mmg.try_open(empty.path, offset=1, length=1), abi.MMG_E_RANGE)


def test_a_window_maps_no_more_than_the_pages_it_touches(large: Sample) -> None:
    offset, length = 5 * PAGE + 17, 2 * PAGE
    with mmg.opened(
        mmg.try_open(large.path, offset=offset, length=length, backing=abi.MMG_BACKING_MAP)
    ) as handle:
        (mapping,) = watch.mappings_of(large.path)
        assert mapping.end - mapping.start == 3 * PAGE == mmg.info(handle).mapped_bytes
        assert mapping.offset == 5 * PAGE


def test_a_copied_window_of_a_large_file_counts_as_what_it_is(large: Sample) -> None:
    members = {"backing": abi.MMG_BACKING_COPY, "offset": 12_345, "length": 1000}
    with mmg.opened(mmg.try_open(large.path, **members, max_bytes=1000)) as handle:
        assert mmg.content(handle) == large.data[12_345:13_345]
    mmg.refused(mmg.try_open(large.path, **members, max_bytes=999), abi.MMG_E_TOO_BIG)


def test_many_windows_of_one_file_live_side_by_side(large: Sample) -> None:
    handles = [
        mmg.accepted(mmg.try_open(large.path, offset=start, length=777)) for start in range(0, 100_000, 999)
    ]
    for index, handle in enumerate(handles):
        assert mmg.content(handle) == large.data[index * 999 : index * 999 + 777]
    for handle in handles:
        assert mmg.close(handle) == abi.MMG_OK


def test_truncation_outside_the_window_loses_nothing_of_it(tmp_path: Path) -> None:
    file = files.sample(tmp_path / "file", LARGE)
    with mmg.opened(mmg.try_open(file.path, offset=100, length=5000, backing=abi.MMG_BACKING_MAP)) as handle:
        os.truncate(file.path, 100 + 5000)
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.content(handle) == file.data[100:5100]


def test_a_window_larger_than_the_address_space_is_a_limit_and_its_copy_too_big() -> None:
    """2^60 bytes, more than any processor of 64 bits has addresses for; a file system in memory has such files."""
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        pytest.skip("/dev/shm is not there, and other file systems have no file so large")
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            file.truncate(1 << 60)
        except OSError as error:
            pytest.skip(f"the file system of /dev/shm has no file so large: {error}")
        found = mmg.refused(mmg.try_open(file.name, backing=abi.MMG_BACKING_MAP), abi.MMG_E_LIMIT)
        assert found.os_code == errno.ENOMEM
        mmg.refused(mmg.try_open(file.name, max_bytes=mmg.NO_LIMIT), abi.MMG_E_NO_MEMORY)
        mmg.refused(mmg.try_open(file.name, guarantee=abi.MMG_GUARANTEE_STABLE), abi.MMG_E_UNSTABLE)
        mmg.refused(mmg.try_open(file.name, backing=abi.MMG_BACKING_COPY), abi.MMG_E_TOO_BIG)
        with mmg.opened(mmg.try_open(file.name, offset=(1 << 59) + 1, length=100_000)) as handle:
            assert mmg.content(handle) == bytes(100_000)
