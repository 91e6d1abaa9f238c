# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls for the process as a whole: counters, the fault guard, and the report when the interpreter ends."""

from __future__ import annotations

import atexit
import contextlib
import sys
from typing import Any

from . import _guard
from . import _mmapguard as native
from ._errors import AT_EXIT
from ._info import Stats


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


class _FailingStream:
    """Standard error with a flush() that fails silently, so that the interpreter exits with status 120.

    Python flushes it only if it is not closed.
    """

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        if self._stream is not None and not self._stream.closed:
            self._stream.flush()
        raise OSError("bytes of a region were lost; see the line above")


def _tell_losses() -> None:
    """Print one line for each file with losses that were not reported yet, and make the exit status 120.

    A region or a guard that lives until the interpreter ends has no block whose end could raise an exception.
    An exception at this point could not be caught, and would not change the exit status. The status is 120 also when
    standard error is closed or full.
    """
    untold = list(AT_EXIT)
    for region in native.unsettled():
        try:
            region.check()
        except OSError as loss:
            untold.append(str(loss))
    untold.extend(map(str, _guard.untold()))
    if not untold:
        return
    stream = sys.stderr
    sys.stderr = _FailingStream(stream)
    for text in untold:
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"mmapguard: {text}; what was computed from its bytes does not hold", file=stream)


atexit.register(_tell_losses)
