# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls for the process as a whole: counters, the fault guard, and the report when the interpreter ends."""

from __future__ import annotations

import atexit
import sys
from typing import Any

from . import _guard
from . import _mmapguard as native
from ._errors import MapFaultError
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
    """Standard error with a flush() that fails silently, so that the interpreter exits with status 120."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()
        raise OSError("bytes of a region were lost; see the line above")


def _tell_losses() -> None:
    """Print one line for each file with losses that were not reported yet, and make the exit status 120.

    A region or a guard that lives until the interpreter ends has no block whose end could raise an exception.
    An exception at this point could not be caught, and would not change the exit status.
    """
    untold: list[Exception] = []
    for region in native.unsettled():
        try:
            region.check()
        except (MapFaultError, OSError) as loss:
            untold.append(loss)
    untold.extend(_guard.untold())
    for error in untold:
        if sys.stderr is not None:
            print(f"mmapguard: {error}; what was computed from its bytes does not hold", file=sys.stderr)
    if untold:
        sys.stderr = _FailingStream(sys.stderr)


atexit.register(_tell_losses)
