# SPDX-License-Identifier: MIT OR Apache-2.0
"""An advisory lock is taken before the mapping, is held for its whole life, and excludes the locks of other
programs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, fuse
from support import library as mmg
from support.children import fresh_python, in_child
from support.files import LARGE, Sample

EXCLUSIVE = {abi.MMG_LOCK_SHARED: "flock exclusive", abi.MMG_LOCK_OFD: "posix exclusive"}
SHARED = {abi.MMG_LOCK_SHARED: "flock shared", abi.MMG_LOCK_OFD: "posix shared"}
REAL = sorted(EXCLUSIVE)


# ------------------------------------------------------------------------------------------------ a lock held elsewhere --


@pytest.mark.parametrize("lock", REAL)
def test_an_exclusive_lock_elsewhere_is_an_error_and_not_a_wait(either: Sample, lock: int) -> None:
    with files.held_elsewhere(either.path, EXCLUSIVE[lock]) as held:
        told = mmg.refused(mmg.try_open(either.path, lock=lock), abi.MMG_E_WOULD_BLOCK)
        assert told.os_code in (errno.EWOULDBLOCK, errno.EACCES)
        assert str(either.path) in told.message
        held.give_back()
        with mmg.opened(mmg.try_open(either.path, lock=lock)) as handle:
            assert mmg.content(handle) == either.data


@pytest.mark.parametrize("lock", REAL)
def test_a_shared_lock_elsewhere_is_shared(either: Sample, lock: int) -> None:
    with (
        files.held_elsewhere(either.path, SHARED[lock]),
        mmg.opened(mmg.try_open(either.path, lock=lock)) as handle,
    ):
        assert mmg.content(handle) == either.data


def test_an_open_file_description_lock_elsewhere_is_met_by_ofd(either: Sample) -> None:
    with files.held_elsewhere(either.path, "ofd exclusive"):
        mmg.refused(mmg.try_open(either.path, lock=abi.MMG_LOCK_OFD), abi.MMG_E_WOULD_BLOCK)
    with files.held_elsewhere(either.path, "ofd shared"):
        handle = mmg.accepted(mmg.try_open(either.path, lock=abi.MMG_LOCK_OFD))
        assert mmg.content(handle) == either.data
        assert mmg.close(handle) == abi.MMG_OK


@pytest.mark.parametrize("kind", ["flock exclusive", "posix exclusive", "ofd exclusive"])
def test_without_a_lock_no_lock_elsewhere_matters(either: Sample, kind: str) -> None:
    with files.held_elsewhere(either.path, kind):
        handle = mmg.accepted(mmg.try_open(either.path, lock=abi.MMG_LOCK_NONE))
        assert mmg.info(handle).lock == abi.MMG_LOCK_NONE
        assert mmg.content(handle) == either.data
        assert mmg.close(handle) == abi.MMG_OK


def test_the_lock_command_meets_the_library(large: Sample) -> None:
    command = shutil.which("flock")
    if command is None:
        pytest.skip("flock(1) of util-linux is not installed")
    with subprocess.Popen(
        [command, "--exclusive", str(large.path), "sh", "-c", "echo held; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        mmg.refused(mmg.try_open(large.path), abi.MMG_E_WOULD_BLOCK)
        holder.stdin.write(b"\n")
        holder.stdin.close()
        assert holder.wait(60) == 0
    with mmg.opened(mmg.try_open(large.path)) as handle:
        assert mmg.content(handle) == large.data


def test_a_lock_in_this_very_process_is_a_lock_held_elsewhere(large: Sample) -> None:
    fd = os.open(large.path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        mmg.refused(mmg.try_open(large.path), abi.MMG_E_WOULD_BLOCK)
        mmg.refused(mmg.try_load(large.path), abi.MMG_E_WOULD_BLOCK)
    finally:
        os.close(fd)


# --------------------------------------------------------------------------------------------------- our lock, seen --


def test_a_mapping_keeps_flock_writers_out_for_its_whole_life(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        assert mmg.info(handle).lock == abi.MMG_LOCK_SHARED
        assert not files.obtainable(large.path, "flock exclusive")
        assert files.obtainable(large.path, "flock shared")
        assert not files.obtainable_by_flock_command(large.path, exclusive=True)
        assert files.obtainable_by_flock_command(large.path, exclusive=False)
        assert files.obtainable(large.path, "posix exclusive"), "SHARED takes no POSIX lock"
    assert files.obtainable(large.path, "flock exclusive")
    assert files.obtainable_by_flock_command(large.path, exclusive=True)


def test_a_mapping_with_ofd_keeps_posix_writers_out_for_its_whole_life(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, lock=abi.MMG_LOCK_OFD)) as handle:
        assert mmg.info(handle).lock == abi.MMG_LOCK_OFD
        for kind in ("posix exclusive", "ofd exclusive"):
            assert not files.obtainable(large.path, kind)
        for kind in ("posix shared", "ofd shared", "flock exclusive"):
            assert files.obtainable(large.path, kind)
        # POSIX locks of this process vanish when any descriptor of the file is closed. The lock of the library is of
        # the other kind.
        os.close(os.open(large.path, os.O_RDONLY))
        assert not files.obtainable(large.path, "posix exclusive")
    assert files.obtainable(large.path, "posix exclusive")


def test_an_ofd_lock_covers_the_whole_file_and_what_is_appended_later(large: Sample) -> None:
    def write_lock(start: int, length: int) -> bool:
        fd = os.open(large.path, os.O_RDWR)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except (BlockingIOError, PermissionError):
            return False
        finally:
            os.close(fd)
        return True

    with mmg.opened(mmg.try_open(large.path, lock=abi.MMG_LOCK_OFD, offset=1000, length=200_000)):
        for start, length in ((0, 1), (LARGE - 1, 1), (LARGE + 10_000, 1), (2**40, 0)):
            assert not in_child(write_lock, start, length), (start, length)


@pytest.mark.parametrize("lock", REAL)
def test_the_lock_is_given_back_with_the_last_pin_and_not_before(large: Sample, lock: int) -> None:
    handle = mmg.accepted(mmg.try_open(large.path, lock=lock))
    first, second = (mmg.pin(handle, start, 100)[1] for start in (0, 5000))
    assert mmg.close(handle) == abi.MMG_OK
    assert not files.obtainable(large.path, EXCLUSIVE[lock])
    assert mmg.unpin(first) == abi.MMG_OK
    assert not files.obtainable(large.path, EXCLUSIVE[lock])
    assert mmg.span_bytes(second) == large.data[5000:5100]
    assert mmg.unpin(second) == abi.MMG_OK
    assert files.obtainable(large.path, EXCLUSIVE[lock])


@pytest.mark.parametrize("lock", REAL)
def test_each_region_has_a_lock_of_its_own(large: Sample, lock: int) -> None:
    first = mmg.accepted(mmg.try_open(large.path, lock=lock))
    second = mmg.accepted(mmg.try_open(large.path, lock=lock))
    assert mmg.close(first) == abi.MMG_OK
    assert not files.obtainable(large.path, EXCLUSIVE[lock])
    assert mmg.close(second) == abi.MMG_OK
    assert files.obtainable(large.path, EXCLUSIVE[lock])


@pytest.mark.parametrize("lock", REAL)
@pytest.mark.parametrize(
    ("size", "members"),
    [
        (files.SMALL, {}),
        (files.SMALL, {"guarantee": abi.MMG_GUARANTEE_STABLE}),
        (files.SMALL, {"backing": abi.MMG_BACKING_COPY}),
        (LARGE, {"backing": abi.MMG_BACKING_COPY}),
        (LARGE, {"backing": abi.MMG_BACKING_COPY, "guarantee": abi.MMG_GUARANTEE_STABLE}),
    ],
)
def test_a_copy_keeps_no_lock(tmp_path: Path, lock: int, size: int, members: dict[str, int]) -> None:
    file = files.sample(tmp_path / "file", size)
    with mmg.opened(mmg.try_open(file.path, lock=lock, **members)) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.lock) == (abi.MMG_BACKING_COPY, abi.MMG_LOCK_NONE)
        assert files.obtainable(file.path, EXCLUSIVE[lock])


def test_no_lock_is_taken_where_none_was_asked(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, lock=abi.MMG_LOCK_NONE)):
        for kind in files.LOCKS:
            assert files.obtainable(large.path, kind)


def test_a_failed_open_leaves_no_lock(large: Sample) -> None:
    for members in (
        {"offset": LARGE, "length": 1},
        {"backing": abi.MMG_BACKING_COPY, "max_bytes": 1},
    ):
        for lock in REAL:
            assert mmg.try_open(large.path, lock=lock, **members).status != abi.MMG_OK
            assert files.obtainable(large.path, EXCLUSIVE[lock])


# ------------------------------------------------------------------------------------------------------------ waiting --


@pytest.mark.parametrize("lock", REAL)
def test_waiting_ends_at_its_limit_and_not_before(either: Sample, lock: int) -> None:
    with files.held_elsewhere(either.path, EXCLUSIVE[lock]):
        for limit in (1, 60, 250):
            started = time.monotonic()
            mmg.refused(mmg.try_open(either.path, lock=lock, lock_wait_ms=limit), abi.MMG_E_WOULD_BLOCK)
            assert time.monotonic() - started >= limit / 1000


@pytest.mark.parametrize("lock", REAL)
@pytest.mark.parametrize("limit", [60_000, mmg.WAIT_FOREVER - 1, mmg.WAIT_FOREVER])
def test_waiting_ends_with_the_lock(either: Sample, lock: int, limit: int) -> None:
    with files.held_elsewhere(either.path, EXCLUSIVE[lock]) as held, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mmg.try_open, either.path, lock=lock, lock_wait_ms=limit)
        time.sleep(0.05)
        assert not waiting.done(), "it did not wait"
        held.give_back_soon()
        with mmg.opened(waiting.result(60)) as handle:
            assert mmg.content(handle) == either.data


def test_waiting_shows_the_file_as_it_is_when_the_lock_is_had(large: Sample) -> None:
    """The region shows the bytes that the writer left when it unlocked, and not those from before the wait."""
    fd = os.open(large.path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(mmg.try_open, large.path, lock_wait_ms=mmg.WAIT_FOREVER)
            time.sleep(0.05)
            os.ftruncate(fd, 0)
            os.write(fd, b"rewritten")
        finally:
            os.close(fd)
        with mmg.opened(waiting.result(60)) as handle:
            assert mmg.content(handle) == b"rewritten"
            assert mmg.info(handle).file_size == 9
            assert mmg.changed(handle) == (abi.MMG_OK, 0)


@pytest.mark.parametrize("lock", REAL)
@pytest.mark.parametrize("limit", [60_000, mmg.WAIT_FOREVER])
def test_waiting_survives_a_storm_of_signals(large: Sample, lock: int, limit: int) -> None:
    def within(held: files.Held) -> None:
        wakes, wake = os.pipe()
        os.set_blocking(wake, False)

        def give_back_amid_signals() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # they are for the thread that waits
            while struct.unpack("i", fcntl.ioctl(wakes, termios.FIONREAD, bytes(4)))[0] < 20:
                time.sleep(0.001)
            held.give_back_soon()

        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        with ThreadPoolExecutor(1) as pool:
            given_back = pool.submit(give_back_amid_signals)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            attempt = mmg.try_open(large.path, lock=lock, lock_wait_ms=limit)
            given_back.result(60)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        with mmg.opened(attempt) as handle:
            assert mmg.content(handle) == large.data

    with files.held_elsewhere(large.path, EXCLUSIVE[lock]) as held:
        in_child(within, held)


def test_signals_do_not_stretch_a_limited_wait(large: Sample) -> None:
    def within() -> int:
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        status = mmg.try_open(large.path, lock_wait_ms=100).status
        signal.setitimer(signal.ITIMER_REAL, 0)
        return status

    with files.held_elsewhere(large.path, "flock exclusive"):
        # If each interruption started the wait again, the wait would never end.
        assert in_child(within, deadline=60) == abi.MMG_E_WOULD_BLOCK


# ------------------------------------------------------------------------------- file systems that cannot lock


NAMES = {errno.EOPNOTSUPP: "unsupported", errno.ENOLCK: "none-left", errno.ENOSYS: "unknown"}
DATA = mmg.pattern(LARGE)


@pytest.fixture(scope="module")
def lockless() -> Iterator[Path]:
    """Provide a mounted folder whose files refuse every lock, each in its own way."""
    with fuse.mounted({name: fuse.File(DATA, lock_error=code) for code, name in NAMES.items()}) as folder:
        yield folder


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOLCK])
@pytest.mark.parametrize("lock", REAL)
def test_a_file_system_that_cannot_lock_is_opened_and_the_region_says_so(
    lockless: Path, code: int, lock: int
) -> None:
    for wait in (0, 100, mmg.WAIT_FOREVER):
        with mmg.opened(mmg.try_open(lockless / NAMES[code], lock=lock, lock_wait_ms=wait)) as handle:
            found = mmg.info(handle)
            assert (found.lock, found.lock_error) == (abi.MMG_LOCK_NONE, code)
            assert mmg.content(handle) == DATA


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOLCK])
@pytest.mark.parametrize("lock", REAL)
def test_a_lock_that_was_demanded_and_cannot_be_had_is_an_error(lockless: Path, code: int, lock: int) -> None:
    path = lockless / NAMES[code]
    told = mmg.refused(mmg.try_open(path, lock=lock, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_UNSUPPORTED)
    assert told.os_code == code
    assert str(path) in told.message


def test_a_file_system_that_never_heard_of_locks_is_opened_too(lockless: Path) -> None:
    with mmg.opened(mmg.try_open(lockless / NAMES[errno.ENOSYS], lock=abi.MMG_LOCK_SHARED)) as handle:
        found = mmg.info(handle)
        assert (found.lock, found.lock_error) == (abi.MMG_LOCK_NONE, errno.ENOSYS)
        assert found.lock_reason == abi.MMG_LOCKING_MISSING


@pytest.mark.parametrize("lock", REAL)
def test_a_lock_that_was_demanded_and_can_be_had_is_held(large: Sample, lock: int) -> None:
    with mmg.opened(mmg.try_open(large.path, lock=lock, flags=abi.MMG_FLAG_REQUIRE_LOCK)) as handle:
        found = mmg.info(handle)
        assert (found.lock, found.lock_error) == (lock, 0)
        assert not files.obtainable(large.path, EXCLUSIVE[lock])


def test_a_demanded_lock_held_elsewhere_is_still_a_lock_held_elsewhere(large: Sample) -> None:
    with files.held_elsewhere(large.path, "flock exclusive"):
        mmg.refused(mmg.try_open(large.path, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_WOULD_BLOCK)


def test_demanding_a_lock_and_declining_one_is_a_contradiction(large: Sample) -> None:
    members = {"lock": abi.MMG_LOCK_NONE, "flags": abi.MMG_FLAG_REQUIRE_LOCK}
    mmg.refused(mmg.try_open(large.path, **members), abi.MMG_E_ARGUMENT)


# ------------------------------------------------------------------------------------------- where a lock is safe --


def test_no_lock_is_taken_by_default_where_a_server_would_be_asked(lockless: Path) -> None:
    """A FUSE server may never answer, so by default the library requests no lock of it.

    MMG_LOCK_SHARED requests one.
    """
    for name in NAMES.values():
        with mmg.opened(mmg.try_open(lockless / name)) as handle:
            found = mmg.info(handle)
            assert (found.lock, found.lock_error) == (abi.MMG_LOCK_NONE, 0)
            assert found.lock_reason == abi.MMG_LOCKING_COULD_HANG
            assert found.file_system.startswith(b"fuse")


def test_a_local_file_system_is_locked_by_default(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        found = mmg.info(handle)
        assert (found.lock, found.lock_reason) == (abi.MMG_LOCK_SHARED, abi.MMG_LOCKING_HELD)
        assert found.file_system != b""


def test_whatever_a_file_system_answers_to_a_lock_the_file_opens(large: Sample) -> None:
    """Every error that does not say that another program has the lock (EIO, EPERM, EBADF) means that there is no such
    lock."""
    codes = [errno.EIO, errno.EBUSY, errno.EPERM, errno.ENODEV, errno.EBADF, errno.EACCES, errno.ESTALE]
    with fuse.mounted({str(code): fuse.File(large.data, lock_error=code) for code in codes}) as folder:
        for code in codes:
            path = folder / str(code)
            with mmg.opened(mmg.try_open(path, lock=abi.MMG_LOCK_SHARED)) as handle:
                found = mmg.info(handle)
                assert (found.lock, found.lock_error) == (abi.MMG_LOCK_NONE, code)
                assert found.lock_reason == abi.MMG_LOCKING_MISSING
            told = mmg.refused(mmg.try_open(path, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_UNSUPPORTED)
            assert told.os_code == code


def test_a_stream_cannot_give_a_lock_that_is_demanded(large: Sample) -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"bytes")
    os.close(outlet)
    with open(large.path, "rb") as stream:
        for fd in (inlet, stream.fileno()):
            mmg.refused(mmg.try_read_fd(fd, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_UNSUPPORTED)
    os.close(inlet)


# The library reads the variable once, so this needs a process that has opened nothing yet.
OPEN_TWICE = """
handle = mmg.accepted(mmg.try_open(sys.argv[1]))
other = mmg.accepted(mmg.try_open(sys.argv[1], lock=abi.MMG_LOCK_OFD))
assert mmg.info(other).lock == abi.MMG_LOCK_OFD, "whoever asks for a lock by name gets it"
print(mmg.info(handle).lock, mmg.info(handle).lock_reason, end="")
"""


@pytest.mark.parametrize(
    ("word", "lock"),
    [("none", abi.MMG_LOCK_NONE), ("auto", abi.MMG_LOCK_SHARED), ("shared", abi.MMG_LOCK_SHARED)],
)
def test_the_environment_takes_the_place_of_the_default(
    large: Sample, monkeypatch: pytest.MonkeyPatch, word: str, lock: int
) -> None:
    monkeypatch.setenv("MMAPGUARD_LOCK", word)
    told = str(fresh_python(OPEN_TWICE, large.path).value).split()
    assert int(told[0]) == lock
    assert int(told[1]) == (abi.MMG_LOCKING_ASKED if lock == abi.MMG_LOCK_NONE else abi.MMG_LOCKING_HELD)


def test_many_regions_of_a_file_share_a_lock_that_lasts_as_long_as_the_last(large: Sample) -> None:
    """For each new lock, the kernel walks over all locks of the file.

    So the library takes only few, however many regions exist.
    """
    inode = os.stat(large.path).st_ino

    def locks() -> int:
        return sum(
            f":{inode} " in line and "FLOCK" in line for line in Path("/proc/locks").read_text().splitlines()
        )

    handles = [mmg.accepted(mmg.try_open(large.path)) for _ in range(200)]
    assert 1 <= locks() < 20
    while handles:
        assert mmg.info(handles[-1]).lock == abi.MMG_LOCK_SHARED
        # A process asks for the lock, so it is asked for beside many regions now and then, and beside each of the last.
        if len(handles) % 20 == 0 or len(handles) < 5:
            assert not files.obtainable(large.path, "flock exclusive")
        mmg.close(handles.pop(0))
    assert files.obtainable(large.path, "flock exclusive")
