# SPDX-License-Identifier: MIT OR Apache-2.0
"""References: regions that are passed on without their bytes, and opened where they are used."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._errors import StaleError

if TYPE_CHECKING:
    from ._region import Region

#: Device, inode, size in bytes and modification time in nanoseconds of a file, as they were when it was opened.
Identity: TypeAlias = tuple[int, int, int, int]

#: How a region was opened: by open(), load(), read_fd() or adopt(). The native region has the same numbers.
OPEN: Final = 0
LOAD: Final = 1
READ: Final = 2
ADOPT: Final = 3

_NAMES: Final = ("device", "inode", "size", "mtime")
#: Where offset and length stand in the arguments of a region: source, opener, then the options.
OFFSET: Final = 9
LENGTH: Final = 10
#: Where the number of `on_change` stands.
ON_CHANGE: Final = 16
#: The options of a region that was opened without any, in the order of the native region.
DEFAULTS: Final[tuple[Any, ...]] = (None, *14 * (0,))


def _found_at(path: str | bytes, expected: Identity) -> Identity:
    """The identity of the file that has the name now; StaleError when none has it."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise StaleError(errno.ESTALE, "no file has this name here any more", path) from missing
    size = (
        expected[2] if stat.S_ISBLK(status.st_mode) else status.st_size
    )  # of a device, stat() does not know it
    return status.st_dev, status.st_ino, size, status.st_mtime_ns


def compare(path: str | bytes, expected: Identity, found: Identity | None) -> None:
    """Raise StaleError unless the file at `path`, or the one that was `found`, is the expected one.

    Called by the extension when a reference is opened: before it looks at the window, and again for what was opened.
    """
    if found is None:
        found = _found_at(path, expected)
    differing = [name for name, was, now in zip(_NAMES, expected, found, strict=True) if was != now]
    if differing:
        words = ", ".join(differing)
        raise StaleError(errno.ESTALE, f"the file is not the one that was meant: other {words}", path)


def arrive(cls: type[Region], arguments: tuple[Any, ...], identity: Identity) -> Region:
    """What a pickled region becomes: a reference. Touches no file."""
    reference: Region = cls._refer(arguments, identity)
    return reference
