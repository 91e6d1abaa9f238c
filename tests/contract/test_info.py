# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_info_get() and mmg_stats_get() tell what is known about a region, and about the whole process."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.files import LARGE, PAGE, Sample

INFO_SIZE = ctypes.sizeof(abi.mmg_info)
STATS_SIZE = ctypes.sizeof(abi.mmg_stats)


def test_a_region_knows_its_file(either: Sample) -> None:
    os.utime(either.path, ns=(123_456_789_987_654_321, 987_654_321_123_456_789))
    status = os.stat(either.path)
    fd = os.open(either.path, os.O_RDONLY)
    try:
        for attempt in (mmg.try_open(either.path), mmg.try_open_fd(fd), mmg.try_load(either.path)):
            with mmg.opened(attempt) as handle:
                found = mmg.info(handle)
                assert (found.device, found.inode) == (status.st_dev, status.st_ino)
                assert found.mtime_seconds * 10**9 + found.mtime_nanoseconds == status.st_mtime_ns
                assert found.ctime_seconds * 10**9 + found.ctime_nanoseconds == status.st_ctime_ns
                assert found.mtime_nanoseconds < 10**9
                assert (found.size, found.offset, found.file_size) == (either.size, 0, either.size)
    finally:
        os.close(fd)


def test_times_before_the_epoch_are_negative(either: Sample) -> None:
    os.utime(either.path, ns=(-1_500_000_001, -1_500_000_001))
    if os.stat(either.path).st_mtime_ns != -1_500_000_001:
        pytest.skip("this file system keeps no times before the Epoch")
    with mmg.opened(mmg.try_open(either.path)) as handle:
        found = mmg.info(handle)
        assert (found.mtime_seconds, found.mtime_nanoseconds) == (-2, 499_999_999)


def test_what_is_known_is_that_of_the_opening(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        before = bytes(mmg.info(handle))
        files.until_stamped(either.path, lambda: files.append(either.path, b"more"))
        assert bytes(mmg.info(handle)) == before


def test_a_mapped_region_counts_its_address_space(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        found = mmg.info(handle)
        assert found.mapped_bytes == (large.size + PAGE - 1) // PAGE * PAGE
        assert found.page_size == PAGE
        assert 0 < found.heap_bytes < PAGE
        assert (found.faults, found.fault_cause, found.fault_offset) == (0, abi.MMG_OK, mmg.TO_END)


def test_a_copied_region_counts_its_heap(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        found = mmg.info(handle)
        assert (found.mapped_bytes, found.page_size) == (0, 0)
        assert small.size <= found.heap_bytes < small.size + PAGE
        assert (found.faults, found.fault_cause, found.fault_offset) == (0, abi.MMG_OK, mmg.TO_END)
        assert found.lock == abi.MMG_LOCK_NONE
        assert found.lock_error == 0


def test_the_counters_of_the_process_follow_what_is_open(small: Sample, large: Sample) -> None:
    before = mmg.stats()
    with mmg.opened(mmg.try_open(small.path)) as copied, mmg.opened(mmg.try_open(large.path)) as mapped:
        one, two, now = mmg.info(copied), mmg.info(mapped), mmg.stats()
        assert now.handles == before.handles + 2
        assert now.regions == before.regions + 2
        assert now.mappings == before.mappings + 1
        assert now.mapped_bytes == before.mapped_bytes + two.mapped_bytes
        assert now.heap_bytes == before.heap_bytes + one.heap_bytes + two.heap_bytes
        assert now.opened == before.opened + 2
        assert now.guard_state == mmg.lib.mmg_guard_state()
        assert (now.faults, now.foreign_faults) == (before.faults, before.foreign_faults)
    after = mmg.stats()
    for member in ("handles", "regions", "mappings", "mapped_bytes", "heap_bytes"):
        assert getattr(after, member) == getattr(before, member)
    assert after.opened == before.opened + 2


def test_a_refused_open_counts_as_none(tmp_path: Path, large: Sample) -> None:
    before = bytes(mmg.stats())
    for attempt in (
        mmg.try_open(tmp_path / "missing"),
        mmg.try_open(tmp_path),
        mmg.try_open(large.path, offset=2 * LARGE),
    ):
        assert attempt.status != abi.MMG_OK
    assert bytes(mmg.stats()) == before


# --------------------------------------------------------------------------------- older and newer callers --


@pytest.mark.parametrize("kind", ["info", "stats"])
def test_a_size_that_no_caller_has_is_refused_and_nothing_is_written(either: Sample, kind: str) -> None:
    size = INFO_SIZE if kind == "info" else STATS_SIZE
    with mmg.opened(mmg.try_open(either.path)) as handle:
        full = bytes(mmg.info(handle) if kind == "info" else mmg.stats())
        for claimed in range(size + 1):
            buffer = (ctypes.c_ubyte * (size + 64))(*([0xAB] * (size + 64)))
            ctypes.c_uint32.from_buffer(buffer).value = claimed
            kept = bytes(buffer)
            if kind == "info":
                place = ctypes.cast(buffer, ctypes.POINTER(abi.mmg_info))
                status = mmg.lib.mmg_info_get(handle, place)
            else:
                status = mmg.lib.mmg_stats_get(ctypes.cast(buffer, ctypes.POINTER(abi.mmg_stats)))
            # In release 1.0 a struct has its first size only.
            assert status == (abi.MMG_OK if claimed == size else abi.MMG_E_ABI_SIZE), claimed
            if status == abi.MMG_OK:
                assert bytes(buffer)[4:claimed] == full[4:claimed]
                assert bytes(buffer)[claimed:] == kept[claimed:], "written beyond struct_size"
                assert bytes(buffer)[:4] == kept[:4], "struct_size is the caller's"
            else:
                assert bytes(buffer) == kept


@pytest.mark.parametrize("extra", [8, 64, 1000])
def test_a_newer_caller_gets_what_the_library_knows(either: Sample, extra: int) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        full = bytes(mmg.info(handle))
        buffer = (ctypes.c_ubyte * (INFO_SIZE + extra))()
        ctypes.c_uint32.from_buffer(buffer).value = INFO_SIZE + extra
        assert mmg.lib.mmg_info_get(handle, ctypes.cast(buffer, ctypes.POINTER(abi.mmg_info))) == abi.MMG_OK
        assert bytes(buffer)[4:INFO_SIZE] == full[4:]
        assert bytes(buffer)[INFO_SIZE:] == bytes(extra)


# ---------------------------------------------------------------------------------------------------- vocabulary --


@pytest.mark.parametrize(
    ("vocabulary", "prefix"),
    [
        (abi.MMG_TERM_BACKING, "MMG_BACKING_"),
        (abi.MMG_TERM_REASON, "MMG_REASON_"),
        (abi.MMG_TERM_GUARANTEE, "MMG_GUARANTEE_"),
        (abi.MMG_TERM_MEANS, "MMG_MEANS_"),
        (abi.MMG_TERM_SHORTFALL, "MMG_SHORT_"),
        (abi.MMG_TERM_LOCK, "MMG_LOCK_"),
        (abi.MMG_TERM_GUARD, "MMG_GUARD_"),
        (abi.MMG_TERM_CHANGED, "MMG_CHANGED_"),
    ],
)
def test_every_value_has_a_word_of_its_own(vocabulary: int, prefix: str) -> None:
    values = mmg.constants(prefix)
    words = {name: mmg.lib.mmg_term(vocabulary, value).decode("ascii") for name, value in values.items()}
    assert len(set(words.values())) == len(values)
    for name, word in words.items():
        assert word == word.lower() and word and word != "unknown", name
    unknown = {max(values.values()) + 1, 1000, 2**31, 2**32 - 1} - set(values.values())
    if prefix == "MMG_CHANGED_":
        unknown |= {0, 3, 5, 15}
    for value in unknown:
        assert mmg.lib.mmg_term(vocabulary, value) == b"unknown", value


def test_an_unknown_vocabulary_has_unknown_words() -> None:
    last = max(mmg.constants("MMG_TERM_").values())
    for vocabulary in (0, last + 1, 1000, 2**32 - 1):
        for value in (0, 1, 2, 2**32 - 1):
            assert mmg.lib.mmg_term(vocabulary, value) == b"unknown"


def test_every_status_has_its_name_and_a_phrase_of_its_own() -> None:
    statuses = {"MMG_OK": abi.MMG_OK, **mmg.constants("MMG_E_")}
    phrases = set()
    for name, value in statuses.items():
        assert mmg.lib.mmg_status_name(value) == name.encode()
        phrase = mmg.lib.mmg_status_message(value).decode("ascii")
        assert phrase and not phrase.endswith("."), name
        phrases.add(phrase)
    assert len(phrases) == len(statuses)


@pytest.mark.parametrize("number", [1, 2, 100, -19, -39, -59, -1000, 2**31 - 1, -(2**31)])
def test_a_number_that_is_no_status_has_a_name_all_the_same(number: int) -> None:
    assert mmg.lib.mmg_status_name(number) == b"MMG_E_UNKNOWN"
    assert mmg.lib.mmg_status_message(number)


def test_the_version_is_that_of_the_header() -> None:
    assert mmg.lib.mmg_abi_version() == abi.MMG_ABI
    assert re.fullmatch(rb"\d+\.\d+\.\d+", mmg.lib.mmg_version())


def test_features_are_told_by_one_and_zero() -> None:
    for name, value in mmg.constants("MMG_FEATURE_").items():
        assert mmg.lib.mmg_supports(value) in (0, 1), name
    assert mmg.lib.mmg_supports(abi.MMG_FEATURE_STABLE_COPY) == 1
    assert mmg.lib.mmg_supports(abi.MMG_FEATURE_OFD_LOCK) == 1
    last = max(mmg.constants("MMG_FEATURE_").values())
    for unknown in (0, last + 1, 1000, 2**31, 2**32 - 1):
        assert mmg.lib.mmg_supports(unknown) == 0
