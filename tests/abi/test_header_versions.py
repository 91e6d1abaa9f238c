# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs older and newer than the library: a short structure means defaults, a longer one works while its tail is zero.

The structures are laid into larger blocks of memory, so that everything outside `struct_size` can be filled with
bytes that would be noticed if they were read or written.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mmapguard import abi
from support import library as mmg
from support.files import Sample

ROOM = 8192
LARGEST = 4096
NOISE = 0xA5


class Block:
    """A structure that claims `size` bytes, zero but for the claim, with noise around it."""

    def __init__(self, kind: type[ctypes.Structure], size: int, noise: int = NOISE) -> None:
        self.memory = (ctypes.c_uint8 * ROOM)(*([noise] * ROOM))
        self.size = size
        self._kind = kind
        self._noise = noise
        ctypes.memset(self.memory, 0, min(size, ROOM))
        self.struct.struct_size = size

    @property
    def struct(self) -> Any:
        """The members; only those inside `size` mean anything."""
        return self._kind.from_buffer(self.memory)

    @property
    def pointer(self) -> Any:
        """What a call takes."""
        return ctypes.cast(self.memory, ctypes.POINTER(self._kind))

    def member(self, name: str) -> int:
        """A member as it stands in memory."""
        return int(getattr(self.struct, name))

    def untouched_outside(self) -> bool:
        """Is everything from `size` on as it was?"""
        outside = bytes(self.memory)[max(self.size, 4) :]
        return outside == bytes([self._noise]) * len(outside)


def ends(kind: type[ctypes.Structure]) -> dict[str, int]:
    """Where each member but the first ends: the sizes that an older structure may have had."""
    names = [field[0] for field in kind._fields_][1:]
    return {name: getattr(kind, name).offset + getattr(kind, name).size for name in names}


def older(kind: type[ctypes.Structure]) -> list[int]:
    """Every size that is shorter than today's and ends with a member."""
    return [end for end in ends(kind).values() if end < ctypes.sizeof(kind)]


def newer(kind: type[ctypes.Structure]) -> list[int]:
    """Some sizes that later releases may give the structure."""
    return [ctypes.sizeof(kind) + 8, ctypes.sizeof(kind) + 64, LARGEST]


def nonsense(kind: type[ctypes.Structure]) -> list[int]:
    """Sizes that the structure never had and never will: inside members, beyond the limit, not a multiple of eight."""
    today = ctypes.sizeof(kind)
    inside = [size for size in range(today) if size not in ends(kind).values()]
    return [*inside, *range(today + 1, today + 8), LARGEST + 8, 2**31, 2**32 - 8, 2**32 - 1]


@dataclass(frozen=True)
class Call:
    """A call that takes one of the structures: what it is given, and whether it fills the structure."""

    name: str
    kind: type[ctypes.Structure]
    make: Callable[[Any, Sample], int]


def _opening(function: str, member: str) -> Callable[[Any, Sample], int]:
    """Open a file, or fail to, with the given structure as options or as error; close it again."""

    def call(pointer: Any, sample: Sample) -> int:
        options, error = (pointer, None) if member == "options" else (None, pointer)
        handle = abi.mmg_handle(0xDEAD)
        by_descriptor = function in ("mmg_open_fd", "mmg_read_fd")
        target: Any = os.open(sample.path, os.O_RDONLY) if by_descriptor else os.fsencode(sample.path)
        try:
            status = int(getattr(mmg.lib, function)(target, options, ctypes.byref(handle), error))
        finally:
            if by_descriptor:
                os.close(target)
        if status == abi.MMG_OK:
            assert mmg.close(handle.value) == abi.MMG_OK
        else:
            assert handle.value == 0
        return status

    return call


def _info(pointer: Any, sample: Sample) -> int:
    with mmg.opened(mmg.try_open(sample.path)) as handle:
        return int(mmg.lib.mmg_info_get(handle, pointer))


def _stats(pointer: Any, sample: Sample) -> int:
    return int(mmg.lib.mmg_stats_get(pointer))


OPENING = ("mmg_open", "mmg_open_fd", "mmg_load", "mmg_read_fd")
OPTIONS = [Call(f"{name} options", abi.mmg_options, _opening(name, "options")) for name in OPENING]
ERRORS = [Call(f"{name} error", abi.mmg_error, _opening(name, "error")) for name in OPENING]
OUTPUTS = [Call("mmg_info_get", abi.mmg_info, _info), Call("mmg_stats_get", abi.mmg_stats, _stats)]
every_call = pytest.mark.parametrize("call", OPTIONS + ERRORS + OUTPUTS, ids=lambda call: call.name)


@every_call
def test_an_older_structure_is_accepted_and_nothing_beyond_it_is_touched(call: Call, small: Sample) -> None:
    for size in older(call.kind):
        block = Block(call.kind, size)
        assert mmg.status_name(call.make(block.pointer, small)) == "MMG_OK", f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"
        assert block.member("struct_size") == size


@every_call
def test_a_newer_structure_is_accepted_while_its_tail_is_zero(call: Call, small: Sample) -> None:
    for size in newer(call.kind):
        block = Block(call.kind, size)
        assert mmg.status_name(call.make(block.pointer, small)) == "MMG_OK", f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"
        assert block.member("struct_size") == size
        tail = bytes(block.memory)[ctypes.sizeof(call.kind) : size]
        assert tail == bytes(len(tail)), "the library wrote what it does not know"


@every_call
def test_a_newer_structure_that_asks_for_something_unknown_is_refused(call: Call, small: Sample) -> None:
    for size in newer(call.kind):
        for place in (ctypes.sizeof(call.kind), size // 2 if size == LARGEST else size - 4, size - 1):
            block = Block(call.kind, size)
            block.memory[place] = 1
            before = bytes(block.memory)
            status = call.make(block.pointer, small)
            assert mmg.status_name(status) == "MMG_E_ABI_NEWER", f"struct_size {size}, byte {place}"
            assert bytes(block.memory) == before, f"struct_size {size}, byte {place}"


@every_call
def test_a_size_that_no_structure_has_is_refused(call: Call, small: Sample) -> None:
    for size in nonsense(call.kind):
        block = Block(call.kind, size)
        before = bytes(block.memory)
        status = call.make(block.pointer, small)
        assert mmg.status_name(status) == "MMG_E_ABI_SIZE", f"struct_size {size}"
        assert bytes(block.memory) == before, f"struct_size {size}"


# --------------------------------------------------------------------------------------- what is read and written


def test_the_members_of_an_older_options_count_and_the_missing_ones_are_defaults(small: Sample) -> None:
    """Each member in turn is the last one that the program knows; noise that looks like demands follows it."""
    for last, size in ends(abi.mmg_options).items():
        block = Block(abi.mmg_options, size, noise=0xFF)
        block.struct.backing = abi.MMG_BACKING_MAP
        handle = abi.mmg_handle()
        path = os.fsencode(small.path)
        status = mmg.lib.mmg_open(path, block.pointer, ctypes.byref(handle), None)
        assert mmg.status_name(status) == "MMG_OK", last
        try:
            info = mmg.info(handle.value)
            assert (info.backing, info.backing_reason) == (abi.MMG_BACKING_MAP, abi.MMG_REASON_ASKED), last
            assert (info.offset, info.size, info.lock) == (0, small.size, abi.MMG_LOCK_SHARED), last
        finally:
            assert mmg.close(handle.value) == abi.MMG_OK


def _failed_open(pointer: Any) -> int:
    handle = abi.mmg_handle()
    return int(mmg.lib.mmg_open(b"/nonexistent/file", None, ctypes.byref(handle), pointer))


def test_an_older_error_receives_the_details_that_it_has_room_for() -> None:
    full = Block(abi.mmg_error, ctypes.sizeof(abi.mmg_error))
    assert mmg.status_name(_failed_open(full.pointer)) == "MMG_E_NOT_FOUND"
    assert full.struct.status == abi.MMG_E_NOT_FOUND
    assert b"/nonexistent/file" in full.struct.message
    for size in older(abi.mmg_error):
        block = Block(abi.mmg_error, size)
        assert _failed_open(block.pointer) == abi.MMG_E_NOT_FOUND
        assert bytes(block.memory)[4:size] == bytes(full.memory)[4:size], f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"


def test_a_newer_error_receives_the_same_details() -> None:
    for size in newer(abi.mmg_error):
        block = Block(abi.mmg_error, size)
        assert _failed_open(block.pointer) == abi.MMG_E_NOT_FOUND
        assert b"/nonexistent/file" in block.struct.message
        assert block.member("struct_size") == size


def test_options_that_cannot_be_read_are_explained_in_the_error(small: Sample) -> None:
    unreadable = {
        abi.MMG_E_ABI_SIZE: Block(abi.mmg_options, 6),
        abi.MMG_E_ABI_NEWER: Block(abi.mmg_options, 80),
    }
    unreadable[abi.MMG_E_ABI_NEWER].memory[79] = 1
    for status, block in unreadable.items():
        handle, error = abi.mmg_handle(), mmg.new_error()
        path = os.fsencode(small.path)
        assert mmg.lib.mmg_open(path, block.pointer, ctypes.byref(handle), ctypes.byref(error)) == status
        found = mmg.details(error)
        assert (found.status, found.os_code, found.operation) == (status, 0, "options")
        assert str(small.path) in found.message


@pytest.fixture
def mapped(large: Sample) -> Iterator[int]:
    """A handle whose information has something to tell in many members."""
    with mmg.opened(mmg.try_open(large.path, offset=5)) as handle:
        yield handle


def test_an_older_info_receives_the_members_that_it_has_room_for(mapped: int) -> None:
    full = Block(abi.mmg_info, ctypes.sizeof(abi.mmg_info))
    assert mmg.lib.mmg_info_get(mapped, full.pointer) == abi.MMG_OK
    assert full.struct.offset == 5
    assert full.struct.page_size > 0
    for size in older(abi.mmg_info):
        block = Block(abi.mmg_info, size)
        assert mmg.lib.mmg_info_get(mapped, block.pointer) == abi.MMG_OK
        assert bytes(block.memory)[4:size] == bytes(full.memory)[4:size], f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"


def test_an_older_stats_receives_the_members_that_it_has_room_for(mapped: int) -> None:
    full = Block(abi.mmg_stats, ctypes.sizeof(abi.mmg_stats))
    assert mmg.lib.mmg_stats_get(full.pointer) == abi.MMG_OK
    assert full.struct.handles >= 1
    assert full.struct.mappings >= 1
    for size in older(abi.mmg_stats):
        block = Block(abi.mmg_stats, size)
        assert mmg.lib.mmg_stats_get(block.pointer) == abi.MMG_OK
        assert bytes(block.memory)[4:size] == bytes(full.memory)[4:size], f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"


# ------------------------------------------------------------------------------------------------- options_init


def test_options_init_writes_exactly_the_bytes_it_is_told_of() -> None:
    kind = abi.mmg_options
    for size in [*older(kind), ctypes.sizeof(kind), *newer(kind)]:
        block = Block(kind, size)
        ctypes.memset(block.memory, NOISE, size)
        assert mmg.lib.mmg_options_init(block.pointer, size) == abi.MMG_OK
        assert bytes(block.memory)[:size] == size.to_bytes(4, "little") + bytes(size - 4), (
            f"struct_size {size}"
        )
        assert block.untouched_outside(), f"struct_size {size}"


def test_options_init_refuses_a_size_that_no_options_have() -> None:
    for size in nonsense(abi.mmg_options):
        block = Block(abi.mmg_options, 8)
        before = bytes(block.memory)
        assert mmg.status_name(mmg.lib.mmg_options_init(block.pointer, size)) == "MMG_E_ABI_SIZE", size
        assert bytes(block.memory) == before, f"struct_size {size}"


def test_options_init_makes_what_the_initialiser_makes() -> None:
    made = abi.mmg_options(struct_size=0, flags=7)
    assert mmg.lib.mmg_options_init(ctypes.byref(made), ctypes.sizeof(made)) == abi.MMG_OK
    assert bytes(made) == bytes(abi.mmg_options())
