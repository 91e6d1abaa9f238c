# SPDX-License-Identifier: MIT OR Apache-2.0
"""Lose bytes of the library's mappings beside CPython's own handlers: host.py HOST ORDER."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys

from mmapguard import abi

library = abi.load()
SIZE = 1 << 20
caught: list[int] = []


def lose() -> None:
    """Lose bytes of a mapping. Raise an exception unless the loss is contained and reported."""
    with open("lost", "wb") as stream:
        stream.write(b"\x01" * SIZE)
    handle, span = abi.mmg_handle(), abi.mmg_span()
    info = abi.mmg_info(struct_size=ctypes.sizeof(abi.mmg_info))
    assert library.mmg_open(b"lost", None, ctypes.byref(handle), None) == 0
    assert library.mmg_info_get(handle, ctypes.byref(info)) == 0
    assert info.means == abi.MMG_MEANS_FAULT_GUARD, info.means
    assert library.mmg_guard_state() == abi.MMG_GUARD_TOP, library.mmg_guard_state()
    assert library.mmg_pin(handle, 0, abi.MMG_TO_END, ctypes.byref(span)) == 0
    os.truncate("lost", 4096)
    data = ctypes.string_at(ctypes.cast(span.data, ctypes.c_void_p).value or 0, span.size)
    assert data.count(1) == 4096
    assert library.mmg_unpin(ctypes.byref(span)) == abi.MMG_E_TRUNCATED
    assert library.mmg_close(handle, 0) == 0


def host(name: str) -> None:
    """Install the SIGBUS handler of this host."""
    if name == "faulthandler":
        faulthandler.enable()
    else:
        signal.signal(signal.SIGBUS, lambda number, frame: caught.append(number))


name, order = sys.argv[1:]
if order != "host-first":
    lose()
host(name)
if order == "guard-again":
    faulthandler.disable() if name == "faulthandler" else signal.signal(signal.SIGBUS, signal.SIG_DFL)
    host(name)
    assert library.mmg_guard_install() == 0
for _ in range(10):
    lose()
if name == "signal":
    os.kill(os.getpid(), signal.SIGBUS)
    assert caught == [signal.SIGBUS]
    lose()
print("end", flush=True)
if name == "faulthandler":
    os.kill(os.getpid(), signal.SIGBUS)  # faulthandler reports the signal, which then ends the program
