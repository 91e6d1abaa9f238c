# SPDX-License-Identifier: MIT OR Apache-2.0
"""References: regions that are passed on without their bytes, and opened at their first use."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._errors import StaleError

if TYPE_CHECKING:
    from ._region import Region

#: Device, inode, size in bytes and modification time in nanoseconds of a file at the time when it was opened.
Identity: TypeAlias = tuple[int, int, int, int]

#: The call that opened a region: open(), load(), read_fd() or adopt(). The native region uses equal numbers.
OPEN: Final = 0
LOAD: Final = 1
READ: Final = 2
ADOPT: Final = 3

_NAMES: Final = ("device", "inode", "size", "mtime")
#: The indexes of offset and length in the arguments of a region: the source, the opener, then the options.
OFFSET: Final = 9
LENGTH: Final = 10
#: The index of `on_change`.
ON_CHANGE: Final = 16
#: The options of a region that was opened without options, in the order of the native region.
DEFAULTS: Final[tuple[Any, ...]] = (None, *14 * (0,))


def _found_at(path: str | bytes, expected: Identity) -> Identity:
    """Return the identity of the file at the path now. Raises StaleError when there is no such file."""
    try:
        status = os.stat(path)
    except OSError as missing:
        if missing.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise StaleError(errno.ESTALE, "no file has this name here any more", path) from missing
    size = (
        expected[2] if stat.S_ISBLK(status.st_mode) else status.st_size
    )  # stat() does not tell the size of a device
    return status.st_dev, status.st_ino, size, status.st_mtime_ns


def compare(path: str | bytes, expected: Identity, found: Identity | None) -> None:
    """Raise StaleError unless the file at `path`, or the file that was `found`, is the expected one.

    The extension calls this function twice when it opens a reference: before it looks at the window, and for
    the file that it has opened.
    """
    if found is None:
        found = _found_at(path, expected)
    differing = [name for name, was, now in zip(_NAMES, expected, found, strict=True) if was != now]
    if differing:
        words = ", ".join(differing)
        raise StaleError(errno.ESTALE, f"the file is not the one of the reference: other {words}", path)


def arrive(cls: type[Region], arguments: tuple[Any, ...], identity: Identity) -> Region:
    """Return the reference for a pickled region. Touches no file."""
    reference: Region = cls._refer(arguments, identity)
    return reference
