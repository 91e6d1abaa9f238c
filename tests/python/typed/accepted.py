# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that uses everything. A type checker with the strictest settings must accept it."""

# ruff: noqa: D101, D102, D103

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import mmapguard
from mmapguard import FileChangedWarning, Info, MapFaultError, Region, Stats, TruncatedError


def ways_to_open(path: Path, fd: int, source: os.PathLike[bytes]) -> Iterator[Region]:
    yield mmapguard.open(path)
    yield mmapguard.open(str(path), stable=True, max_snapshot_bytes=1 << 20)
    yield mmapguard.open(os.fsencode(path), lock="ofd", lock_wait=None, require_lock=True)
    yield mmapguard.open(fd, offset=1, length=2, backing="map", access="random")
    yield mmapguard.open(source)
    with path.open("rb") as file:
        yield mmapguard.open(file)
    yield mmapguard.load("-", max_bytes=-1)
    yield mmapguard.read_fd(0, reject_empty=True)
    yield Region(path, populate=True)


def reading(region: Region) -> None:
    assert_type(region[0], int)
    assert_type(region[1:2], bytes)
    assert_type(region[::-1], bytes)
    assert_type(len(region), int)
    assert_type(region.find(b"x", 1, None), int)
    assert_type(region.read(10), bytes)
    assert_type(region.readline(), bytes)
    assert_type(region.seek(0, os.SEEK_END), int)
    assert_type(region.closed, bool)
    assert_type(list(region), list[int])
    assert_type(b"x" in region, bool)
    assert_type(region.read_into(bytearray(9), offset=3), int)
    assert_type(region.changed(), frozenset[str])
    region.madvise("sequential")
    region.prefetch(0, 100)
    region.close(strict=True)


def buffers(region: Region) -> None:
    view = memoryview(region)
    assert_type(bytes(region), bytes)
    hashlib.sha256(region).update(view[1:])
    zlib.crc32(region)
    struct.unpack_from("<I", region, 4)
    re.search(rb"x", region)
    with region.file() as file:
        assert_type(file.read(), bytes)


def knowing(region: Region) -> None:
    info = region.info
    assert_type(info, Info)
    assert_type(info.means, str)
    assert_type(info.fault_offset, int | None)
    assert_type(mmapguard.stats(), Stats)
    assert_type(mmapguard.stats().faults, int)
    assert_type(mmapguard.guard_state(), str)


def failing(path: Path) -> int | None:
    try:
        with mmapguard.open(path) as region:
            assert_type(region, Region)
    except TruncatedError as error:
        assert_type(error.offset, int | None)
        return error.errno
    except MapFaultError:
        raise
    except FileChangedWarning:
        pass
    return None


class Mine(Region):
    def first(self) -> int:
        return self[0]


with Mine("x") as mine:
    assert_type(mine, Mine)
