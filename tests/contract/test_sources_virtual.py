# SPDX-License-Identifier: MIT OR Apache-2.0
"""Files whose size is not that of their contents, and files that cannot be mapped, are read into memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, fuse, watch
from support import library as mmg
from support.children import sanitizers
from support.files import LARGE


def readable(path: str) -> Path:
    """Return the path. Skip the test where this kernel does not have the file."""
    if not os.access(path, os.R_OK):
        pytest.skip(f"this system has no readable {path}")
    return Path(path)


STEADY = [
    "/proc/version",
    "/proc/filesystems",
    "/proc/cmdline",
    "/proc/sys/kernel/ostype",
    "/proc/self/cmdline",
    "/proc/self/environ",
    "/proc/self/mountinfo",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/devices/system/cpu/online",
]


@pytest.mark.parametrize("path", STEADY)
def test_a_file_of_proc_or_sys_is_read_to_its_end(path: str) -> None:
    data = readable(path).read_bytes()
    for attempt in (mmg.try_open(path), mmg.try_load(path)):
        with mmg.opened(attempt) as handle:
            assert mmg.content(handle) == data
            found = mmg.info(handle)
            # Some files report their size. These are small files like any other.
            reason = abi.MMG_REASON_SMALL if os.stat(path).st_size == len(data) else abi.MMG_REASON_VIRTUAL
            assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_COPY, reason)
            assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
            assert found.size == len(data)
            assert found.mapped_bytes == 0


def test_a_file_of_proc_longer_than_a_page_is_read_whole() -> None:
    # A read from /proc returns no more than about a page, whatever its length.
    path = readable("/proc/kallsyms")
    data = path.read_bytes()
    assert len(data) > 100_000
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.content(handle) == data


def test_a_file_of_proc_opens_from_a_descriptor_without_moving_it() -> None:
    data = readable("/proc/version").read_bytes()
    fd = os.open("/proc/version", os.O_RDONLY)
    try:
        os.lseek(fd, 3, os.SEEK_SET)
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            assert mmg.content(handle) == data
        assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    finally:
        os.close(fd)


def test_a_window_of_a_file_of_proc(small: files.Sample) -> None:
    data = readable("/proc/version").read_bytes()
    size = len(data)
    with mmg.opened(mmg.try_open("/proc/version", offset=6, length=10)) as handle:
        assert mmg.content(handle) == data[6:16]
        assert mmg.info(handle).offset == 6
    with mmg.opened(mmg.try_open("/proc/version", offset=size - 1)) as handle:
        assert mmg.content(handle) == data[-1:]
    with mmg.opened(mmg.try_open("/proc/version", length=size)) as handle:
        assert mmg.content(handle) == data
    mmg.refused(mmg.try_open("/proc/version", length=size + 1), abi.MMG_E_RANGE)
    mmg.refused(mmg.try_open("/proc/version", offset=size, length=1), abi.MMG_E_RANGE)


def test_the_cap_of_a_virtual_file_is_exact() -> None:
    size = len(readable("/proc/version").read_bytes())
    for cap in (size, size + 1, mmg.NO_LIMIT, 0):
        with mmg.opened(mmg.try_open("/proc/version", max_bytes=cap)) as handle:
            assert mmg.info(handle).size == size
    for cap in (1, size - 1):
        told = mmg.refused(mmg.try_open("/proc/version", max_bytes=cap), abi.MMG_E_TOO_BIG)
        assert "/proc/version" in told.message


def test_a_virtual_file_of_absurd_size_is_stopped_by_the_cap() -> None:
    # The file reports terabytes. A read up to the default cap would take a gigabyte.
    path = readable("/proc/kcore")
    mmg.refused(mmg.try_open(path, max_bytes=1 << 16), abi.MMG_E_TOO_BIG)


def test_an_empty_file_of_proc_is_empty() -> None:
    for path in (
        "/proc/mdstat",
        "/proc/sys/kernel/modprobe",
        "/proc/self/timerslack_ns",
        "/proc/swaps",
        "/proc/fb",
    ):
        if os.access(path, os.R_OK) and Path(path).read_bytes() == b"":
            break
    else:
        pytest.skip("this system shows no empty file in /proc")
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.info(handle).size == 0
    mmg.refused(mmg.try_open(path, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)


def test_an_error_while_reading_a_virtual_file_is_reported_with_its_errno() -> None:
    # Address 0 is never mapped: the first read fails with EIO.
    told = mmg.refused(mmg.try_open("/proc/self/mem", max_bytes=1 << 20), abi.MMG_E_IO)
    assert told.os_code == 5


def test_a_mapping_of_a_virtual_file_cannot_be_had() -> None:
    readable("/proc/version")
    told = mmg.refused(mmg.try_open("/proc/version", backing=abi.MMG_BACKING_MAP), abi.MMG_E_NOT_MAPPABLE)
    assert "/proc/version" in told.message


def test_a_size_beyond_the_contents_is_virtual() -> None:
    # st_size of these files is a page, whatever they hold.
    path = readable("/sys/devices/system/cpu/online")
    data = path.read_bytes()
    assert path.stat().st_size > len(data)
    with mmg.opened(mmg.try_open(path)) as handle:
        assert mmg.content(handle) == data
        assert mmg.info(handle).file_size in (len(data), path.stat().st_size)


def refusing_both() -> Path:
    """Return a real file of true size that neither MAP_SHARED nor MAP_PRIVATE can map."""
    candidates = [
        Path("/sys/kernel/btf/vmlinux"),
        *Path("/sys/firmware").glob("*/tables/*"),
        Path("/sys/kernel/notes"),
    ]
    candidates += sorted(Path("/sys/bus/pci/devices").glob("*/config"))
    for path in candidates:
        try:
            data = path.read_bytes()
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            if len(data) < 2 or os.fstat(fd).st_size != len(data):
                continue
            refusals = 0
            for kind in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
                try:
                    mmap.mmap(fd, len(data), flags=kind, prot=mmap.PROT_READ).close()
                except OSError:
                    refusals += 1
            if refusals == 2:
                return path
        finally:
            os.close(fd)
    pytest.skip("this system shows no file of true size that refuses to be mapped")


def test_where_both_kinds_of_mapping_are_refused_the_file_is_copied_and_says_so() -> None:
    path = refusing_both()
    data = path.read_bytes()
    with mmg.opened(mmg.try_open(path, copy_threshold=1)) as handle:
        found = mmg.info(handle)
        assert found.backing == abi.MMG_BACKING_COPY
        assert found.backing_reason == abi.MMG_REASON_MAP_REFUSED
        assert mmg.content(handle) == data
        assert watch.descriptors_of(path) == []
    mmg.refused(mmg.try_open(path, copy_threshold=1, max_bytes=len(data) - 1), abi.MMG_E_TOO_BIG)
    mmg.refused(mmg.try_open(path, backing=abi.MMG_BACKING_MAP), abi.MMG_E_NOT_MAPPABLE)


# ------------------------------------------------------------------------------- a file system that refuses MAP_SHARED


DATA = mmg.pattern(LARGE)


@pytest.fixture(scope="module")
def stubborn() -> Iterator[Path]:
    """Provide a mounted folder of files with faults."""
    shown = {
        "private": fuse.File(DATA, direct_io=True),
        "plain": fuse.File(DATA),
        "short": fuse.File(DATA[:5000], size=LARGE, direct_io=True),
        "long": fuse.File(DATA, size=100, direct_io=True),
        "silent": fuse.File(DATA, size=0, direct_io=True),
        "broken": fuse.File(DATA, fail_from=1 << 19, direct_io=True),
        "vast": fuse.File(b"", size=2**63 - 1),
    }
    with fuse.mounted(shown) as folder:
        yield folder


def test_where_map_shared_is_refused_the_mapping_is_private_and_says_so(stubborn: Path) -> None:
    path = stubborn / "private"
    with mmg.opened(mmg.try_open(path)) as handle:
        found = mmg.info(handle)
        assert mmg.content(handle) == DATA
        assert found.backing == abi.MMG_BACKING_MAP
        assert found.backing_reason == abi.MMG_REASON_MAP_PRIVATE
        (mapping,) = watch.mappings_of(path)
        assert mapping.permissions == "r--p"
        assert (found.lock, found.lock_reason) == (abi.MMG_LOCK_NONE, abi.MMG_LOCKING_COULD_HANG)


def test_a_private_mapping_holds_the_lock_that_is_asked_for(stubborn: Path) -> None:
    with mmg.opened(mmg.try_open(stubborn / "private", lock=abi.MMG_LOCK_SHARED)) as handle:
        found = mmg.info(handle)
        assert found.backing_reason == abi.MMG_REASON_MAP_PRIVATE
        assert (found.lock, found.lock_reason) == (abi.MMG_LOCK_SHARED, abi.MMG_LOCKING_HELD)


def test_a_private_mapping_satisfies_whoever_asked_for_a_mapping(stubborn: Path) -> None:
    with mmg.opened(mmg.try_open(stubborn / "private", backing=abi.MMG_BACKING_MAP)) as handle:
        assert mmg.info(handle).backing == abi.MMG_BACKING_MAP
        assert mmg.content(handle, 5000, 1000) == DATA[5000:6000]


def test_a_plain_user_space_file_system_is_mapped_shared(stubborn: Path) -> None:
    with mmg.opened(mmg.try_open(stubborn / "plain")) as handle:
        assert mmg.content(handle) == DATA
        assert mmg.info(handle).backing_reason == abi.MMG_REASON_LARGE
        assert watch.mappings_of(stubborn / "plain")[0].permissions == "r--s"


def test_a_file_that_holds_less_than_its_size_is_never_read_past_its_end(stubborn: Path) -> None:
    attempt = mmg.try_open(stubborn / "short", backing=abi.MMG_BACKING_COPY)
    with mmg.opened(attempt) as handle:
        assert mmg.content(handle) == DATA[:5000]


def test_a_file_that_says_it_is_empty_and_is_not_is_read(stubborn: Path) -> None:
    with mmg.opened(mmg.try_open(stubborn / "silent")) as handle:
        assert mmg.content(handle) == DATA
        assert mmg.info(handle).backing_reason == abi.MMG_REASON_VIRTUAL


def test_an_input_error_while_copying_says_which_errno_and_leaves_nothing(stubborn: Path) -> None:
    path = stubborn / "broken"
    for members in ({"backing": abi.MMG_BACKING_COPY}, {"copy_threshold": 1 << 30}):
        told = mmg.refused(mmg.try_open(path, **members), abi.MMG_E_IO)
        assert (told.operation, told.os_code, told.offset) == ("read", 5, 1 << 19)
        assert str(path) in told.message
    fd = os.open(path, os.O_RDONLY)
    try:
        mmg.refused(mmg.try_read_fd(fd), abi.MMG_E_IO)
    finally:
        os.close(fd)
    with mmg.opened(mmg.try_open(path, backing=abi.MMG_BACKING_COPY, length=1 << 19)) as handle:
        assert mmg.content(handle) == DATA[: 1 << 19]


def test_a_file_beyond_the_address_space_is_too_big(stubborn: Path) -> None:
    for members in ({}, {"backing": abi.MMG_BACKING_MAP}):
        mmg.refused(mmg.try_open(stubborn / "vast", **members), abi.MMG_E_TOO_BIG)
    mmg.refused(mmg.try_open(stubborn / "vast", backing=abi.MMG_BACKING_COPY), abi.MMG_E_TOO_BIG)
    if sanitizers():
        return  # they end the process at an allocation of this size instead of refusing it
    mmg.refused(
        mmg.try_open(stubborn / "vast", backing=abi.MMG_BACKING_COPY, max_bytes=mmg.NO_LIMIT),
        abi.MMG_E_NO_MEMORY,
    )
