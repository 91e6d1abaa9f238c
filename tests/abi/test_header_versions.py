# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs newer than the library: longer options work while their tail is zero, a longer out structure always.

The structures are laid into larger blocks of memory, so that everything outside `struct_size` can be filled with
bytes that would be noticed if they were read or written.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
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
    """A structure that says that it has `size` bytes.

    All other members are zero, and the bytes around it are noise.
    """

    def __init__(self, kind: type[ctypes.Structure], size: int, noise: int = NOISE) -> None:
        self.memory = (ctypes.c_uint8 * ROOM).from_buffer_copy(bytes([noise]) * ROOM)
        self.size = size
        self._kind = kind
        self._noise = noise
        ctypes.memset(self.memory, 0, min(size, ROOM))
        self.struct.struct_size = size

    @property
    def struct(self) -> Any:
        """Return the members. Only those inside `size` are valid."""
        return self._kind.from_buffer(self.memory)

    @property
    def pointer(self) -> Any:
        """Return the pointer that a call takes."""
        return ctypes.cast(self.memory, ctypes.POINTER(self._kind))

    def member(self, name: str) -> int:
        """Return a member as it stands in memory."""
        return int(getattr(self.struct, name))

    def untouched_outside(self) -> bool:
        """Returns true when everything from `size` on is as it was."""
        outside = bytes(self.memory)[max(self.size, 4) :]
        return outside == bytes([self._noise]) * len(outside)


def newer(kind: type[ctypes.Structure]) -> list[int]:
    """Some sizes that later releases may give the structure."""
    return [ctypes.sizeof(kind) + 8, ctypes.sizeof(kind) + 64, LARGEST]


def nonsense(kind: type[ctypes.Structure]) -> list[int]:
    """Sizes that the structure never had and never will: below the first, beyond the limit, no multiple of eight."""
    today = ctypes.sizeof(kind)
    return [*range(today), *range(today + 1, today + 8), LARGEST + 8, 2**31, 2**32 - 8, 2**32 - 1]


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
def test_a_newer_structure_is_accepted_while_its_tail_is_zero(call: Call, small: Sample) -> None:
    for size in newer(call.kind):
        block = Block(call.kind, size)
        assert mmg.status_name(call.make(block.pointer, small)) == "MMG_OK", f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"
        assert block.member("struct_size") == size
        tail = bytes(block.memory)[ctypes.sizeof(call.kind) : size]
        assert tail == bytes(len(tail)), "the library wrote what it does not know"


@pytest.mark.parametrize("call", OPTIONS, ids=lambda call: call.name)
def test_newer_options_that_ask_for_something_unknown_are_refused(call: Call, small: Sample) -> None:
    for size in newer(call.kind):
        for place in (ctypes.sizeof(call.kind), size // 2 if size == LARGEST else size - 4, size - 1):
            block = Block(call.kind, size)
            block.memory[place] = 1
            before = bytes(block.memory)
            status = call.make(block.pointer, small)
            assert mmg.status_name(status) == "MMG_E_ABI_NEWER", f"struct_size {size}, byte {place}"
            assert bytes(block.memory) == before, f"struct_size {size}, byte {place}"


@pytest.mark.parametrize("call", ERRORS + OUTPUTS, ids=lambda call: call.name)
def test_only_the_size_of_an_out_structure_is_read_and_its_unknown_tail_is_zeroed(
    call: Call, small: Sample
) -> None:
    for size in newer(call.kind):
        block = Block(call.kind, size)
        ctypes.memset(block.memory, 0xAA, size)
        block.struct.struct_size = size
        assert mmg.status_name(call.make(block.pointer, small)) == "MMG_OK", f"struct_size {size}"
        tail = bytes(block.memory)[ctypes.sizeof(call.kind) : size]
        assert tail == bytes(len(tail)), f"struct_size {size}"
        assert block.untouched_outside(), f"struct_size {size}"


@every_call
def test_a_size_that_no_structure_has_is_refused(call: Call, small: Sample) -> None:
    for size in nonsense(call.kind):
        block = Block(call.kind, size)
        before = bytes(block.memory)
        status = call.make(block.pointer, small)
        assert mmg.status_name(status) == "MMG_E_ABI_SIZE", f"struct_size {size}"
        assert bytes(block.memory) == before, f"struct_size {size}"


# --------------------------------------------------------------------------------------- what is read and written


def _failed_open(pointer: Any) -> int:
    handle = abi.mmg_handle()
    return int(mmg.lib.mmg_open(b"/nonexistent/file", None, ctypes.byref(handle), pointer))


def test_a_newer_error_receives_the_same_details() -> None:
    for size in newer(abi.mmg_error):
        block = Block(abi.mmg_error, size)
        assert _failed_open(block.pointer) == abi.MMG_E_NOT_FOUND
        assert b"/nonexistent/file" in block.struct.message
        assert block.member("struct_size") == size


def test_options_that_cannot_be_read_are_explained_in_the_error(small: Sample) -> None:
    newer = ctypes.sizeof(abi.mmg_options) + 8
    unreadable = {
        abi.MMG_E_ABI_SIZE: Block(abi.mmg_options, 6),
        abi.MMG_E_ABI_NEWER: Block(abi.mmg_options, newer),
    }
    unreadable[abi.MMG_E_ABI_NEWER].memory[newer - 1] = 1
    for status, block in unreadable.items():
        handle, error = abi.mmg_handle(), mmg.new_error()
        path = os.fsencode(small.path)
        assert mmg.lib.mmg_open(path, block.pointer, ctypes.byref(handle), ctypes.byref(error)) == status
        found = mmg.details(error)
        assert (found.status, found.os_code, found.operation) == (status, 0, "options")
        assert str(small.path) in found.message


# ------------------------------------------------------------------------------------------------- options_init


def test_options_init_writes_exactly_the_bytes_it_is_told_of() -> None:
    kind = abi.mmg_options
    for size in [ctypes.sizeof(kind), *newer(kind)]:
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
