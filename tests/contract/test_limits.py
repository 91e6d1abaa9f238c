# SPDX-License-Identifier: MIT OR Apache-2.0
"""Caps, and a lack of descriptors, mappings, address space or memory, end in a defined status; nothing leaks."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import DEADLINE, Helper, Line, in_child, sanitizers
from support.files import LARGE, PAGE, Sample
from support.small_room import in_small_room, squeeze

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]

MAP_NORESERVE = 0x4000


# ---------------------------------------------------------------------------------------------------------- caps --


def test_a_copy_of_exactly_the_cap_fits_and_one_byte_over_does_not(either: Sample) -> None:
    for cap in (either.size, either.size + 1, mmg.NO_LIMIT, 0):
        with mmg.opened(mmg.try_open(either.path, backing=abi.MMG_BACKING_COPY, max_bytes=cap)) as handle:
            assert mmg.content(handle) == either.data
    for cap in (1, either.size - 1):
        attempt = mmg.try_open(either.path, backing=abi.MMG_BACKING_COPY, max_bytes=cap)
        told = mmg.refused(attempt, abi.MMG_E_TOO_BIG)
        assert str(either.path) in told.message


def test_a_cap_of_one_byte_lets_one_byte_through(tmp_path: Path) -> None:
    one, two = files.sample(tmp_path / "one", 1), files.sample(tmp_path / "two", 2)
    with mmg.opened(mmg.try_open(one.path, max_bytes=1, backing=abi.MMG_BACKING_COPY)) as handle:
        assert mmg.content(handle) == one.data
    mmg.refused(mmg.try_open(two.path, max_bytes=1, backing=abi.MMG_BACKING_COPY), abi.MMG_E_TOO_BIG)


def test_the_cap_holds_for_what_is_copied_by_itself_too(small: Sample) -> None:
    # Small enough to be copied, but over the cap: mapped, and in no case copied.
    with mmg.opened(mmg.try_open(small.path, max_bytes=small.size - 1)) as handle:
        assert mmg.info(handle).backing == abi.MMG_BACKING_MAP
        assert mmg.content(handle) == small.data


def test_the_cap_says_nothing_about_mappings(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, max_bytes=1)) as handle:
        assert mmg.info(handle).backing == abi.MMG_BACKING_MAP
        assert mmg.content(handle) == large.data


def test_the_default_cap_is_a_gibibyte_to_the_byte(tmp_path: Path) -> None:
    within = files.sparse(tmp_path / "within", 1 << 30)
    beyond = files.sparse(tmp_path / "beyond", (1 << 30) + 1)
    for cap in (0, 1 << 30):
        members = {"backing": abi.MMG_BACKING_COPY, "max_bytes": cap}
        mmg.refused(mmg.try_open(beyond, **members), abi.MMG_E_TOO_BIG)
        assert in_small_room(mmg.try_open, within, **members)[0] == abi.MMG_E_NO_MEMORY


# --------------------------------------------------------------------------------------------------- descriptors --


def use_up_descriptors() -> list[int]:
    """Open files up to a limit of 64 descriptors. Return what was opened."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    ballast: list[int] = []
    try:
        while True:
            ballast.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as failure:
        if failure.errno != errno.EMFILE:
            raise
    return ballast


def test_out_of_descriptors_is_a_limit_and_nothing_is_leaked(either: Sample) -> None:
    def within() -> tuple[int, int, bool]:
        ballast = use_up_descriptors()
        before = watch.counters()
        attempts = [
            mmg.try_open(either.path),
            mmg.try_load(either.path),
            mmg.try_open(either.path, lock=abi.MMG_LOCK_OFD),
        ]
        for attempt in attempts:
            mmg.refused(attempt, abi.MMG_E_LIMIT)
            assert attempt.details.os_code == errno.EMFILE
            assert str(either.path) in attempt.details.message
        os.close(ballast.pop())
        with mmg.opened(mmg.try_open(either.path)) as handle:
            assert mmg.content(handle) == either.data
        ballast.append(os.open("/dev/null", os.O_RDONLY))  # the library has closed its own descriptor
        return len(attempts), attempts[0].status, watch.counters() == before

    assert in_child(within) == (3, abi.MMG_E_LIMIT, True)


def test_reading_a_descriptor_needs_no_further_one(either: Sample) -> None:
    def within() -> bool:
        fd = os.open(either.path, os.O_RDONLY)
        use_up_descriptors()
        with mmg.opened(mmg.try_read_fd(fd)) as handle:
            return mmg.content(handle) == either.data

    assert in_child(within)


def test_opening_a_descriptor_without_another_to_spare_is_a_limit(either: Sample) -> None:
    def within() -> int:
        fd = os.open(either.path, os.O_RDONLY)
        use_up_descriptors()
        return mmg.try_open_fd(fd).status

    assert in_child(within) == abi.MMG_E_LIMIT


def test_copies_do_not_use_descriptors_up(small: Sample) -> None:
    def within() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        handles = [mmg.accepted(mmg.try_open(small.path)) for _ in range(1000)]
        return sum(mmg.close(handle) == abi.MMG_OK for handle in handles)

    assert in_child(within) == 1000


def test_closing_gives_descriptors_back_for_the_next_mapping(large: Sample) -> None:
    def within() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        handles: list[int] = []
        attempt = mmg.try_open(large.path)
        while attempt.status == abi.MMG_OK:
            handles.append(attempt.handle)
            attempt = mmg.try_open(large.path)
        mmg.refused(attempt, abi.MMG_E_LIMIT)
        for _ in range(100):
            assert mmg.close(handles.pop()) == abi.MMG_OK
            handles.append(mmg.accepted(mmg.try_open(large.path)))
        assert all(mmg.content(handle) == large.data for handle in handles)
        count = len(handles)
        while handles:
            assert mmg.close(handles.pop()) == abi.MMG_OK
        return count

    assert in_child(within) > 20


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) < 8, reason="there, such a window is MMG_E_TOO_BIG")
@pytest.mark.parametrize("bits", [52, 62])
def test_a_window_that_no_address_space_holds_is_a_limit(bits: int) -> None:
    fd = os.memfd_create("wide")
    os.ftruncate(fd, 1 << bits)
    mmg.refused(mmg.try_open_fd(fd), abi.MMG_E_LIMIT)
    mmg.refused(mmg.try_open_fd(fd, backing=abi.MMG_BACKING_COPY), abi.MMG_E_TOO_BIG)
    os.close(fd)


# ------------------------------------------------------------------------------------------------------ mappings --


def use_up_mappings() -> tuple[int, int]:
    """Split one reservation into mappings of alternating protection until the kernel refuses.

    Return its start and its pages.
    """
    most = int(Path("/proc/sys/vm/max_map_count").read_text())
    pages = 2 * most + 10
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    start = LIBC.mmap(None, pages * PAGE, 0, anonymous, -1, 0)
    assert start not in (None, ctypes.c_void_p(-1).value)
    for index in range(1, pages, 2):
        if LIBC.mprotect(start + index * PAGE, PAGE, mmap.PROT_READ) != 0:
            assert ctypes.get_errno() == errno.ENOMEM
            # An odd limit leaves room for one more mapping: fill it.
            LIBC.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0)
            LIBC.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0)
            return start, pages
    raise AssertionError("the kernel refused nothing")


def test_out_of_mappings_is_a_limit_and_nothing_is_leaked(large: Sample) -> None:
    if int(Path("/proc/sys/vm/max_map_count").read_text()) > 2_000_000:
        pytest.skip("vm.max_map_count is too high here to be used up")
    if sanitizers():
        pytest.skip("sanitizers and valgrind need mappings of their own and stop when there are none")

    def within() -> tuple[list[int], bool]:
        # Before the mappings run out, the guard and the interpreter make those that they need.
        with mmg.opened(mmg.try_open(large.path, backing=abi.MMG_BACKING_MAP)) as handle:
            mmg.content(handle, 0, 10)
        attempts: list[mmg.Attempt] = [mmg.try_open("/nonexistent") for _ in range(4)]
        attempts.clear()
        before, fds = watch.counters(), len(os.listdir("/proc/self/fd"))
        start, pages = use_up_mappings()
        for _ in range(3):
            attempts.append(mmg.try_open(large.path, backing=abi.MMG_BACKING_MAP))
        LIBC.munmap(start, pages * PAGE)
        for attempt in attempts:
            mmg.refused(attempt, abi.MMG_E_LIMIT)
            assert attempt.details.os_code == errno.ENOMEM
        clean = watch.counters() == before and len(os.listdir("/proc/self/fd")) == fds
        with mmg.opened(mmg.try_open(large.path, backing=abi.MMG_BACKING_MAP)) as handle:
            assert mmg.content(handle) == large.data
        return [attempt.status for attempt in attempts], clean

    statuses, clean = in_child(within)
    assert statuses == [abi.MMG_E_LIMIT] * 3
    assert clean
    assert files.obtainable(large.path, "flock exclusive")


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


@pytest.mark.parametrize("room", [True, False], ids=["with room in the heap", "without"])
def test_out_of_mappings_leaves_the_default_backing_with_a_defined_outcome(large: Sample, room: bool) -> None:
    """The file is copied. Where the heap has no room either, and cannot get a mapping, there is no memory."""
    if int(Path("/proc/sys/vm/max_map_count").read_text()) > 2_000_000:
        pytest.skip("vm.max_map_count is too high here to be used up")
    if sanitizers():
        pytest.skip("sanitizers and valgrind need mappings of their own and stop when there are none")

    def within() -> int:
        with mmg.opened(mmg.try_open(large.path)) as handle:
            mmg.content(handle, 0, 10)
        LIBC.mallopt(M_TRIM_THRESHOLD, 1 << 30)
        LIBC.mallopt(M_MMAP_THRESHOLD, 8 * LARGE if room else 1)
        LIBC.free(LIBC.malloc(4 * LARGE))
        start, pages = use_up_mappings()
        while not room and LIBC.malloc(LARGE) is not None:
            pass  # until the heap is full, too
        attempt = mmg.try_open(large.path)
        LIBC.munmap(start, pages * PAGE)
        if attempt.status == abi.MMG_OK:
            with mmg.opened(attempt) as handle:
                assert mmg.info(handle).backing_reason == abi.MMG_REASON_NO_ROOM
                assert mmg.content(handle) == large.data
        return attempt.status

    assert in_child(within) == (abi.MMG_OK if room else abi.MMG_E_NO_MEMORY)


# ------------------------------------------------------------------------------------------------- address space --


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"backing": abi.MMG_BACKING_MAP}, abi.MMG_E_LIMIT),
        ({"backing": abi.MMG_BACKING_COPY}, abi.MMG_E_NO_MEMORY),
        ({"guarantee": abi.MMG_GUARANTEE_STABLE}, abi.MMG_E_NO_MEMORY),
        ({}, abi.MMG_E_NO_MEMORY),
    ],
)
def test_out_of_address_space_is_a_defined_status_and_nothing_is_leaked(
    tmp_path: Path, members: dict[str, int], expected: int
) -> None:
    if sanitizers():
        pytest.skip("sanitizers and valgrind reserve address space of their own and stop when there is none")
    path = files.sparse(tmp_path / "sparse", 512 << 20)
    small = files.sample(tmp_path / "small", 1 << 20)

    def within() -> int:
        before = watch.counters()
        fds = watch.descriptors()
        squeeze(64 << 20)
        attempt = mmg.try_open(path, **members)
        mmg.refused(attempt, expected)
        assert attempt.details.os_code in (0, errno.ENOMEM)
        assert watch.counters() == before
        assert watch.descriptors() == fds
        with mmg.opened(mmg.try_open(small.path, **members)) as handle:
            assert mmg.content(handle) == small.data
        return attempt.status

    in_child(within)


def test_a_stream_that_outgrows_the_memory_is_no_memory_and_nothing_is_leaked() -> None:
    if sanitizers():
        pytest.skip("sanitizers and valgrind reserve address space of their own and stop when there is none")

    def within() -> int:
        before = watch.counters()
        fd = os.open("/dev/zero", os.O_RDONLY)
        squeeze(64 << 20)
        mmg.refused(mmg.try_read_fd(fd, max_bytes=mmg.NO_LIMIT), abi.MMG_E_NO_MEMORY)
        assert watch.counters() == before
        with mmg.opened(mmg.try_read_fd(fd, length=1 << 20)) as handle:
            return int(mmg.info(handle).size)

    assert in_child(within) == 1 << 20


def test_locked_memory_limits_do_not_concern_the_library(large: Sample) -> None:
    def within() -> bool:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        with mmg.opened(mmg.try_open(large.path, flags=abi.MMG_FLAG_POPULATE)) as handle:
            return mmg.content(handle) == large.data

    assert in_child(within)


def can_hold_a_snapshot(folder: Path, size: int) -> bool:
    """Returns true when a file without a name can be made in a folder, and such a file may take `size` bytes there."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        return False
    room = os.statvfs(folder)
    return room.f_blocks == 0 or room.f_bavail * room.f_frsize > 4 * size


def test_file_size_limits_do_not_concern_the_library(tmp_path: Path) -> None:
    """The window is so large that the first choice is a snapshot. A limit makes it a copy, and kills nobody."""
    file = files.sample(tmp_path / "file", (32 << 20) + 1)

    def means() -> int:
        with (
            mmg.opened(mmg.try_open(file.path)) as mapped,
            mmg.opened(mmg.try_open(file.path, guarantee=abi.MMG_GUARANTEE_STABLE)) as stable,
        ):
            assert mmg.content(mapped) == file.data
            assert mmg.content(stable) == file.data
            return int(mmg.info(stable).means)

    def within() -> list[int]:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores this signal, which kills other hosts
        writer = os.open(file.path, os.O_RDWR)  # with a writer there is no lease
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        found = [means()]
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        found.append(means())
        os.close(writer)
        return found

    limited, free = in_child(within)
    assert limited == abi.MMG_MEANS_PRIVATE_COPY
    if not can_hold_a_snapshot(tmp_path, file.size):
        pytest.skip(f"no file without a name can be made under {tmp_path.parent}, or the file system is full")
    assert free in (abi.MMG_MEANS_SNAPSHOT, abi.MMG_MEANS_REFLINK)


# ----------------------------------------------------------------------------------------- a file that will not stand still


def _shaker(line: Line, path: Path) -> None:
    """Cut and grow a file as fast as possible until the test hangs up."""
    draw = random.Random(3)
    fd = os.open(path, os.O_RDWR)
    line.say("shaking")
    while line.silent():
        for _ in range(200):
            os.ftruncate(fd, draw.choice((0, 1, PAGE, PAGE + 1, 100_000, 300_000, LARGE)))
    os.close(fd)


@pytest.mark.parametrize(
    ("call", "backing"),
    [
        (mmg.try_open, abi.MMG_BACKING_AUTO),
        (mmg.try_open, abi.MMG_BACKING_MAP),
        (mmg.try_open, abi.MMG_BACKING_COPY),
        (mmg.try_read_fd, abi.MMG_BACKING_AUTO),
        (mmg.try_read_fd, abi.MMG_BACKING_COPY),
    ],
)
def test_a_file_that_shrinks_while_it_is_opened_gives_a_defined_status(
    tmp_path: Path, backing: int, call: mmg.Opener
) -> None:
    file = files.sample(tmp_path / "shaken", LARGE)
    possible = {abi.MMG_OK, abi.MMG_E_TRUNCATED, abi.MMG_E_RANGE}
    seen: dict[int, int] = {}
    fd = os.open(file.path, os.O_RDONLY)
    try:
        with Helper(_shaker, file.path) as line:
            assert line.hear() == "shaking"
            turn, deadline = 0, time.monotonic() + DEADLINE
            while turn < 600 or len(seen) < 2:  # until the shaker, which may wait for a processor, was met
                assert time.monotonic() < deadline, "the file stood still: the test shows nothing"
                members = {"backing": backing, "lock": abi.MMG_LOCK_NONE}
                if turn % 3 == 1:
                    members |= {"offset": 5000}
                if turn % 3 == 2:
                    members |= {"offset": 5000, "length": 50_000}
                if call is mmg.try_read_fd:
                    os.lseek(fd, 0, os.SEEK_SET)
                    attempt = call(fd, **members)
                else:
                    attempt = call(file.path, **members)
                assert attempt.status in possible, str(attempt)
                seen[attempt.status] = seen.get(attempt.status, 0) + 1
                if attempt.status == abi.MMG_OK:
                    size = mmg.info(attempt.handle).size
                    status, data = mmg.read(attempt.handle, 0, LARGE)
                    assert status in (abi.MMG_OK, abi.MMG_E_TRUNCATED), mmg.status_name(status)
                    assert len(data) <= size
                    assert status != abi.MMG_OK or len(data) == size
                    assert mmg.check(attempt.handle) in (abi.MMG_OK, abi.MMG_E_TRUNCATED)
                    assert mmg.close(attempt.handle) == abi.MMG_OK
                else:
                    assert attempt.details.message
                turn += 1
    finally:
        os.close(fd)
    assert seen.get(abi.MMG_OK, 0) > 0


def test_a_file_replaced_while_it_is_opened_is_one_of_the_two(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    one, two = mmg.pattern(LARGE, 1), mmg.pattern(2 * LARGE, 2)
    path.write_bytes(one)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for data in (two, one):
                other.write_bytes(data)
                os.replace(other, path)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        found: set[int] = set()
        turns = 0
        while turns < 300 or len(found) < 2:  # until each of the two files was met
            with mmg.opened(mmg.try_open(path)) as handle:
                data = mmg.content(handle)
                assert data in (one, two)
                assert mmg.info(handle).file_size == len(data), "the identity is that of the other file"
                found.add(len(data))
            turns += 1
    finally:
        stop.set()
        swapper.join()
    assert found == {len(one), len(two)}


def test_an_open_is_not_disturbed_by_a_storm_of_signals(either: Sample) -> None:
    def within() -> int:
        counted = [0]

        def count(*_: object) -> None:
            counted[0] += 1

        signal.signal(signal.SIGALRM, count)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        while counted[0] < 300:
            for members in ({}, {"backing": abi.MMG_BACKING_COPY}, {"lock": abi.MMG_LOCK_OFD}):
                with mmg.opened(mmg.try_open(either.path, **members)) as handle:
                    assert mmg.read(handle, 0, either.size) == (abi.MMG_OK, either.data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return counted[0]

    assert in_child(within) >= 300


# --------------------------------------------------------------------------------------------------- memory --


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def heap_in_use() -> int:
    """Return the number of bytes in blocks of malloc."""
    LIBC.mallinfo2.restype = Mallinfo
    found = LIBC.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def test_neither_success_nor_failure_leaks_memory(tmp_path: Path) -> None:
    """With ten thousand of each, even a leak in one of a hundred calls would show."""
    if sanitizers():
        pytest.skip("sanitizers and valgrind count memory themselves")
    if not hasattr(LIBC, "mallinfo2"):
        pytest.skip("this C library does not count its heap (mallinfo2, glibc 2.33)")
    small, large = files.sample(tmp_path / "small", files.SMALL), files.sample(tmp_path / "large", LARGE)
    none = abi.mmg_options(struct_size=ctypes.sizeof(abi.mmg_options))
    beyond = mmg.options(offset=LARGE, length=5)
    capped = mmg.options(backing=abi.MMG_BACKING_COPY, max_bytes=1)
    unstable = mmg.options(guarantee=abi.MMG_GUARANTEE_STABLE, max_snapshot_bytes=1)
    cases = [
        (small.path, none),
        (large.path, none),
        (tmp_path, none),
        (tmp_path / "missing", none),
        (small.path, beyond),
        (large.path, beyond),
        (large.path, capped),
        (large.path, unstable),
        (Path("/proc/version"), none),
        (Path("/proc/version"), capped),
    ]
    prepared = [(mmg.raw_path(path), ctypes.byref(given)) for path, given in cases]
    handle, error, span = ctypes.c_uint64(), mmg.new_error(), abi.mmg_span()
    places = ctypes.byref(handle), ctypes.byref(error), ctypes.byref(span)

    def rounds(count: int) -> None:
        for _ in range(count):
            for path, given in prepared:
                if mmg.lib.mmg_open(path, given, places[0], places[1]) == 0:
                    mmg.lib.mmg_pin(handle, 0, 1, places[2])
                    mmg.lib.mmg_close(handle, 0)
                    mmg.lib.mmg_unpin(places[2])

    rounds(200)
    before = heap_in_use()
    rounds(1000)
    grown = heap_in_use() - before
    assert grown < 16 * 100, f"{grown} bytes more after 10 000 opens"


@pytest.mark.parametrize("lock", [abi.MMG_LOCK_AUTO, abi.MMG_LOCK_NONE])
def test_a_mapping_keeps_one_descriptor_whatever_its_lock(large: Sample, lock: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with mmg.opened(mmg.try_open(large.path, lock=lock)):
        assert len(os.listdir("/proc/self/fd")) == before + 1
