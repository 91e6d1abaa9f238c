# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions over mappings that other code has made."""

from __future__ import annotations

import os
import sys
from typing import Unpack

from . import _mmapguard as native
from ._options import HasFileno, Options, arguments_of
from ._references import ADOPT
from ._region import Region


def _file_at(address: int) -> str | None:
    """Return the path of the file that is mapped at an address; None when the kernel does not tell."""
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
    """Return a region over the bytes of an object that has mapped a file, such as a numpy.memmap or an mmap.

    The bytes stay where they are: the object and the region show the same memory. From now on nothing that
    happens to the file kills the process. Lost bytes read as zeros, and the region reports them as a region
    of open() does: at the end of its block, and by check(), slices, read() and the other calls. The object
    cannot unmap its bytes until the region and all views of it are gone.

    The call finds the file by its path. For a file that has no path any more, `fd` names it: a descriptor or
    an object with fileno(), which stays the caller's. Of the keywords of open(), `backing`, `offset` and
    `length` have no meaning here. No lock is taken unless `lock` asks for one. With `stable` the bytes are
    secured at their addresses, or UnstableError is raised. `shared_writable` allows a shared mapping that can
    be written to; bytes that are then stored into a lost page do not reach the file.

        array = numpy.memmap("big.bin", "<f4", "r")
        with mmapguard.adopt(array):
            total = array.sum()

    Raises OSError with ENODEV when the bytes are not a mapping of one file, or when the mapping is
    executable; FileNotFoundError when the path of the file is gone; BufferError when the bytes are not
    contiguous; TypeError when the object has no buffer; UnstableError, and whatever else open() raises.
    """
    lent = memoryview(view)  # type: ignore[arg-type]  # raises TypeError when there is no buffer
    name = _file_at(native.address_of(lent)) or repr(type(view))
    sys.audit("mmapguard.adopt", name)
    number = -1 if fd is None else fd if isinstance(fd, int) else fd.fileno()
    if number < 0 and fd is not None:
        raise ValueError("file descriptor cannot be a negative integer")
    return Region._adopt((name, ADOPT, *arguments_of(options)), lent, number)
