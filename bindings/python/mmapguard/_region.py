# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions: opening, their state, blocks, and references."""

from __future__ import annotations

import errno
import inspect
import io
import operator
import os
import sys
from pickle import PickleBuffer
from types import TracebackType
from typing import Any, AnyStr, Final, NoReturn, Self, Unpack

from . import _mmapguard as native
from ._errors import (
    FileChangedError,
    FileChangedWarning,
    MapFaultError,
    filename,
    is_departure,
    tell_at_exit,
    warn_each_time,
)
from ._info import Info, changes_of, info_of
from ._options import (
    ADVICE,
    DUMP_ADVICE,
    FORK_ADVICE,
    KEYWORDS,
    MADV,
    Advice,
    HasFileno,
    Options,
    Source,
    arguments_of,
    number_of,
)
from ._references import ADOPT, DEFAULTS, LENGTH, LOAD, OFFSET, ON_CHANGE, OPEN, READ, arrive

#: Python handles its signals after so many bytes, so that Ctrl-C works soon.
_PIECE: Final = 16 << 20
_TO_END: Final = 2**64 - 1


class Region(native.RegionBase):
    """The bytes of a file, or of a part of it, for reading.

    Whatever happens to the file, the process stays alive.

    A region is a read-only buffer of unsigned bytes: memoryview, NumPy, hashlib, re, struct and pyarrow take
    it without a copy. It also has the methods of `mmap.mmap(..., access=mmap.ACCESS_READ)` for reading. Its
    items are integers from 0 to 255, as those of bytes: region[0], and each item of an iteration.

    What you computed from a region holds if mmg_verify reports nothing afterwards. The end of the block `with
    mmapguard.open(...) as region:` makes that call. A byte that is lost, because the file was cut short or the device
    failed, reads as zero; the end of the block then raises TruncatedError or DeviceError, with the first lost byte as
    `offset`. If the file was written to, the end of the block warns with FileChangedWarning; with `on_change="raise"` it
    raises FileChangedError. The times of a file set a limit: mmg_verify does not see a write within the same clock tick,
    a write through a shared mapping that the kernel has not stamped yet, or times that were set back. A region that is
    stable, or a copy, does not change with its file.

    Slices, read(), read_byte(), readline(), read_into(), readinto(), find() and rfind() raise at once on a lost byte. A
    single index, iteration and views do not: outside a block, call verify() before you trust what you have read.

    A view keeps its bytes. So a region may be closed while views of it exist, and its bytes are given back
    when the last view is gone. Until then check(), info and changed() still work, and mmapguard.check(view)
    checks one view.

    Pickling a region passes a reference, not the bytes, and touches no file. The unpickled region opens the
    file at its first use, with the same options. It raises StaleError there if the file was replaced or has
    changed. See reference().
    """

    __slots__ = ()

    def __new__(cls, source: Source, **options: Unpack[Options]) -> Self:
        """Open `source`, a path, a descriptor or an object with fileno(), which stays the caller's."""
        return cls._open(source, OPEN, options)

    @classmethod
    def _open(cls, source: Source, call: int, options: Options) -> Self:
        sys.audit("mmapguard.open", source)
        if not options:
            return native.RegionBase.__new__(cls, source, call)
        return native.RegionBase.__new__(cls, source, call, *arguments_of(options))

    # ----------------------------------------------------------------------------------------------------- state --

    @property
    def info(self) -> Info:
        """What is known about the region now: backing, guarantee, lock, identity of the file, faults.

        Also works on a closed region while views of it live.
        """
        return info_of(self._describe())

    def size(self) -> int:
        """Return the size of the file when it was opened, in bytes; len() is the size of the region."""
        len(self)  # opens a reference, and raises ValueError when the region is closed
        return int(self._describe()["file_size"])

    def changed(self) -> frozenset[str]:
        """Return what of the file has changed since it was opened: 'size', 'mtime', 'ctime', 'path'.

        'path' means that the path names another file now, or no file. The set is also empty when a change
        cannot be known: for a stream, and for a copy that was made from a descriptor. Also works on a closed
        region while views of it live.
        """
        return changes_of(self._changed() or 0)

    def verify(self) -> None:
        """Raise an exception if what was computed from the region does not hold, as the end of a block does.

        Raises TruncatedError or DeviceError if bytes were lost, and UnstableError if the region should be
        `stable` and no longer is. If the file was written to, warns with FileChangedWarning, or raises
        FileChangedError with `on_change="raise"`.
        """
        self._verify()

    def _verify(self) -> None:
        """Do the work of verify() and of the end of a block."""
        what = self._settle()
        if not what:
            return
        words = ", ".join(sorted(changes_of(what)))
        if len(self._arguments) > ON_CHANGE and self._arguments[ON_CHANGE]:
            text = f"the file was changed while it was read: {words}"
            raise FileChangedError(errno.ESTALE, text, filename(self.name))
        warn_each_time(f"{self.name!r} was changed while it was read: {words}", FileChangedWarning)

    def madvise(self, option: int | Advice, start: int = 0, length: int | None = None) -> None:
        """Tell the kernel how `length` bytes from `start` on will be used.

        With None, or a number that is too large, they reach to the end.

        `option` is a word, or a number as mmap.MADV_SEQUENTIAL. MADV_DONTDUMP and MADV_DODUMP act on whole
        pages of a mapped region. MADV_DONTFORK and MADV_DOFORK are accepted and do nothing, since a child
        process may use what it inherited. Raises ValueError for an unknown option.
        """
        if isinstance(option, str):
            advice = number_of(option, ADVICE, "option")
        elif option in MADV or option in DUMP_ADVICE or option in FORK_ADVICE:
            advice = MADV.get(option, 0)
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
        length = min(length, len(self) - start)
        if option in DUMP_ADVICE:
            self._dump(int(option), start, length)
        elif option not in FORK_ADVICE:
            self._advise(advice, start, length)

    def prefetch(self, offset: int = 0, length: int | None = None) -> None:
        """Read `length` bytes from `offset` on into memory, and wait until they are there.

        With None, they reach to the end.

        Raises MapFaultError if some of them cannot be read, ValueError for a range outside the region. Other
        threads run meanwhile. Without this call, they wait when Python code touches a page that is not in
        memory.
        """
        size = len(self)
        left = size - offset if length is None else length
        if offset < 0 or left < 0 or offset + left > size:
            raise ValueError("offset or length out of range")
        while left > _PIECE:
            self._advise(native.ADVICE_POPULATE, offset, _PIECE)
            offset, left = offset + _PIECE, left - _PIECE
        self._advise(native.ADVICE_POPULATE, offset, left)

    def resident(self, offset: int = 0, length: int | None = None) -> int:
        """Return how many of `length` bytes from `offset` on are in memory now.

        With None, they reach to the end.
        """
        return self._resident(offset, _TO_END if length is None else length)

    # ------------------------------------------------------------------------------------------------- like a file --

    @property
    def mode(self) -> str:
        """The string "rb", as that of a binary file for reading."""
        return "rb"

    def _check_not_closed(self) -> None:
        if self.closed:
            raise ValueError("region is closed")

    def readable(self) -> bool:
        """Return True. Raises ValueError when the region is closed, as every method that files have, too."""
        self._check_not_closed()
        return True

    def seekable(self) -> bool:
        """Return True. Raises ValueError when the region is closed."""
        self._check_not_closed()
        return True

    def writable(self) -> bool:
        """Return False. Raises ValueError when the region is closed."""
        self._check_not_closed()
        return False

    def isatty(self) -> bool:
        """Return False. Raises ValueError when the region is closed."""
        self._check_not_closed()
        return False

    def flush(self, offset: int = 0, size: int | None = None) -> None:
        """Do nothing, since there is nothing to write. Raises ValueError when the region is closed.

        Code that treats a region as a file or as an mmap may call it.
        """
        self._check_not_closed()

    def truncate(self, size: int | None = None) -> NoReturn:
        """Raise io.UnsupportedOperation, since a region is for reading."""
        raise io.UnsupportedOperation("truncate")

    def fileno(self) -> NoReturn:
        """Raise io.UnsupportedOperation, since a region has no descriptor to share."""
        raise io.UnsupportedOperation("fileno")

    def file(self) -> io.BufferedReader:
        """Return a binary file over the region, with its own position, for code that needs a file.

        The file raises MapFaultError on bytes that are lost. Closing it leaves the region open. io.BufferedReader(region)
        works as well; it shares the position of the region, and closes the region when it is closed. Raises ValueError
        when the region is closed.
        """
        self._check_not_closed()
        return io.BufferedReader(_RegionFile(self))

    # ----------------------------------------------------------------------------------------------------- blocks --

    def __enter__(self) -> Self:
        len(self)  # opens a reference, and raises ValueError when the region is closed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Verify and close the region.

        An exception of the block becomes the context of a loss or of a FileChangedError.

        An exception that ends a program or a task (KeyboardInterrupt, SystemExit, GeneratorExit,
        CancelledError) is not replaced, nor is a loss that has been raised already. A loss in a block that
        SystemExit leaves is told when the interpreter ends: by a line on standard error, and exit status 120.
        """
        if self.closed or not self._opened:
            self.close()
            return
        try:
            if kind is None or not (is_departure(kind) or issubclass(kind, MapFaultError)):
                self._verify()
            elif issubclass(kind, SystemExit):
                tell_at_exit(self.check)
        finally:
            self.close()

    # ------------------------------------------------------------------------------------------------- references --

    @property
    def name(self) -> Any:
        """What the region was opened from: the path, the descriptor, or the object with a descriptor.

        For an adopted mapping it is the path of its file.
        """
        return self._arguments[0]

    @property
    def path(self) -> str | bytes | None:
        """The absolute path of the file, or None when the region was not opened by a path.

        A relative path is completed by the directory that was current when the region was opened.
        """
        source, opener, *_ = self._arguments
        if opener == READ or (opener == LOAD and source in ("-", b"-")):
            return None
        if not isinstance(source, (str, bytes, os.PathLike)):
            return None
        path: str | bytes = os.fspath(source)
        if os.path.isabs(path):
            return path
        if self._directory is None:  # the directory had been removed when the region was opened
            return None
        if isinstance(path, bytes):
            return _tidied(os.path.join(self._directory, path))
        return _tidied(os.path.join(os.fsdecode(self._directory), path))

    def reference(self, offset: int = 0, length: int | None = None) -> Self:
        """Return a reference to `length` bytes from `offset` on of this region.

        With None, they reach to its end.

        A reference is a region that knows its file (by path, device, inode, size and modification time) and
        has not opened it yet. So it holds no descriptor, no lock and no memory. Its first use opens the file
        with the options of this region, and raises StaleError if the file was replaced, rewritten, cut or
        renamed. Pickling a region makes such a reference. All references to one region accept only the same
        file.

        The call makes no system call, and also works on a closed region. It raises TypeError for a region
        that was read from a stream or not opened by a path, ValueError for a range that is empty or outside
        the region.
        """
        offset, length = operator.index(offset), None if length is None else operator.index(length)
        arguments = list(self._reference_arguments())
        whole = arguments[LENGTH] or max(self._identity[2] - arguments[OFFSET], 0)
        if not 0 <= offset <= whole or (length is not None and not 0 < length <= whole - offset):
            raise ValueError("the range is empty or outside the region")
        if length is not None or arguments[LENGTH]:
            arguments[LENGTH] = whole - offset if length is None else length
        arguments[OFFSET] += offset
        return self._refer(tuple(arguments), self._identity)

    def _reference_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of a reference to this region: an absolute path, and every option."""
        kind = type(self).__name__
        if self._arguments[1] == ADOPT:
            raise TypeError(f"cannot pickle a {kind} of an adopted mapping: it is memory of this process")
        if self._stream:
            raise TypeError(
                f"cannot pickle a {kind} that was read from a stream: its bytes cannot be read again"
            )
        path = self.path
        if path is None:
            raise TypeError(f"cannot pickle a {kind} that was not opened by its path")
        return (path, OPEN, *(self._arguments[2:] or DEFAULTS))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle a reference. The method neither copies bytes of the file nor looks at it."""
        reference = (type(self), self._reference_arguments(), self._identity)
        state = self.__getstate__()  # attributes of a subclass
        return (arrive, reference) if state is None else (arrive, reference, state)

    def __copy__(self) -> NoReturn:
        raise TypeError(f"cannot copy a {type(self).__name__}; open the file again, or use the same one")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.closed:
            return f"<{name} {self.name!r} closed>"
        if not self._opened:
            return f"<{name} {self.name!r} not opened yet>"
        info = self.info
        return (
            f"<{name} {self.name!r} bytes={info.size} backing={info.backing!r} guarantee={info.guarantee!r}>"
        )


def _tidied(path: AnyStr) -> AnyStr:
    """Return a path without its components "." and its double slashes.

    A path with ".." stays as it is: behind a symbolic link, ".." is the parent of the folder that the link names.
    """
    return path if ".." in os.fsdecode(path).split("/") else os.path.normpath(path)


native.give_methods(Region)


class _RegionFile(io.RawIOBase):
    """A raw file over a region."""

    mode = "rb"

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region
        self._position = 0
        self.name = region.name

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        self._check_open()
        return True

    def seekable(self) -> bool:
        self._check_open()
        return True

    def readinto(self, buffer: Any) -> int:
        self._check_open()
        if self._position >= len(self._region):
            return 0
        got = self._region.read_into(buffer, self._position)
        self._position += got
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check_open()
        if whence not in (0, 1, 2):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        base = (0, self._position, len(self._region))[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position


def open(source: Source, **options: Unpack[Options]) -> Region:  # noqa: A001, as io and gzip have it
    """Open a file for reading, as a Region.

    `source` is a path, a descriptor, or an object with fileno(), which stays the caller's. Small files are
    copied, larger files are mapped, and streams are read to their end. An empty file becomes an empty region.

    Raises FileNotFoundError, PermissionError, IsADirectoryError and similar exceptions as the built-in open()
    does, with errno and filename; BlockingIOError when another process holds a lock on the file, or a FIFO
    has no writer; TimeoutError when a stream has not ended within `timeout`; UnstableError when `stable=True`
    is impossible; ValueError for a window outside the file; MemoryError.
    """
    return Region._open(source, OPEN, options)


def load(source: Source, **options: Unpack[Options]) -> Region:
    """Open a file as open() does, except that the path "-" means standard input, which is read to its end."""
    return Region._open(source, LOAD, options)


def read_fd(fd: int | HasFileno, **options: Unpack[Options]) -> Region:
    """Read a pipe, a socket or a file from its position to its end into memory, at most `max_bytes`.

    `fd` is a descriptor or an object with fileno(), and stays the caller's. Raises OSError with EFBIG when
    there are more bytes than `max_bytes`, TimeoutError when the end does not come within `timeout`.
    """
    return Region._open(fd, READ, options)


def _annotation(name: str) -> str:
    """Return the type of a keyword, as it is written in Options."""
    kind: Any = Options.__annotations__[name]
    return str(getattr(kind, "__forward_arg__", kind))


def _show_keywords(*calls: Any) -> None:
    """Make help() and inspect.signature() list the keywords, with their defaults and meanings.

    The functions take the keywords as `**options`, since a call with many parameters would be slower.
    """
    table = inspect.cleandoc(Options.__doc__ or "").partition("\n\n")[2]
    keyword = inspect.Parameter.KEYWORD_ONLY
    for call in calls:
        positional = [
            parameter
            for parameter in inspect.signature(call).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        taken = {parameter.name for parameter in positional}
        keywords = [
            inspect.Parameter(name, keyword, default=KEYWORDS[name], annotation=_annotation(name))
            for name in Options.__annotations__
            if name not in taken
        ]
        call.__signature__ = inspect.Signature([*positional, *keywords], return_annotation="Region")
        call.__doc__ = f"{inspect.cleandoc(call.__doc__)}\n\nKeywords:\n\n{table}\n"


_show_keywords(open, load, read_fd)


def check(view: object) -> None:
    """Raise MapFaultError if bytes of `view` are lost.

    `view` is any object that shows bytes of a region without a copy: a memoryview, a NumPy array or a slice
    of one, a pyarrow buffer, or the region itself. The function works in any thread, and also after the
    region was closed, as long as the view lives. Raises ValueError if the bytes do not belong to a region,
    because they are a copy, TypeError if `view` is not a buffer.

        with mmapguard.open("big.bin") as region:
            array = numpy.frombuffer(region)
        total = array.sum()
        mmapguard.check(array)      # the sum holds if this does not raise
    """
    if isinstance(view, Region):
        view.check()
        return
    owner = native.find_owner(view.raw() if isinstance(view, PickleBuffer) else view)
    if owner is None:
        raise ValueError("these bytes belong to no open region")
    region, start, length = owner
    region._check_range(start, length)
