# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regular and empty files open by path: what is copied, what is mapped, and what the caller may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import in_child
from support.files import LARGE, PAGE, Sample

# -------------------------------------------------------------------------------------------- small and large --


def test_a_small_file_is_copied_and_keeps_neither_descriptor_nor_mapping(small: Sample) -> None:
    before = watch.descriptors()
    with mmg.opened(mmg.try_open(small.path)) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_COPY, abi.MMG_REASON_SMALL)
        assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
        assert found.shortfall == abi.MMG_SHORT_NONE
        assert watch.descriptors() == before
        assert watch.mappings_of(small.path) == []
        assert mmg.content(handle) == small.data


def test_a_copied_file_is_immune_to_whatever_happens_to_it(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle, mmg.pinned(handle) as span:
        os.truncate(small.path, 0)
        assert mmg.span_bytes(span) == small.data
        small.path.write_bytes(b"x" * small.size)
        assert mmg.span_bytes(span) == small.data
        os.unlink(small.path)
        assert mmg.content(handle) == small.data
        assert mmg.check(handle) == abi.MMG_OK


def test_a_large_file_is_mapped_under_a_shared_lock(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_MAP, abi.MMG_REASON_LARGE)
        assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_CONTAINED, abi.MMG_MEANS_FAULT_GUARD)
        assert found.shortfall == abi.MMG_SHORT_NOT_ASKED
        assert found.lock == abi.MMG_LOCK_SHARED
        assert len(watch.mappings_of(large.path)) == 1
        assert mmg.content(handle) == large.data


@pytest.mark.parametrize("size", [1, 2, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 16 * PAGE + 1, LARGE])
@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY])
def test_every_size_gives_its_own_bytes_under_every_backing(tmp_path: Path, size: int, backing: int) -> None:
    file = files.sample(tmp_path / "file", size)
    with mmg.opened(mmg.try_open(file.path, backing=backing)) as handle:
        assert mmg.content(handle) == file.data
        assert mmg.read(handle, 0, size + 10) == (abi.MMG_OK, file.data)
        found = mmg.info(handle)
        assert (found.size, found.file_size, found.offset) == (size, size, 0)
        if backing != abi.MMG_BACKING_AUTO:
            assert (found.backing, found.backing_reason) == (backing, abi.MMG_REASON_ASKED)


@pytest.mark.parametrize("threshold", [1, PAGE, 100_000, LARGE])
def test_the_copy_threshold_is_the_last_size_that_is_copied(tmp_path: Path, threshold: int) -> None:
    for size, backing, reason in (
        (threshold, abi.MMG_BACKING_COPY, abi.MMG_REASON_SMALL),
        (threshold + 1, abi.MMG_BACKING_MAP, abi.MMG_REASON_LARGE),
    ):
        file = files.sample(tmp_path / str(size), size)
        with mmg.opened(mmg.try_open(file.path, copy_threshold=threshold)) as handle:
            found = mmg.info(handle)
            assert (found.backing, found.backing_reason) == (backing, reason), size
            assert mmg.content(handle) == file.data


def test_a_copy_threshold_of_zero_is_the_default(small: Sample, large: Sample) -> None:
    for file, backing in ((small, abi.MMG_BACKING_COPY), (large, abi.MMG_BACKING_MAP)):
        for attempt in (mmg.try_open(file.path), mmg.try_open(file.path, copy_threshold=0)):
            with mmg.opened(attempt) as handle:
                assert mmg.info(handle).backing == backing


def test_backing_map_maps_the_smallest_file(tmp_path: Path) -> None:
    file = files.sample(tmp_path / "byte", 1)
    with mmg.opened(mmg.try_open(file.path, backing=abi.MMG_BACKING_MAP)) as handle:
        assert len(watch.mappings_of(file.path)) == 1
        assert mmg.content(handle) == file.data


def test_backing_copy_maps_nothing_however_large_the_file(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, backing=abi.MMG_BACKING_COPY)) as handle:
        assert watch.mappings_of(large.path) == []
        assert watch.descriptors_of(large.path) == []
        assert mmg.info(handle).guarantee == abi.MMG_GUARANTEE_STABLE
        assert mmg.content(handle) == large.data


def test_populate_reads_the_whole_mapping_in_at_open(tmp_path: Path) -> None:
    """No page of a hole is in memory before it is read, so only the flag can bring it there."""
    size = 4 << 20
    for flags, resident in ((0, 0), (abi.MMG_FLAG_POPULATE, size)):
        path = files.sparse(tmp_path / f"sparse {flags}", size)
        with mmg.opened(mmg.try_open(path, flags=flags)) as handle:
            assert mmg.resident(handle) == (abi.MMG_OK, resident)
            assert mmg.content(handle) == bytes(size)


def test_a_file_on_tmpfs_is_mapped_and_copied_like_any_other() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("this system has no tmpfs at /dev/shm")
    for size, backing in ((files.SMALL, abi.MMG_BACKING_COPY), (LARGE, abi.MMG_BACKING_MAP)):
        file = files.sample(folder / f"mmapguard-test-{os.getpid()}", size)
        try:
            with mmg.opened(mmg.try_open(file.path)) as handle:
                assert mmg.info(handle).backing == backing
                assert mmg.content(handle) == file.data
        finally:
            file.path.unlink()


def test_a_sparse_file_of_a_hundred_gigabytes_opens_without_being_read(tmp_path: Path) -> None:
    size = 100 << 30
    path = files.sparse(tmp_path / "sparse", size)
    files.overwrite(path, b"tail", size - 4)
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.info(handle).size == size
        assert mmg.content(handle, size - 8) == b"\0\0\0\0tail"
        assert mmg.content(handle, size // 2, 10) == bytes(10)


# ------------------------------------------------------------------------------------------------------ empty --


@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY])
def test_an_empty_file_is_a_region_of_size_zero_with_a_valid_span(empty: Sample, backing: int) -> None:
    with mmg.opened(mmg.try_open(empty.path, backing=backing)) as handle:
        found = mmg.info(handle)
        assert (found.size, found.file_size) == (0, 0)
        assert found.guarantee == abi.MMG_GUARANTEE_STABLE
        with mmg.pinned(handle) as span:
            assert mmg.address(span) != 0
            assert span.size == 0
            assert span.pin != 0
            assert mmg.info(handle).pins == 1
        assert mmg.read(handle, 0, 10) == (abi.MMG_OK, b"")
        assert mmg.find(handle, b"x") == (abi.MMG_OK, mmg.NOT_FOUND)
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.resident(handle) == (abi.MMG_OK, 0)
        assert mmg.advise(handle, abi.MMG_ADVICE_WILLNEED) == abi.MMG_OK


def test_an_empty_file_says_that_there_was_nothing_to_hold(empty: Sample) -> None:
    with mmg.opened(mmg.try_open(empty.path)) as handle:
        assert mmg.info(handle).backing_reason == abi.MMG_REASON_EMPTY
        assert watch.descriptors_of(empty.path) == []


def test_reject_empty_refuses_an_empty_file_and_nothing_else(empty: Sample, either: Sample) -> None:
    told = mmg.refused(mmg.try_open(empty.path, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)
    assert str(empty.path) in told.message
    fd = os.open(empty.path, os.O_RDONLY)
    try:
        mmg.refused(mmg.try_open_fd(fd, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)
        mmg.refused(mmg.try_read_fd(fd, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)
    finally:
        os.close(fd)
    mmg.refused(mmg.try_load(empty.path, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)
    told = mmg.refused(
        mmg.try_open(either.path, offset=either.size, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY
    )
    assert "the window has no bytes" in told.message
    with mmg.opened(mmg.try_open(either.path, flags=abi.MMG_FLAG_REJECT_EMPTY)) as handle:
        assert mmg.content(handle) == either.data


# ------------------------------------------------------------------------------------------------------ paths --


def test_a_link_is_followed(either: Sample, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(either.path)
    with mmg.opened(mmg.try_open(link)) as handle:
        assert mmg.content(handle) == either.data


def test_nofollow_refuses_a_link_as_the_last_component_only(either: Sample, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(either.path)
    told = mmg.refused(mmg.try_open(link, flags=abi.MMG_FLAG_NOFOLLOW), abi.MMG_E_NOT_MAPPABLE)
    assert str(link) in told.message
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    mmg.refused(mmg.try_open(dangling, flags=abi.MMG_FLAG_NOFOLLOW), abi.MMG_E_NOT_MAPPABLE)
    folder = tmp_path / "folder"
    folder.symlink_to(tmp_path, target_is_directory=True)
    for path in (either.path, folder / either.path.name):
        with mmg.opened(mmg.try_open(path, flags=abi.MMG_FLAG_NOFOLLOW)) as handle:
            assert mmg.content(handle) == either.data


def test_a_relative_path_is_resolved_against_the_current_directory(either: Sample) -> None:
    def within() -> bytes:
        os.chdir(either.path.parent)
        with mmg.opened(mmg.try_open(either.path.name)) as handle:
            return mmg.content(handle)

    assert in_child(within) == either.data


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"line\nbreak", b"a" * 255, "é☃🙂".encode(), b" ", b"%s%n", b"\\x41"]
)
def test_every_name_that_the_file_system_takes_opens(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as stream:
        stream.write(b"found")
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.content(handle) == b"found"


def test_a_path_one_byte_below_path_max_opens(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/file"
    Path(os.fsdecode(path)).write_bytes(b"far")
    longest = os.fsencode(tmp_path) + b"/" * (4095 - len(os.fsencode(tmp_path)) - 4) + b"file"
    assert len(longest) == 4095
    with mmg.opened(mmg.try_open(longest)) as handle:
        assert mmg.content(handle) == b"far"


def test_a_path_ends_at_its_first_nul(either: Sample) -> None:
    with mmg.opened(mmg.try_open(os.fsencode(either.path) + b"\0/and/what/follows")) as handle:
        assert mmg.content(handle) == either.data


# ------------------------------------------------------------------------------------- load, and the file "-" --


def test_load_opens_a_path_as_open_does(either: Sample) -> None:
    with mmg.opened(mmg.try_load(either.path)) as handle, mmg.opened(mmg.try_open(either.path)) as other:
        assert mmg.content(handle) == either.data
        for member in ("backing", "backing_reason", "guarantee", "means", "lock", "size", "inode"):
            assert getattr(mmg.info(handle), member) == getattr(mmg.info(other), member)


def test_a_file_named_dash_is_opened_by_open_and_reached_by_load_with_a_folder(tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(b"a file called dash")

    def within() -> tuple[bytes, bytes]:
        os.chdir(tmp_path)
        with mmg.opened(mmg.try_open("-")) as handle:
            by_open = mmg.content(handle)
        with mmg.opened(mmg.try_load("./-")) as handle:
            return by_open, mmg.content(handle)

    assert in_child(within) == (b"a file called dash", b"a file called dash")


# ------------------------------------------------------------------------------------------------ while it moves --


def test_a_file_replaced_after_open_keeps_its_first_bytes(large: Sample, tmp_path: Path) -> None:
    other = files.sample(tmp_path / "other", LARGE, seed=9)
    with mmg.opened(mmg.try_open(large.path)) as handle:
        os.replace(other.path, large.path)
        assert mmg.content(handle) == large.data
        assert mmg.check(handle) == abi.MMG_OK


def test_a_file_unlinked_after_open_keeps_its_bytes(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        either.path.unlink()
        assert mmg.content(handle) == either.data
        assert mmg.check(handle) == abi.MMG_OK


def test_an_extended_file_keeps_the_region_as_it_was(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        files.append(large.path, b"more" * 10_000)
        assert mmg.info(handle).size == large.size
        assert mmg.content(handle) == large.data
        assert mmg.check(handle) == abi.MMG_OK
        status, _ = mmg.pin(handle, large.size, 1)
        assert status == abi.MMG_E_RANGE
