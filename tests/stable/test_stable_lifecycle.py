# SPDX-License-Identifier: MIT OR Apache-2.0
"""The thread that keeps the leases lives as long as they do.

The tests show which signals it takes, what it leaves behind, and what fork and exec do.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import (
    FILE_MEANS,
    MAPPED,
    NOBODY,
    STABLE,
    Places,
    beside,
    having_become,
    helper_thread,
    is_still,
    leases_on,
    means,
    need_time_since,
    overwrite,
    overwritten_elsewhere,
    stable,
    until,
    writing,
)
from support import files, lease_settings, seccomp, watch
from support import library as mmg
from support.children import Helper, Line, fresh_python, in_child

BREAK_SIGNAL = signal.SIGRTMAX - 1
"""What the library has the kernel send to its thread when a lease is being broken (BREAK_SIGNAL of src/stable/lease.c)."""

PROMPT = 20.0
"""Seconds that a writer is never held for, on however slow a machine: below the kernel's own limit of 45."""


# ---------------------------------------------------------------------------------------------- the thread --


def test_the_thread_lives_from_the_first_lease_to_the_last(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    other = files.sample(leasing_folder / "other", files.LARGE)
    before = watch.threads()
    with stable(one.path):
        assert watch.threads() == before + 1
        thread = helper_thread()
        with stable(other.path):
            assert watch.threads() == before + 1
        time.sleep(0.3)  # longer than the thread lives on without a lease
        assert helper_thread() == thread
    until(lambda: watch.threads() == before, "the thread ends")
    with stable(one.path) as handle:
        assert watch.threads() == before + 1
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)
        until(lambda: watch.threads() == before, "the thread ends with the lease, though the handle is open")
        is_still(handle, one.data)
    assert watch.threads() == before


def _is_traced(thread: int) -> bool:
    status = Path(f"/proc/self/task/{thread}/status").read_text()
    return "\nTracerPid:\t0\n" not in status


def _waits_of_the_thread(path: Path, log: Path) -> list[tuple[str, ...]]:
    """Return the calls in which the thread has waited since strace is attached, until it ends: seconds, ns, the result."""
    tool = shutil.which("strace")
    if tool is None:
        pytest.skip("strace is not installed")
    before = watch.threads()
    with stable(path):
        thread = helper_thread()
        tracer = subprocess.Popen(
            [tool, "-qq", "-e", "trace=rt_sigtimedwait", "-o", log, "-p", str(thread)],
            stderr=subprocess.DEVNULL,
        )
        until(lambda: _is_traced(thread) or tracer.poll() is not None, "strace is attached, or cannot be")
        if tracer.poll() is not None:
            pytest.skip("this system lets no process trace another one of the same user")
    until(lambda: watch.threads() == before, "the thread ends")
    tracer.wait()
    return re.findall(r"rt_sigtimedwait\(.*\{tv_sec=(\d+), tv_nsec=(\d+)\}.* = (-?\w+ ?\w*)", log.read_text())


def test_the_thread_waits_100_ms_for_another_lease_before_it_ends(
    leasing_folder: Path, tmp_path: Path
) -> None:
    """The test reads no clock: the last system call in which the thread waits has this limit, and times out."""
    one = files.sample(leasing_folder / "file", files.LARGE)
    waits: list[tuple[str, ...]] = []
    for attempt in range(10):
        # On a busy machine, the thread may have ended before the tracer that is attached follows its calls.
        waits = waits or _waits_of_the_thread(one.path, tmp_path / f"log {attempt}")
    assert waits[-1] == ("0", "100000000", "-1 EAGAIN")


def test_who_asks_for_no_lease_gets_no_thread(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    before = watch.threads()
    with mmg.opened(mmg.try_open(one.path)) as contained:
        assert mmg.info(contained).guarantee == abi.MMG_GUARANTEE_CONTAINED
        with stable(one.path, backing=abi.MMG_BACKING_COPY):
            assert watch.threads() == before
        with writing(one.path), stable(one.path, **MAPPED) as handle:
            assert means(handle) == beside(one.path)
            until(lambda: watch.threads() == before, "no thread stays where no lease was to be had")


def test_the_thread_takes_no_signal_of_the_applications(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        with open(f"/proc/self/task/{helper_thread()}/status") as status:
            blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk:"))
        awaited = {signal.SIGIO, BREAK_SIGNAL}  # the thread waits for them in sigwaitinfo(2)
        for number in signal.valid_signals() - awaited - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
            assert blocked >> (number - 1) & 1, f"signal {number} is open in the library's thread"
        is_still(handle, one.data)


def _handled_during_a_break(path: Path, data: bytes) -> list[int]:
    arrived: list[int] = []
    numbers = [signal.SIGIO, signal.SIGURG, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
    for number in numbers:
        signal.signal(number, lambda got, _: arrived.append(got))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with stable(path) as handle:
        overwrite(path)
        is_still(handle, data)
        assert means(handle) in FILE_MEANS
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert not signal.sigpending()
    os.kill(os.getpid(), BREAK_SIGNAL)
    until(lambda: bool(arrived), "the application's own signal")
    return arrived


def test_no_signal_of_a_lease_reaches_the_application_and_its_own_do(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    assert in_child(_handled_during_a_break, one.path, one.data) == [BREAK_SIGNAL]


# ------------------------------------------------------------------------------------------ forged signals --

_TGSIGQUEUEINFO = {"x86_64": 297, "aarch64": 240}


class _Info(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int) for name in ("signo", "errno", "code", "pad", "band_low", "band_high", "fd")
    ]
    _fields_ += [("rest", ctypes.c_ubyte * 100)]


def need_forging() -> None:
    """Raise Unavailable where this module cannot send a signal with contents of its own."""
    if os.uname().machine not in _TGSIGQUEUEINFO:
        raise mounts.Unavailable(f"no number of rt_tgsigqueueinfo(2) for {os.uname().machine}")


def forge(process: int, thread: int, number: int, code: int, fd: int) -> int:
    """Send a signal with these contents to a thread. Return 0 or an errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    info = _Info(signo=number, code=code, band_low=1, fd=fd)
    done = libc.syscall(
        ctypes.c_long(_TGSIGQUEUEINFO[os.uname().machine]), process, thread, number, ctypes.byref(info)
    )
    return 0 if done == 0 else ctypes.get_errno()


def _forge_all(process: int, thread: int, fds: list[int]) -> None:
    for number in (BREAK_SIGNAL, signal.SIGIO):
        results = {forge(process, thread, number, -1, fd) for fd in fds}  # SI_QUEUE
        assert 0 in results, f"no signal {number} was sent: {results}"
        assert results <= {0, errno.EAGAIN}, results


FORGED_FDS = [-1, 0, 1, 2, 3, 2**31 - 1, -(2**31), *range(4, 60)]


_F_OWNER_TID, _F_SETOWN_EX = 0, 15


def _signal_for_input(descriptor: int, thread: int) -> None:
    """Let the kernel send the signal of a break to a thread when there is something to read from a descriptor."""
    fcntl.fcntl(descriptor, _F_SETOWN_EX, struct.pack("ii", _F_OWNER_TID, thread))
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, BREAK_SIGNAL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def test_signals_about_other_descriptors_break_no_lease(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with contextlib.ExitStack() as kept, stable(one.path) as handle:
        for _ in range(40):
            here, there = socket.socketpair()
            kept.enter_context(here)
            kept.enter_context(there)
            _signal_for_input(here.fileno(), helper_thread())
            there.send(b"news")
        time.sleep(0.05)
        assert means(handle) == abi.MMG_MEANS_LEASE
        assert leases_on(one.path) == 1
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


def test_forged_signals_break_no_lease(leasing_folder: Path) -> None:
    need_forging()
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        in_child(_forge_all, os.getpid(), helper_thread(), FORGED_FDS)
        for fd in FORGED_FDS:  # the kernel lets no other thread pretend to be the kernel
            assert forge(os.getpid(), helper_thread(), BREAK_SIGNAL, 1, fd) == errno.EPERM
        time.sleep(0.05)
        assert means(handle) == abi.MMG_MEANS_LEASE
        assert leases_on(one.path) == 1
        is_still(handle, one.data)
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


def _flood(line: Line, process: int, thread: int) -> None:
    """Send signals without an end. The queue may be full, and the thread may have ended once its lease is broken."""
    results: set[int] = set()

    def is_sent() -> bool:
        results.add(forge(process, thread, BREAK_SIGNAL, -1, 3))
        assert results <= {0, errno.EAGAIN}, results
        return 0 in results

    until(is_sent, "a place in the queue of signals")
    line.say("flooding")
    libc = ctypes.CDLL(None, use_errno=True)
    info = ctypes.byref(_Info(signo=BREAK_SIGNAL, code=-1, fd=3))
    number = ctypes.c_long(_TGSIGQUEUEINFO[os.uname().machine])
    while line.silent():
        for _ in range(2000):
            if libc.syscall(number, process, thread, BREAK_SIGNAL, info) != 0:
                results.add(ctypes.get_errno())
    assert results <= {0, errno.EAGAIN, errno.ESRCH}, results


@pytest.fixture
def few_signals() -> Iterator[None]:
    """Let only some thousand signals wait in this process.

    The kernel counts those of all processes of a user, and no other test may find that they are used up.
    """
    before = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (min(10_000, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_SIGPENDING, before)


@pytest.mark.usefixtures("few_signals")
def test_a_flood_of_forged_signals_holds_up_no_writer(leasing_folder: Path) -> None:
    need_forging()
    one = files.sample(leasing_folder / "file", 16 << 20)
    with stable(one.path) as handle, contextlib.ExitStack() as stack:
        for _ in range(2):
            line = stack.enter_context(Helper(_flood, os.getpid(), helper_thread()))
            assert line.hear() == "flooding"
        assert overwritten_elsewhere(one.path) < PROMPT
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


def _with_a_full_queue(path: Path, data: bytes, more: list[Path]) -> set[int]:
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, resource.getrlimit(resource.RLIMIT_SIGPENDING)[1]))
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(stable(one)) for one in [path, *more]]
        assert {means(handle) for handle in handles} == {abi.MMG_MEANS_LEASE}
        writers = [threading.Thread(target=overwrite, args=(one,)) for one in [path, *more]]
        begun = time.monotonic()
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert time.monotonic() - begun < PROMPT
        for handle in handles:
            is_still(handle, data)
        return {means(handle) for handle in handles}


def test_where_no_signal_can_be_queued_breaks_are_noticed_all_the_same(leasing_folder: Path) -> None:
    """With RLIMIT_SIGPENDING of 0, the kernel sends a plain SIGIO that names no file."""
    samples = [files.sample(leasing_folder / f"file-{number}", files.LARGE) for number in range(20)]
    left = in_child(_with_a_full_queue, samples[0].path, samples[0].data, [one.path for one in samples[1:]])
    assert left <= set(FILE_MEANS)


def test_where_no_signal_can_be_queued_for_a_user_without_privileges(leasing_folder: Path) -> None:
    files.require_root("becomes another user")
    one = files.sample(leasing_folder / "file", files.LARGE)
    os.chown(one.path, NOBODY, NOBODY)
    assert in_child(having_become, NOBODY, _with_a_full_queue, one.path, one.data, []) <= set(FILE_MEANS)


def _without_threads(path: Path, data: bytes) -> int:
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    with stable(path, **MAPPED) as handle:
        is_still(handle, data)
        return means(handle)


def test_where_no_thread_can_be_had_the_next_means_is_taken(leasing_folder: Path) -> None:
    files.require_root("becomes another user")
    one = files.sample(leasing_folder / "file", files.LARGE)
    os.chown(one.path, NOBODY, NOBODY)
    assert in_child(having_become, NOBODY, _without_threads, one.path, one.data) == beside(one.path)


# ------------------------------------------------------------------------------------------- fork and exec --


def _child_of_a_fork(handle: int, data: bytes, path: Path) -> None:
    found = mmg.info(handle)
    assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_CONTAINED, abi.MMG_MEANS_FAULT_GUARD)
    assert found.shortfall == abi.MMG_SHORT_FORKED
    assert mmg.content(handle) == data
    assert mmg.check(handle) == abi.MMG_OK
    with stable(path) as own:
        assert means(own) == abi.MMG_MEANS_LEASE
        assert watch.threads() == 2
    assert mmg.close(handle) == abi.MMG_OK


def test_a_forked_child_is_contained_and_says_why(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        for _ in range(3):
            in_child(_child_of_a_fork, handle, one.data, one.path)
            assert leases_on(one.path) == 1, "the child's close has ended the parent's lease"
            assert means(handle) == abi.MMG_MEANS_LEASE
        assert overwritten_elsewhere(one.path) < PROMPT
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


def _watch_as_a_child(line: Line, handle: int) -> None:
    line.say("ready")
    line.hear()
    line.say(str(mmg.check(handle)))
    line.say(str(mmg.info(handle).fault_offset))
    line.say(str(mmg.pin(handle, 0, 10)[0]))
    line.hear()


def test_a_forked_child_notices_that_the_file_changed(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle, Helper(_watch_as_a_child, handle) as line:
        assert line.hear() == "ready"
        assert overwritten_elsewhere(one.path) < PROMPT
        is_still(handle, one.data)
        line.say("look")
        assert int(line.hear()) == abi.MMG_E_UNSTABLE
        assert int(line.hear()) == 0
        assert int(line.hear()) == abi.MMG_E_UNSTABLE


def _after_the_break(handle: int, data: bytes) -> None:
    is_still(handle, data)
    assert mmg.close(handle) == abi.MMG_OK


def test_a_child_of_a_fork_after_the_break_has_the_snapshot_too(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        overwritten_elsewhere(one.path)
        in_child(_after_the_break, handle, one.data)
        is_still(handle, one.data)


def _open_fork_and_die(line: Line, path: Path) -> None:
    handle = mmg.accepted(mmg.try_open(path, guarantee=STABLE))
    child = os.fork()
    if child == 0:
        line.say(f"{os.getpid()} {means(handle)} {mmg.info(handle).shortfall}")
        line.hear()
        os._exit(0)
    os._exit(0)


@pytest.mark.usefixtures("leases")
def test_the_child_of_a_parent_that_has_died_holds_up_no_writer(places: Places) -> None:
    """The child is a daemon, and the parent with the thread is gone.

    The child uses the region once, and so gives up the lease.
    """
    one = files.sample(places("ext4") / "file", files.LARGE)
    with Helper(_open_fork_and_die, one.path) as line:
        told = line.hear().split()
        assert int(told[2]) == abi.MMG_SHORT_FORKED
        parent = line.pid
        assert parent is not None
        until(lambda: _has_ended(parent), "the parent dies")
        waited = overwritten_elsewhere(one.path)
        line.say("done")
    assert waited < PROMPT, f"the writer was held for {waited:.0f} s by a lease that no thread gives up"


def _has_ended(process: int) -> bool:
    with open(f"/proc/{process}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


INHERITED = """
import os, sys
found = set()
for name in os.listdir("/proc/self/fd"):
    try:
        if os.path.samestat(os.fstat(int(name)), os.stat(sys.argv[1])):
            found.add(int(name))
    except OSError:  # the listing's own descriptor is gone
        pass
inherits = os.path.exists("/proc/self/fd/" + sys.argv[2])
print(inherits, sorted(found), flush=True)
input()
"""


def test_a_program_started_from_here_holds_no_lease(leasing_folder: Path) -> None:
    """The program gets every descriptor that nobody has marked as close-on-exec."""
    one = files.sample(leasing_folder / "file", files.LARGE)
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(stable(one.path))
        assert means(handle) == abi.MMG_MEANS_LEASE
        marker = stack.enter_context(open(os.devnull))
        os.set_inheritable(marker.fileno(), True)
        command = [sys.executable, "-c", INHERITED, str(one.path), str(marker.fileno())]
        pipe = subprocess.PIPE
        other = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, close_fds=False, text=True)
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "True []\n", "whether it inherits at all, and what of the file"
        assert overwritten_elsewhere(one.path) < PROMPT
        is_still(handle, one.data)
        other.communicate("\n")


EXEC = """
import os
handle = mmg.accepted(mmg.try_open(sys.argv[1], guarantee=abi.MMG_GUARANTEE_STABLE))
assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
os.execv(sys.executable, [sys.executable, "-c", '''
import os, sys, time
begun = time.monotonic()
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"x", 0)
assert time.monotonic() - begun < 20
place = "/proc/self/fd/"
assert not [one for one in os.listdir(place) if os.path.realpath(place + one) == sys.argv[1] and int(one) != fd]
print(len(os.listdir("/proc/self/task")), end="")
''', sys.argv[1]])
"""


def test_exec_ends_the_leases(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    assert fresh_python(EXEC, one.path).returned() == "1"
    assert leases_on(one.path) == 0


# ----------------------------------------------------------------------------------------------- unloading --

UNLOADED = """
import _ctypes, os, threading
handle = mmg.accepted(mmg.try_open(sys.argv[1], guarantee=abi.MMG_GUARANTEE_STABLE))
assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
status, span = mmg.pin(handle)
data = open(sys.argv[1], "rb").read()
_ctypes.dlclose(mmg.lib._handle)
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, bytes(len(data)), 0)
os.ftruncate(fd, 0)
in_time = mmg.info(handle).shortfall != abi.MMG_SHORT_TIME
assert mmg.span_bytes(span) == data or not in_time
print("alive" if in_time else "no time", end="")
"""


def test_unloading_the_library_changes_nothing(leasing_folder: Path) -> None:
    """A signal handler and a thread cannot be unloaded, so the library stays."""
    one = files.sample(leasing_folder / "file", files.LARGE)
    told = fresh_python(UNLOADED, one.path).returned()
    if told == "no time":
        lease_settings.need_long_breaks()
    assert told == "alive"


LEFT_OPEN = """
handle = mmg.accepted(mmg.try_open(sys.argv[1], guarantee=abi.MMG_GUARANTEE_STABLE))
assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
print("gone", end="")
"""


@pytest.mark.parametrize(
    "ending", ["", "\nimport os, signal\nsys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"]
)
def test_a_process_that_ends_without_closing_leaves_no_lease(leasing_folder: Path, ending: str) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    ended = fresh_python(LEFT_OPEN + ending, one.path)
    assert ended.value == "gone"
    if ending:
        ended.died_of(signal.SIGKILL)
    assert leases_on(one.path) == 0
    assert overwrite(one.path) < PROMPT


# -------------------------------------------------------------------------------------------- what is left --


def _break_and_close(paths: list[Path], early: bool) -> None:
    for path in paths:
        handle = mmg.accepted(mmg.try_open(path, guarantee=STABLE))
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        if early:
            assert mmg.close(handle) == abi.MMG_OK
        before = mmg.stats().fallbacks_time
        overwritten_elsewhere(path)
        status = mmg.unpin(span)
        if not early:
            assert mmg.close(handle) == abi.MMG_OK
        need_time_since(before)
        assert status == abi.MMG_OK


@pytest.mark.parametrize("kind", mounts.WRITABLE)
def test_nothing_is_left_on_the_file_system(kind: str) -> None:
    """Unlinked files give their room back: the folder is empty, and the free blocks are as before."""
    with mounts.writable(kind) as where:
        one = [files.sample(where / f"file-{number}", files.LARGE).path for number in range(4)]
        for path in one:  # the state before: the files share no block with a snapshot
            overwrite(path)
        _break_and_close(one, False)  # xfs and btrfs set blocks aside when files are first shared
        before = mounts.free_blocks(where)
        descriptors = watch.descriptors()
        for early in (False, True, False, True):
            _break_and_close(one, early)
        with writing(one[0]), stable(one[0]) as handle:
            assert means(handle) != abi.MMG_MEANS_LEASE
        assert sorted(entry.name for entry in where.iterdir() if entry.name != "lost+found") == sorted(
            path.name for path in one
        )
        assert watch.descriptors() == descriptors
        assert not [line for line in _locks() if "LEASE" in line and f" {os.getpid()} " in line]
        slack = 300 if kind in mounts.REFLINKING else 0  # the room of one of the sixteen snapshots
        until(
            lambda: abs(mounts.free_blocks(where) - before) <= slack, "the blocks of the snapshots come back"
        )


def _locks() -> list[str]:
    with open("/proc/locks") as locks:
        return locks.read().splitlines()


def test_a_failed_open_leaves_no_lease(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    before = watch.descriptors()
    mmg.refused(mmg.try_open(one.path, guarantee=STABLE, offset=files.LARGE + 1), abi.MMG_E_RANGE)
    mmg.refused(mmg.try_open(one.path, guarantee=STABLE, length=files.LARGE + 1), abi.MMG_E_RANGE)
    assert leases_on(one.path) == 0
    assert watch.descriptors() == before


def _refuses_mappings(path: Path) -> None:
    """Ask for a mapping of a file system that gives leases and maps no files."""
    before = watch.descriptors()
    seccomp.refuse("mmap", errno.ENODEV, seccomp.When(4, 0xFFFFFFFF, 0xFFFFFFFF, differs=True))
    told = mmg.refused(mmg.try_open(path, guarantee=STABLE, **MAPPED), abi.MMG_E_UNSTABLE)
    assert "does not map files" in told.message
    assert "lease: " not in told.message, "the lease was refused, so it is no lease that must end"
    assert mmg.stats().leases == 0
    assert leases_on(path) == 0
    until(
        lambda: watch.descriptors() == before,
        "the thread that has kept the lease ends, and closes what it had",
    )


@pytest.mark.usefixtures("leases")
def test_an_open_that_fails_after_the_lease_leaves_no_lease(places: Places) -> None:
    seccomp.require()
    in_child(_refuses_mappings, files.sample(places("ext4") / "file", files.LARGE).path)


def _beyond_the_address_space(path: Path) -> None:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    with stable(path, length=200_000, lock=abi.MMG_LOCK_NONE):  # now the thread and its stack exist
        resource.setrlimit(resource.RLIMIT_AS, (pages * files.PAGE + (16 << 20), resource.RLIM_INFINITY))
        mmg.refused(
            mmg.try_open(path, guarantee=STABLE, max_snapshot_bytes=mmg.NO_LIMIT, lock=abi.MMG_LOCK_NONE),
            abi.MMG_E_NO_MEMORY,
        )
        assert leases_on(path) == 1


@pytest.mark.usefixtures("leases")
def test_a_mapping_that_cannot_be_had_leaves_no_lease(places: Places) -> None:
    path = files.sparse(places("ext4") / "sparse", 1 << 30)
    in_child(_beyond_the_address_space, path)
    assert leases_on(path) == 0
