# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions over mappings that somebody else has made."""

from __future__ import annotations

import os
import sys
from typing import Unpack

from . import _mmapguard as native
from ._options import HasFileno, Options, arguments_of
from ._references import ADOPT
from ._region import Region


def _file_at(address: int) -> str | None:
    """The path of the file that is mapped at an address; None where the kernel does not tell."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            for line in maps:
                span, _, rest = line.partition(b" ")
                start, end = (int(part, 16) for part in span.split(b"-"))
                if start <= address < end:
                    columns = rest.rstrip(b"\n").split(None, 4)
                    return os.fsdecode(columns[4].replace(b"\\012", b"\n")) if len(columns) == 5 else None
    except OSError:
        pass
    return None


def adopt(view: object, *, fd: int | HasFileno | None = None, **options: Unpack[Options]) -> Region:
    """Return a region over the bytes of an object that has mapped a file: a numpy.memmap, an mmap, a slice of either.

    Nothing is mapped anew, and nothing moves: whoever reads through the object reads the same memory. From now on nothing
    that happens to the file kills the process, lost bytes read as zeros, and the region tells of them, as one of open()
    does: at the end of its block, and by check(), slices, read() and the others. The object cannot unmap its bytes until
    the region and all views of it are gone.

    The file is found by itself, or is given by `fd`, a descriptor or an object with fileno(), which stays the caller's: for
    a file that has no path any more. Of the keywords of open(), `backing`, `offset` and `length` have no meaning here.
    Without `lock` no lock is taken. With `stable` the bytes are held in place, or UnstableError is raised. `shared_writable`
    takes a shared mapping that can be written to; what is then stored into a lost page goes nowhere.

        array = numpy.memmap("big.bin", "<f4", "r")
        with mmapguard.adopt(array):
            total = array.sum()

    Raises OSError with ENODEV for bytes that are no file mapping, several files, or an executable one, FileNotFoundError
    when the path of the file is gone, UnstableError, and what open() raises otherwise; BufferError when the bytes do not
    lie side by side, TypeError when the object has no buffer.
    """
    lent = memoryview(view)  # type: ignore[arg-type]  # which says what has no buffer
    name = _file_at(native.address_of(lent)) or repr(type(view))
    sys.audit("mmapguard.adopt", name)
    number = -1 if fd is None else fd if isinstance(fd, int) else fd.fileno()
    if number < 0 and fd is not None:
        raise ValueError("file descriptor cannot be a negative integer")
    return Region._adopt((name, ADOPT, *arguments_of(options)), lent, number)
