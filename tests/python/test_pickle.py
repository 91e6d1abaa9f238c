# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pickling passes a reference to the file, never its bytes, and notices when it is not the same file any more."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from children import program

import mmapguard
from support import files


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_reference_is_small_and_opens_the_same_file(protocol: int, large: Path) -> None:
    with mmapguard.open(large, offset=100, length=1 << 20) as region:
        passed = pickle.dumps(region, protocol)
        assert len(passed) < 1000
        with pickle.loads(passed) as again:
            assert again[:] == region[:]
            assert again.info.offset == 100
            assert (again.info.inode, again.info.device) == (region.info.inode, region.info.device)
            assert pickle.dumps(again, protocol) == passed


def test_options_and_type_are_kept(large: Path) -> None:
    with _Named(large, stable=True, lock="ofd") as region, pickle.loads(pickle.dumps(region)) as again:
        assert type(again) is _Named
        assert again.info.guarantee == "stable"
        assert again.info.lock == region.info.lock


class _Named(mmapguard.Region):
    pass


def test_a_relative_path_is_made_absolute(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(large.parent)
    with mmapguard.open(large.name) as region:
        passed = pickle.dumps(region)
        monkeypatch.chdir("/")
        with pickle.loads(passed) as again:
            assert again[:] == region[:]


def test_another_file_under_the_name_is_stale_on_both_ends(large: Path) -> None:
    with mmapguard.open(large) as region:
        passed = pickle.dumps(region)
        copy = large.with_name("copy")
        shutil.copy2(large, copy)
        copy.rename(large)
        for attempt in (lambda: pickle.loads(passed), lambda: pickle.dumps(region)):
            with pytest.raises(mmapguard.StaleError, match="inode") as caught:
                attempt()
            assert caught.value.errno == errno.ESTALE
            assert caught.value.filename == str(large)


def test_a_changed_file_is_stale(large: Path) -> None:
    changes: dict[str, Callable[[], None]] = {
        "mtime": lambda: os.utime(large, ns=(1, 1)),
        "size": lambda: files.append(large, b"more"),
    }
    for what, change in changes.items():
        with mmapguard.open(large, backing="copy") as region:
            passed = pickle.dumps(region)
        change()
        with pytest.raises(mmapguard.StaleError, match=what):
            pickle.loads(passed)


def test_a_vanished_file_is_not_found(large: Path) -> None:
    with mmapguard.open(large) as region:
        passed = pickle.dumps(region)
    large.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(passed)


def test_what_has_no_path_cannot_be_pickled(large: Path) -> None:
    inlet, outlet = os.pipe()
    os.close(outlet)
    with large.open("rb") as file, mmapguard.open(file) as by_descriptor, mmapguard.open(inlet) as stream:
        with mmapguard.read_fd(file) as read:
            for region in (by_descriptor, stream, read):
                with pytest.raises(TypeError, match="by its path"):
                    pickle.dumps(region)
    os.close(inlet)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_worker_processes_map_the_same_file(method: str, large: Path) -> None:
    """In a program of its own, for multiprocessing leaves its helpers running until the end of the process."""
    source = """
import concurrent.futures, multiprocessing, sys, zlib
import mmapguard
path, method = sys.argv[1:]
context = multiprocessing.get_context(method)
regions = [mmapguard.open(path, offset=at, length=300_000) for at in range(0, 900_000, 300_000)]
with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
    print(list(pool.map(zlib.crc32, regions)))
"""
    data = large.read_bytes()
    expected = [zlib.crc32(data[at : at + 300_000]) for at in range(0, 900_000, 300_000)]
    assert program(source, large, method).returned() == f"{expected}\n"


def test_a_forked_child_reads_and_closes_what_it_inherited(large: Path) -> None:
    from support.children import in_child

    def child() -> tuple[bytes, bytes]:
        view = memoryview(region)
        region.close()
        result = bytes(view[:10]), bytes(kept[-10:])
        view.release()
        return result

    with mmapguard.open(large) as region, memoryview(region) as kept:
        data = large.read_bytes()
        assert in_child(child) == (data[:10], data[-10:])
        assert region[:] == data
