# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls for the process as a whole: counters, the fault guard, and the report when the interpreter ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from . import _guard
from . import _mmapguard as native
from ._errors import AT_EXIT
from ._info import Stats

#: The exit status of a process in which bytes were lost and nobody was told.
_EXIT_LOST: Final = 120
#: The priority of what runs after everything else at the end of a process of multiprocessing.
_LAST: Final = -1000


def stats() -> Stats:
    """Return the counters of the whole process."""
    raw = native.stats()
    state = native.term(native.TERM_GUARD, raw.pop("guard_state"))
    return Stats(guard_state=state, **raw)


def guard_state() -> str:
    """Return the state of the fault guard for the calling thread.

    It is one of 'none' (no region has needed the guard yet), 'top' (the guard is the first handler of
    SIGBUS), 'displaced' (another handler was installed since, and may not pass faults on), 'refused' (the
    system has refused the handler), 'blocked' (SIGBUS is blocked in this thread, so a fault kills),
    'disabled' (MMAPGUARD_NO_SIGNAL is set).
    """
    return native.term(native.TERM_GUARD, native.guard_state())


def guard_install() -> None:
    """Install the SIGBUS handler, or put it back on top of a handler that was installed since.

    Raises OSError if the system refuses.
    """
    native.guard_install()


def _untold() -> Iterator[str]:
    """Yield a sentence for each file with losses that were not reported yet."""
    while AT_EXIT:
        yield AT_EXIT.pop(0)
    for region in native.unsettled():
        try:
            region.check()
        except OSError as loss:
            yield str(loss)
    yield from map(str, _guard.untold())


class _LastStream:
    """Standard error while the interpreter ends, with a flush() that looks for losses and fails if there were any.

    After all exit handlers, the interpreter flushes sys.stderr if it is not closed. If that fails, the interpreter
    prints nothing and exits with status 120.
    """

    closed = False
    #: True once any of these streams has told of a loss.
    lost: ClassVar[bool] = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def tell_losses(self) -> None:
        """Print one line for each file with losses that were not reported yet."""
        for text in _untold():
            _LastStream.lost = True
            if self._stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    print(
                        f"mmapguard: {text}; what was computed from its bytes does not hold",
                        file=self._stream,
                    )

    def flush(self) -> None:
        self.tell_losses()
        if self._stream is not None and not self._stream.closed:
            self._stream.flush()
        if self.lost:
            raise OSError("bytes of a region were lost; see the line above")


def _tell_losses() -> None:
    """Tell of the losses that were not reported yet, and make the exit status 120.

    A region or a guard that lives until the interpreter ends has no block whose end could raise an exception.
    An exception at this point could not be caught, and would not change the exit status. The status is 120 also when
    standard error is closed or full. Exit handlers that were registered earlier run later, and may still read.
    """
    stream = _LastStream(sys.stderr)
    stream.tell_losses()
    if stream.lost or native.stats()["opened"] or _guard.any_active():
        sys.stderr = stream


def _tell_losses_in_worker() -> None:
    """Do the same at the end of a process of multiprocessing, which may run no exit handlers and ignore the flush.

    Before Python 3.13, multiprocessing calls this function where SystemExit makes the exit status. An exception of the
    process is not replaced there, and makes the status as well. From 3.13 on, this is the last exit handler, and
    multiprocessing then ends the process by os._exit() with a status of its own.
    """
    _LastStream(sys.stderr).tell_losses()
    if not _LastStream.lost:
        return
    if sys.version_info >= (3, 13):
        for each in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                each.flush()
        os._exit(_EXIT_LOST)
    if sys.exc_info()[0] is None:
        raise SystemExit(_EXIT_LOST)


def _watch_worker(util: Any) -> None:
    """Have the losses told at the end of this process of multiprocessing."""
    util.Finalize(None, _tell_losses_in_worker, exitpriority=_LAST)


def _watch_next_worker() -> None:
    """Have the losses told at the end of this process if multiprocessing makes a process of its own of it."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(util, _watch_worker)


def _watch_this_worker() -> None:
    """Have the losses told at the end of this process if it is one of multiprocessing already."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _watch_worker(sys.modules["multiprocessing.util"])


atexit.register(_tell_losses)
os.register_at_fork(after_in_child=_watch_next_worker)
_watch_next_worker()
_watch_this_worker()
