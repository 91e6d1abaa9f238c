# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions over mappings that another library has made use them in place, contain losses, and keep them mapped."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from children import program

import mmapguard
from support import files

PAGE = mmap.PAGESIZE
SIZE = 64 * PAGE


def mapped(path: Path, size: int = SIZE) -> mmap.mmap:
    """Return a mapping of the standard library of a new file."""
    files.sample(path, size)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_the_bytes_are_those_of_the_object(tmp_path: Path) -> None:
    view = mapped(tmp_path / "file")
    data = bytes(view)
    with mmapguard.adopt(view) as region:
        assert region[:] == data and len(region) == SIZE
        assert region.find(data[5000:5010]) == data.find(data[5000:5010])
        assert np.shares_memory(np.frombuffer(region, "u1"), np.frombuffer(view, "u1"))
        assert (region.name, region.path) == (str(tmp_path / "file"), str(tmp_path / "file"))
        info = region.info
        assert (info.backing, info.guarantee, info.lock) == ("adopted", "contained", "none")
        assert info.inode == (tmp_path / "file").stat().st_ino


def test_a_cut_raises_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    array = np.memmap(path, "<u4", "w+", shape=SIZE // 4)
    array[:] = 7
    array.flush()
    array = np.memmap(path, "<u4", "r")

    def total() -> int:
        with mmapguard.adopt(array):
            os.truncate(path, PAGE)
            return int(array.sum())

    with pytest.raises(mmapguard.TruncatedError) as caught:
        total()
    assert (caught.value.filename, caught.value.offset) == (str(path), PAGE)
    assert array.sum() == 7 * PAGE // 4


def test_a_slice_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = memoryview(mapped(path))[PAGE + 17 : -5]
    region = mmapguard.adopt(view)
    assert region.info.offset == PAGE + 17
    assert region[:] == bytes(view)
    os.truncate(path, 3 * PAGE)
    with pytest.raises(mmapguard.TruncatedError) as caught:
        region.read()
    assert caught.value.offset == 2 * PAGE - 17
    region.close()


PLAIN = """
import mmap, os, sys, mmapguard
with open(sys.argv[1], "rb") as file:
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
region = mmapguard.adopt(view)
if sys.argv[2] == "closed":
    region.close()
os.truncate(sys.argv[1], 0)
print(view[-1])
region.close()
"""


def test_behind_the_region_the_mapping_is_as_it_was(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "closed", SIZE).path
    program(PLAIN, path, "closed").died_of(signal.SIGBUS)
    ended = program(PLAIN, files.sample(tmp_path / "open", SIZE).path, "open")
    assert (ended.code, ended.value) == (0, "0\n"), ended


def test_the_owner_cannot_unmap_while_the_region_or_a_view_lives(tmp_path: Path) -> None:
    view = mapped(tmp_path / "file")
    region = mmapguard.adopt(view)
    with pytest.raises(BufferError):
        view.close()
    shown = memoryview(region)
    region.close()
    with pytest.raises(BufferError):
        view.close()
    first = shown[0]
    shown.release()
    view.close()
    assert first == (tmp_path / "file").read_bytes()[0]


def test_a_region_that_nobody_closes_lets_go(tmp_path: Path) -> None:
    view = mapped(tmp_path / "file")
    mmapguard.adopt(view)
    gc.collect()
    view.close()


def test_what_is_no_file_mapping_is_refused(tmp_path: Path) -> None:
    anonymous = mmap.mmap(-1, SIZE)
    for other in (bytes(SIZE), anonymous, np.zeros(SIZE)):
        with pytest.raises(OSError, match=r".") as caught:
            mmapguard.adopt(other)
        assert caught.value.errno == errno.ENODEV
    anonymous.close()
    with pytest.raises(TypeError):
        mmapguard.adopt("text")
    with pytest.raises(BufferError, match="side by side"):
        mmapguard.adopt(np.frombuffer(mapped(tmp_path / "file"), "u1")[::2])
    with pytest.raises(ValueError, match="negative"):
        mmapguard.adopt(b"", fd=-1)


def test_a_shared_mapping_that_can_be_written_to_is_taken_when_asked(tmp_path: Path) -> None:
    files.sample(tmp_path / "file", SIZE)
    with open(tmp_path / "file", "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    with pytest.raises(OSError, match=r".") as caught:
        mmapguard.adopt(view)
    assert caught.value.errno == errno.ENODEV
    region = mmapguard.adopt(view, shared_writable=True)
    view[0] = 255
    assert region[0] == 255
    region.close()


def test_a_file_without_a_path_is_given_by_its_descriptor(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", SIZE).path
    with open(path, "r+b") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            mmapguard.adopt(view)
        region = mmapguard.adopt(view, fd=file)
        file.truncate(PAGE)
    with pytest.raises(mmapguard.TruncatedError):
        region.read()
    region.close()


def test_stable_in_place_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    before = bytes(view)
    try:
        region = mmapguard.adopt(view, stable=True)
    except mmapguard.UnstableError as refused:
        pytest.skip(f"the file system of the temporary folder has no means for it: {refused}")
    files.overwrite(path, b"other bytes")
    assert region[:] == before and bytes(view) == before
    region.check()
    region.close()


def test_it_is_no_reference_and_no_arrow_array(tmp_path: Path) -> None:
    view = mapped(tmp_path / "file")
    with mmapguard.adopt(view) as region:
        with pytest.raises(TypeError, match="adopted"):
            pickle.dumps(region)
        with pytest.raises(ValueError, match="adopted"):
            region.__arrow_c_array__()


def test_the_ledger_says_who_made_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    mark = mmapguard.losses().mark
    region = mmapguard.adopt(view)
    os.truncate(path, PAGE)
    assert view[-1] == 0
    (loss,) = mmapguard.losses(mark)
    assert (loss.origin, loss.path, loss.offset) == ("adopted", str(path), PAGE)
    with pytest.raises(mmapguard.TruncatedError):
        region.check()
    region.close()
