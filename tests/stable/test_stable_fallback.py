# SPDX-License-Identifier: MIT OR Apache-2.0
"""When cap, time, room or device do not suffice for a break, the handle reports this, with the place.

The handle reports it before anybody writes. The bytes before that place stay right for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import Places, means, need_time, overwrite, overwritten_elsewhere, stable, until
from support import children, files, lease_settings, readers
from support import library as mmg
from support.children import Line, in_child
from support.files import PAGE

MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("leases")


def has_fallen_back(handle: int, shortfall: int, least: int, most: int) -> int:
    """Return the place from which on the handle promises nothing. It must be between `least` and `most`."""
    need_time(handle)
    found = mmg.info(handle)
    assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_CONTAINED, abi.MMG_MEANS_FAULT_GUARD)
    assert found.shortfall == shortfall, mmg.lib.mmg_term(abi.MMG_TERM_SHORTFALL, found.shortfall)
    assert found.fault_cause == abi.MMG_E_UNSTABLE
    assert least <= found.fault_offset <= most, found.fault_offset
    return int(found.fault_offset)


def is_right_up_to(handle: int, place: int, data: bytes, cut: bool = False) -> None:
    """Check that every byte before `place` is the original, and that no call returns a byte behind it."""
    size = len(data)
    no_bytes = (abi.MMG_E_UNSTABLE, abi.MMG_E_TRUNCATED) if cut else (abi.MMG_E_UNSTABLE,)
    assert mmg.check(handle) == abi.MMG_E_UNSTABLE
    assert mmg.info(handle).fault_offset == place
    assert mmg.pin(handle)[0] == abi.MMG_E_UNSTABLE
    assert mmg.pin(handle, place, 1)[0] == abi.MMG_E_UNSTABLE
    assert mmg.pin(handle, size - 1, 1)[0] == abi.MMG_E_UNSTABLE
    assert mmg.read(handle, 0, size)[0] in no_bytes
    assert mmg.read(handle, place, 1)[0] in no_bytes
    assert mmg.find(handle, data[-20:])[0] == abi.MMG_E_UNSTABLE
    if place > 0:
        assert mmg.content(handle, 0, place) == data[:place]
        assert mmg.read(handle, 0, place) == (abi.MMG_OK, data[:place])
        assert mmg.find(handle, data[place - 20 : place], 0, place) == (abi.MMG_OK, place - 20)


def overwrite_start(path: Path) -> None:
    """Overwrite the first bytes."""
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"\xff" * 5000, 0)
    os.close(fd)


# ----------------------------------------------------------------------------------------------------- cap --


@pytest.mark.parametrize("offset", [0, 5000])
@pytest.mark.parametrize("cap", [1, 3 * PAGE + 7, 300_000, files.LARGE - 5001])
def test_over_the_cap_the_beginning_stays_right(places: Places, offset: int, cap: int) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    data = one.data[offset:]
    with stable(one.path, max_snapshot_bytes=cap, offset=offset) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        status, whole = mmg.pin(handle)
        status_, start = mmg.pin(handle, 0, min(cap, 100))
        assert (status, status_) == (abi.MMG_OK, abi.MMG_OK)
        overwritten_elsewhere(one.path)
        shown = mmg.span_bytes(whole)
        status, status_ = mmg.unpin(whole), mmg.unpin(start)
        # Whole pages are kept, as far as the cap reaches.
        place = has_fallen_back(handle, abi.MMG_SHORT_CAP, max(0, cap - 2 * PAGE), cap)
        assert shown[:place] == data[:place]
        assert status == abi.MMG_E_UNSTABLE
        assert status_ == (abi.MMG_OK if place >= min(cap, 100) else abi.MMG_E_UNSTABLE)
        is_right_up_to(handle, place, data)


@pytest.mark.parametrize("keep", [0, 2 * PAGE, 100 * PAGE + 5])
@pytest.mark.parametrize("memory", [False, True], ids=["in a file", "in memory"])
def test_over_the_cap_the_beginning_stays_right_when_the_file_is_cut(
    places: Places, keep: int, memory: bool
) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    if memory:
        one.path.parent.chmod(0o755)
        os.chown(one.path, 65534, 65534)

    def judge() -> None:
        if memory:
            os.environ["TMPDIR"] = "/nowhere/at/all"
            children.become_nobody()
        with stable(one.path, max_snapshot_bytes=300_000) as handle:
            status, span = mmg.pin(handle)
            assert status == abi.MMG_OK
            os.truncate(one.path, keep)
            place = has_fallen_back(handle, abi.MMG_SHORT_CAP, 300_000 - PAGE, 300_000)
            mmg.span_bytes(span)  # reads what is gone
            assert mmg.span_bytes(span)[:place] == one.data[:place], (
                "the beginning was secured, and yet it is gone"
            )
            assert mmg.check(handle) == abi.MMG_E_UNSTABLE
            assert mmg.info(handle).fault_offset == place, "what was secured is called lost"
            is_right_up_to(handle, place, one.data, cut=keep < one.size)
            assert mmg.unpin(span) == abi.MMG_E_UNSTABLE

    files.require_root("becomes another user")
    in_child(judge)


def _blocked(path: Path) -> int:
    """Read bytes that are gone by mmg_read(), with SIGBUS blocked: the kernel must copy, or the process dies."""
    children.become_nobody()
    os.environ["TMPDIR"] = "/nowhere/at/all"
    with stable(path, max_snapshot_bytes=300_000) as handle:
        os.truncate(path, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGBUS})
        return mmg.read(handle, 400_000, 5000)[0]


def test_a_read_of_what_was_not_secured_is_a_status_and_never_a_signal(places: Places) -> None:
    files.require_root("becomes another user")
    one = files.sample(places("ext4") / "file", files.LARGE)
    one.path.parent.chmod(0o755)
    os.chown(one.path, 65534, 65534)
    assert in_child(_blocked, one.path) == abi.MMG_E_UNSTABLE


def test_without_the_guard_a_fallback_claims_no_containment(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with stable(one.path, max_snapshot_bytes=1, flags=abi.MMG_FLAG_NO_FAULT_GUARD) as handle:
        overwritten_elsewhere(one.path)
        found = mmg.info(handle)
        assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_NONE, abi.MMG_MEANS_NONE)
        assert mmg.check(handle) == abi.MMG_E_UNSTABLE


def test_a_window_within_the_cap_is_kept_though_the_file_is_larger(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with stable(one.path, offset=70_000, length=200_000, max_snapshot_bytes=200_000) as handle:
        overwritten_elsewhere(one.path)
        need_time(handle)
        assert mmg.content(handle) == one.data[70_000:270_000]
        assert mmg.check(handle) == abi.MMG_OK


# ---------------------------------------------------------------------------------------------------- room --


def _without_room(path: Path, data: bytes, where: Path) -> None:
    os.environ["TMPDIR"] = str(where)
    with stable(path) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * PAGE + len(data) // 4, resource.RLIM_INFINITY))
        overwrite_start(path)
        place = has_fallen_back(handle, abi.MMG_SHORT_SPACE, 0, len(data))
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        is_right_up_to(handle, place, data)
        assert mmg.unpin(span) == abi.MMG_E_UNSTABLE


def test_a_full_disk_and_no_memory_are_reported() -> None:
    size = 20 * MIB
    with mounts.image("ext4", 32 * MIB) as (where, _):
        one = files.sample(where / "file", size)
        free = mounts.free_blocks(where)
        assert free * os.statvfs(where).f_frsize < size
        in_child(_without_room, one.path, one.data, where)
        assert mounts.free_blocks(where) == free, "something of the copy was left behind"


def _without_disk(path: Path, data: bytes, where: Path) -> int:
    os.environ["TMPDIR"] = str(where)
    with stable(path) as handle:
        overwrite(path)
        need_time(handle)
        assert mmg.content(handle) == data
        assert mmg.check(handle) == abi.MMG_OK
        return means(handle)


def test_a_full_disk_alone_is_met_by_memory() -> None:
    with mounts.image("ext4", 32 * MIB) as (where, _):
        one = files.sample(where / "file", 20 * MIB)
        assert in_child(_without_disk, one.path, one.data, where) == abi.MMG_MEANS_SNAPSHOT


# ---------------------------------------------------------------------------------------------------- time --


def _read_on(line: Line, path: Path, data: bytes) -> None:
    """Open the file. After every order, send what the region says and whether its bytes are still the first ones."""
    with stable(path) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        line.say(str(means(handle)))
        while line.hear():
            right = mmg.span_bytes(span) == data
            told = mmg.check(handle)
            found = mmg.info(handle)
            line.say(f"{int(right)} {told} {found.guarantee} {found.shortfall} {found.fault_offset}")
        mmg.unpin(span)


def _state(line: Line) -> dict[str, int]:
    line.say("how is it?")
    right, told, guarantee, shortfall, place = map(int, line.hear().split())
    return {"right": right, "check": told, "guarantee": guarantee, "shortfall": shortfall, "place": place}


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for a `with` block."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: _run_state(pid) == "T", "the process stops")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _run_state(task: str | int) -> str:
    with open(f"/proc/{task}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


@pytest.mark.alone
def test_a_process_that_was_stopped_for_too_long_learns_that_the_bytes_changed(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with mounts.setting(lease_settings.BREAK_TIME, 1), children.Helper(_read_on, one.path, one.data) as line:
        assert int(line.hear()) == abi.MMG_MEANS_LEASE
        assert line.pid is not None
        with stopped(line.pid):
            waited = overwrite(one.path)
        assert waited > 0.5, "the kernel must let the writer in by force, or the test shows nothing"
        state = _state(line)
        assert not state["right"]
        until(lambda: _state(line)["check"] == abi.MMG_E_UNSTABLE, "the report")
        state = _state(line)
        assert state["guarantee"] == abi.MMG_GUARANTEE_CONTAINED
        assert (state["shortfall"], state["place"]) == (abi.MMG_SHORT_TIME, 0)


_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT, _WALL = 17, 0x4206, 0x4207, 0x40000000


def _ptrace(request: int, task: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, task, None, None) != 0:
        raise mounts.Unavailable(f"cannot trace a thread: {os.strerror(ctypes.get_errno())}")


@pytest.mark.alone
def test_check_is_right_even_while_the_thread_that_should_know_does_not_run(places: Places) -> None:
    """On a busy machine the readers may run before the library's thread.

    They must not take changed bytes for right.
    """
    one = files.sample(places("ext4") / "file", files.LARGE)
    with mounts.setting(lease_settings.BREAK_TIME, 1), children.Helper(_read_on, one.path, one.data) as line:
        assert int(line.hear()) == abi.MMG_MEANS_LEASE
        assert line.pid is not None
        thread = max(int(name) for name in os.listdir(f"/proc/{line.pid}/task"))
        assert thread != line.pid
        _ptrace(_PTRACE_SEIZE, thread)
        _ptrace(_PTRACE_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        try:
            overwrite(one.path)
            state = _state(line)
            assert not state["right"], "the kernel has let the writer in by force"
            assert state["check"] == abi.MMG_E_UNSTABLE, (
                f"the bytes are wrong, and check() says {state['check']}"
            )
        finally:
            _ptrace(_PTRACE_DETACH, thread)
        until(lambda: _state(line)["guarantee"] == abi.MMG_GUARANTEE_CONTAINED, "the thread runs again")


def _large_copy(path: Path) -> dict[str, Any]:
    with stable(path, max_snapshot_bytes=mmg.NO_LIMIT) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        overwrite_start(path)
        found = mmg.info(handle)
        place = int(found.fault_offset)
        whole = place == mmg.TO_END
        return {
            "means": int(found.means),
            "guarantee": found.guarantee,
            "shortfall": found.shortfall,
            "place": place,
            "check": mmg.check(handle),
            "start": mmg.content(handle, 0, 100) if whole or place >= 100 else b"",
        }


def _place_of_large_copy(path: Path) -> int:
    state = in_child(_large_copy, path)
    if state["guarantee"] == abi.MMG_GUARANTEE_STABLE:
        assert (state["check"], state["place"]) == (abi.MMG_OK, mmg.TO_END)
        assert state["start"] == b"\0" * 100
        if state["means"] == abi.MMG_MEANS_REFLINK:
            raise mounts.Unavailable("the temporary folder's file system clones, and so copies nothing")
        raise mounts.Unavailable("this machine copies 6 GiB in half a second")
    assert state["check"] == abi.MMG_E_UNSTABLE
    assert state["shortfall"] == abi.MMG_SHORT_TIME
    assert state["place"] < 6 << 30
    assert state["place"] == 0 or state["start"] == b"\0" * 100
    return int(state["place"])


@pytest.mark.alone
def test_a_copy_that_takes_longer_than_the_kernel_waits_is_given_up_in_time(tmp_path: Path) -> None:
    """The region reports the fallback before the writer is let in, and the bytes copied by then stay right.

    If the kernel has to let the writer in by force, none of the bytes is relied on. On a busy machine a piece may take so
    long, but not each time.
    """
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 13 << 30:
        raise mounts.Unavailable("there is no room for a copy that takes that long")
    place = 0
    with mounts.setting(lease_settings.BREAK_TIME, 1):
        for attempt in range(5):
            path = files.sparse(tmp_path / f"sparse {attempt}", 6 << 30)
            place = _place_of_large_copy(path)
            path.unlink()
            if place > 0:
                break
    assert place > 0, "the library has never given a lease up in time"


# -------------------------------------------------------------------------------------------------- device --


def _unreadable(path: Path, data: bytes, image: str, cut: int) -> None:
    os.environ["TMPDIR"] = "/dev/shm"
    with stable(path) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        os.truncate(image, cut)  # the medium ends here now, so the bytes behind cannot be read
        os.close(os.open(path, os.O_RDWR))
        place = has_fallen_back(handle, abi.MMG_SHORT_READ, 0, len(data) - 1)
        if place > 0:
            assert mmg.content(handle, 0, place) == data[:place]
        assert mmg.check(handle) == abi.MMG_E_UNSTABLE
        assert mmg.pin(handle)[0] == abi.MMG_E_UNSTABLE


def test_a_medium_that_fails_during_the_break_is_reported() -> None:
    size_of_file = 12 * MIB
    with mounts.image("ext4", 64 * MIB, quiet=True) as (where, image):
        one = files.sample(where / "file", size_of_file)
        mounts.leave_room(where, size_of_file)
        os.sync()
        readers.drop_from_cache(one.path)  # the break then has to read the medium
        middle = readers.place_on_device(one.path, size_of_file // 2)
        size = image.stat().st_size
        try:
            in_child(_unreadable, one.path, one.data, str(image), middle)
        finally:
            os.truncate(image, size)
