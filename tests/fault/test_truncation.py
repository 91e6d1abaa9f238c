# SPDX-License-Identifier: MIT OR Apache-2.0
"""Files that shrink under a reader in Python: the interpreter lives, and the status says what was lost and from where.

Beside each test, a twin does the same with mmap of the standard library, and dies of SIGBUS.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
import re
import signal
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.children import Helper, Line, in_child, run_child
from support.files import PAGE, Sample

PAGES = 300
SIZE = PAGES * PAGE + 123
MAPPED = {"backing": abi.MMG_BACKING_MAP}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Return a file of many pages whose last one is partial."""
    return files.sample(tmp_path / "sample", SIZE, seed=7)


def cut(path: Path, size: int) -> None:
    """Cut the file short, from another process."""
    in_child(os.truncate, path, size)


def buffer_of(span: Any) -> memoryview:
    """Return the bytes of a span as a buffer, without a copy."""
    return memoryview((ctypes.c_ubyte * span.size).from_address(mmg.address(span))).cast("B").toreadonly()


def map_plainly(path: Path) -> memoryview:
    """Return the bytes of the file as a buffer, mapped by the standard library."""
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    with open(path, "rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


# ------------------------------------------------------------------------------------------------------- where cut --

CUTS = {
    "to nothing": 0,
    "to one byte": 1,
    "to half": SIZE // 2,
    "at a page": 100 * PAGE,
    "inside a page": 100 * PAGE + 1234,
    "before the last page": PAGES * PAGE,
}
WINDOWS = {"whole": (0, 0), "from any byte": (50 * PAGE + 17, 0), "to any byte": (PAGE - 1, 280 * PAGE + 3)}


def lose(sample: Sample, size: int, offset: int, length: int) -> None:
    with mmg.opened(mmg.try_open(sample.path, offset=offset, length=length, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        whole = sample.data[offset : offset + length if length else None]
        kept = max(0, size - offset)
        status, before = mmg.pin(handle, 0, kept)
        assert status == abi.MMG_OK
        view = buffer_of(span)
        assert view == whole
        cut(sample.path, size)
        assert view[kept:] == bytes(len(whole) - kept)
        assert view[:kept] == whole[:kept]
        view.release()
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
        assert mmg.unpin(before) == abi.MMG_OK
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        info = mmg.info(handle)
        assert (info.fault_cause, info.fault_offset, info.faults) == (abi.MMG_E_TRUNCATED, kept, 1)
        assert mmg.pin(handle, kept, 1)[0] == abi.MMG_E_TRUNCATED


def lose_plainly(sample: Sample, size: int, offset: int, length: int) -> None:
    view = map_plainly(sample.path)[offset : offset + length if length else None]
    cut(sample.path, size)
    assert not any(view[max(0, size - offset) :])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("where", CUTS)
def test_a_cut_is_contained_and_reported(where: str, window: str, sample: Sample) -> None:
    size, (offset, length) = CUTS[where], WINDOWS[window]
    if window == "to any byte" and where == "before the last page":
        size = 200 * PAGE + 5
    in_child(lose, sample, size, offset, length)
    sample.path.write_bytes(sample.data)
    run_child(lose_plainly, sample, size, offset, length).died_of(signal.SIGBUS)


def lose_silently(sample: Sample, size: int) -> None:
    with mmg.opened(mmg.try_open(sample.path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        cut(sample.path, size)
        assert mmg.span_bytes(span) == sample.data[:size] + bytes(SIZE - size)
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
        info = mmg.info(handle)
        assert (info.fault_cause, info.fault_offset, info.faults) == (abi.MMG_E_TRUNCATED, size, 0)


def lose_silently_and_plainly(sample: Sample, size: int) -> bytes:
    view = map_plainly(sample.path)
    cut(sample.path, size)
    return bytes(view)


@pytest.mark.parametrize("left", [1, 122])
def test_a_cut_inside_the_last_page_is_reported_though_nothing_faults(left: int, sample: Sample) -> None:
    size = PAGES * PAGE + left
    in_child(lose_silently, sample, size)
    sample.path.write_bytes(sample.data)
    told = in_child(lose_silently_and_plainly, sample, size)
    assert told == sample.data[:size] + bytes(SIZE - size), "a plain mapping reads zeros and tells nobody"


def lose_and_grow(sample: Sample, touch: bool) -> None:
    size = 100 * PAGE + 50
    with mmg.opened(mmg.try_open(sample.path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        cut(sample.path, size)
        if touch:
            assert buffer_of(span)[-1] == 0
        else:
            assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        files.overwrite(sample.path, sample.data)
        assert os.stat(sample.path).st_size == SIZE
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        assert mmg.info(handle).fault_offset == size
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
        assert mmg.pin(handle, 200 * PAGE, 1)[0] == abi.MMG_E_TRUNCATED
        assert mmg.content(handle, 0, size) == sample.data[:size]


@pytest.mark.parametrize("touch", [True, False], ids=["found by a fault", "found by check"])
def test_a_loss_stays_reported_when_the_file_grows_again(touch: bool, sample: Sample) -> None:
    in_child(lose_and_grow, sample, touch)


# ------------------------------------------------------------------------------------------------------- who reads --

READERS: dict[str, Callable[[memoryview], Any]] = {
    "a copy": bytes,
    "a hash": lambda view: hashlib.sha256(view).hexdigest(),
    "a checksum": zlib.crc32,
    "a search": lambda view: re.search(rb"absent from these bytes", view),
    "a comparison": lambda view: view[len(view) // 2 :] == bytes(len(view) - len(view) // 2),
    "a structure": lambda view: struct.unpack_from("<Q", view, len(view) - 8),
    "an item": lambda view: view[-1],
    "a compressor": lambda view: len(zlib.compress(view, 1)),
}


def read_in_a_thread(read: Callable[[memoryview], Any], view: memoryview) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(read(view)))
    thread.start()
    thread.join()
    assert len(found) == 1
    return found[0]


def lose_under(name: str, sample: Sample) -> None:
    read = READERS[name]
    size = 10 * PAGE + 9
    expected = read(memoryview(sample.data[:size] + bytes(SIZE - size)))
    for attempt in (read, lambda view: read_in_a_thread(read, view)):
        with mmg.opened(mmg.try_open(sample.path, **MAPPED)) as handle:
            status, span = mmg.pin(handle)
            assert status == abi.MMG_OK
            cut(sample.path, size)
            got = attempt(buffer_of(span))
            assert repr(got) == repr(expected)
            assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
            assert mmg.info(handle).faults == 1
        sample.path.write_bytes(sample.data)


def lose_plainly_under(name: str, sample: Sample) -> None:
    view = map_plainly(sample.path)
    cut(sample.path, 10 * PAGE + 9)
    READERS[name](view)


@pytest.mark.parametrize("name", READERS)
def test_whoever_reads_the_bytes_survives(name: str, sample: Sample) -> None:
    in_child(lose_under, name, sample)
    run_child(lose_plainly_under, name, sample).died_of(signal.SIGBUS)


# ----------------------------------------------------------------------------------------- who lets the kernel read --


EFAULT = os.strerror(errno.EFAULT)


def sent(view: memoryview, path: Path) -> bytes:
    """Return the bytes that one write(2) with a buffer moves into a new file."""
    with open(path, "wb", buffering=0) as stream:
        count = stream.write(view)
    data = path.read_bytes()
    assert count == len(data)
    return data


def lose_under_system_calls(sample: Sample, out: Path) -> None:
    """The first two reads raise no signal, so the library does not learn of the loss from them."""
    size = 10 * PAGE
    with mmg.opened(mmg.try_open(sample.path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        view = buffer_of(span)
        cut(sample.path, size)
        with pytest.raises(OSError, match=EFAULT):
            sent(view[size : size + PAGE], out)
        assert sent(view[size - 2 * PAGE : size + 2 * PAGE], out) == sample.data[size - 2 * PAGE : size]
        assert mmg.info(handle).faults == 0
        assert view[size] == 0  # this read meets the loss
        assert sent(view[size - PAGE : size + PAGE], out) == sample.data[size - PAGE : size] + bytes(PAGE)
        assert mmg.info(handle).faults == 1
        view.release()
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED


def lose_before_a_check(sample: Sample, out: Path) -> None:
    """mmg_check() reports the loss before any reader meets it, and the system call still fails."""
    with mmg.opened(mmg.try_open(sample.path, **MAPPED)) as handle:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        cut(sample.path, 0)
        view = buffer_of(span)
        with pytest.raises(OSError, match=EFAULT):
            sent(view[:PAGE], out)
        view.release()
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        assert mmg.info(handle).faults == 0
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED


@pytest.mark.parametrize("lose", [lose_under_system_calls, lose_before_a_check])
def test_a_system_call_on_a_span_fails_before_containment_and_moves_zeros_after_it(
    lose: Callable[[Sample, Path], None], sample: Sample, tmp_path: Path
) -> None:
    in_child(lose, sample, tmp_path / "out")


# ------------------------------------------------------------------------------------------------------- in a scan --


def cut_when_told(line: Line, path: Path, size: int) -> None:
    line.hear()
    os.truncate(path, size)
    line.say("cut")
    line.hear()


def scan_while_cut(path: Path, head: bytes, total: int, size: int) -> None:
    step = 1 << 20
    with mmg.opened(mmg.try_open(path, **MAPPED)) as handle, Helper(cut_when_told, path, size) as line:
        status, span = mmg.pin(handle)
        assert status == abi.MMG_OK
        view = buffer_of(span)
        assert len(view) == total
        for at in range(0, len(head), step):
            assert view[at : at + step] == head[at : at + step]
        line.say("cut it")
        assert line.hear() == "cut"
        for at in (len(head), *range(total // 50, total, total // 50), total - step):
            part = bytes(view[at : at + step])
            assert part == bytes(len(part))
        assert view[: min(size, len(head))] == head[: min(size, len(head))]
        view.release()
        assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        info = mmg.info(handle)
        assert (info.faults, info.fault_offset, info.fault_cause) == (1, size, abi.MMG_E_TRUNCATED)
        assert info.size == total


def scan_plainly_while_cut(path: Path, size: int) -> None:
    view = map_plainly(path)
    assert view[0] == view[1]
    cut(path, size)
    assert view[-1] == 0


@pytest.mark.parametrize("size", [0, (10 << 30) + 4321], ids=["to nothing", "far out"])
def test_a_hundred_gigabytes_cut_under_a_scan_cost_one_signal(size: int, tmp_path: Path) -> None:
    total = 100_000_000_000
    head = mmg.pattern(4 << 20, seed=9)
    path = files.sparse(tmp_path / "huge", total)
    files.overwrite(path, head[:1] * 2 + head[2:])
    in_child(scan_while_cut, path, head[:1] * 2 + head[2:], total, size)
    path = files.sparse(tmp_path / "huge", total)
    run_child(scan_plainly_while_cut, path, size).died_of(signal.SIGBUS)
