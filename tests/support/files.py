# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes files whose bytes show their place, and finds the locks that other processes hold on them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .children import Helper, Line, in_child
from .library import pattern

PAGE = mmap.PAGESIZE

SMALL = 3000
"""Well below every copy threshold."""

LARGE = (1 << 20) + 123
"""Well above every copy threshold, and no whole number of pages."""


@dataclass(frozen=True)
class Sample:
    """A file and its contents."""

    path: Path
    data: bytes

    @property
    def size(self) -> int:
        """Return the number of bytes that the file had when it was made."""
        return len(self.data)


def sample(path: Path, size: int, seed: int = 1) -> Sample:
    """Write `size` bytes to `path` that show their place."""
    data = pattern(size, seed)
    path.write_bytes(data)
    return Sample(path, data)


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file."""
    with open(path, "ab") as stream:
        stream.write(data)


def overwrite(path: Path, data: bytes, offset: int = 0) -> None:
    """Write into a file in place."""
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def sparse(path: Path, size: int) -> Path:
    """Return a file of `size` bytes that takes no room.

    Skip the test where the file system cannot hold a file so long.
    """
    with open(path, "wb") as stream:
        try:
            os.ftruncate(stream.fileno(), size)
        except OSError as failure:
            if failure.errno in (errno.EFBIG, errno.EINVAL):
                pytest.skip(f"the file system under {path.parent} cannot hold a file of {size} bytes")
            raise
    return path


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """Provide a folder that every user can look into, which pytest's own are not."""
    folder = tempfile.mkdtemp(prefix="mmapguard-public-")
    os.chmod(folder, 0o755)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


def require_root(why: str) -> None:
    """Skip the test for everybody but root."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root: {why}")


# ------------------------------------------------------------------------------------------------------ locks --

_WHOLE = "hhqqi4x"


def _whole(kind: int) -> bytes:
    return struct.pack(_WHOLE, kind, os.SEEK_SET, 0, 0, 0)


LOCKS: dict[str, Callable[[int], Any]] = {
    "flock exclusive": lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "flock shared": lambda fd: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB),
    "posix exclusive": lambda fd: fcntl.fcntl(fd, fcntl.F_SETLK, _whole(fcntl.F_WRLCK)),
    "posix shared": lambda fd: fcntl.fcntl(fd, fcntl.F_SETLK, _whole(fcntl.F_RDLCK)),
    "ofd exclusive": lambda fd: fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole(fcntl.F_WRLCK)),
    "ofd shared": lambda fd: fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole(fcntl.F_RDLCK)),
}


def _holder(line: Line, path: Path, kind: str) -> None:
    fd = os.open(path, os.O_RDWR)
    LOCKS[kind](fd)
    line.say("held")
    line.hear()
    os.close(fd)
    line.say("given back")
    line.hear()


class Held:
    """A lock that another process holds until the test ends it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def give_back(self) -> None:
        """Tell the other process to unlock, and wait until it has unlocked."""
        self._line.say("give it back")
        assert self._line.hear() == "given back"

    def give_back_soon(self) -> None:
        """Tell the other process to unlock, and do not wait for that."""
        self._line.say("give it back")


@contextlib.contextmanager
def held_elsewhere(path: Path, kind: str) -> Iterator[Held]:
    """Let another process hold a lock on `path` for a `with` block. The kind is a key of LOCKS."""
    with Helper(_holder, path, kind) as line:
        assert line.hear() == "held"
        yield Held(line)


def _try_lock(path: Path, kind: str) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        LOCKS[kind](fd)
    except (BlockingIOError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def obtainable(path: Path, kind: str) -> bool:
    """Returns true when another process could have this lock on `path` now."""
    return bool(in_child(_try_lock, path, kind))


def obtainable_by_flock_command(path: Path, exclusive: bool) -> bool:
    """Returns true when flock(1) could have a shared, or an exclusive, lock on `path` now."""
    command = shutil.which("flock")
    if command is None:
        pytest.skip("flock(1) of util-linux is not installed")
    done = subprocess.run(
        [command, "--exclusive" if exclusive else "--shared", "--nonblock", "-E", "75", str(path), "true"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, 75), done.stderr.decode()
    return done.returncode == 0


# ----------------------------------------------------------------------------------------------------- changes --


def until_stamped(path: Path, change: Callable[[], Any]) -> None:
    """Repeat a change to a file until its ctime, as the file system stamps it, differs from the one before.

    On kernels whose file times change only with the clock tick, two changes may get the same time.
    """
    before = os.stat(path).st_ctime_ns
    deadline = time.monotonic() + 60
    while True:
        change()
        if os.stat(path).st_ctime_ns != before:
            return
        assert time.monotonic() < deadline, "the file system does not stamp changes"


# The changes to a file after which a result that was computed from it may not hold:


def rewrite(path: Path) -> None:
    """Write to the file in place; its size stays."""
    overwrite(path, b"X" * 100)


def cut_and_grow(path: Path) -> None:
    """Cut the file in half, and let it grow again to its size."""
    size = path.stat().st_size
    os.truncate(path, size // 2)
    os.truncate(path, size)


def cut_in_the_last_page(path: Path) -> None:
    """Cut off the last byte. Its page stays readable."""
    os.truncate(path, path.stat().st_size - 1)


def all_at_once(path: Path) -> None:
    """Do all of these."""
    rewrite(path)
    cut_and_grow(path)
    cut_in_the_last_page(path)
