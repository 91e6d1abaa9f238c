# SPDX-License-Identifier: MIT OR Apache-2.0
"""The two readers of the demo in Python: `plain` on the standard library's mmap, `guarded` on mmapguard over ctypes.

    readers.py plain FILE [MILLISECONDS]
    readers.py guarded [--map | --stable] FILE [LENGTH [MILLISECONDS]]

They take the same arguments, write the same lines and end with the same exit codes as plain_reader.c and
guarded_reader.c; --stable, which demands bytes that do not change and says before each digest by what means they are
kept and whether the file has changed, is found here only. No copy is made in either: hashlib reads the bytes where the kernel keeps them.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import mmap
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

LOST = 3
"""Exit code of a reader that was told that bytes are gone."""


def load_abi() -> ModuleType:
    """The ctypes declarations of the ABI, loaded from their file: the package around them need not be built."""
    path = Path(__file__).resolve().parent.parent / "bindings" / "python" / "mmapguard" / "abi.py"
    spec = importlib.util.spec_from_file_location("mmapguard_abi", path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"the ctypes declarations are missing: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def blocks(size: int, milliseconds: int) -> Iterator[tuple[int, int]]:
    """Offset and length of each block of one round, told and paced as progress.c does it."""
    step = min(max(size // 96, 4096), 4 << 20)
    started, told = time.monotonic(), 0.0
    for offset in range(0, size, step):
        length = min(step, size - offset)
        yield offset, length
        end, now = offset + length, time.monotonic()
        if now - told >= 0.015 or end == size:
            os.write(1, b"at %d\n" % end)
            told = now
        time.sleep(max(0.0, started + milliseconds / 1000 * end / size - now))


def plain(path: str, milliseconds: int) -> int:
    """Hash what mmap.mmap shows, round and round if a pace is given. Dies of SIGBUS when the file is cut."""
    with open(path, "rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    while True:
        digest = hashlib.sha256()
        for offset, length in blocks(len(view), milliseconds):
            digest.update(view[offset : offset + length])
        print("digest", digest.hexdigest(), flush=True)
        if not milliseconds:
            return 0


def guarded(path: str, length: int, milliseconds: int, force_map: bool, stable: bool) -> int:
    """Hash what spans show, round and round if a pace is given. Ends with a status when the file is cut."""
    abi = load_abi()
    lib = abi.load()
    backing = abi.MMG_BACKING_MAP if force_map else abi.MMG_BACKING_AUTO
    guarantee = abi.MMG_GUARANTEE_STABLE if stable else abi.MMG_GUARANTEE_CONTAINED
    options = abi.mmg_options(backing=backing, guarantee=guarantee, length=length)
    error, info, region = abi.mmg_error(), abi.mmg_info(), ctypes.c_uint64()
    if lib.mmg_open(os.fsencode(path), ctypes.byref(options), ctypes.byref(region), ctypes.byref(error)):
        print("readers.py:", error.message.decode(), file=sys.stderr)
        return 2
    lib.mmg_info_get(region, ctypes.byref(info))

    def tell_state() -> None:
        """By what means the bytes are kept, and what has changed about the file, as the library's numbers."""
        what = ctypes.c_uint32()
        lib.mmg_info_get(region, ctypes.byref(info))
        print("means", info.means, flush=True)
        if lib.mmg_changed(region, ctypes.byref(what)) == abi.MMG_OK:
            print("changed", what.value, flush=True)

    def hash_region() -> str | int:
        """The digest of the whole region, or the status that says why it would not be true."""
        digest, span = hashlib.sha256(), abi.mmg_span()
        for offset, size in blocks(info.size, milliseconds):
            if status := lib.mmg_pin(region, offset, size, ctypes.byref(span)):
                return int(status)
            address = ctypes.cast(span.data, ctypes.c_void_p).value
            digest.update((ctypes.c_uint8 * span.size).from_address(address))
            if status := lib.mmg_unpin(ctypes.byref(span)):
                return int(status)
        return int(lib.mmg_check(region)) or digest.hexdigest()

    if stable:
        tell_state()
    while isinstance(result := hash_region(), str):
        if stable:
            tell_state()
        print("digest", result, flush=True)
        if not milliseconds:
            break
    else:
        lib.mmg_info_get(region, ctypes.byref(info))
        print("lost", lib.mmg_status_name(result).decode(), info.fault_offset, info.faults, flush=True)
    lib.mmg_close(region, 0)
    return LOST if isinstance(result, int) else 0


def main() -> int:
    """Run the reader that the command line names."""
    parser = argparse.ArgumentParser(
        prog="readers.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("plain", "guarded"))
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--map", action="store_true", help="a mapping even where a copy would be made")
    choice.add_argument("--stable", action="store_true", help="bytes that do not change, or an error")
    parser.add_argument("file")
    parser.add_argument("numbers", type=int, nargs="*", help="LENGTH (guarded only) and MILLISECONDS")
    arguments = parser.parse_args()
    numbers: list[int] = [*arguments.numbers, 0, 0]
    if arguments.kind == "plain":
        return plain(arguments.file, numbers[0])
    return guarded(arguments.file, numbers[0], numbers[1], arguments.map, arguments.stable)


if __name__ == "__main__":
    sys.exit(main())
