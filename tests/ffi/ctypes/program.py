# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cases in Python, over the declarations of mmapguard.abi."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys

from mmapguard import abi

lib = abi.load()


def name(status: int) -> str:
    """Return the name of a status."""
    return str(lib.mmg_status_name(status).decode())


def ready() -> None:
    """Print that the program is ready, and wait until the test has changed the file."""
    print("ready", flush=True)
    sys.stdin.readline()


def main(what: str, path: str) -> str:
    """Run one case. Return its result."""
    if what in ("twin", "guarded"):
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if what == "guarded" and lib.mmg_guard_process(abi.MMG_SCOPE_FILES, 0):
            return "error"
        ready()
        seen = sum(mapped[:])
        count, losses = ctypes.c_uint64(), ctypes.c_uint64()
        lib.mmg_losses_get(0, None, 0, count, losses)
        return f"ok {seen} {losses.value}" if what == "guarded" else f"ok {seen}"
    stable = abi.MMG_GUARANTEE_STABLE if what == "stable" else abi.MMG_GUARANTEE_CONTAINED
    options, error = abi.mmg_options(guarantee=stable), abi.mmg_error()
    info, span, handle = abi.mmg_info(), abi.mmg_span(), abi.mmg_handle()
    status = lib.mmg_open(os.fsencode(path), options, handle, error)
    if status:
        return f"error {name(status)} {error.message.decode()}"
    lib.mmg_info_get(handle, info)
    if what == "open":
        return f"ok {info.size}"
    if what == "info":
        return f"ok {info.size} {lib.mmg_term(abi.MMG_TERM_BACKING, info.backing).decode()}"
    if what == "read":
        buffer, got = ctypes.create_string_buffer(16), ctypes.c_uint64()
        lib.mmg_read(handle, 5, buffer, 16, got)
        return f"ok {buffer.raw[: got.value].hex()}"
    if what == "find":
        position = ctypes.c_uint64()
        lib.mmg_find(handle, 0, abi.MMG_TO_END, b"NEEDLE", 6, position)
        return f"ok {position.value}"
    if what == "close":
        return f"ok {name(lib.mmg_close(handle, 0))} {name(lib.mmg_close(handle, 0))}"
    if what == "use-after-close":
        lib.mmg_close(handle, 0)
        return f"error {name(lib.mmg_pin(handle, 0, abi.MMG_TO_END, span))}"

    lib.mmg_pin(handle, 0, abi.MMG_TO_END, span)

    def total() -> int:
        return sum(ctypes.string_at(span.data, span.size)) % 2**32

    if what == "pin":
        return f"ok {total()}"
    if what == "empty":
        return f"{'ok' if span.data else 'null'} {span.size}"
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
        lib.mmg_info_get(handle, info)
        return f"error {name(status)} {info.fault_offset}"
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    ready()
    return "ok handled" if heard == [signal.SIGUSR1] else "ok unheard"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
