# SPDX-License-Identifier: MIT OR Apache-2.0
"""Views copy nothing, are read-only, hold a pin each, and outlive the end of their region."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from children import program

import mmapguard
from support import files, library, watch


def test_a_view_is_the_mapping_itself(large: Path) -> None:
    with mmapguard.open(large) as region:
        array = np.frombuffer(region, np.uint8)
        place = watch.mapping_at(array.ctypes.data)
        assert place is not None and place.inode == large.stat().st_ino
        assert not array.flags.writeable
        view = memoryview(region)
        assert view.obj is region
        assert view.readonly and view.format == "B" and view.contiguous
        assert view.nbytes == files.LARGE
        del array, view


def test_every_view_has_a_pin_of_its_own(either: Path) -> None:
    with mmapguard.open(either) as region:
        assert region.info.pins == region.exports == 0
        assert region[0] == region[-len(region)]
        assert region.info.pins == region.exports == 0
        views = []
        for count in range(1, 40):
            views.append(memoryview(region))
            assert region.info.pins == region.exports == count
        views[0].release()
        assert region.info.pins == region.exports == 38
        again = memoryview(region)
        assert region.info.pins == region.exports == 39
        slices = [again[5:10], again[7:]]
        assert region.info.pins == region.exports == 39
        del views, again, slices
        assert region.info.pins == region.exports == 0


@pytest.mark.parametrize("count", [1, 2, 30])
def test_views_outlive_close(count: int, either: Path) -> None:
    data = either.read_bytes()
    region = mmapguard.open(either)
    views = [memoryview(region) for _ in range(count)]
    regions = mmapguard.stats().regions
    region.close()
    assert region.closed
    assert mmapguard.stats().regions == regions
    with pytest.raises(ValueError, match="closed"):
        memoryview(region)
    assert all(bytes(view) == data for view in views)
    region = None  # type: ignore[assignment]
    gc.collect()
    while views:
        assert mmapguard.stats().regions == regions
        assert bytes(views.pop()) == data
    assert mmapguard.stats().regions == regions - 1


def test_views_outlive_a_region_that_nobody_closed(either: Path) -> None:
    array = np.frombuffer(mmapguard.open(either), np.uint8)
    gc.collect()
    assert array.tobytes() == either.read_bytes()


def test_a_block_may_return_a_view(large: Path) -> None:
    def view() -> memoryview:
        with mmapguard.open(large) as region:
            return memoryview(region)[100:200]

    assert bytes(view()) == large.read_bytes()[100:200]


def test_strict_close_refuses_while_views_live(either: Path) -> None:
    region = mmapguard.open(either)
    with memoryview(region):
        with pytest.raises(BufferError, match="exported pointers exist"):
            region.close(strict=True)
        assert not region.closed
    assert region[0] == either.read_bytes()[0]
    region.close(strict=True)
    assert region.closed


def test_a_writable_buffer_is_refused_and_leaves_no_pin(either: Path) -> None:
    import ctypes

    with mmapguard.open(either) as region:
        with memoryview(region), pytest.raises((BufferError, TypeError)):
            ctypes.c_char.from_buffer(region)
        with pytest.raises((BufferError, TypeError)):
            ctypes.c_char.from_buffer(region)
        with either.open("rb") as file, pytest.raises(TypeError):
            file.readinto(region)
        assert region.info.pins == region.exports == 0


def test_an_exit_with_live_views_is_quiet(either: Path) -> None:
    source = """
import sys, mmapguard
class Cycle(mmapguard.Region):
    pass
kept = mmapguard.open(sys.argv[1])
view = memoryview(kept)[5:]
closed = mmapguard.open(sys.argv[1])
other = memoryview(closed)
closed.close()
cycle = Cycle(sys.argv[1])
cycle.view = memoryview(cycle)
cycle.itself = cycle
sys.modules["kept"] = view
print(len(view), len(other))
"""
    ended = program(source, either, options=("-X", "dev", "-W", "error"))
    size = either.stat().st_size
    assert (ended.code, ended.value, ended.errors) == (0, f"{size - 5} {size}\n", "")


def test_a_loss_found_with_the_last_view_of_a_closed_region_warns(large: Path) -> None:
    region = mmapguard.open(large)
    view = memoryview(region)
    region.close()
    with large.open("r+b") as file:
        file.truncate(8192)
    assert not any(view[-100:])
    with pytest.warns(mmapguard.MapFaultWarning, match="truncated"):
        view.release()


def test_a_loss_that_nobody_was_told_of_warns_at_close(large: Path) -> None:
    for end in (mmapguard.Region.close, lambda region: None):
        files.sample(large, files.LARGE)
        region = mmapguard.open(large)
        with large.open("r+b") as file:
            file.truncate(8192)
        assert region[-1] == 0
        held = [region]
        del region
        with pytest.warns(mmapguard.MapFaultWarning, match="truncated"):
            end(held.pop())


def test_a_loss_that_was_raised_is_not_warned_of_again(large: Path) -> None:
    region = mmapguard.open(large)
    view = memoryview(region)
    with large.open("r+b") as file:
        file.truncate(8192)
    assert not any(view[-100:])
    with pytest.raises(mmapguard.TruncatedError):
        region.check()
    view.release()
    region.close()


def test_extension_and_ctypes_share_one_library(large: Path) -> None:
    """Two copies would mean two signal handlers and two tables of handles."""
    from mmapguard import abi

    before = library.stats().opened
    with mmapguard.open(large):
        assert library.stats().opened == before + 1
        assert abi.load().mmg_guard_state() == abi.MMG_GUARD_TOP
    copies = {one.path for one in watch.mappings() if "libmmapguard" in one.path}
    assert len(copies) == 1
    source = """
import mmapguard.abi
library = mmapguard.abi.load()
import mmapguard, ctypes
region = mmapguard.open(__import__("sys").argv[1])
stats = mmapguard.abi.mmg_stats()
library.mmg_stats_get(ctypes.byref(stats))
print(stats.handles)
"""
    assert program(source, large, environment={"MMAPGUARD_LIBRARY": ""}).value == "1\n"
