# SPDX-License-Identifier: MIT OR Apache-2.0
"""The keywords of open(): their names, and how they become the numbers that the library takes."""

from __future__ import annotations

import math
import mmap
import operator
import os
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict

from . import _mmapguard as native


class HasFileno(Protocol):
    """An object that has a descriptor, such as a file or a socket."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


#: What can be opened: a path, a descriptor, or an object with a descriptor.
Source: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes] | int | HasFileno
Access: TypeAlias = Literal["normal", "sequential", "random", "willneed", "hugepage"]
Advice: TypeAlias = Literal[
    "normal", "sequential", "random", "willneed", "hugepage", "dontneed", "populate", "evict"
]

_TO_END: Final = 2**64 - 1
_FOREVER: Final = 2**32 - 1


class Options(TypedDict, total=False):
    """The keywords of open(), load(), read_fd() and Region.

    Sizes and offsets are in bytes, times in seconds. Where None is allowed it means the library's default, except that
    for a time it means "as long as it takes".

    stable              the bytes must not change for as long as the region lives, or UnstableError
    backing             'auto' (copy what is small, map the rest), 'map' (or fail), 'copy'
    lock                the advisory lock: 'auto' (flock where that is safe), 'shared' (flock), 'ofd' (fcntl), 'none'
    lock_wait           how long to wait for that lock; 0: try once; None or math.inf: as long as it takes
    access              expected pattern: 'normal', 'sequential', 'random', 'willneed', 'hugepage'
    offset              where the region starts in the file; any byte
    length              bytes in the region; 0: to the end of the file
    copy_threshold      files up to this size are copied, not mapped
    max_bytes           cap for what is read into memory (streams, copies); -1: none
    max_snapshot_bytes  cap for the copy that `stable` may need; -1: none
    max_leases          with `stable`: take no lease while the process holds so many; None: 10 000
    max_lease_wait      with `stable`: longest that a writer may be kept waiting while the bytes are secured
    timeout             how long to wait for the end of a stream (pipe, socket, terminal), or TimeoutError
    reject_empty        an empty file is a ValueError, as with mmap
    nofollow            a symbolic link as the last component is refused
    no_fault_guard      install no signal handler for this region: truncation kills, as with mmap
    populate            read everything in at once
    fifo_wait           wait for a writer when opening a FIFO, instead of BlockingIOError
    require_lock        a file system that cannot lock is an error, not an unlocked region
    no_lease            with `stable`: take no lease, so that no writer waits, at the price of a copy
    regular_only        anything but a regular file is refused, so that no FIFO and no device can make the call wait
    no_writers          a file that is open for writing anywhere at this moment is a BlockingIOError
    require_guard       where the fault guard cannot watch, a mapping is an OSError and not one without a guarantee
    shared_writable     with adopt(): a shared mapping that can be written to is taken, too
    on_change           what the end of a block does when the file was written to: 'warn' (FileChangedWarning), or 'raise'
                        (FileChangedError)
    """

    stable: bool
    backing: Literal["auto", "map", "copy"]
    lock: Literal["auto", "shared", "ofd", "none"]
    lock_wait: float | None
    access: Access
    offset: int
    length: int
    copy_threshold: int | None
    max_bytes: int | None
    max_snapshot_bytes: int | None
    max_leases: int | None
    max_lease_wait: float | None
    timeout: float | None
    reject_empty: bool
    nofollow: bool
    no_fault_guard: bool
    populate: bool
    fifo_wait: bool
    require_lock: bool
    no_lease: bool
    regular_only: bool
    no_writers: bool
    require_guard: bool
    shared_writable: bool
    on_change: Literal["warn", "raise"]


def numbers(prefix: str) -> dict[str, int]:
    """Return the constants with a prefix, by the rest of their names in lower case."""
    return {
        name[len(prefix) :].lower(): value for name, value in vars(native).items() if name.startswith(prefix)
    }


#: Without the word for a mapping that other code has made, which open() cannot be asked for.
BACKING: Final = {word: number for word, number in numbers("BACKING_").items() if word != "adopted"}
LOCK: Final = numbers("LOCK_")
ADVICE: Final = numbers("ADVICE_")
ON_CHANGE: Final = {"warn": 0, "raise": 1}
FLAGS: Final = {name: bit for name, bit in numbers("FLAG_").items() if name in Options.__annotations__}
#: The kinds of advice that open() takes. They have the numbers up to HUGEPAGE.
ACCESS: Final = {word: number for word, number in ADVICE.items() if number <= native.ADVICE_HUGEPAGE}
#: The numbers of mmap.MADV_* for which the library has the same advice.
MADV: Final = {
    getattr(mmap, f"MADV_{name.upper()}"): value
    for name, value in ADVICE.items()
    if hasattr(mmap, f"MADV_{name.upper()}")
}


#: Advice about core dumps, and about forks. A forked child always keeps the pages, since it may use what it
#: has inherited.
DUMP_ADVICE: Final = [mmap.MADV_DONTDUMP, mmap.MADV_DODUMP]
FORK_ADVICE: Final = [mmap.MADV_DONTFORK, mmap.MADV_DOFORK]
#: The default of each keyword. The default of a flag is False. A keyword that is not listed has the default
#: None.
KEYWORDS: Final[dict[str, Any]] = (
    dict.fromkeys(Options.__annotations__)
    | dict.fromkeys([*FLAGS, "stable"], False)
    | {"backing": "auto", "lock": "auto", "lock_wait": 0, "access": "normal", "offset": 0, "length": 0}
    | {"on_change": "warn"}
)


def number_of(value: object, words: dict[str, int], what: str) -> int:
    """Return the number of a word.

    Raises an error that lists the accepted words when the word is not one of them.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{what} must be one of {', '.join(words)}, not {value!r}")
    return words[value]


def _seconds(value: float | None, what: str) -> float | None:
    """Return a time in seconds; None when it has no limit."""
    if value is None or value == math.inf:
        return None
    try:
        allowed = value >= 0
    except TypeError:
        raise TypeError(f"{what} must be a number or None, not {type(value).__name__}") from None
    if not allowed:
        raise ValueError(f"{what} must not be negative")
    return float(value)


def _milliseconds(value: float | None, what: str, forever: int) -> int:
    """Return a time in whole milliseconds, rounded up."""
    seconds = _seconds(value, what)
    return forever if seconds is None else min(-int(-seconds * 1000 // 1), _FOREVER - 1)


def _count(value: int, what: str) -> int:
    """Return a size, an offset or another number that is not negative."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}") from None
    if number < 0:
        raise OverflowError(f"{what} must not be negative")
    return number


def _cap(value: int | None, what: str) -> int:
    """Return the number for a size.

    None means the library's default, for which the number is 0, and -1 means no limit.
    """
    if value is None:
        return 0
    if value == -1:
        return _TO_END
    if value == 0:
        raise ValueError(f"{what} must be positive, -1 for no limit, or None for the default")
    return _count(value, what)


def arguments_of(options: Options) -> tuple[Any, ...]:
    """Return the options as a tuple, in the order of the native region."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"{min(unknown)!r} is not an option; there are {', '.join(Options.__annotations__)}")
    given: Any = options
    return (
        _seconds(options.get("timeout"), "timeout"),
        number_of(given["backing"], BACKING, "backing") if "backing" in options else 0,
        native.GUARANTEE_STABLE if options.get("stable", False) else 0,
        number_of(given["lock"], LOCK, "lock") if "lock" in options else 0,
        _milliseconds(options.get("lock_wait", 0), "lock_wait", _FOREVER),
        number_of(given["access"], ACCESS, "access") if "access" in options else 0,
        sum(bit for name, bit in FLAGS.items() if given.get(name, False)),
        _count(options.get("offset", 0), "offset"),
        _count(options.get("length", 0), "length"),
        _cap(options.get("copy_threshold"), "copy_threshold"),
        _cap(options.get("max_bytes"), "max_bytes"),
        _cap(options.get("max_snapshot_bytes"), "max_snapshot_bytes"),
        _count(options.get("max_leases") or 0, "max_leases"),
        _milliseconds(options.get("max_lease_wait"), "max_lease_wait", 0),
        number_of(given["on_change"], ON_CHANGE, "on_change") if "on_change" in options else 0,
    )
