# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cases in Python, over cffi, which takes the declarations from the header unchanged."""

from __future__ import annotations

import mmap
import os
import signal
import sys
from pathlib import Path

import cffi

TO_END = 2**64 - 1
ffi = cffi.FFI()
header = Path(sys.argv[1]).read_text()
ffi.cdef(header.partition("MMG_CDEF_BEGIN */")[2].partition("/* MMG_CDEF_END")[0])
lib = ffi.dlopen(sys.argv[2])


def name(status: int) -> str:
    """Return the name of a status."""
    return str(ffi.string(lib.mmg_status_name(status)).decode())


def ready() -> None:
    """Print that the program is ready, and wait until the test has changed the file."""
    print("ready", flush=True)
    sys.stdin.readline()


def main(what: str, path: str) -> str:
    """Run one case. Return its result."""
    if what in ("twin", "guarded"):
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if what == "guarded" and lib.mmg_guard_process(lib.MMG_SCOPE_FILES, 0):
            return "error"
        ready()
        seen = sum(mapped[:])
        count, losses = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.mmg_losses_get(0, ffi.NULL, 0, count, losses)
        return f"ok {seen} {losses[0]}" if what == "guarded" else f"ok {seen}"
    options = ffi.new("mmg_options *", {"struct_size": ffi.sizeof("mmg_options")})
    if what == "stable":
        options.guarantee = lib.MMG_GUARANTEE_STABLE
    error = ffi.new("mmg_error *", {"struct_size": ffi.sizeof("mmg_error")})
    info = ffi.new("mmg_info *", {"struct_size": ffi.sizeof("mmg_info")})
    span, handle, number = ffi.new("mmg_span *"), ffi.new("mmg_handle *"), ffi.new("uint64_t *")
    status = lib.mmg_open(os.fsencode(path), options, handle, error)
    if status:
        return f"error {name(status)} {ffi.string(error.message).decode()}"
    file = handle[0]
    lib.mmg_info_get(file, info)
    if what == "open":
        return f"ok {info.size}"
    if what == "info":
        return f"ok {info.size} {ffi.string(lib.mmg_term(lib.MMG_TERM_BACKING, info.backing)).decode()}"
    if what == "read":
        buffer = bytearray(16)
        lib.mmg_read(file, 5, ffi.from_buffer(buffer), 16, number)
        return f"ok {buffer[: number[0]].hex()}"
    if what == "find":
        lib.mmg_find(file, 0, TO_END, b"NEEDLE", 6, number)
        return f"ok {number[0]}"
    if what == "close":
        return f"ok {name(lib.mmg_close(file, 0))} {name(lib.mmg_close(file, 0))}"
    if what == "use-after-close":
        lib.mmg_close(file, 0)
        return f"error {name(lib.mmg_pin(file, 0, TO_END, span))}"

    lib.mmg_pin(file, 0, TO_END, span)

    def total() -> int:
        return int(sum(ffi.buffer(span.data, span.size)[:])) % 2**32

    if what == "pin":
        return f"ok {total()}"
    if what == "empty":
        return f"{'null' if span.data == ffi.NULL else 'ok'} {span.size}"
    if what == "unpin":
        return f"ok {name(lib.mmg_unpin(span))} {name(lib.mmg_unpin(span))}"
    if what == "stable":
        before = total()
        ready()
        return "ok same" if total() == before else "ok other"
    ready()
    total()
    status = lib.mmg_unpin(span)
    if what == "truncated":
        lib.mmg_info_get(file, info)
        return f"error {name(status)} {info.fault_offset}"
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    ready()
    return "ok handled" if heard == [signal.SIGUSR1] else "ok unheard"


if __name__ == "__main__":
    print(main(*sys.argv[3:]))
