# SPDX-License-Identifier: MIT OR Apache-2.0
"""Loads the library under test, and calls it with plain Python values going in and coming out.

Nothing here decides what is right: a call returns what the library said, and the few helpers that demand success
say so in their name or their first line.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmapguard import abi

type_handle = ctypes.c_uint64

TO_END: int = 2**64 - 1
NO_LIMIT: int = 2**64 - 1
NOT_FOUND: int = 2**64 - 1
WAIT_FOREVER: int = 2**32 - 1

ROOT = Path(__file__).resolve().parents[2]


def library_path() -> Path:
    """Return the shared library under test: MMAPGUARD_LIBRARY, else the release build."""
    named = os.environ.get("MMAPGUARD_LIBRARY")
    return Path(named) if named else ROOT / "build" / "release" / "libmmapguard.so.1"


lib = abi.load(str(library_path()))


@dataclass(frozen=True)
class Details:
    """The members of an `mmg_error` after a call. Bytes that are not UTF-8 raise an exception here."""

    status: int
    os_code: int
    reserved: int
    offset: int
    operation: str
    message: str


@dataclass(frozen=True)
class Attempt:
    """What an opening call returned, stored and explained."""

    status: int
    handle: int
    details: Details

    @property
    def name(self) -> str:
        """Return the name of the status, as the library gives it."""
        return status_name(self.status)

    def __str__(self) -> str:
        return f"{self.name} (os_code {self.details.os_code}, {self.details.operation!r}): {self.details.message}"


Opener = Callable[..., Attempt]
"""One of the four `try_...` calls: a target, and members of the options."""


def status_name(status: int) -> str:
    """Return the name of a status, such as MMG_OK, for messages."""
    return str(lib.mmg_status_name(status).decode("ascii"))


def new_error(**members: Any) -> Any:
    """Return an `mmg_error` with its size set and the given members."""
    error = abi.mmg_error(struct_size=ctypes.sizeof(abi.mmg_error))
    for key, value in members.items():
        setattr(error, key, value)
    return error


def details(error: Any) -> Details:
    """Return the members of an `mmg_error`; the texts must be terminated, and ASCII and UTF-8 as documented."""
    raw = bytes(error)
    texts = {}
    for member, codec in (("operation", "ascii"), ("message", "utf-8")):
        field = getattr(abi.mmg_error, member)
        block = raw[field.offset : field.offset + field.size]
        assert b"\0" in block, f"mmg_error.{member} is not terminated"
        texts[member] = block[: block.index(b"\0")].decode(codec, "strict")
    return Details(
        status=error.status,
        os_code=error.os_code,
        reserved=error.reserved,
        offset=error.offset,
        operation=texts["operation"],
        message=texts["message"],
    )


def options(**members: int) -> Any:
    """Return an `mmg_options` with defaults and the given members."""
    made = abi.mmg_options(struct_size=ctypes.sizeof(abi.mmg_options))
    known = {field[0] for field in abi.mmg_options._fields_}
    for key, value in members.items():
        assert key in known, f"mmg_options has no member {key}"
        setattr(made, key, value)
    return made


def _attempt(call: Any, target: Any, members: dict[str, int]) -> Attempt:
    handle = type_handle(0xDEAD)
    error = new_error(status=77, os_code=77, offset=77, operation=b"stale", message=b"stale")
    given = ctypes.byref(options(**members)) if members else None
    status = call(target, given, ctypes.byref(handle), ctypes.byref(error))
    found = details(error)
    assert found.status == status, f"mmg_error.status is {found.status}, the call returned {status}"
    if status == abi.MMG_OK:
        assert handle.value != 0
    else:
        assert handle.value == 0, "a failed open leaves a handle behind"
    return Attempt(status=status, handle=handle.value, details=found)


def raw_path(path: str | bytes | os.PathLike[Any]) -> bytes:
    """Return a path as the library takes it."""
    return os.fsencode(path)


def try_open(path: str | bytes | os.PathLike[Any], **members: int) -> Attempt:
    """Call mmg_open(), whatever it returns. Without members the options are NULL."""
    return _attempt(lib.mmg_open, raw_path(path), members)


def try_open_fd(fd: int, **members: int) -> Attempt:
    """Call mmg_open_fd(), whatever it returns."""
    return _attempt(lib.mmg_open_fd, fd, members)


def try_load(path: str | bytes | os.PathLike[Any], **members: int) -> Attempt:
    """Call mmg_load(), whatever it returns."""
    return _attempt(lib.mmg_load, raw_path(path), members)


def try_read_fd(fd: int, **members: int) -> Attempt:
    """Call mmg_read_fd(), whatever it returns."""
    return _attempt(lib.mmg_read_fd, fd, members)


def accepted(attempt: Attempt) -> int:
    """Return the handle of an attempt that must have succeeded."""
    assert attempt.status == abi.MMG_OK, str(attempt)
    return attempt.handle


def close(handle: int, flags: int = 0) -> int:
    """mmg_close()."""
    return int(lib.mmg_close(handle, flags))


@contextlib.contextmanager
def opened(attempt: Attempt) -> Iterator[int]:
    """Provide the handle of an attempt that must have succeeded, closed at the end; closing must succeed too."""
    handle = accepted(attempt)
    try:
        yield handle
    finally:
        assert close(handle) == abi.MMG_OK


def refused(attempt: Attempt, *expected: int) -> Details:
    """Return the details of an attempt that must have failed with one of `expected`."""
    if attempt.status == abi.MMG_OK:
        close(attempt.handle)
    names = " or ".join(status_name(status) for status in expected)
    assert attempt.status in expected, f"expected {names}, got {attempt}"
    assert attempt.details.operation, "mmg_error names no operation"
    assert attempt.details.message, "mmg_error has no message"
    assert attempt.details.reserved == 0
    return attempt.details


def pin(handle: int, offset: int = 0, length: int = TO_END) -> tuple[int, Any]:
    """mmg_pin(): the status and the span."""
    span = abi.mmg_span()
    status = int(lib.mmg_pin(handle, offset, length, ctypes.byref(span)))
    return status, span


def unpin(span: Any) -> int:
    """mmg_unpin()."""
    return int(lib.mmg_unpin(ctypes.byref(span)))


def address(span: Any) -> int:
    """Return where the bytes of a span are."""
    return ctypes.cast(span.data, ctypes.c_void_p).value or 0


def span_bytes(span: Any) -> bytes:
    """Return a copy of what a span shows."""
    return ctypes.string_at(address(span), span.size)


def copy_span(span: Any) -> Any:
    """Return a second copy of the same span: a plain value, as in C."""
    return abi.mmg_span.from_buffer_copy(span)


@contextlib.contextmanager
def pinned(handle: int, offset: int = 0, length: int = TO_END) -> Iterator[Any]:
    """Provide a span that must be had, and whose end must report no loss."""
    status, span = pin(handle, offset, length)
    assert status == abi.MMG_OK, status_name(status)
    try:
        yield span
    except BaseException:  # what was raised says more than a loss
        unpin(span)
        raise
    assert unpin(span) == abi.MMG_OK


def content(handle: int, offset: int = 0, length: int = TO_END) -> bytes:
    """Return the bytes through a span; nothing may be lost."""
    with pinned(handle, offset, length) as span:
        return span_bytes(span)


def read(handle: int, offset: int, size: int) -> tuple[int, bytes]:
    """mmg_read(): the status, and the bytes it says it got."""
    buffer = ctypes.create_string_buffer(size or 1)
    got = ctypes.c_uint64(0)
    status = int(lib.mmg_read(handle, offset, buffer, size, ctypes.byref(got)))
    assert got.value <= size
    return status, buffer.raw[: got.value]


def find(handle: int, needle: bytes, offset: int = 0, length: int = TO_END) -> tuple[int, int]:
    """mmg_find(): the status, and the position or NOT_FOUND."""
    position = ctypes.c_uint64(0xDEAD)
    status = int(lib.mmg_find(handle, offset, length, needle, len(needle), ctypes.byref(position)))
    return status, position.value


def check(handle: int) -> int:
    """mmg_check()."""
    return int(lib.mmg_check(handle))


def changed(handle: int) -> tuple[int, int]:
    """mmg_changed(): the status, and the bits."""
    what = ctypes.c_uint32(0xDEAD)
    status = int(lib.mmg_changed(handle, ctypes.byref(what)))
    return status, what.value


def info(handle: int) -> Any:
    """mmg_info_get(), which must succeed."""
    made = abi.mmg_info(struct_size=ctypes.sizeof(abi.mmg_info))
    status = lib.mmg_info_get(handle, ctypes.byref(made))
    assert status == abi.MMG_OK, status_name(status)
    return made


def stats() -> Any:
    """mmg_stats_get(), which must succeed."""
    made = abi.mmg_stats(struct_size=ctypes.sizeof(abi.mmg_stats))
    status = lib.mmg_stats_get(ctypes.byref(made))
    assert status == abi.MMG_OK, status_name(status)
    return made


def losses(mark: int) -> tuple[list[tuple[int, int, int, int, str]], int]:
    """The records of the ledger after a mark (cause, origin, offset, length and path of each), and the mark of now."""
    found: list[tuple[int, int, int, int, str]] = []
    records = (abi.mmg_loss * 64)()
    count, following = ctypes.c_uint64(), ctypes.c_uint64(mark)
    while True:
        mark = following.value
        records[0].struct_size = ctypes.sizeof(abi.mmg_loss)
        assert (
            lib.mmg_losses_get(mark, records, 64, ctypes.byref(count), ctypes.byref(following)) == abi.MMG_OK
        )
        found += [
            (r.cause, r.origin, r.offset, r.length, os.fsdecode(r.path)) for r in records[: count.value]
        ]
        if following.value == mark:
            return found, mark


def advise(handle: int, advice: int, offset: int = 0, length: int = TO_END) -> int:
    """mmg_advise()."""
    return int(lib.mmg_advise(handle, offset, length, advice))


def resident(handle: int, offset: int = 0, length: int = TO_END) -> tuple[int, int]:
    """mmg_resident(): the status, and the bytes."""
    count = ctypes.c_uint64(0xDEAD)
    status = int(lib.mmg_resident(handle, offset, length, ctypes.byref(count)))
    return status, count.value


def constants(prefix: str) -> dict[str, int]:
    """Return every constant of the ABI whose name starts with `prefix`."""
    return {name: getattr(abi, name) for name in dir(abi) if name.startswith(prefix)}


def defined_statuses() -> frozenset[int]:
    """Return every status that the header declares."""
    return frozenset({abi.MMG_OK, *constants("MMG_E_").values()})


def pattern(size: int, seed: int = 1) -> bytes:
    """`size` bytes in which every window of a dozen bytes tells its place."""
    return _remembered(size, seed) if size <= 4 << 20 else random.Random(seed).randbytes(size)


@functools.lru_cache(maxsize=16)
def _remembered(size: int, seed: int) -> bytes:
    """Many tests ask for the same bytes, and it takes longer to make these than to read them."""
    return random.Random(seed).randbytes(size)
