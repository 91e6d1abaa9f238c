# SPDX-License-Identifier: MIT OR Apache-2.0
"""The two readers of the demo in Python: `plain` on the standard library's mmap, `guarded` on mmapguard.

    readers.py plain FILE [MILLISECONDS]
    readers.py guarded [--map | --stable] FILE [LENGTH [MILLISECONDS]]

They take the same arguments, write the same lines and end with the same exit codes as plain_reader.c and
guarded_reader.c; Only the Python reader has --stable, which demands bytes that do not change, and prints before each
digest by what means they are kept and whether the file has changed. Neither reader copies the bytes: hashlib reads
them where the kernel keeps them.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Literal

import mmapguard

LOST = 3
"""Exit code of a reader that was told that bytes are gone."""


def blocks(size: int, milliseconds: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each block of one round, reported and paced as progress.c does it."""
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
    """Hash the bytes of mmap.mmap, in endless rounds if a pace is given.

    The process dies of SIGBUS when the file is cut.
    """
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
    """Hash the bytes of a region, in endless rounds if a pace is given. Raises an exception when the file is cut."""
    backing: Literal["auto", "map"] = "map" if force_map else "auto"
    region = mmapguard.open(path, backing=backing, stable=stable, length=length)

    def tell_state() -> None:
        """Print by what means the bytes are kept, and what has changed about the file, in the library's words."""
        if stable:
            print("means", region.info.means, flush=True)
            print("changed", *sorted(region.changed()), flush=True)

    try:
        with region, memoryview(region) as view:
            tell_state()
            while True:
                digest = hashlib.sha256()
                for offset, size in blocks(len(view), milliseconds):
                    digest.update(view[offset : offset + size])
                region.check()  # the digest counts only after this check; the end of the block would check as well
                tell_state()
                print("digest", digest.hexdigest(), flush=True)
                if not milliseconds:
                    return 0
    except mmapguard.TruncatedError as error:
        print("lost", error.status, error.offset, mmapguard.stats().faults, flush=True)
        return LOST


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
    warnings.simplefilter(
        "ignore", mmapguard.FileChangedWarning
    )  # --stable reports the change, which the others would show in the digest
    if arguments.kind == "plain":
        return plain(arguments.file, numbers[0])
    try:
        return guarded(arguments.file, numbers[0], numbers[1], arguments.map, arguments.stable)
    except OSError as error:
        print("readers.py:", error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
