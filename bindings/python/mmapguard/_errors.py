# SPDX-License-Identifier: MIT OR Apache-2.0
"""From the library's statuses to Python's exceptions and warnings."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Final

from . import _mmapguard as native

_NOWHERE: Final = 2**64 - 1


class MapFaultError(OSError):
    """Bytes of a region are lost: what was computed from them does not hold.

    `errno`, `strerror` and `filename` are as with every OSError. `offset` is the first byte of the region that was
    found lost, None where that is not known; `status` the name of the library's status.
    """

    offset: int | None = None
    status: str = "MMG_E_IO"

    def __reduce__(self) -> tuple[object, ...]:
        """With the attributes, which OSError's own pickling leaves behind."""
        return (type(self), (self.errno, self.strerror, self.filename), self.__dict__)


class TruncatedError(MapFaultError):
    """The file was cut short: bytes of the region are gone, and read as zeros."""


class DeviceError(MapFaultError):
    """The device, the file system or the memory failed to deliver bytes; they read as zeros."""


class UnstableError(OSError):
    """`stable=True` was asked and cannot be had for this file; the message says why."""


class StaleError(OSError):
    """A pickled region names a file that is another one now, or has changed since."""


class FileChangedError(OSError):
    """The file was written to while it was read, and `on_change="raise"` was asked: what was computed may not hold."""


class MapFaultWarning(RuntimeWarning):
    """Bytes were found lost where nothing can be raised: when a region or a view of it is given up."""


class FileChangedWarning(RuntimeWarning):
    """The file was written to while it was read: its bytes may be of two versions."""


#: What a status is, where that is no question of errno: the class, and an errno for what the library itself refused.
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
#: Statuses of which the library says more than errno does: its sentence becomes the text of the exception. The others are
#: what the built-in open() would raise as well, and read like it; where the library says more, that is a note.
_OWN_WORDS: Final = {
    native.E_WOULD_BLOCK,
    native.E_LIMIT,
    native.E_UNSUPPORTED,
    native.E_GUARD,
    native.E_TOO_BIG,
}


def filename(source: object) -> str | bytes | int | None:
    """What to call a source in an exception, as open() does."""
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
    """The exception for a status. `message` is the library's own sentence and becomes a note where it says more."""
    meaning = native.status_message(status)
    name = filename(source)
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


def _sentence(message: str, operation: str, os_code: int) -> str:
    """The library's sentence without the name, the operation and the text of errno, which an OSError has by itself."""
    said = message.partition(f": {operation}: ")[2] if operation else message
    text = os.strerror(os_code) if os_code else ""
    return "" if said == text else said.removesuffix(f" ({text})")


def is_departure(kind: type[BaseException]) -> bool:
    """Return True for an exception that ends a program or a task, beside which a loss is no news."""
    if issubclass(kind, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return True
    tasks = sys.modules.get("asyncio.exceptions")
    return tasks is not None and issubclass(kind, tasks.CancelledError)


def warn(source: object, status: int) -> None:
    """Tell of lost bytes where nothing can be raised. Called by the extension."""
    warn_each_time(f"{filename(source)!r}: {native.status_message(status)}", MapFaultWarning, 2)


def warn_each_time(text: str, category: type[Warning], level: int) -> None:
    """Warn as warnings.warn() does, but each time: the default filter shows other warnings once for each line of code.

    `level` counts the frames from the caller of this function, which is 1.
    """
    frame = sys._getframe(0)
    for _ in range(level):
        if frame.f_back is None:
            break
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "<unknown>")
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry=None)
