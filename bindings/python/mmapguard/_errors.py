# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes Python's exceptions and warnings from the statuses of the library."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Final

from . import _mmapguard as native

_NOWHERE: Final = 2**64 - 1


class MapFaultError(OSError):
    """Bytes of a region are lost: what was computed from them does not hold.

    `errno`, `strerror` and `filename` are those of OSError. `offset` is the first byte of the region that was
    found lost, or None when that is not known. `status` is the name of the library's status.
    """

    offset: int | None = None
    status: str = "MMG_E_IO"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the attributes, too, which the method of OSError leaves out."""
        return (type(self), (self.errno, self.strerror, self.filename), self.__dict__)


class TruncatedError(MapFaultError):
    """The file was cut short: bytes of the region are gone, and read as zeros."""


class DeviceError(MapFaultError):
    """The device, the file system or the memory failed to deliver bytes; they read as zeros."""


class UnstableError(OSError):
    """`stable=True` was asked for, and this file cannot be stable; the message says why."""


class StaleError(OSError):
    """The file of a reference was replaced or has changed since the reference was made."""


class FileChangedError(OSError):
    """The file was written to while it was read, so what was computed may not hold.

    Only with `on_change="raise"`.
    """


class MapFaultWarning(RuntimeWarning):
    """Bytes were found lost where no exception can be raised: when a region or a view of it is deleted."""


class FileChangedWarning(RuntimeWarning):
    """The file was written to while it was read, so the bytes may belong to two versions of the file."""


#: The exception class for a status that does not depend on errno, and an errno for a refusal of the library
#: itself.
_CONTENTS: Final[dict[int, tuple[type[MapFaultError], int]]] = {
    native.E_TRUNCATED: (TruncatedError, errno.ENODATA),
    native.E_IO: (DeviceError, errno.EIO),
    native.E_POISONED: (DeviceError, errno.EIO),
}
_PLAIN: Final[dict[int, type[Exception]]] = {
    native.E_HANDLE: ValueError,
    native.E_RANGE: ValueError,
    native.E_EMPTY: ValueError,
    native.E_BUSY: BufferError,
    native.E_ABI_SIZE: SystemError,
    native.E_ABI_NEWER: SystemError,
}
_ERRNO: Final[dict[int, int]] = {
    native.E_NOT_FOUND: errno.ENOENT,
    native.E_PERMISSION: errno.EACCES,
    native.E_NOT_MAPPABLE: errno.ENODEV,
    native.E_WOULD_BLOCK: errno.EWOULDBLOCK,
    native.E_TOO_BIG: errno.EFBIG,
    native.E_LIMIT: errno.EMFILE,
    native.E_UNSUPPORTED: errno.EOPNOTSUPP,
    native.E_GUARD: errno.EOPNOTSUPP,
    native.E_SYSTEM: errno.EIO,
    native.E_CHANGED: errno.ESTALE,
}
#: Statuses about which the library's sentence says more than errno: the sentence becomes the text of the
#: exception. For all other statuses the built-in open() would raise an exception, too, so the text is the
#: same as there. If the library's sentence says more, it becomes a note.
_OWN_WORDS: Final = {
    native.E_WOULD_BLOCK,
    native.E_LIMIT,
    native.E_UNSUPPORTED,
    native.E_GUARD,
    native.E_TOO_BIG,
}


def filename(source: object) -> str | bytes | int | None:
    """Return the name of a source for an exception, as open() shows it."""
    if source is None or isinstance(source, (str, bytes, int)):
        return source
    if isinstance(source, os.PathLike):
        path: str | bytes = os.fspath(source)
        return path
    name = getattr(source, "name", None)
    return name if isinstance(name, (str, bytes, int)) else repr(source)


def failure(
    status: int, os_code: int, operation: str, message: str, offset: int, source: object
) -> Exception:
    """Return the exception for a status.

    `message` is the library's own sentence; if it says more, it becomes a note.
    """
    meaning = native.status_message(status)
    name = filename(source)
    if operation:
        message = _renamed(message, operation, name)
    if status in _CONTENTS:
        kind, code = _CONTENTS[status]
        where = "" if offset == _NOWHERE else f", from byte {offset} on"
        lost = kind(os_code or code, meaning + where, name)
        lost.offset = None if offset == _NOWHERE else offset
        lost.status = native.status_name(status)
        return lost
    if status == native.E_UNSTABLE:
        return UnstableError(
            os_code or errno.EOPNOTSUPP, _sentence(message, operation, os_code) or meaning, name
        )
    if status in _PLAIN or (status == native.E_ARGUMENT and not os_code):
        return _PLAIN.get(status, ValueError)(message or meaning)
    said = _sentence(message, operation, os_code)
    if not os_code:
        return OSError(_ERRNO.get(status, errno.EINVAL), said or meaning, name)
    if said and status in _OWN_WORDS:
        return OSError(os_code, said, name)
    failed = OSError(os_code, os.strerror(os_code), name)
    if said:
        failed.add_note(message)
    return failed


def _renamed(message: str, operation: str, name: str | bytes | int | None) -> str:
    """Return the library's sentence with the name of the source.

    The library knows a stream as the memory file with its bytes, and a file object as a descriptor.
    """
    given, between, said = message.partition(f": {operation}: ")
    if name is None or not between or not given.startswith("descriptor "):
        return message
    return f"{f'descriptor {name}' if isinstance(name, int) else repr(name)}{between}{said}"


def _sentence(message: str, operation: str, os_code: int) -> str:
    """Return the library's sentence without the parts that an OSError shows anyway: name, operation,
    errno."""
    said = message.partition(f": {operation}: ")[2] if operation else message
    text = os.strerror(os_code) if os_code else ""
    return "" if said == text else said.removesuffix(f" ({text})")


def is_departure(kind: type[BaseException]) -> bool:
    """Return True for an exception that ends a program or a task, which a loss must not replace."""
    if issubclass(kind, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return True
    tasks = sys.modules.get("asyncio.exceptions")
    return tasks is not None and issubclass(kind, tasks.CancelledError)


#: The texts of losses that are still to be told when the interpreter ends.
AT_EXIT: Final[list[str]] = []


def tell_at_exit(check: Callable[[], object]) -> None:
    """Find out what was lost in a block that SystemExit leaves, so that it is told when the interpreter ends."""
    try:
        check()
    except ExceptionGroup as several:
        AT_EXIT.extend(map(str, several.exceptions))
    except OSError as loss:
        AT_EXIT.append(str(loss))


def warn(source: object, status: int) -> None:
    """Warn of lost bytes where no exception can be raised. The extension calls this function."""
    warn_each_time(f"{filename(source)!r}: {native.status_message(status)}", MapFaultWarning)


def warn_each_time(text: str, category: type[Warning]) -> None:
    """Warn as warnings.warn() does, but each time, and at the line that has called the package.

    The default filter shows a warning only once for each line of code.
    """
    package = __name__.partition(".")[0]
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "<unknown>")
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry=None)
