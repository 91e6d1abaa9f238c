# SPDX-License-Identifier: MIT OR Apache-2.0
"""When a lease breaks, the bytes are secured before anybody may write, and the readers notice nothing."""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import (
    FILE_MEANS,
    MAPPED,
    NOBODY,
    STABLE,
    STRANGER,
    Places,
    as_user,
    beside,
    helper_thread,
    is_still,
    leases_on,
    means,
    need_time,
    need_time_since,
    overwrite,
    overwritten_elsewhere,
    stable,
    until,
    writing,
)
from support import files, lease_settings, watch
from support import library as mmg
from support.children import Helper, Line, in_child

pytestmark = pytest.mark.usefixtures("leases")


def _open(flags: int) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        os.close(os.open(path, flags))

    return do


def _through_another_name(path: Path) -> None:
    other = path.with_name("hard link")
    os.link(path, other)
    overwrite(other)


def _through_a_link(path: Path) -> None:
    other = path.with_name("symbolic link")
    other.symlink_to(path)
    overwrite(other)


def _by_dd(path: Path) -> None:
    command = ["dd", "if=/dev/zero", f"of={path}", "bs=4096", "count=3", "conv=notrunc"]
    subprocess.run(command, check=True, capture_output=True)


def _by_shell(path: Path) -> None:
    subprocess.run(["sh", "-c", 'echo new > "$0"', path], check=True)


def _overwrite(path: Path) -> None:
    overwrite(path)


WAYS: dict[str, Callable[[Path], None]] = {
    "open for writing": _open(os.O_WRONLY),
    "open for both": _open(os.O_RDWR),
    "open for appending": _open(os.O_WRONLY | os.O_APPEND),
    "open and cut": _open(os.O_WRONLY | os.O_TRUNC),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "cut inside a page": lambda path: os.truncate(path, 5000),
    "extend": lambda path: os.truncate(path, 2 * files.LARGE),
    "overwrite": _overwrite,
    "another name": _through_another_name,
    "a symbolic link": _through_a_link,
    "dd": _by_dd,
    "a shell's redirection": _by_shell,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_finds_the_bytes_secured(leasing_folder: Path, way: str) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle, mmg.pinned(handle) as span:
        place = mmg.address(span)
        assert means(handle) == abi.MMG_MEANS_LEASE
        in_child(WAYS[way], one.path)
        need_time(handle)
        assert mmg.span_bytes(span) == one.data
        assert mmg.address(span) == place
        with mmg.pinned(handle) as again:
            assert mmg.address(again) == place
        is_still(handle, one.data)
        assert means(handle) == beside(one.path)
        assert leases_on(one.path) == 0
        now = os.stat(one.path)
        bits = mmg.changed(handle)[1]
        found = mmg.info(handle)
        assert bool(bits & abi.MMG_CHANGED_SIZE) == (now.st_size != one.size)
        then = found.mtime_seconds * 10**9 + found.mtime_nanoseconds
        assert bool(bits & abi.MMG_CHANGED_MTIME) == (now.st_mtime_ns != then)
        assert not bits & abi.MMG_CHANGED_PATH


def test_the_one_cut_that_the_kernel_does_not_hold_is_reported(leasing_folder: Path) -> None:
    """open(2) with O_RDONLY and O_TRUNC, which POSIX does not specify, cuts the file and breaks no lease (Linux
    6.18)."""
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        in_child(_open(os.O_RDONLY | os.O_TRUNC), one.path)
        if (
            os.path.getsize(one.path) > 0 or means(handle) != abi.MMG_MEANS_LEASE
        ):  # the kernel held the cut back after all, or refused it
            is_still(handle, one.data)
            return
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED, (
            "no byte was read yet, and check() does not see the cut"
        )
        assert mmg.info(handle).fault_offset == 0
        assert mmg.pin(handle)[0] == abi.MMG_E_TRUNCATED
        assert mmg.read(handle, 0, 5000) == (abi.MMG_E_TRUNCATED, b"")
        overwritten_elsewhere(one.path)
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        assert mmg.info(handle).guarantee == abi.MMG_GUARANTEE_CONTAINED


def _read_all(path: Path) -> None:
    path.read_bytes()


HARMLESS: dict[str, Callable[[Path], None]] = {
    "reading": _read_all,
    "renaming": lambda path: os.rename(path, path.with_name("moved")),
    "unlinking": os.unlink,
    "replacing": lambda path: os.replace(files.sample(path.with_name("new"), 5000).path, path),
    "linking": lambda path: os.link(path, path.with_name("other")),
    "changing the mode": lambda path: os.chmod(path, 0o600),
    "setting the times": lambda path: os.utime(path, (1, 1)),
}


@pytest.mark.parametrize("way", HARMLESS)
def test_what_leaves_the_bytes_alone_leaves_the_lease_alone(leasing_folder: Path, way: str) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        in_child(HARMLESS[way], one.path)
        assert means(handle) == abi.MMG_MEANS_LEASE
        is_still(handle, one.data)


def test_a_file_without_a_name_is_secured_too(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    late = os.open(one.path, os.O_RDONLY)
    try:
        with stable(one.path) as handle:
            one.path.unlink()
            overwritten_elsewhere(Path(f"/proc/{os.getpid()}/fd/{late}"))
            is_still(handle, one.data)
            assert means(handle) in FILE_MEANS
            assert mmg.changed(handle)[1] & abi.MMG_CHANGED_PATH
    finally:
        os.close(late)


def test_a_file_that_was_moved_is_secured_where_it_is_now(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    (leasing_folder / "elsewhere").mkdir()
    with stable(one.path) as handle:
        moved = one.path.rename(leasing_folder / "elsewhere" / "file")
        overwritten_elsewhere(moved)
        is_still(handle, one.data)
        assert means(handle) == beside(leasing_folder)


def test_a_writer_that_will_not_wait_is_told_to_come_again(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        with contextlib.suppress(BlockingIOError):  # open(2): a lease is being broken
            os.close(os.open(one.path, os.O_RDWR | os.O_NONBLOCK))
        until(lambda: means(handle) != abi.MMG_MEANS_LEASE, "the snapshot")
        overwrite(one.path)
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


def test_the_process_itself_may_write_to_what_it_has_leased(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle, mmg.pinned(handle) as span:
        overwrite(one.path)
        need_time(handle)
        assert mmg.span_bytes(span) == one.data
        os.truncate(one.path, 0)
        is_still(handle, one.data)
        fresh = files.sample(one.path, files.LARGE, seed=9)
        with stable(one.path) as second:
            assert means(second) == abi.MMG_MEANS_LEASE
            is_still(second, fresh.data)
            is_still(handle, one.data)


def test_a_second_writer_changes_nothing_more(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        for _ in range(3):
            overwritten_elsewhere(one.path)
            in_child(os.truncate, one.path, 100)
            is_still(handle, one.data)
        upheld = means(handle)
        assert upheld in FILE_MEANS
        assert not [one_ for one_ in watch.mappings_of(one.path) if "w" in one_.permissions]


def test_many_leases_on_one_file_are_all_kept(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    windows = [(index * 4099, 200_000 + index) for index in range(60)]
    with contextlib.ExitStack() as stack:
        handles = [
            stack.enter_context(stable(one.path, offset=at, length=size, lock=abi.MMG_LOCK_NONE))
            for at, size in windows
        ]
        spans = [stack.enter_context(mmg.pinned(handle)) for handle in handles]
        assert {means(handle) for handle in handles} == {abi.MMG_MEANS_LEASE}
        assert leases_on(one.path) == len(handles)
        overwritten_elsewhere(one.path)
        for handle, span, (at, size) in zip(handles, spans, windows, strict=True):
            need_time(handle)
            assert mmg.span_bytes(span) == one.data[at : at + size]
            is_still(handle, one.data[at : at + size])
            assert means(handle) in FILE_MEANS
        assert leases_on(one.path) == 0


def test_many_files_broken_at_once_are_all_kept(leasing_folder: Path) -> None:
    samples = [files.sample(leasing_folder / f"file-{number}", 150_000, seed=number) for number in range(100)]
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(stable(one.path)) for one in samples]
        assert {means(handle) for handle in handles} == {abi.MMG_MEANS_LEASE}
        writers = [threading.Thread(target=overwrite, args=(one.path,)) for one in samples]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        for handle, one in zip(handles, samples, strict=True):
            is_still(handle, one.data)
            assert means(handle) in FILE_MEANS


def _ten_thousand(folder: Path, count: int) -> tuple[int, int, list[int]]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    data = [mmg.pattern(files.PAGE + 1, seed) for seed in range(10)]
    paths = [folder / str(number) for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(data[number % 10])
    handles = [mmg.accepted(mmg.try_open(path, guarantee=STABLE, **MAPPED)) for path in paths]
    leased = sum(means(handle) == abi.MMG_MEANS_LEASE for handle in handles)
    writer = os.fork()  # descriptors above 1023 are more than select(2) can wait for
    if writer == 0:
        for path in paths:
            overwrite(path)
        os._exit(0)
    assert os.waitpid(writer, 0)[1] == 0
    for handle in handles:
        need_time(handle)
    good = sum(mmg.content(handle) == data[number % 10] for number, handle in enumerate(handles))
    upheld = sorted({means(handle) for handle in handles})
    for handle in handles:
        assert mmg.close(handle) == abi.MMG_OK
    return leased, good, upheld


def test_ten_thousand_files_are_leased_at_once(places: Places) -> None:
    """All leases break at once.

    Where this takes more descriptors than the process may have, copies in memory are used.
    """
    count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 300)
    leased, good, upheld = in_child(_ten_thousand, places("ext4"), count)
    assert (leased, good) == (count, count)
    assert set(upheld) <= set(FILE_MEANS)


def _without_descriptors(path: Path, data: bytes) -> int:
    """Open the file, use up every descriptor, and let another process break the lease."""
    with stable(path) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        most = max(int(name) for name in os.listdir("/proc/self/fd")) + 2
        ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(ready[0], 1)
            overwrite(path)
            os._exit(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most + 50))
        os.write(ready[1], b"x")
        assert os.waitpid(pid, 0)[1] == 0
        found = means(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + 50, most + 50))
        is_still(handle, data)
        return found


def test_without_a_free_descriptor_the_bytes_are_kept_in_memory(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    assert in_child(_without_descriptors, one.path, one.data) == abi.MMG_MEANS_SNAPSHOT


def _where_nothing_can_be_made(path: Path, data: bytes) -> int:
    os.environ["TMPDIR"] = "/nowhere/at/all"
    with stable(path) as handle, mmg.pinned(handle) as span:
        assert means(handle) == abi.MMG_MEANS_LEASE
        place = mmg.address(span)
        overwrite(path)
        need_time(handle)
        assert mmg.span_bytes(span) == data
        assert mmg.address(span) == place
        is_still(handle, data)
        here = watch.mapping_at(place)
        assert here is not None
        assert (
            here.path == "/dev/zero (deleted)"
        )  # the name that Linux shows for memory that can be mapped twice
        assert "w" not in here.permissions
        # These pages exist nowhere else, so the library must not take the advice to drop them.
        assert mmg.advise(handle, abi.MMG_ADVICE_DONTNEED) == abi.MMG_OK
        assert mmg.span_bytes(span) == data
        is_still(handle, data)
        return means(handle)


def test_where_no_file_can_be_made_the_bytes_are_kept_in_memory(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    os.chown(one.path, NOBODY, NOBODY)
    leasing_folder.chmod(0o755)
    assert as_user(NOBODY, _where_nothing_can_be_made, one.path, one.data) == abi.MMG_MEANS_SNAPSHOT


def _overwrite_when_told(line: Line, path: Path) -> None:
    line.say("ready")
    assert line.hear() == "now"
    line.say(str(overwrite(path)))


def _leased_as_root_used_as_nobody(path: Path, data: bytes) -> int:
    # The writer starts first: it has none of this process's descriptors, which would keep the lease until the kernel takes it.
    with Helper(_overwrite_when_told, path) as writer:
        assert writer.hear() == "ready"
        with stable(path) as handle:
            assert means(handle) == abi.MMG_MEANS_LEASE
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            writer.say("now")
            writer.hear()
            is_still(handle, data)
            return means(handle)


def test_who_has_dropped_privileges_since_still_keeps_the_bytes(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    assert in_child(_leased_as_root_used_as_nobody, one.path, one.data) in FILE_MEANS


def _leased_as_root_used_in_a_jail(path: Path, jail: Path) -> float:
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(Helper(_overwrite_when_told, path))
        assert writer.hear() == "ready"
        handle = stack.enter_context(stable(path, **MAPPED))
        assert means(handle) == abi.MMG_MEANS_LEASE
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        os.chroot(jail)
        os.chdir("/")
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)
        writer.say("now")
        waited = float(writer.hear())
        assert mmg.span_bytes(span) == mmg.pattern(files.LARGE, seed=1)
        assert mmg.unpin(span) == abi.MMG_E_UNSTABLE, (
            "without /proc nobody knows whether the lease held until then"
        )
    return waited


def test_a_jail_without_proc_keeps_no_writer_waiting(places: Places) -> None:
    """Who has dropped its privileges may not give a lease up. Otherwise the kernel waits for 45 s."""
    lease_settings.need_long_breaks()
    path = places("ext4") / "file"
    path.write_bytes(mmg.pattern(files.LARGE, seed=1))
    jail = path.with_name("jail")
    jail.mkdir()
    assert in_child(_leased_as_root_used_in_a_jail, path, jail) < 20


# ------------------------------------------------------------------------------------ readers in mid-break --


def test_readers_never_stop_while_the_bytes_are_secured(leasing_folder: Path) -> None:
    """Threads read in every way there is while one file after another is broken under them."""
    over = threading.Event()
    failures: list[str] = []
    current: list[tuple[int, bytes]] = []
    rounds: collections.Counter[int] = collections.Counter()

    def read_on() -> None:
        while not over.is_set() and not failures:
            handle, data = current[0]
            status, span = mmg.pin(handle, 4097, 300_000)
            if status == abi.MMG_E_HANDLE:
                continue
            if status != abi.MMG_OK:
                failures.append(f"pin: {status}")
                continue
            if mmg.span_bytes(span) != data[4097 : 4097 + 300_000]:
                failures.append("span")
            if mmg.unpin(span) != abi.MMG_OK:
                failures.append("unpin")
            for status, got, wanted in (
                (*mmg.read(handle, 1000, 70_000), data[1000:71_000]),
                (*mmg.find(handle, data[-20:]), len(data) - 20),
                (mmg.check(handle), 0, 0),
            ):
                if status != abi.MMG_E_HANDLE and (status != abi.MMG_OK or got != wanted):
                    failures.append(f"{status}")
            rounds[handle] += 1

    def read_more(handle: int) -> None:
        target = rounds[handle] + 4  # three rounds may have begun before
        until(lambda: rounds[handle] >= target or bool(failures), "the threads read this file")

    def judge(number: int, started: list[threading.Thread]) -> None:
        one = files.sample(leasing_folder / f"file-{number}", files.LARGE, seed=number)
        with stable(one.path) as handle:
            current[:] = [(handle, one.data)]
            if not started:
                started += [threading.Thread(target=read_on) for _ in range(3)]
                for thread in started:
                    thread.start()
            read_more(handle)
            overwritten_elsewhere(one.path)
            read_more(handle)
            is_still(handle, one.data)

    threads: list[threading.Thread] = []
    try:
        for number in range(8):
            judge(number, threads)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:5]


def _run_state(thread: int | None) -> str:
    """Return what a thread of this process does, as the kernel calls it: S while it sleeps, D while the disk holds it up."""
    with open(f"/proc/self/task/{thread}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


@contextlib.contextmanager
def in_mid_break(where: Path, path: Path) -> Iterator[None]:
    """Provide the moment between the signal of a break and the first byte of the copy: the file system takes no new file.

    The writer is let in after the block. The kernel must wait for longer than the block takes.
    """
    keeper = helper_thread()
    writer = threading.Thread(target=overwrite, args=(path,))
    try:
        with mounts.frozen(where):
            writer.start()
            until(lambda: mmg.stats().leases_breaking == 1, "the break")
            until(lambda: _run_state(keeper) == "D", "the file system holds the library's thread up")
            yield
    finally:
        writer.join()


def test_readers_go_on_while_the_copy_is_held_up(leasing_folder: Path) -> None:
    """They read for longer than the library relies on one answer of the kernel about the lease (LEASE_VOUCH_NS)."""
    lease_settings.need_long_breaks()
    one = files.sample(leasing_folder / "file", files.LARGE)
    seen: set[int] = set()

    def read() -> None:
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            is_still(handle, one.data)
        is_still(handle, one.data)
        seen.add(means(handle))

    reader = threading.Thread(target=read)
    with stable(one.path) as handle:
        try:
            with in_mid_break(leasing_folder, one.path):
                reader.start()
                until(lambda: not reader.is_alive(), "the reader gets its bytes")
        finally:
            reader.join()
        assert seen == {abi.MMG_MEANS_LEASE}
        is_still(handle, one.data)
        assert means(handle) == beside(one.path)


def test_closing_during_the_break_lets_the_writer_in_at_once(places: Places) -> None:
    """No span is left, so nobody needs the copy. A copy that was given up counts the bytes that it had secured."""
    lease_settings.need_long_breaks()
    where = places("ext4")
    one = files.sample(where / "file", files.LARGE)
    handle = mmg.accepted(mmg.try_open(one.path, guarantee=STABLE))
    assert means(handle) == abi.MMG_MEANS_LEASE
    before = mmg.stats()
    closed: list[int] = []
    closing = threading.Thread(target=lambda: closed.append(mmg.close(handle)))
    try:
        with in_mid_break(where, one.path):
            closing.start()
            until(
                lambda: mmg.stats().handles == before.handles - 1, "the handle is gone"
            )  # stats() pins nothing
            until(lambda: _run_state(closing.native_id) == "S", "the close waits for the library's thread")
    finally:
        closing.join()
    assert closed == [abi.MMG_OK]
    assert mmg.stats().snapshot_bytes == before.snapshot_bytes, "bytes were copied that nobody needs"
    assert leases_on(one.path) == 0


def test_spans_outlive_the_handle_and_the_break(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    handle = mmg.accepted(mmg.try_open(one.path, guarantee=STABLE))
    status, span = mmg.pin(handle)
    assert status == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_OK
    before = mmg.stats().fallbacks_time
    overwritten_elsewhere(one.path)
    shown = mmg.span_bytes(span)
    status = mmg.unpin(span)
    need_time_since(before)
    assert (status, shown) == (abi.MMG_OK, one.data)
    assert leases_on(one.path) == 0


# --------------------------------------------------------------------------------------------------- locks --


def test_the_lock_outlives_the_break(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        assert not files.obtainable(one.path, "flock exclusive")  # the attempt opens the file for writing
        need_time(handle)
        assert means(handle) in FILE_MEANS
        assert mmg.info(handle).lock == abi.MMG_LOCK_SHARED
        assert not files.obtainable(one.path, "flock exclusive")
        assert files.obtainable(one.path, "flock shared")
        is_still(handle, one.data)
    assert files.obtainable(one.path, "flock exclusive")


@pytest.mark.parametrize("lock", [abi.MMG_LOCK_OFD, abi.MMG_LOCK_NONE])
def test_other_locks_and_none_go_with_a_lease_too(leasing_folder: Path, lock: int) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path, lock=lock) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        assert files.obtainable(one.path, "ofd exclusive") == (lock == abi.MMG_LOCK_NONE)
        assert mmg.info(handle).lock == lock
        is_still(handle, one.data)


def test_a_writer_that_holds_an_open_file_gives_the_next_reader_a_snapshot_and_the_first_keeps_its_own(
    leasing_folder: Path,
) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as first, writing(one.path) as writer:
        writer.overwrite()
        with stable(one.path, **MAPPED) as second:
            assert means(second) == beside(one.path)
            is_still(first, one.data)
            assert mmg.content(second) == b"\0" * one.size
            writer.cut()
            assert mmg.content(second) == b"\0" * one.size
            is_still(first, one.data)


def _broken_without_its_descriptor(path: Path, other: Path) -> None:
    with stable(path, **MAPPED) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        numbers = watch.descriptors_of(path)
        for number in numbers:
            os.close(number)
            fd = os.open(other, os.O_RDONLY)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
        overwritten_elsewhere(path)
        time.sleep(1)  # the kernel lets no writer in for so long, and the library relies on its last answer
        shown = mmg.span_bytes(span)
        assert other.read_bytes()[:100] not in shown, "the region shows the bytes of another file"
        assert mmg.unpin(span) == abi.MMG_E_UNSTABLE
        assert mmg.check(handle) != abi.MMG_OK
    for number in numbers:
        assert os.pread(number, 10, 0) == other.read_bytes()[:10]


def _broken_beside_a_lease(path: Path, other: Path) -> None:
    handle = mmg.accepted(mmg.try_open(path, guarantee=STABLE, **MAPPED))
    status, span = mmg.pin(handle)
    assert status == abi.MMG_OK
    numbers = watch.descriptors_of(path)
    for number in numbers:
        os.close(number)
    with stable(other, **MAPPED) as second:
        assert watch.descriptors_of(other) == numbers
        overwritten_elsewhere(path)
        time.sleep(1)
        assert mmg.unpin(span) == abi.MMG_E_UNSTABLE
        assert mmg.close(handle) == abi.MMG_OK
        is_still(second, other.read_bytes())
        assert means(second) == abi.MMG_MEANS_LEASE


@pytest.mark.alone
@pytest.mark.parametrize("is_leased", [False, True])
def test_a_host_that_closes_all_descriptors_gets_no_bytes_of_another_file(
    places: Places, is_leased: bool
) -> None:
    """The number of the closed descriptor may even belong to another lease, which says nothing about this one."""
    folder = places("ext4")
    path, other = folder / "file", folder / "other"
    path.write_bytes(mmg.pattern(files.LARGE, seed=1))
    other.write_bytes(mmg.pattern(files.LARGE, seed=2))
    with mounts.setting(lease_settings.BREAK_TIME, 1):
        in_child(_broken_without_its_descriptor if not is_leased else _broken_beside_a_lease, path, other)


def _close_all_and_be_written_to(path: Path, other: Path, reuse: str) -> float:
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(
            Helper(_overwrite_when_told, path)
        )  # this process has no part of the mapping
        assert writer.hear() == "ready"
        handle = stack.enter_context(stable(path, **MAPPED))
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        for number in watch.descriptors_of(path):
            os.close(number)
        if reuse == "the same file":
            second = stack.enter_context(stable(path, **MAPPED))
        elif reuse == "another file":
            second = stack.enter_context(stable(other, **MAPPED))
        writer.say("now")
        waited = float(writer.hear())
        assert mmg.span_bytes(span) == mmg.pattern(files.LARGE, seed=1), "the bytes were there to be secured"
        assert mmg.unpin(span) == abi.MMG_E_UNSTABLE, (
            "without its descriptor, nothing proves that a lease still holds"
        )
        if reuse != "nothing":
            is_still(second, mmg.pattern(files.LARGE, seed=1 if reuse == "the same file" else 2))
    return waited


@pytest.mark.parametrize("reuse", ["nothing", "the same file", "another file"])
def test_a_host_that_closes_all_descriptors_keeps_no_writer_waiting(leasing_folder: Path, reuse: str) -> None:
    """The lease ends with the mapping where no descriptor is left to give it up. Otherwise the kernel waits for 45 s."""
    lease_settings.need_long_breaks()
    path, other = leasing_folder / "file", leasing_folder / "other"
    path.write_bytes(mmg.pattern(files.LARGE, seed=1))
    other.write_bytes(mmg.pattern(files.LARGE, seed=2))
    assert in_child(_close_all_and_be_written_to, path, other, reuse) < 20
