# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host closes descriptors that are not its own, as closefrom(3) does, and gets their numbers for files of its own.

The library never takes the bytes of another file for the region's, and it neither closes nor reads a file of the
host.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import in_child
from support.files import LARGE, PAGE, Sample
from support.unavailable import Unavailable


@pytest.fixture(autouse=True)
def files_can_be_told_apart(tmp_path: Path) -> None:
    """Skip the tests where the library cannot know that a number names another file."""
    try:
        watch.need_plain_files(tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))


def close_behind_its_back(path: Path) -> list[int]:
    """Close every descriptor of a file, as a host does that closes all descriptors. Return their numbers."""
    found = watch.descriptors_of(path)
    for fd in found:
        os.close(fd)
    return found


def occupy(numbers: list[int], opened: Callable[[], int]) -> None:
    """Let each of these numbers name another file."""
    for number in numbers:
        fd = opened()
        if fd != number:
            os.dup2(fd, number)
            os.close(fd)


def use_after_reuse(path: Path, other: Path) -> None:
    with mmg.opened(mmg.try_open(path)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        numbers = close_behind_its_back(path)
        assert numbers
        occupy(numbers, lambda: os.open(other, os.O_RDONLY))
        assert mmg.read(handle, 0, 100) == (abi.MMG_E_SYSTEM, b"")
        assert mmg.check(handle) == abi.MMG_E_SYSTEM
        assert mmg.changed(handle)[0] == abi.MMG_E_SYSTEM
        assert mmg.lib.mmg_verify(handle) == abi.MMG_E_SYSTEM
        assert mmg.span_bytes(span) == path.read_bytes(), "the mapping needs no descriptor"
        assert mmg.unpin(span) == abi.MMG_OK
    for number in numbers:
        assert os.pread(number, 10, 0) == other.read_bytes()[:10], "the descriptor of the host was closed"


def test_another_file_behind_the_number_is_told_and_left_alone(large: Sample, tmp_path: Path) -> None:
    other = files.sample(tmp_path / "other", LARGE, seed=2)
    in_child(use_after_reuse, large.path, other.path)


def use_after_close(path: Path) -> None:
    with mmg.opened(mmg.try_open(path)) as handle:
        assert close_behind_its_back(path)
        assert mmg.read(handle, 0, 100) == (abi.MMG_E_SYSTEM, b"")
        assert mmg.check(handle) == abi.MMG_E_SYSTEM
        assert mmg.content(handle) == path.read_bytes()


def test_a_closed_descriptor_is_told_and_the_mapping_lives_on(large: Sample) -> None:
    in_child(use_after_close, large.path)


def use_after_reuse_by_a_pipe(path: Path) -> None:
    with mmg.opened(mmg.try_open(path)) as handle:
        numbers = close_behind_its_back(path)
        inlet, outlet = os.pipe()
        os.write(outlet, b"for the host")
        occupy(numbers, lambda: os.dup(inlet))
        assert mmg.read(handle, 0, 5) == (abi.MMG_E_SYSTEM, b"")
    assert os.read(numbers[0], 100) == b"for the host"


def test_what_a_pipe_of_the_host_holds_is_not_taken(large: Sample) -> None:
    in_child(use_after_reuse_by_a_pipe, large.path)


def lose_after_reuse(path: Path, other: Path) -> None:
    with mmg.opened(mmg.try_open(path)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        occupy(close_behind_its_back(path), lambda: os.open(other, os.O_RDONLY))
        os.truncate(path, PAGE)
        assert mmg.span_bytes(span)[PAGE:] == bytes(LARGE - PAGE)
        assert mmg.unpin(span) != abi.MMG_OK


def test_a_loss_is_contained_without_the_descriptor(large: Sample, tmp_path: Path) -> None:
    """The library must not take the size of the other file, which is longer, for the size of the region's file."""
    other = files.sample(tmp_path / "other", 2 * LARGE, seed=2)
    in_child(lose_after_reuse, large.path, other.path)


def read_adopted_after_reuse(path: Path, other: Path) -> None:
    handle = ctypes.c_uint64()
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        before = set(watch.descriptors_of(path))
        place = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        assert mmg.lib.mmg_adopt(place, len(mapped), -1, None, ctypes.byref(handle), None) == abi.MMG_OK
        (number,) = set(watch.descriptors_of(path)) - before
        occupy([number], lambda: os.open(other, os.O_RDONLY))
        assert mmg.read(handle.value, 0, 100) == (abi.MMG_OK, path.read_bytes()[:100])
        assert mmg.close(handle.value) == abi.MMG_OK


def test_a_region_that_needs_no_descriptor_has_the_size_of_its_own_file(
    large: Sample, tmp_path: Path
) -> None:
    """A private mapping that is adopted may have bytes of its owner, so it is read, and not its file."""
    other = files.sample(tmp_path / "short", 10)
    in_child(read_adopted_after_reuse, large.path, other.path)


def close_many(path: Path, other: Path) -> None:
    handles = [mmg.accepted(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) for _ in range(40)]
    numbers = close_behind_its_back(path)
    assert len(numbers) > len(handles), "regions that share a lock keep a descriptor for it"
    occupy(numbers, lambda: os.open(other, os.O_RDONLY))
    for handle in handles:
        assert mmg.close(handle) == abi.MMG_OK
    for number in numbers:
        assert os.pread(number, 10, 0) == other.read_bytes()[:10]


def test_regions_that_share_a_lock_leave_the_host_its_descriptors(large: Sample, tmp_path: Path) -> None:
    other = files.sample(tmp_path / "other", LARGE, seed=2)
    in_child(close_many, large.path, other.path)


def open_one_more(path: Path, before: int) -> None:
    handles = [mmg.accepted(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) for _ in range(before)]
    inlet, outlet = os.pipe()
    numbers = close_behind_its_back(path)
    occupy(numbers, lambda: os.dup(outlet))
    later = [mmg.accepted(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) for _ in range(4)]
    for handle in handles:
        assert mmg.close(handle) == abi.MMG_OK
    assert {mmg.info(handle).lock for handle in later} == {abi.MMG_LOCK_SHARED}
    with path.open("rb") as writer, pytest.raises(BlockingIOError):
        fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for number in {*numbers, outlet}:
        os.close(number)
    assert os.read(inlet, 1) == b"", "a descriptor of the host was duplicated, and its pipe never ends"
    for handle in later:
        assert mmg.close(handle) == abi.MMG_OK
    assert watch.descriptors_of(path) == []
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("before", [9, 10, 20])
def test_a_lock_that_the_host_has_closed_is_taken_again(large: Sample, before: int) -> None:
    """Up to eight regions each have a lock of their own.

    The ninth has one to share, the tenth a duplicate of that one.
    """
    in_child(open_one_more, large.path, before)


def open_with_the_last_descriptor(path: Path) -> None:
    handles = [mmg.accepted(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) for _ in range(10)]
    inlet, outlet = os.pipe()
    numbers = sorted(close_behind_its_back(path))
    occupy(numbers[1:], lambda: os.dup(outlet))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (numbers[-1] + 1, limits[1]))
    last = mmg.accepted(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED))
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert watch.descriptors_of(path) == numbers[:1]
    assert mmg.close(last) == abi.MMG_OK
    with mmg.opened(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) as reused:  # has the number of the last one
        assert mmg.info(reused).lock == abi.MMG_LOCK_SHARED
        for handle in handles:  # a mapping keeps the lock of its descriptor, even when that is closed
            assert mmg.close(handle) == abi.MMG_OK
        with path.open("rb") as writer, pytest.raises(BlockingIOError):
            fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for number in {*numbers[1:], inlet, outlet}:
        os.close(number)


def test_a_lock_is_shared_only_with_a_descriptor_that_lasts(large: Sample) -> None:
    """The host has closed the shared lock. The next region takes it again, but there is no descriptor for a duplicate."""
    in_child(open_with_the_last_descriptor, large.path)


@pytest.mark.parametrize("guarantee", [abi.MMG_GUARANTEE_CONTAINED, abi.MMG_GUARANTEE_STABLE])
def test_an_open_after_such_a_host_works_as_ever(large: Sample, guarantee: int) -> None:
    def within() -> None:
        with mmg.opened(mmg.try_open(large.path, guarantee=guarantee)):
            close_behind_its_back(large.path)
            with mmg.opened(mmg.try_open(large.path, guarantee=guarantee)) as second:
                assert mmg.content(second) == large.data
                assert mmg.check(second) == abi.MMG_OK
            assert watch.descriptors_of(large.path) == []

    in_child(within)
