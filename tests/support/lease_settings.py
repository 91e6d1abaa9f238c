# SPDX-License-Identifier: MIT OR Apache-2.0
"""The kernel's settings of leases. They are those of the whole machine, so tests that change them run alone.

Each test that may depend on a lease shares a lock, and a test that changes a setting locks it exclusively. The lock is on
the root directory, which is the same in all namespaces, while each /proc that is mounted has files of its own. The C
programs do the same: check_keep_lease_settings().
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .unavailable import Unavailable

ENABLE = "/proc/sys/fs/leases-enable"
BREAK_TIME = "/proc/sys/fs/lease-break-time"
#: Tells the programs that a test starts that the test has the lock already.
KEPT = "MMAPGUARD_TESTS_SETTING"
#: Lets go of the queue after so many seconds, for a program that a test with the lock has started without KEPT.
PATIENCE = 20.0
#: Seconds that are enough for every copy of a test, also on a loaded machine.
LONG = 30


def _value(path: str, default: int) -> int:
    """Return a setting. A sandbox may hide it."""
    try:
        return int(Path(path).read_text())
    except OSError:
        return default


def need_leases() -> None:
    """Raise Unavailable where leases are switched off."""
    if _value(ENABLE, 1) == 0:
        raise Unavailable(f"leases are switched off: {ENABLE} is 0")


def break_seconds() -> int:
    """Return how many seconds the kernel lets a writer wait; 0 when it waits for ever. Other programs may change it."""
    return _value(BREAK_TIME, 0)


def need_long_breaks() -> None:
    """Raise Unavailable where the kernel takes a broken lease sooner than a loaded machine may have copied the bytes."""
    seconds = break_seconds()
    if 0 < seconds < LONG:
        raise Unavailable(f"{BREAK_TIME} is {seconds}: too short for a copy on a loaded machine")


@functools.cache
def _directory(path: str) -> int:
    """Return a descriptor that stays open, above those that tests count or limit."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 200)
    finally:
        os.close(opened)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep the settings as they are for a `with` block."""
    if KEPT in os.environ:
        yield
        return
    queue, turn = _directory("/etc"), _directory("/")
    fcntl.flock(queue, fcntl.LOCK_SH)
    fcntl.flock(turn, fcntl.LOCK_SH)
    fcntl.flock(queue, fcntl.LOCK_UN)
    os.environ[KEPT] = "kept"
    try:
        yield
    finally:
        del os.environ[KEPT]
        fcntl.flock(turn, fcntl.LOCK_UN)


@contextlib.contextmanager
def changed(path: str, value: int) -> Iterator[None]:
    """Change a setting for a `with` block within kept(), and put the old value back whatever happens.

    A process of its own puts it back, so that the machine keeps no setting of a test that was killed. That process has the
    lock, too: nobody else gets it before the old value is there.
    """
    turn = _directory("/")
    _lock_alone(_directory("/etc"), turn)
    before = Path(path).read_text().strip()
    with subprocess.Popen(
        ["sh", "-c", 'read -r _; echo "$0" > "$1"', before, path],
        stdin=subprocess.PIPE,
        pass_fds=(turn,),
        start_new_session=True,  # a signal for the whole group of a test does not reach it
    ) as restorer:
        try:
            Path(path).write_text(str(value))
            yield
        finally:
            restorer.communicate(b"\n")
            assert Path(path).read_text().strip() == before, f"{path} was not put back"
            fcntl.flock(turn, fcntl.LOCK_SH)


def _lock_alone(queue: int, turn: int) -> None:
    """Wait for the exclusive lock. Those that come later wait in the queue, so that there is an end to the others."""
    while True:
        fcntl.flock(queue, fcntl.LOCK_EX)
        until = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < until:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.01)
        finally:
            fcntl.flock(queue, fcntl.LOCK_UN)
        time.sleep(0.1)
