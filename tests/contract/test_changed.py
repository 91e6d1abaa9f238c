# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_changed() tells what happened to the file since it was opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.children import in_child
from support.files import Sample, until_stamped

SIZE, MTIME, CTIME, PATH = (
    abi.MMG_CHANGED_SIZE,
    abi.MMG_CHANGED_MTIME,
    abi.MMG_CHANGED_CTIME,
    abi.MMG_CHANGED_PATH,
)


def test_an_untouched_file_has_not_changed(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        for _ in range(3):
            assert mmg.changed(handle) == (abi.MMG_OK, 0)
            mmg.content(handle)
            either.path.read_bytes()


def test_a_write_of_the_same_length_changes_the_times(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: files.overwrite(either.path, b"XYZ"))
        assert mmg.changed(handle) == (abi.MMG_OK, MTIME | CTIME)
        assert mmg.changed(handle) == (abi.MMG_OK, MTIME | CTIME), "the question itself changes the answer"


def test_a_truncation_changes_the_size(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: os.truncate(either.path, 10))
        assert mmg.changed(handle) == (abi.MMG_OK, SIZE | MTIME | CTIME)


def test_an_extension_changes_the_size(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: files.append(either.path, b"more"))
        assert mmg.changed(handle) == (abi.MMG_OK, SIZE | MTIME | CTIME)


def test_a_truncation_that_was_grown_over_leaves_only_the_times(either: Sample) -> None:
    def cut_and_grow() -> None:
        os.truncate(either.path, 0)
        os.truncate(either.path, either.size)

    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, cut_and_grow)
        assert mmg.changed(handle) == (abi.MMG_OK, MTIME | CTIME)


def test_a_change_of_mode_changes_the_ctime_only(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: os.chmod(either.path, 0o640))
        assert mmg.changed(handle) == (abi.MMG_OK, CTIME)


def test_a_modification_time_that_was_set_back_is_seen(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: os.utime(either.path, (1, 1)))
        assert mmg.changed(handle) == (abi.MMG_OK, MTIME | CTIME)


def test_a_nanosecond_is_a_difference(either: Sample) -> None:
    os.utime(either.path, ns=(10**18, 10**18))
    with mmg.opened(mmg.try_open(either.path)) as handle:
        until_stamped(either.path, lambda: os.utime(either.path, ns=(10**18, 10**18 + 1)))
        if os.stat(either.path).st_mtime_ns == 10**18:
            pytest.skip("this file system keeps no nanoseconds")
        assert mmg.changed(handle) == (abi.MMG_OK, MTIME | CTIME)


def test_an_unlinked_file_is_no_longer_named_by_its_path(large: Sample) -> None:
    os.link(large.path, large.path.with_name("kept"))
    with mmg.opened(mmg.try_open(large.path)) as handle:
        until_stamped(large.path.with_name("kept"), lambda: large.path.unlink(missing_ok=True))
        assert mmg.changed(handle) == (abi.MMG_OK, PATH | CTIME)


def test_a_file_replaced_by_rename_is_no_longer_named_by_its_path(large: Sample) -> None:
    other = files.sample(large.path.with_name("other"), large.size, seed=8)
    with mmg.opened(mmg.try_open(large.path)) as handle:
        os.replace(other.path, large.path)
        status, bits = mmg.changed(handle)
        assert status == abi.MMG_OK
        assert bits & PATH
        assert not bits & (SIZE | MTIME), "the mapped file itself was not written"


def test_a_copied_file_replaced_by_rename_reports_the_path_alone(small: Sample) -> None:
    other = files.sample(small.path.with_name("other"), small.size + 5, seed=8)
    with mmg.opened(mmg.try_open(small.path)) as handle:
        os.replace(other.path, small.path)
        assert mmg.changed(handle) == (abi.MMG_OK, PATH)


def test_a_copied_file_that_is_gone_reports_the_path_alone(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        small.path.unlink()
        assert mmg.changed(handle) == (abi.MMG_OK, PATH)


def test_a_folder_that_is_gone_is_a_path_that_is_gone(either: Sample) -> None:
    folder = either.path.parent / "folder"
    folder.mkdir()
    moved = folder / "file"
    os.rename(either.path, moved)
    with mmg.opened(mmg.try_open(moved)) as handle:
        os.rename(folder, either.path.parent / "elsewhere")
        status, bits = mmg.changed(handle)
        assert status == abi.MMG_OK
        assert bits & PATH


def test_a_file_that_came_back_under_its_path_is_named_by_it(large: Sample) -> None:
    away = large.path.with_name("away")
    with mmg.opened(mmg.try_open(large.path)) as handle:
        os.rename(large.path, away)
        assert mmg.changed(handle)[1] & PATH
        os.rename(away, large.path)
        assert not mmg.changed(handle)[1] & PATH


def test_a_link_that_points_elsewhere_is_a_path_that_names_another_file(
    either: Sample, tmp_path: Path
) -> None:
    link, other = tmp_path / "link", files.sample(tmp_path / "other", 10)
    link.symlink_to(either.path)
    with mmg.opened(mmg.try_open(link)) as handle:
        assert mmg.changed(handle) == (abi.MMG_OK, 0)
        link.unlink()
        link.symlink_to(other.path)
        assert mmg.changed(handle)[1] & PATH


def test_a_relative_path_is_looked_up_again_against_the_directory_of_now(
    either: Sample, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()

    def within() -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        os.chdir(either.path.parent)
        with mmg.opened(mmg.try_open(either.path.name)) as handle:
            here = mmg.changed(handle)
            os.chdir(tmp_path / "elsewhere")
            there = mmg.changed(handle)
            os.chdir(either.path.parent)
            return here, there, mmg.changed(handle)

    here, there, back = in_child(within)
    assert here == back == (abi.MMG_OK, 0)
    assert there == (abi.MMG_OK, PATH)


def test_a_mapping_of_a_descriptor_has_no_path_to_look_up(large: Sample) -> None:
    fd = os.open(large.path, os.O_RDWR)
    try:
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            assert mmg.changed(handle) == (abi.MMG_OK, 0)
            os.rename(large.path, large.path.with_name("renamed"))
            status, bits = mmg.changed(handle)
            assert status == abi.MMG_OK
            assert not bits & PATH
            until_stamped(large.path.with_name("renamed"), lambda: os.pwrite(fd, b"x", 0))
            status, bits = mmg.changed(handle)
            assert status == abi.MMG_OK
            assert bits & MTIME
    finally:
        os.close(fd)


def test_a_copy_of_a_descriptor_cannot_tell(small: Sample) -> None:
    fd = os.open(small.path, os.O_RDONLY)
    try:
        for attempt in (mmg.try_open_fd(fd), mmg.try_read_fd(fd)):
            with mmg.opened(attempt) as handle:
                status, what = mmg.changed(handle)
                assert (status, what) == (abi.MMG_E_UNSUPPORTED, 0xDEAD), "the output was touched"
    finally:
        os.close(fd)


def test_a_window_reports_changes_of_the_whole_file(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, offset=10, length=10)) as handle:
        until_stamped(large.path, lambda: files.append(large.path, b"far away"))
        assert mmg.changed(handle) == (abi.MMG_OK, SIZE | MTIME | CTIME)
        assert mmg.check(handle) == abi.MMG_OK


def test_a_change_does_not_disturb_the_bytes_of_a_copy(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        until_stamped(small.path, lambda: small.path.write_bytes(b"other"))
        assert mmg.changed(handle)[1] & SIZE
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.content(handle) == small.data


def test_check_sees_a_file_that_is_shorter_than_the_region_without_a_fault(large: Sample) -> None:
    # Inside the last page nothing ever faults; the size tells.
    with mmg.opened(mmg.try_open(large.path)) as handle:
        assert mmg.check(handle) == abi.MMG_OK
        os.truncate(large.path, large.size - 1)
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        found = mmg.info(handle)
        assert found.fault_cause == abi.MMG_E_TRUNCATED
        assert found.fault_offset == large.size - 1
        os.truncate(large.path, large.size)
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED, "a loss that was seen stays reported"
