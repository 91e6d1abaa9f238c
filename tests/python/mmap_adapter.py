# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stands in for the module `mmap` in the standard library's own tests, and reads all mappings through mmapguard.

Only reading is under test. When those tests write, as preparation, this adapter writes to the file with pwrite(2). In
place of anonymous memory it uses a temporary file. So a Region has read every byte that they see.
"""

# ruff: noqa: D102
from __future__ import annotations

import mmap as real
import os
import tempfile
import types
from typing import Any, Self

import mmapguard

_fds: dict[int, int] = {}


class Mapping(mmapguard.Region):
    """A Region with the constructor and the writing methods of mmap.mmap."""

    def __new__(
        cls,
        fileno: int,
        length: int,
        flags: int | None = None,
        prot: int | None = None,
        access: int = real.ACCESS_DEFAULT,
        offset: int = 0,
        **only_newer: Any,
    ) -> Self:
        if access not in (real.ACCESS_DEFAULT, real.ACCESS_READ, real.ACCESS_WRITE, real.ACCESS_COPY):
            raise ValueError("mmap invalid access parameter.")
        if access != real.ACCESS_DEFAULT and (flags is not None or prot is not None):
            raise ValueError("mmap can't specify both access and flags, prot.")
        if fileno == -1:
            with tempfile.TemporaryFile() as memory:
                memory.truncate(length)
                made = super().__new__(
                    cls, memory.fileno(), offset=offset, length=length, backing="map", lock="none"
                )
                pen = os.open(f"/proc/self/fd/{memory.fileno()}", os.O_RDWR)
        else:
            made = super().__new__(cls, fileno, offset=offset, length=length, backing="map", lock="none")
            pen = os.dup(fileno)
        made.pen = pen
        made.may_write = access != real.ACCESS_READ and prot != real.PROT_READ
        return made

    pen: int
    may_write: bool

    def __del__(self) -> None:
        os.close(self.pen)

    def _write_at(self, place: int, data: bytes) -> None:
        if not self.may_write:
            raise TypeError("mmap can't modify a readonly memory map.")
        os.pwrite(self.pen, data, place)

    def write(self, data: bytes) -> int:
        if not self.may_write:
            raise TypeError("mmap can't modify a readonly memory map.")
        if self.tell() + len(data) > len(self):
            raise ValueError("data out of range")
        self._write_at(self.tell(), bytes(data))
        self.seek(len(data), os.SEEK_CUR)
        return len(data)

    def write_byte(self, byte: int) -> None:
        self.write(bytes([byte]))

    def __setitem__(self, key: int | slice, value: Any) -> None:
        if isinstance(key, slice):
            for place, byte in zip(range(len(self))[key], value, strict=True):
                self._write_at(place, bytes([byte]))
        else:
            self._write_at(range(len(self))[key], bytes([value]) if self.may_write else b"")

    def flush(self, offset: int = 0, size: int | None = None) -> None:
        pass

    def resize(self, size: int) -> None:
        raise SystemError("mmap: resizing not available--no mremap()")


module = types.ModuleType("mmap")
module.__dict__.update({name: value for name, value in vars(real).items() if not name.startswith("__")})
module.__dict__["mmap"] = Mapping
