# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fork: a child uses and closes what it inherited, and neither process feels what the other does."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import Helper, Line, in_child
from support.files import Sample

EXCLUSIVE = {abi.MMG_LOCK_SHARED: "flock exclusive", abi.MMG_LOCK_OFD: "posix exclusive"}


def test_a_child_reads_what_it_inherited(either: Sample) -> None:
    def within(handle: int) -> bool:
        assert mmg.content(handle) == either.data
        assert mmg.read(handle, 10, 100) == (abi.MMG_OK, either.data[10:110])
        assert mmg.find(handle, either.data[500:520]) == (abi.MMG_OK, 500)
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.changed(handle) == (abi.MMG_OK, 0)
        return bool(mmg.info(handle).size == either.size)

    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert in_child(within, handle)
        assert mmg.content(handle) == either.data


def test_a_child_closes_what_it_inherited_and_the_parent_keeps_it(either: Sample) -> None:
    def within(handle: int) -> tuple[int, int, dict[str, int]]:
        first, second = mmg.close(handle), mmg.close(handle)
        assert watch.descriptors_of(either.path) == []
        assert watch.mappings_of(either.path) == []
        return first, second, watch.counters()

    baseline = watch.counters()
    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert in_child(within, handle) == (abi.MMG_OK, abi.MMG_E_HANDLE, baseline)
        assert mmg.content(handle) == either.data
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.info(handle).pins == 0


@pytest.mark.parametrize("lock", sorted(EXCLUSIVE))
def test_a_child_that_closes_or_ends_does_not_give_the_parents_lock_away(large: Sample, lock: int) -> None:
    with mmg.opened(mmg.try_open(large.path, lock=lock)) as handle:
        assert in_child(mmg.close, handle) == abi.MMG_OK
        assert not files.obtainable(large.path, EXCLUSIVE[lock])
        in_child(os.getpid)
        assert not files.obtainable(large.path, EXCLUSIVE[lock])
    assert files.obtainable(large.path, EXCLUSIVE[lock])


def test_a_child_that_opens_and_closes_the_file_does_not_give_the_parents_lock_away(large: Sample) -> None:
    def within() -> None:
        for lock in EXCLUSIVE:
            with mmg.opened(mmg.try_open(large.path, lock=lock)) as own:
                mmg.content(own)

    for lock, kind in EXCLUSIVE.items():
        with mmg.opened(mmg.try_open(large.path, lock=lock)):
            in_child(within)
            assert not files.obtainable(large.path, kind)


def _child_reader(line: Line, handle: int, expected: bytes) -> None:
    line.say("ready")
    assert line.hear() == "parent has closed"
    assert mmg.content(handle) == expected
    assert mmg.check(handle) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_E_HANDLE
    line.say("done")


@pytest.mark.parametrize("lock", sorted(EXCLUSIVE))
def test_a_parent_that_closes_leaves_the_child_its_bytes(either: Sample, lock: int) -> None:
    handle = mmg.accepted(mmg.try_open(either.path, lock=lock))
    mapped = mmg.info(handle).backing == abi.MMG_BACKING_MAP
    with Helper(_child_reader, handle, either.data) as line:
        assert line.hear() == "ready"
        assert mmg.close(handle) == abi.MMG_OK
        if mapped:
            assert not files.obtainable(either.path, EXCLUSIVE[lock]), "the child still has it mapped"
        line.say("parent has closed")
        assert line.hear() == "done"
        assert files.obtainable(either.path, EXCLUSIVE[lock])


def test_a_child_ends_a_pin_of_its_own_copy_only(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    _, span = mmg.pin(handle, 100, 100)

    def within() -> tuple[bytes, int, int, int]:
        shown = mmg.span_bytes(span)
        before = mmg.info(handle).pins
        status = mmg.unpin(span)
        return shown, before, status, mmg.info(handle).pins

    assert in_child(within) == (either.data[100:200], 1, abi.MMG_OK, 0)
    assert mmg.info(handle).pins == 1
    assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_E_BUSY
    assert mmg.span_bytes(span) == either.data[100:200]
    assert mmg.close(handle) == abi.MMG_OK
    assert mmg.span_bytes(span) == either.data[100:200]
    assert mmg.unpin(span) == abi.MMG_OK


def test_a_closed_but_pinned_region_passes_into_the_child(either: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(either.path))
    _, span = mmg.pin(handle)
    assert mmg.close(handle) == abi.MMG_OK

    def within() -> tuple[bool, int, int]:
        same = mmg.span_bytes(span) == either.data
        return same, mmg.unpin(span), watch.counters()["regions"]

    regions = watch.counters()["regions"]
    assert in_child(within) == (True, abi.MMG_OK, regions - 1)
    assert mmg.span_bytes(span) == either.data
    assert mmg.unpin(span) == abi.MMG_OK


def test_a_handle_of_a_child_means_nothing_to_the_parent(either: Sample) -> None:
    def within() -> list[int]:
        return [mmg.accepted(mmg.try_open(either.path)) for _ in range(20)]

    for handle in in_child(within, leaves_open=True):
        assert mmg.check(handle) == abi.MMG_E_HANDLE
        assert mmg.close(handle) == abi.MMG_E_HANDLE


def test_a_child_opens_files_of_its_own(either: Sample, tmp_path: Path) -> None:
    other = files.sample(tmp_path / "other", files.LARGE, seed=30)

    def within(inherited: int) -> bool:
        handles = [mmg.accepted(mmg.try_open(other.path)) for _ in range(10)]
        assert inherited not in handles
        assert all(mmg.content(handle) == other.data for handle in handles)
        assert mmg.content(inherited) == either.data
        return all(mmg.close(handle) == abi.MMG_OK for handle in handles)

    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert in_child(within, handle)
        assert mmg.content(handle) == either.data


def test_grandchildren_inherit_too(either: Sample) -> None:
    def inner(handle: int) -> bytes:
        return mmg.content(handle)

    def outer(handle: int) -> bytes:
        found = in_child(inner, handle)
        assert mmg.close(handle) == abi.MMG_OK
        return bytes(found)

    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert in_child(outer, handle) == either.data


def test_a_fork_in_the_middle_of_a_storm_leaves_the_child_a_working_library(
    small: Sample, large: Sample
) -> None:
    """Other threads open, pin and close while this one forks: nothing in the child is left half done or locked."""
    stop = threading.Event()

    def storm(path: Path) -> None:
        while not stop.is_set():
            handle = mmg.accepted(mmg.try_open(path))
            status, span = mmg.pin(handle, 0, 10)
            assert status == abi.MMG_OK
            mmg.close(handle)
            mmg.unpin(span)

    def within() -> bool:
        for file in (small, large):
            for _ in range(20):
                with mmg.opened(mmg.try_open(file.path)) as own:
                    assert mmg.content(own) == file.data
        with mmg.opened(mmg.try_open(large.path, guarantee=abi.MMG_GUARANTEE_STABLE)) as own:
            return mmg.content(own) == large.data

    workers = [threading.Thread(target=storm, args=(path,)) for path in (small.path, large.path)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(25):
            assert in_child(within)
    finally:
        stop.set()
        for worker in workers:
            worker.join()


# ------------------------------------------------------------------------------------- what a child does not have --


def lose_without_hooks(path: Path) -> None:
    """Run in the child of _Fork(3), which calls no fork hooks. Use only signal-safe calls and the guard."""
    libc = ctypes.CDLL(None)
    with mmg.opened(mmg.try_open(path, backing=abi.MMG_BACKING_MAP)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        size = os.stat(path).st_size
        child = libc._Fork()
        if child == 0:
            code = 1
            try:
                os.truncate(path, files.PAGE)
                lost = mmg.span_bytes(span)[files.PAGE :] == bytes(size - files.PAGE)
                told = mmg.check(handle) == abi.MMG_E_TRUNCATED and mmg.unpin(span) == abi.MMG_E_TRUNCATED
                code = 0 if lost and told and mmg.close(handle) == abi.MMG_OK else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert mmg.span_bytes(span)[files.PAGE :] == bytes(size - files.PAGE)
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "_Fork"), reason="the C library has no _Fork(3)")
def test_a_child_without_hooks_contains_a_loss(large: Sample) -> None:
    in_child(lose_without_hooks, large.path)


def close_what_no_thread_unpins(handle: int, path: Path) -> None:
    assert mmg.close(handle, abi.MMG_CLOSE_STRICT) == abi.MMG_E_BUSY
    assert mmg.close(handle) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_E_HANDLE
    assert mmg.pin(handle)[0] == abi.MMG_E_HANDLE
    fresh = mmg.accepted(mmg.try_open(path))
    assert mmg.content(fresh) == path.read_bytes()
    assert mmg.close(fresh, abi.MMG_CLOSE_STRICT) == abi.MMG_OK


def test_a_pin_of_another_thread_keeps_the_memory_to_the_end_of_the_child(either: Sample) -> None:
    """The thread does not exist in the child, so nobody ends its pin. The handle closes all the same."""
    with mmg.opened(mmg.try_open(either.path)) as handle:
        pinned, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            with mmg.pinned(handle):
                pinned.set()
                go_on.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        pinned.wait()
        try:
            in_child(close_what_no_thread_unpins, handle, either.path)
        finally:
            go_on.set()
            holder.join()
        assert mmg.info(handle).pins == 0


def idle(line: Line, handle: int) -> None:
    line.say("forked")
    line.hear()
    assert mmg.close(handle) == abi.MMG_OK
    line.say("closed")
    line.hear()


@pytest.mark.parametrize("lock", sorted(EXCLUSIVE))
def test_a_child_that_idles_keeps_the_lock_until_it_closes(large: Sample, lock: int) -> None:
    """The lock belongs to the open file, which both processes share. SAFETY.md says so."""
    handle = mmg.accepted(mmg.try_open(large.path, lock=lock))
    with Helper(idle, handle) as child:
        assert child.hear() == "forked"
        assert mmg.close(handle) == abi.MMG_OK
        assert not files.obtainable(large.path, EXCLUSIVE[lock])
        child.say("close")
        assert child.hear() == "closed"
        assert files.obtainable(large.path, EXCLUSIVE[lock])
        child.say("end")
