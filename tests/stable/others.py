# SPDX-License-Identifier: MIT OR Apache-2.0
"""Plays the other processes that write to a file or own it, and asks the kernel what it knows of the file."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmapguard import abi
from stable import mounts
from support import children, files, lease_settings
from support import library as mmg
from support.children import Helper, Line

STABLE = abi.MMG_GUARANTEE_STABLE
NOBODY, STRANGER = 65534, 65533

Places = Callable[[str], Path]
"""A new folder on the file system of that name."""

FILE_MEANS = (abi.MMG_MEANS_REFLINK, abi.MMG_MEANS_SNAPSHOT)
"""What upholds STABLE after a lease broke."""

MAPPED = {"backing": abi.MMG_BACKING_MAP}
"""A copy in memory comes before a snapshot for small files; it is no mapping."""


def stable(path: str | os.PathLike[str], **members: int) -> contextlib.AbstractContextManager[int]:
    """Return the handle of a file that must open STABLE, closed at the end."""
    return mmg.opened(mmg.try_open(path, guarantee=STABLE, **members))


def means(handle: int) -> int:
    """Return the means by which the guarantee is upheld."""
    return int(mmg.info(handle).means)


def beside(path: Path) -> int:
    """Return the means of a snapshot beside a file, if one can be made there."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip()
    return abi.MMG_MEANS_REFLINK if kind in mounts.REFLINKING else abi.MMG_MEANS_SNAPSHOT


def need_time(handle: int) -> None:
    """Raise Unavailable where the library had no time to secure a region, and the machine's setting is to blame.

    The library then tells the truth about the region, but a test of secured bytes has nothing to check.
    """
    if mmg.info(handle).shortfall == abi.MMG_SHORT_TIME:
        lease_settings.need_long_breaks()


def need_time_since(fallbacks: int) -> None:
    """Raise Unavailable as need_time() does when stats().fallbacks_time is no longer that number. No handle is needed."""
    if mmg.stats().fallbacks_time != fallbacks:
        lease_settings.need_long_breaks()


def is_still(handle: int, data: bytes) -> None:
    """Check that every way of reading gives `data`, and that the region says that it is STABLE."""
    need_time(handle)
    assert mmg.content(handle) == data
    assert mmg.read(handle, 0, len(data)) == (abi.MMG_OK, data)
    assert mmg.find(handle, data[-24:]) == (abi.MMG_OK, data.index(data[-24:]))
    assert mmg.check(handle) == abi.MMG_OK
    found = mmg.info(handle)
    assert (found.guarantee, found.shortfall) == (STABLE, abi.MMG_SHORT_NONE)
    assert (found.fault_cause, found.fault_offset) == (abi.MMG_OK, mmg.TO_END)


# ------------------------------------------------------------------------------------------------- writers --


def _write(line: Line, path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    line.say("open")
    while command := line.hear():
        if command == "overwrite":
            os.pwrite(fd, b"\0" * os.fstat(fd).st_size, 0)
        elif command == "cut":
            os.ftruncate(fd, 0)
        line.say("done")
    os.close(fd)


class Writer:
    """Another process that has a file open for writing."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def overwrite(self) -> None:
        """Overwrite every byte with zero, in place."""
        self._line.say("overwrite")
        assert self._line.hear() == "done"

    def cut(self) -> None:
        """Cut the file to nothing."""
        self._line.say("cut")
        assert self._line.hear() == "done"


@contextlib.contextmanager
def writing(path: Path, flags: int = os.O_RDWR) -> Iterator[Writer]:
    """Provide another process that has `path` open for writing.

    Its open(2) waits while somebody has a lease on the file.
    """
    with Helper(_write, path, flags) as line:
        assert line.hear() == "open"
        yield Writer(line)


def overwrite(path: Path) -> float:
    """Open the file in this process or child, and overwrite every byte. Return the seconds that open(2) took."""
    begun = time.monotonic()
    fd = os.open(path, os.O_RDWR)
    waited = time.monotonic() - begun
    os.pwrite(fd, b"\xff" * os.fstat(fd).st_size, 0)
    os.close(fd)
    return waited


def overwritten_elsewhere(path: Path) -> float:
    """Let another process overwrite every byte."""
    return float(children.in_child(overwrite, path))


@contextlib.contextmanager
def mapped_for_writing(path: Path) -> Iterator[Any]:
    """Provide a writable mapping of the first page in this process. Its descriptor is closed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    fd = os.open(path, os.O_RDWR)
    place = libc.mmap(None, files.PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    os.close(fd)  # mmap.mmap() of the standard library would keep a duplicate
    assert place not in (None, ctypes.c_void_p(-1).value)
    try:
        yield (ctypes.c_ubyte * files.PAGE).from_address(place)
    finally:
        assert libc.munmap(place, files.PAGE) == 0


# ---------------------------------------------------------------------------------------------- identities --


def having_become(user: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Become another user for good, then call `function`. This is for child processes."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    return function(*arguments)


def as_user(user: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` in a child process that has become another user."""
    files.require_root("becomes another user")
    return children.in_child(having_become, user, function, *arguments)


# -------------------------------------------------------------------------------------------- what is held --


def leases_on(path: str | os.PathLike[str]) -> int:
    """Return the number of leases on a file.

    The kernel lists the leases of this process for each descriptor. A lease of another process counts as 1.
    """
    wanted, found = os.stat(path), 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone
            if os.path.samestat(os.fstat(int(name)), wanted):
                about = Path(f"/proc/self/fdinfo/{name}").read_text()
                found += sum(line.startswith("lock:") and "LEASE" in line for line in about.splitlines())
    return found or int(_is_leased_elsewhere(path))


def _is_leased_elsewhere(path: str | os.PathLike[str]) -> bool:
    """Returns true when the kernel refuses to open the file for writing at once, because of a lease."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except BlockingIOError:
        return True
    except OSError:  # a medium or a file that cannot be written has no lease to be broken
        return False
    return False


def helper_thread() -> int:
    """Return the library's thread in this process: the one that is not Python's own."""
    known = {thread.native_id for thread in threading.enumerate()}
    others = [int(name) for name in os.listdir("/proc/self/task") if int(name) not in known]
    assert len(others) == 1, f"expected one thread that is not Python's, found {others}"
    return others[0]


def until(happened: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen. The deadline only ends a test that hangs."""
    deadline = time.monotonic() + children.DEADLINE
    while not happened():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.001)
