# SPDX-License-Identifier: MIT OR Apache-2.0
"""The consumer in ctypes: a program that knows only abi.json of the library, and makes its declarations from it.

usage: consumer.py DESCRIPTION LIBRARY FILE. The program writes FILE. It prints nothing when all is well.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

SIZE = 300_000  # above the copy threshold: mapped
PLAIN = {"char": ctypes.c_char} | {
    f"{sign}int{bits}_t": getattr(ctypes, f"c_{sign}int{bits}") for sign in ("", "u") for bits in (8, 32, 64)
}


class Declared:
    """The types, constants and calls of the description."""

    def __init__(self, description: dict[str, Any], library: ctypes.CDLL) -> None:
        self.types: dict[str, Any] = dict(PLAIN)
        for name, kind in description["types"].items():
            self.types[name] = self.types[kind["type"]]
        for name, struct in description["structs"].items():
            fields = [(member["name"], self.type(member["type"])) for member in struct["members"]]
            self.types[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
            assert ctypes.sizeof(self.types[name]) == struct["size"], name
            for member in struct["members"]:
                place = getattr(self.types[name], member["name"])
                assert (place.offset, place.size) == (member["offset"], member["size"]), member
        self.constants = {
            name: int(constant["value"])
            for group in description["enumerations"]
            for name, constant in group["constants"].items()
        }
        self.constants |= {n: int(macro["value"]) for n, macro in description["macros"].items()}
        self.calls: dict[str, Any] = {}
        for name, function in description["functions"].items():
            call = getattr(library, name)
            call.restype = self.type(function["returns"]["type"])
            call.argtypes = [self.type(parameter["type"]) for parameter in function["parameters"]]
            self.calls[name] = call

    def type(self, kind: str) -> Any:
        """Return the ctypes type for a type of the header."""
        kind = kind.removeprefix("const ")
        if array := re.fullmatch(r"(.+)\[(\d+)\]", kind):
            return self.type(array[1]) * int(array[2])
        if kind == "char *":
            return ctypes.c_char_p
        if kind == "void *" or kind.startswith("struct "):  # the program does not use what it points to
            return ctypes.c_void_p
        if kind.endswith("*"):
            return ctypes.POINTER(self.type(kind.removesuffix("*").strip()))
        return self.types[kind]

    def sized(self, name: str) -> Any:
        """Return a structure with its size filled in."""
        return self.types[name](struct_size=ctypes.sizeof(self.types[name]))

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function. Structures and numbers that the call fills are passed by reference."""
        kinds = self.calls[name].argtypes
        return self.calls[name](
            *(
                ctypes.byref(value) if isinstance(value, ctypes.Structure | ctypes._SimpleCData) else value
                for value, _ in zip(arguments, kinds, strict=True)
            )
        )


def main(description: str, library: str, path: str) -> None:
    """Make the calls."""
    data = bytes(at * 31 + at // 251 & 0xFF for at in range(SIZE))
    Path(path).write_bytes(data)
    abi = Declared(json.loads(Path(description).read_text(encoding="utf-8")), ctypes.CDLL(library))
    c, call, name = abi.constants, abi.call, os.fsencode(path)
    version = call("mmg_abi_version")
    assert version >= c["MMG_ABI"], hex(version)
    assert version >> 16 == c["MMG_ABI"] >> 16, hex(version)
    assert call("mmg_status_name", c["MMG_E_RANGE"]) == b"MMG_E_RANGE"

    stats = abi.sized("mmg_stats")
    assert call("mmg_stats_get", stats) == 0
    assert stats.struct_size == ctypes.sizeof(stats)
    before = stats.handles
    options, handle, error = abi.sized("mmg_options"), abi.types["mmg_handle"](), abi.sized("mmg_error")
    options.offset = 7
    assert call("mmg_open", name, options, handle, error) == c["MMG_OK"], error.message
    number = handle.value
    assert 0 < number < 2**53

    info = abi.sized("mmg_info")
    assert call("mmg_info_get", number, info) == 0
    assert info.struct_size == ctypes.sizeof(info)
    assert (info.size, info.offset, info.file_size) == (SIZE - 7, 7, SIZE)
    assert (info.backing, info.fault_offset) == (c["MMG_BACKING_MAP"], c["MMG_TO_END"])
    span = abi.types["mmg_span"]()
    assert call("mmg_pin", number, 5, 1000, span) == 0
    assert ctypes.string_at(span.data, span.size) == data[12:1012]
    assert call("mmg_close", number, c["MMG_CLOSE_STRICT"]) == c["MMG_E_BUSY"]
    assert call("mmg_unpin", span) == 0
    buffer, got, place = ctypes.create_string_buffer(64), ctypes.c_uint64(), ctypes.c_uint64()
    assert abi.calls["mmg_read"](number, SIZE - 17, buffer, 64, ctypes.byref(got)) == 0
    assert buffer.raw[: got.value] == data[-10:]
    assert call("mmg_find", number, 0, c["MMG_TO_END"], data[500:540], 40, place) == 0
    assert place.value == data.index(data[500:540], 7) - 7
    assert call("mmg_check", number) == 0
    assert call("mmg_stats_get", stats) == 0
    assert stats.handles == before + 1
    assert call("mmg_close", number, 0) == 0
    assert call("mmg_close", number, 0) == c["MMG_E_HANDLE"]

    assert call("mmg_open", b"/nonexistent/file", None, handle, error) == c["MMG_E_NOT_FOUND"]
    assert (error.status, error.operation) == (c["MMG_E_NOT_FOUND"], b"open")
    assert b"/nonexistent/file" in error.message
    options.flags = 1 << 63
    assert call("mmg_open", name, options, handle, None) == c["MMG_E_ARGUMENT"]


if __name__ == "__main__":
    main(*sys.argv[1:])
