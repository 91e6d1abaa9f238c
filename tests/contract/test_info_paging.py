# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_advise() and mmg_resident() work on any range of a region."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, readers, watch
from support import library as mmg
from support.files import LARGE, PAGE, Sample

OPENING = ["NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "HUGEPAGE"]
ADVICE = [*OPENING, "DONTNEED", "POPULATE", "EVICT"]


needs_populate = pytest.mark.skipif(
    not watch.kernel_populates(), reason="MMG_ADVICE_POPULATE needs Linux 5.14"
)


def advice_of(name: str) -> int:
    """Return the number of an advice."""
    return int(getattr(abi, f"MMG_ADVICE_{name}"))


@pytest.mark.parametrize("name", OPENING)
@pytest.mark.parametrize("backing", [abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY])
def test_every_pattern_of_access_may_be_announced_at_open(either: Sample, name: str, backing: int) -> None:
    with mmg.opened(mmg.try_open(either.path, access=advice_of(name), backing=backing)) as handle:
        assert mmg.content(handle) == either.data


@pytest.mark.parametrize("name", ["DONTNEED", "POPULATE", "EVICT"])
def test_an_act_is_no_pattern_of_access(either: Sample, name: str) -> None:
    mmg.refused(mmg.try_open(either.path, access=advice_of(name)), abi.MMG_E_ARGUMENT)


@pytest.mark.parametrize("name", ADVICE)
def test_advice_on_any_range_changes_no_byte(either: Sample, name: str) -> None:
    size = either.size
    ranges = [
        (0, mmg.TO_END),
        (0, size),
        (0, 0),
        (1, 1),
        (size - 1, 1),
        (size, 0),
        (size, mmg.TO_END),
        (100, 2000),
    ]
    with mmg.opened(mmg.try_open(either.path)) as handle, mmg.pinned(handle) as span:
        for offset, length in ranges:
            status = mmg.advise(handle, advice_of(name), offset, length)
            if name == "POPULATE" and not watch.kernel_populates():
                assert status == abi.MMG_E_UNSUPPORTED
                continue
            assert status == abi.MMG_OK, (offset, length, mmg.status_name(status))
            assert mmg.span_bytes(span) == either.data
        assert mmg.check(handle) == abi.MMG_OK


@pytest.mark.parametrize("name", ADVICE)
def test_advice_on_an_unaligned_window_changes_no_byte(large: Sample, name: str) -> None:
    with mmg.opened(mmg.try_open(large.path, offset=4097, length=100_001)) as handle:
        for offset, length in ((0, mmg.TO_END), (1, 4096), (4095, 1), (100_000, 1)):
            known = name != "POPULATE" or watch.kernel_populates()
            assert mmg.advise(handle, advice_of(name), offset, length) == (
                abi.MMG_OK if known else abi.MMG_E_UNSUPPORTED
            )
        assert mmg.content(handle) == large.data[4097 : 4097 + 100_001]


@pytest.mark.parametrize("name", ADVICE)
def test_advice_outside_the_region_is_a_range_error(either: Sample, name: str) -> None:
    size = either.size
    with mmg.opened(mmg.try_open(either.path)) as handle:
        for offset, length in (
            (size + 1, 0),
            (size + 1, mmg.TO_END),
            (0, size + 1),
            (size, 1),
            (1, 2**64 - 2),
            (2**63, 2**63),
        ):
            assert mmg.advise(handle, advice_of(name), offset, length) == abi.MMG_E_RANGE
            assert mmg.resident(handle, offset, length) == (abi.MMG_E_RANGE, 0xDEAD)


@pytest.mark.parametrize("advice", [8, 9, 14, 21, 23, 100, 2**31, 2**32 - 1])
def test_unknown_advice_is_an_argument_error(either: Sample, advice: int) -> None:
    # Among these are numbers that mean something to madvise(2).
    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert mmg.advise(handle, advice) == abi.MMG_E_ARGUMENT
        assert mmg.content(handle) == either.data


@needs_populate
def test_a_populated_range_is_resident(large: Sample) -> None:
    is_cache = watch.file_system_of(large.path.parent) == "tmpfs"  # which has nothing but its pages
    if not is_cache:
        os.sync()  # a page that has to be written stays in the cache
        readers.drop_from_cache(large.path)
    with mmg.opened(mmg.try_open(large.path)) as handle:
        if not is_cache:
            assert mmg.resident(handle) == (abi.MMG_OK, 0)
        status = mmg.advise(handle, abi.MMG_ADVICE_POPULATE)
        assert status == abi.MMG_OK
        assert mmg.resident(handle) == (abi.MMG_OK, large.size)
        for offset, length in (
            (0, 1),
            (1, 1),
            (4095, 2),
            (100, 100_000),
            (LARGE - 1, 1),
            (500, 0),
            (LARGE, 0),
        ):
            assert mmg.resident(handle, offset, length) == (abi.MMG_OK, length)
        assert mmg.resident(handle, LARGE - 7) == (abi.MMG_OK, 7)


@needs_populate
def test_a_hole_that_nobody_touched_is_not_resident_and_becomes_so_by_populate(tmp_path: Path) -> None:
    path = files.sparse(tmp_path / "sparse", 64 << 20)
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.resident(handle) == (abi.MMG_OK, 0)
        offset, length = (16 << 20) + 5, 3 * PAGE
        assert mmg.advise(handle, abi.MMG_ADVICE_POPULATE, offset, length) == abi.MMG_OK
        assert mmg.resident(handle, offset, length) == (abi.MMG_OK, length)
        status, total = mmg.resident(handle)
        assert status == abi.MMG_OK
        assert length <= total < 64 << 20


def test_a_copy_is_always_resident(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        assert mmg.resident(handle) == (abi.MMG_OK, small.size)
        for offset, length in ((0, 1), (10, 1000), (small.size, 0), (small.size - 1, 1)):
            assert mmg.resident(handle, offset, length) == (abi.MMG_OK, length)
        assert mmg.advise(handle, abi.MMG_ADVICE_DONTNEED) == abi.MMG_OK
        assert mmg.content(handle) == small.data


def test_huge_pages_are_asked_for_where_the_kernel_can_and_forgotten_where_it_cannot(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle, mmg.pinned(handle) as span:
        assert mmg.advise(handle, abi.MMG_ADVICE_HUGEPAGE) == abi.MMG_OK
        flags = vm_flags(mmg.address(span))
        if Path("/sys/kernel/mm/transparent_hugepage").is_dir():
            assert "hg" in flags, flags
    with mmg.opened(mmg.try_open(large.path, access=abi.MMG_ADVICE_HUGEPAGE)) as handle:
        assert mmg.content(handle) == large.data


def vm_flags(place: int) -> list[str]:
    """Return the VmFlags of the mapping at an address."""
    mapping = watch.mapping_at(place)
    assert mapping is not None
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith((f"{mapping.start:x}-", f"{mapping.start:08x}-")):
            here = True
        elif here and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError("no VmFlags")


@pytest.mark.parametrize(("name", "flag"), [("SEQUENTIAL", "sr"), ("RANDOM", "rr")])
def test_the_pattern_of_access_reaches_the_kernel(large: Sample, name: str, flag: str) -> None:
    with mmg.opened(mmg.try_open(large.path, access=advice_of(name))) as handle, mmg.pinned(handle) as span:
        assert flag in vm_flags(mmg.address(span))
        assert mmg.advise(handle, abi.MMG_ADVICE_NORMAL) == abi.MMG_OK
        assert flag not in vm_flags(mmg.address(span))
        assert mmg.advise(handle, advice_of(name)) == abi.MMG_OK
        assert flag in vm_flags(mmg.address(span))


def test_a_scan_that_is_announced_at_open_is_read_far_ahead(large: Sample) -> None:
    if not Path("/sys/kernel/mm/transparent_hugepage").is_dir():
        pytest.skip("this kernel has no huge pages, by which it is told to read far ahead")
    sequential, normal = abi.MMG_ADVICE_SEQUENTIAL, abi.MMG_ADVICE_NORMAL
    with mmg.opened(mmg.try_open(large.path, access=sequential)) as handle, mmg.pinned(handle) as span:
        for advice, is_far in (
            (None, True),
            (normal, False),
            (sequential, True),
            (abi.MMG_ADVICE_RANDOM, False),
        ):
            if advice is not None:
                assert mmg.advise(handle, advice) == abi.MMG_OK
            assert ("hg" in vm_flags(mmg.address(span))) == is_far, advice
    with mmg.opened(mmg.try_open(large.path)) as handle, mmg.pinned(handle) as span:
        assert mmg.advise(handle, sequential) == abi.MMG_OK
        assert "hg" not in vm_flags(mmg.address(span))


@needs_populate
def test_populating_what_is_gone_is_a_status_and_not_a_signal(tmp_path: Path) -> None:
    file = files.sample(tmp_path / "file", LARGE)
    with mmg.opened(mmg.try_open(file.path)) as handle:
        os.truncate(file.path, 10_000)
        status = mmg.advise(handle, abi.MMG_ADVICE_POPULATE)
        assert status == abi.MMG_E_TRUNCATED
        assert mmg.advise(handle, abi.MMG_ADVICE_POPULATE, 0, 5000) == abi.MMG_OK


def test_residency_of_a_null_place_is_an_argument_error(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert mmg.lib.mmg_resident(handle, 0, 1, None) == abi.MMG_E_ARGUMENT
        assert mmg.lib.mmg_resident(handle, 0, 1, ctypes.byref(ctypes.c_uint64())) == abi.MMG_OK
