# SPDX-License-Identifier: MIT OR Apache-2.0
"""MMG_ADVICE_EVICT drops pages from the page cache, and no byte that anybody needs."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import time
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.files import PAGE, Sample

SIZE = 4 << 20
STABLE = abi.MMG_GUARANTEE_STABLE


def cached(path: Path, offset: int = 0, length: int = SIZE) -> int:
    """Return how many bytes of a range are in the page cache, as mincore(2) tells for a mapping that nobody touched."""
    vector = (ctypes.c_ubyte * (length // PAGE))()
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb+") as file, mmap.mmap(file.fileno(), length, offset=offset) as view:
        start = ctypes.addressof(ctypes.c_char.from_buffer(view))
        assert libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(length), vector) == 0
    return PAGE * sum(entry & 1 for entry in vector)


def clean(path: Path, seed: int, size: int = SIZE) -> Sample:
    """Make a file of which every page is in the page cache and clean."""
    sample = files.sample(path, size, seed)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    assert path.read_bytes() == sample.data
    return sample


@pytest.fixture
def file(tmp_path: Path) -> Sample:
    """Give a file on a file system that keeps its pages in the page cache and can drop them."""
    sample = clean(tmp_path / "file", 1)
    fd = os.open(sample.path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    if cached(sample.path):
        pytest.skip("the temporary folder is in memory, where pages cannot be dropped")
    assert sample.path.read_bytes() == sample.data
    return sample


def evict(handle: int, offset: int = 0, length: int = mmg.TO_END) -> int:
    """Give the advice."""
    return mmg.advise(handle, abi.MMG_ADVICE_EVICT, offset, length)


def evicted(handle: int, path: Path, offset: int = 0, length: int = SIZE) -> bool:
    """Evict until nothing of the file is in the cache. The kernel keeps a page that it uses itself at this moment."""
    until = time.monotonic() + 10
    while True:
        assert evict(handle) == abi.MMG_OK
        if cached(path, offset, length) == 0 or time.monotonic() > until:
            return cached(path, offset, length) == 0
        time.sleep(0.01)


def test_the_pages_of_the_file_leave_the_cache_and_those_of_others_stay(file: Sample, tmp_path: Path) -> None:
    other = clean(tmp_path / "other", 2)
    with mmg.opened(mmg.try_open(file.path)) as handle, mmg.pinned(handle) as span:
        assert mmg.span_bytes(span) == file.data
        assert cached(file.path) == SIZE
        assert evicted(handle, file.path)
        assert cached(other.path) == SIZE
        assert mmg.span_bytes(span) == file.data
        assert mmg.check(handle) == abi.MMG_OK


def test_only_whole_pages_of_the_range_leave(file: Sample) -> None:
    with mmg.opened(mmg.try_open(file.path, offset=PAGE)) as handle, mmg.pinned(handle):
        assert evict(handle, SIZE // 2 - 1, SIZE // 4 + 2) == abi.MMG_OK
        assert cached(file.path, 0, SIZE // 2) == SIZE // 2
        assert cached(file.path, SIZE // 4 * 3 + 2 * PAGE, SIZE // 4 - 2 * PAGE) == SIZE // 4 - 2 * PAGE
        assert evicted(handle, file.path, SIZE // 2, SIZE // 2)
        # The kernel may hold the page before the window in one piece with others, which then stay, too.
        assert cached(file.path, 0, PAGE) == PAGE
        assert mmg.content(handle) == file.data[PAGE:]


def test_pages_that_others_map_stay(file: Sample) -> None:
    with file.path.open("rb") as opened, mmap.mmap(opened.fileno(), SIZE, prot=mmap.PROT_READ) as theirs:
        assert theirs[: SIZE // 2] == file.data[: SIZE // 2]
        with mmg.opened(mmg.try_open(file.path)) as handle:
            assert mmg.content(handle) == file.data
            assert evict(handle) == abi.MMG_OK
            assert cached(file.path, 0, SIZE // 2) == SIZE // 2
            assert mmg.content(handle) == file.data
        assert theirs[:] == file.data


def test_dirty_pages_are_written_and_never_lost(file: Sample) -> None:
    new = mmg.pattern(SIZE, 3)
    with mmg.opened(mmg.try_open(file.path)) as handle, mmg.pinned(handle) as span:
        with file.path.open("r+b") as writer:
            writer.write(new)
            writer.flush()
            assert evict(handle) == abi.MMG_OK
            assert mmg.span_bytes(span) == new
            os.fsync(writer.fileno())
        assert evicted(handle, file.path)
        assert mmg.span_bytes(span) == new
    assert file.path.read_bytes() == new


def test_locked_pages_stay(file: Sample) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with mmg.opened(mmg.try_open(file.path)) as handle, mmg.pinned(handle) as span:
        place, half = ctypes.c_void_p(mmg.address(span)), ctypes.c_size_t(SIZE // 2)
        if libc.mlock(place, half) != 0:
            pytest.skip("this user may not lock 2 MiB of memory")
        assert evict(handle) == abi.MMG_OK
        assert cached(file.path, 0, SIZE // 2) == SIZE // 2
        assert libc.munlock(place, half) == 0
        assert evicted(handle, file.path)
        assert mmg.span_bytes(span) == file.data


def test_a_copy_has_no_pages_to_drop(file: Sample) -> None:
    with mmg.opened(mmg.try_open(file.path, backing=abi.MMG_BACKING_COPY)) as handle:
        assert evict(handle) == abi.MMG_OK
        assert cached(file.path) == SIZE
        assert mmg.content(handle) == file.data


@pytest.mark.parametrize("flags", [0, abi.MMG_FLAG_NO_LEASE])
def test_a_lease_or_a_snapshot_keeps_its_bytes(file: Sample, flags: int) -> None:
    attempt = mmg.try_open(file.path, guarantee=STABLE, backing=abi.MMG_BACKING_MAP, flags=flags)
    with mmg.opened(attempt) as handle, mmg.pinned(handle) as span:
        means = mmg.info(handle).means
        assert means in (abi.MMG_MEANS_LEASE, abi.MMG_MEANS_REFLINK, abi.MMG_MEANS_SNAPSHOT)
        assert evict(handle) == abi.MMG_OK
        assert cached(file.path) == SIZE  # a lease needs its pages, and a snapshot has others
        assert mmg.span_bytes(span) == file.data
        assert mmg.check(handle) == abi.MMG_OK
        if means == abi.MMG_MEANS_LEASE:
            subprocess.run(["dd", "if=/dev/zero", f"of={file.path}", "count=1", "status=none"], check=True)
            assert evict(handle) == abi.MMG_OK
            assert mmg.span_bytes(span) == file.data


def test_a_private_mapping_that_was_adopted_keeps_what_its_owner_wrote(file: Sample) -> None:
    if not mmg.lib.mmg_supports(abi.MMG_FEATURE_FOREIGN):
        pytest.skip("the kernel does not tell what is mapped")
    with file.path.open("rb") as opened, mmap.mmap(opened.fileno(), SIZE, access=mmap.ACCESS_COPY) as owner:
        owner[:3] = b"own"
        base = ctypes.c_char.from_buffer(owner)
        handle = ctypes.c_uint64()
        place = ctypes.c_void_p(ctypes.addressof(base))
        status = mmg.lib.mmg_adopt(place, SIZE, opened.fileno(), None, ctypes.byref(handle), None)
        assert status == abi.MMG_OK, mmg.status_name(status)
        assert evict(handle.value) == abi.MMG_OK
        assert owner[:3] == b"own"
        assert owner[3:] == file.data[3:]
        assert mmg.close(handle.value) == abi.MMG_OK
        del base


def test_a_descriptor_that_the_host_has_closed_evicts_no_other_file(file: Sample, tmp_path: Path) -> None:
    watch.need_plain_files(tmp_path)
    other = clean(tmp_path / "other", 2)
    handle = mmg.accepted(mmg.try_open(file.path))
    (fd,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if names(link, file.path)]
    stranger = os.open(other.path, os.O_RDONLY)
    os.dup2(stranger, fd)
    assert evict(handle) == abi.MMG_E_SYSTEM
    assert cached(other.path) == SIZE
    assert mmg.close(handle) == abi.MMG_OK
    os.close(stranger)
    os.close(fd)


def names(link: Path, path: Path) -> bool:
    """Return True when a descriptor names the file. The descriptor of the listing itself is closed by now."""
    try:
        return link.readlink() == path
    except FileNotFoundError:
        return False


def test_a_scan_of_a_large_file_leaves_little_of_it_in_the_cache(file: Sample) -> None:
    size, step, most = 8 * SIZE, 1 << 20, 0
    large = clean(file.path.with_name("large"), 4, size)
    with mmg.opened(mmg.try_open(large.path, access=abi.MMG_ADVICE_SEQUENTIAL)) as handle:
        assert evicted(handle, large.path, 0, size)
        for at in range(0, size, step):
            assert mmg.content(handle, at, step) == large.data[at : at + step]
            assert evict(handle, 0, at + step) == abi.MMG_OK
            most = max(most, cached(large.path, 0, size))
    # The kernel reads 4 MiB ahead, and holds up to 2 MiB in one piece, which stays as long as a part of it is ahead.
    assert most <= size // 2
