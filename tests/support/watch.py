# SPDX-License-Identifier: MIT OR Apache-2.0
"""Takes pictures of what the process holds: descriptors, mappings of files, threads, and the library's own counters.

Two pictures, one taken before a test and one after it, must be the same.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import mmap
import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import library
from .unavailable import Unavailable

# Files that the interpreter may map by itself during a test: modules, locales, conversion tables.
_INTERPRETER = re.compile(r"\.so[.0-9]*$|/locale/|/gconv/|/python3|\.pyc$|/ld-")

# The permissions and the path in a line of /proc/<pid>/maps whose inode is not 0.
_OF_A_FILE = re.compile(rb"^\S+ (\S+) \S+ \S+ [1-9]\d* +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Mapping:
    """One line of /proc/self/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str


def mappings(pid: int | str = "self") -> list[Mapping]:
    """Return every mapping of a process."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
        fields = os.fsdecode(line).split(None, 5)
        start, end = (int(part, 16) for part in fields[0].split("-"))
        found.append(
            Mapping(
                start=start,
                end=end,
                permissions=fields[1],
                offset=int(fields[2], 16),
                device=fields[3],
                inode=int(fields[4]),
                path=fields[5] if len(fields) > 5 else "",
            )
        )
    return found


@functools.cache
def _is_of_the_interpreter(path: bytes) -> bool:
    """Returns true when the interpreter may map this file by itself."""
    return _INTERPRETER.search(os.fsdecode(path)) is not None


def file_mappings() -> Counter[tuple[str, str]]:
    """Return how often each file is mapped, with which permissions. The interpreter's own files do not count.

    Each test asks twice, so that this takes the path and the permissions of each line and nothing else.
    """
    lines = _OF_A_FILE.findall(Path("/proc/self/maps").read_bytes())
    found = Counter(line for line in lines if not _is_of_the_interpreter(line[1]))
    return Counter(
        {(os.fsdecode(path), permissions.decode()): count for (permissions, path), count in found.items()}
    )


def mappings_of(path: str | os.PathLike[str]) -> list[Mapping]:
    """Return the mappings of one file, found by its inode."""
    inode = os.stat(path).st_ino
    return [one for one in mappings() if one.inode == inode]


def mapping_at(place: int) -> Mapping | None:
    """Return the mapping that holds an address."""
    for one in mappings():
        if one.start <= place < one.end:
            return one
    return None


def kernel_populates() -> bool:
    """Returns true when the kernel knows MADV_POPULATE_READ (Linux 5.14)."""
    with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as probe:
        try:
            probe.madvise(22)
        except OSError:
            return False
    return True


def file_system_of(folder: Path) -> str:
    """Return the kind of file system that a folder is on, or an empty text where the list of mounts does not say."""
    opened = os.open(folder, os.O_PATH)
    try:  # stat(2) has another number for the device than the list of mounts on btrfs
        about = dict(
            line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{opened}").read_text().splitlines()
        )
    finally:
        os.close(opened)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[0] == about.get("mnt_id", "").strip():
            return line.split(" - ")[1].split()[0]
    return ""


def need_plain_files(folder: Path) -> None:
    """Raise Unavailable on overlay, where a write may replace the file below a descriptor.

    So the library does not compare files there, and makes other system calls.
    """
    if file_system_of(folder) == "overlay":
        raise Unavailable(f"{folder} is on overlay, where a file cannot be told from another by its numbers")


@functools.cache
def _leasing_file_systems() -> frozenset[str]:
    """Return the file systems on which the library takes leases, as SAFETY.md lists them."""
    text = (library.ROOT / "docs" / "SAFETY.md").read_text(encoding="utf-8")
    listed = re.search(r"^- The file system is ((?:[\w, ]|\n)*), by its name", text, re.MULTILINE)
    assert listed is not None
    return frozenset(re.split(r", | or |\s+", listed[1]))


def _lease_code(descriptor: int) -> int:
    """Return the errno with which the kernel refuses a lease, or 0 where it grants one."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as refusal:
        return refusal.errno or errno.EINVAL
    return 0


def kernel_grants_leases(folder: Path) -> bool:
    """Returns true when the kernel grants this process a lease on a new file of a folder, on whatever file system."""
    with tempfile.NamedTemporaryFile(dir=folder) as made, open(made.name, "rb") as reader:
        made.close()  # a writer would be in the way
        return _lease_code(reader.fileno()) == 0


def kernel_tells_of_writers(folder: Path) -> bool:
    """Returns true when the kernel tells that somebody has a new file of a folder open for writing."""
    with tempfile.NamedTemporaryFile(dir=folder) as written, open(written.name, "rb") as reader:
        return _lease_code(reader.fileno()) == errno.EAGAIN


def library_may_lease(folder: Path) -> bool:
    """Returns true when the library can hold a new file of a folder by a lease."""
    return kernel_grants_leases(folder) and file_system_of(folder) in _leasing_file_systems()


def descriptors() -> dict[int, str]:
    """Return every open descriptor and what it is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


def descriptors_of(path: str | os.PathLike[str]) -> list[int]:
    """Return the descriptors open on one file, found by device and inode."""
    wanted = os.stat(path)
    found = []
    for fd in descriptors():
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(fd)
    return found


def threads() -> int:
    """Return threads of this process."""
    return len(os.listdir("/proc/self/task"))


@dataclass(frozen=True)
class Picture:
    """A picture of what the process holds at one moment."""

    descriptors: dict[int, str]
    mappings: Counter[tuple[str, str]]
    threads: int
    counters: dict[str, int]


COUNTERS = ("handles", "regions", "mappings", "mapped_bytes", "heap_bytes")


def counters() -> dict[str, int]:
    """Return the library's counters of what is alive."""
    current = library.stats()
    return {name: getattr(current, name) for name in COUNTERS}


def picture() -> Picture:
    """Take a picture of what the process holds now."""
    return Picture(
        descriptors=descriptors(),
        mappings=file_mappings(),
        threads=threads(),
        counters=counters(),
    )


def difference(before: Picture, after: Picture) -> list[str]:
    """Say in words how the second picture differs from the first."""
    told = []
    for fd in sorted(before.descriptors.keys() | after.descriptors.keys()):
        was, now = before.descriptors.get(fd), after.descriptors.get(fd)
        if was != now:
            told.append(f"descriptor {fd}: {was} before, {now} after")
    if before.mappings != after.mappings:
        told.append(f"mappings left: {dict(after.mappings - before.mappings)}")
        told.append(f"mappings gone: {dict(before.mappings - after.mappings)}")
    if before.threads != after.threads:
        told.append(f"threads: {before.threads} before, {after.threads} after")
    for name, count in before.counters.items():
        if after.counters[name] != count:
            told.append(f"stats.{name}: {count} before, {after.counters[name]} after")
    return told
