# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions: options in words, what is known of a region in words, blocks, and references that can be pickled."""

from __future__ import annotations

import io
import mmap
import os
import sys
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Protocol, Self, TypeAlias, TypedDict, Unpack

from . import _mmapguard as native
from ._errors import FileChangedWarning, MapFaultError, StaleError


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


#: What can be opened: a path, a descriptor, or an object with one.
Source: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes] | int | _HasFileno
Access: TypeAlias = Literal["normal", "sequential", "random", "willneed", "hugepage"]
Advice: TypeAlias = Literal["normal", "sequential", "random", "willneed", "hugepage", "dontneed", "populate"]

_OPEN: Final = 0
_LOAD: Final = 1
_READ: Final = 2
_TO_END: Final = 2**64 - 1
_FOREVER: Final = 2**32 - 1


class Options(TypedDict, total=False):
    """The keywords of open(), load(), read_fd() and Region.

    Sizes and offsets are in bytes. Where None is allowed it means the library's default.

    stable              the bytes must not change for as long as the region lives, or UnstableError
    backing             'auto' (copy what is small, map the rest), 'map' (or fail), 'copy'
    lock                the advisory lock: 'auto' (flock where that is safe), 'shared' (flock), 'ofd' (fcntl), 'none'
    lock_wait           how long to wait for that lock, in seconds; 0: try once; None: as long as it takes
    access              expected pattern: 'normal', 'sequential', 'random', 'willneed', 'hugepage'
    offset              where the region starts in the file; any byte
    length              bytes in the region; 0: to the end of the file
    copy_threshold      files up to this size are copied, not mapped
    max_bytes           cap for what is read into memory (streams, copies); -1: none
    max_snapshot_bytes  cap for the copy that `stable` may need; -1: none
    reject_empty        an empty file is a ValueError, as with mmap
    nofollow            a symbolic link as the last component is refused
    no_fault_guard      install no signal handler for this region: truncation kills, as with mmap
    populate            read everything in at once
    fifo_wait           wait for a writer when opening a FIFO, instead of BlockingIOError
    require_lock        a file system that cannot lock is an error, not an unlocked region
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
    reject_empty: bool
    nofollow: bool
    no_fault_guard: bool
    populate: bool
    fifo_wait: bool
    require_lock: bool


def _numbers(prefix: str) -> dict[str, int]:
    """The constants of one kind, by the lower-case rest of their names."""
    return {
        name[len(prefix) :].lower(): value for name, value in vars(native).items() if name.startswith(prefix)
    }


_BACKING: Final = _numbers("BACKING_")
_LOCK: Final = _numbers("LOCK_")
_ADVICE: Final = _numbers("ADVICE_")
_FLAGS: Final = _numbers("FLAG_")
_CHANGED: Final = _numbers("CHANGED_")
#: The numbers of mmap.MADV_*, as far as the library has the same.
_MADV: Final = {
    getattr(mmap, f"MADV_{name.upper()}"): value
    for name, value in _ADVICE.items()
    if hasattr(mmap, f"MADV_{name.upper()}")
}


def _word(value: object, words: dict[str, int], what: str) -> int:
    """The number of a word, or an error that lists the words there are."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{what} must be one of {', '.join(words)}, not {value!r}")
    return words[value]


def _milliseconds(seconds: float | None) -> int:
    """How long to wait for a lock, as the library takes it."""
    if seconds is None:
        return _FOREVER
    if not seconds >= 0:
        raise ValueError("lock_wait must not be negative")
    return min(-int(-seconds * 1000 // 1), _FOREVER - 1)


def _cap(value: int | None, what: str) -> int:
    """A size whose default is the library's (0 there), and -1 no limit."""
    if value is None:
        return 0
    if value == -1:
        return _TO_END
    if value == 0:
        raise ValueError(f"{what} must be positive, -1 for no limit, or None for the default")
    return value


def _arguments(options: Options) -> tuple[int, ...]:
    """Options as the native region takes them, in its order."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"{min(unknown)!r} is not an option; there are {', '.join(Options.__annotations__)}")
    given: Any = options
    return (
        _word(given.get("backing", "auto"), _BACKING, "backing"),
        native.GUARANTEE_STABLE if options.get("stable", False) else native.GUARANTEE_CONTAINED,
        _word(given.get("lock", "auto"), _LOCK, "lock"),
        _milliseconds(options.get("lock_wait", 0)),
        _word(given.get("access", "normal"), _ADVICE, "access"),
        sum(bit for name, bit in _FLAGS.items() if given.get(name, False)),
        options.get("offset", 0),
        options.get("length", 0),
        _cap(options.get("copy_threshold"), "copy_threshold"),
        _cap(options.get("max_bytes"), "max_bytes"),
        _cap(options.get("max_snapshot_bytes"), "max_snapshot_bytes"),
    )


@dataclass(frozen=True, slots=True)
class Info:
    """What is known about one region, at one moment. Sizes and offsets are in bytes.

    The words of `backing`, `backing_reason`, `guarantee`, `means`, `shortfall` and `lock` are the library's own.
    """

    size: int
    """bytes in the region"""
    offset: int
    """where in the file the region starts"""
    file_size: int
    """size of the file when it was opened; of a stream, the bytes read from it"""
    backing: str
    """what holds the bytes: 'map' or 'copy'"""
    backing_reason: str
    """why that"""
    guarantee: str
    """'contained', 'stable', or 'none'"""
    means: str
    """by what the guarantee is upheld, such as 'fault guard', 'copy', 'lease', 'reflink'"""
    shortfall: str
    """why it is not 'stable'; 'none' when it is"""
    lock: str
    """the advisory lock that is held: 'shared', 'ofd', or 'none'"""
    lock_error: int | None
    """the errno of a lock that the file system could not give"""
    device: int
    """as os.stat_result.st_dev, when it was opened"""
    inode: int
    """as st_ino"""
    mtime_ns: int
    """as st_mtime_ns"""
    ctime_ns: int
    """as st_ctime_ns"""
    faults: int
    """signals contained in this region"""
    fault_offset: int | None
    """first byte of the region found lost"""
    fault_cause: str | None
    """the status that tells why, such as 'MMG_E_TRUNCATED'"""
    pins: int
    """views that are out"""
    mapped_bytes: int
    """address space held for the region; 0 for a copy"""
    heap_bytes: int
    """memory held for the region, its bookkeeping included"""
    page_size: int
    """a fault takes at least this many bytes; 0 for a copy"""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of the whole process."""

    guard_state: str
    """where the fault guard stands, as guard_state() has it"""
    handles: int
    """open regions"""
    opened: int
    """regions ever opened"""
    regions: int
    """regions alive: open ones, and closed ones whose bytes a view still shows"""
    mappings: int
    """of these, the ones that are mapped"""
    mapped_bytes: int
    """address space in these mappings"""
    heap_bytes: int
    """heap in regions"""
    faults: int
    """signals contained since the process started"""
    foreign_faults: int
    """SIGBUS signals passed on to the handler that was there before"""
    retired_slots: int
    """handles that are used up"""


def _info(raw: dict[str, int]) -> Info:
    """The numbers of mmg_info in words."""
    return Info(
        size=raw["size"],
        offset=raw["offset"],
        file_size=raw["file_size"],
        backing=native.term(native.TERM_BACKING, raw["backing"]),
        backing_reason=native.term(native.TERM_REASON, raw["backing_reason"]),
        guarantee=native.term(native.TERM_GUARANTEE, raw["guarantee"]),
        means=native.term(native.TERM_MEANS, raw["means"]),
        shortfall=native.term(native.TERM_SHORTFALL, raw["shortfall"]),
        lock=native.term(native.TERM_LOCK, raw["lock"]),
        lock_error=raw["lock_error"] or None,
        device=raw["device"],
        inode=raw["inode"],
        mtime_ns=raw["mtime_seconds"] * 10**9 + raw["mtime_nanoseconds"],
        ctime_ns=raw["ctime_seconds"] * 10**9 + raw["ctime_nanoseconds"],
        faults=raw["faults"],
        fault_offset=None if raw["fault_offset"] == _TO_END else raw["fault_offset"],
        fault_cause=native.status_name(raw["fault_cause"]) if raw["fault_cause"] else None,
        pins=raw["pins"],
        mapped_bytes=raw["mapped_bytes"],
        heap_bytes=raw["heap_bytes"],
        page_size=raw["page_size"],
    )


def _changes(bits: int) -> frozenset[str]:
    """The words for bits of mmg_changed()."""
    return frozenset(native.term(native.TERM_CHANGED, bit) for bit in _CHANGED.values() if bits & bit)


class Region(native.RegionBase):
    """The bytes of a file, or of a window of it, for reading. Whatever happens to the file, the process lives on.

    A region is a read-only buffer of unsigned bytes: give it to memoryview, NumPy, hashlib, re, struct, pyarrow without a
    copy. Beside that it reads like `mmap.mmap(..., access=mmap.ACCESS_READ)`.

    What you computed inside `with mmapguard.open(...) as region:` holds if the block ended without an error. A byte that
    is lost, because the file was cut short or the device failed, reads as zero; the end of the block then raises
    TruncatedError or DeviceError, with the first lost byte as `offset`. read(), readline(), read_into(), find() and
    rfind() raise at once, indexing and views do not: outside a block, call check() before you trust what you have read.
    If the file was written to instead, the end of the block warns with FileChangedWarning, unless the region is stable.

    A view keeps its bytes: closing the region under it is allowed, and gives them back when the last view is gone.

    Pickling a region passes a reference to the file, not the bytes: unpickling opens it again with the same options, and
    raises StaleError if it is another file or has changed.
    """

    __slots__ = ()

    def __new__(cls, source: Source, **options: Unpack[Options]) -> Self:
        """Open `source`, a path, a descriptor or an object with fileno(), which stays the caller's."""
        return cls._open(source, _OPEN, options)

    @classmethod
    def _open(cls, source: Source, call: int, options: Options) -> Self:
        sys.audit("mmapguard.open", source)
        if not options:
            return native.RegionBase.__new__(cls, source, call)
        return native.RegionBase.__new__(cls, source, call, *_arguments(options))

    # ----------------------------------------------------------------------------------------------------- state --

    @property
    def info(self) -> Info:
        """What is known about the region now: backing, guarantee, lock, identity of the file, faults."""
        return _info(self._describe())

    def size(self) -> int:
        """The size of the file when it was opened, in bytes; len() is the size of the region."""
        return self._describe()["file_size"]

    def changed(self) -> frozenset[str]:
        """What of the file is not as it was when it was opened: 'size', 'mtime', 'ctime', 'path' (it names another).

        Empty also where that cannot be known: for a stream, and for a copy that was made from a descriptor.
        """
        return _changes(self._changed() or 0)

    def madvise(self, option: int | Advice, start: int = 0, length: int | None = None) -> None:
        """Tell the kernel how `length` bytes from `start` on will be used; None, or too many: to the end.

        `option` is a word, or a number as mmap.MADV_SEQUENTIAL. ValueError for one that the library does not know.
        """
        if isinstance(option, str):
            advice = _word(option, _ADVICE, "option")
        elif option in _MADV:
            advice = _MADV[option]
        else:
            raise ValueError(f"this advice is not supported: {option!r}")
        if length is None:
            length = max(len(self) - start, 0)
        if start < 0 or start >= max(len(self), 1):
            raise ValueError("madvise start out of bounds")
        if length < 0:
            raise ValueError("madvise length invalid")
        if start + length > sys.maxsize:
            raise OverflowError("madvise length too large")
        self._advise(advice, start, min(length, len(self) - start))

    def prefetch(self, offset: int = 0, length: int | None = None) -> None:
        """Read `length` bytes from `offset` on into memory and wait for them; None: to the end.

        Raises MapFaultError if some cannot be read. Other threads run meanwhile, which they do not while a page that is
        not in memory is touched.
        """
        self._advise(native.ADVICE_POPULATE, offset, _TO_END if length is None else length)

    def resident(self, offset: int = 0, length: int | None = None) -> int:
        """How many of `length` bytes from `offset` on are in memory now."""
        return self._resident(offset, _TO_END if length is None else length)

    # ------------------------------------------------------------------------------------------------- like a file --

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    def file(self) -> io.BufferedReader:
        """A binary file over the region, with a position of its own: for what asks for a file, not for a buffer.

        It raises MapFaultError on bytes that are lost. Closing it leaves the region open.
        """
        return io.BufferedReader(_RegionFile(self))

    # ----------------------------------------------------------------------------------------------------- blocks --

    def __enter__(self) -> Self:
        if self.closed:
            raise ValueError("region is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Check, warn if the file was changed, close. An Exception of the block becomes the context of a loss."""
        if self.closed:
            return
        try:
            if kind is None or (issubclass(kind, Exception) and not issubclass(kind, MapFaultError)):
                what = self._settle()
                if what:
                    self._warn_of_changes(what)
        finally:
            self.close()

    def _warn_of_changes(self, what: int) -> None:
        """Warn that the bytes may be of two versions. A new name or another link to the same file is no such change."""
        written = native.CHANGED_SIZE | native.CHANGED_MTIME
        if what & written or not what & native.CHANGED_PATH:
            words = ", ".join(sorted(_changes(what)))
            text = f"{self._arguments[0]!r} was changed while it was read: {words}"
            warnings.warn(text, FileChangedWarning, stacklevel=3)

    # ------------------------------------------------------------------------------------------------- references --

    def __reduce__(self) -> tuple[object, ...]:
        source, *rest = self._arguments
        if not isinstance(source, (str, bytes, os.PathLike)) or rest[0] != _OPEN:
            raise TypeError(f"cannot pickle a {type(self).__name__} that was not opened by its path")
        path = os.path.abspath(os.fspath(source))
        info = self.info
        identity = (info.device, info.inode, info.file_size, info.mtime_ns)
        _same_file(
            path,
            identity,
            (status := os.stat(path)).st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )
        return (_reopen, (type(self), (path, *rest), identity))

    def __copy__(self) -> NoReturn:
        raise TypeError(f"cannot copy a {type(self).__name__}; open the file again, or use the same one")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.closed:
            return f"<{name} {self._arguments[0]!r} closed>"
        info = self.info
        return f"<{name} {self._arguments[0]!r} bytes={info.size} backing={info.backing!r} guarantee={info.guarantee!r}>"


def _same_file(path: str | bytes, identity: tuple[int, int, int, int], *found: int) -> None:
    """Raise StaleError unless device, inode, size and mtime are as they were."""
    names = ("device", "inode", "size", "mtime")
    differing = [name for name, was, now in zip(names, identity, found, strict=True) if was != now]
    if differing:
        import errno

        raise StaleError(
            errno.ESTALE, f"the file is not the one that was opened: other {', '.join(differing)}", path
        )


def _reopen(cls: type[Region], arguments: tuple[Any, ...], identity: tuple[int, int, int, int]) -> Region:
    """Unpickle a region: open the file again, and see whether it is the same."""
    sys.audit("mmapguard.open", arguments[0])
    region: Region = native.RegionBase.__new__(cls, *arguments)
    info = region.info
    try:
        _same_file(arguments[0], identity, info.device, info.inode, info.file_size, info.mtime_ns)
    except StaleError:
        region.close()
        raise
    return region


class _RegionFile(io.RawIOBase):
    """A raw file over a region."""

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region
        self._position = 0
        self.name = region._arguments[0]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._position >= len(self._region):
            return 0
        got = self._region.read_into(buffer, self._position)
        self._position += got
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, len(self._region))[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def open(source: Source, **options: Unpack[Options]) -> Region:  # noqa: A001, as io and gzip have it
    """Open a file for reading, as a Region.

    `source` is a path, a descriptor, or an object with fileno(); what is given stays the caller's. Small files are
    copied, larger ones mapped, streams read to their end; an empty file is an empty region. The keywords are those of
    Options.

    Raises FileNotFoundError, PermissionError, IsADirectoryError and their like as the built-in open() does, with errno and
    filename; BlockingIOError when another process holds a lock on the file; UnstableError when `stable=True` cannot be
    had; ValueError for a window outside the file; MemoryError.
    """
    return Region._open(source, _OPEN, options)


def load(source: Source, **options: Unpack[Options]) -> Region:
    """Like open(), except that the path "-", exactly, is standard input, read to its end within `max_bytes`."""
    return Region._open(source, _LOAD, options)


def read_fd(fd: int | _HasFileno, **options: Unpack[Options]) -> Region:
    """Read a descriptor from where it stands to its end into memory, within `max_bytes`: a pipe, a socket, a file.

    Raises OSError with EFBIG when there is more than that.
    """
    return Region._open(fd, _READ, options)


def stats() -> Stats:
    """Counters of the whole process."""
    raw = native.stats()
    state = native.term(native.TERM_GUARD, raw.pop("guard_state"))
    return Stats(guard_state=state, **raw)


def guard_state() -> str:
    """Where the fault guard stands, as seen from this thread.

    'none' (nothing needed it yet), 'top' (first to see a SIGBUS), 'displaced' (another handler was installed since; it may
    not pass faults on), 'refused', 'blocked' (SIGBUS is blocked in this thread: a fault kills), 'disabled' (by
    MMAPGUARD_NO_SIGNAL).
    """
    return native.term(native.TERM_GUARD, native.guard_state())


def guard_install() -> None:
    """Put the SIGBUS handler on top, or back on top after another was installed. OSError if that is refused."""
    native.guard_install()
