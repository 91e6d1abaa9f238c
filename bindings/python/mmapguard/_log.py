# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes losses to the log of a service."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import traceback
from typing import Final

from . import _mmapguard as native
from ._guard import Loss, losses

_LOGGER: Final = logging.getLogger("mmapguard")


class LossLog:
    """A thread that looks at the ledger; log_losses() returns it. stop() ends the thread after a last
    look."""

    def __init__(self, logger: logging.Logger, level: int, every: float) -> None:
        self._logger = logger
        self._level = level
        self._every = every
        self._mark = native.losses_mark()
        self._looking = threading.Lock()
        self._run()
        _LOGS.add(self)

    def look(self) -> None:
        """Log the records since the last look, now."""
        with self._looking:
            found = losses(self._mark)
            self._mark = found.mark
        if found.overwritten:
            self._logger.log(
                self._level,
                "%d more losses were recorded and overwritten by newer ones",
                found.overwritten,
            )
        for loss in found:
            self._logger.log(self._level, "%s", _sentence(loss), extra={"loss": loss})

    def stop(self) -> None:
        """Log the records since the last look, and end the thread. A second call does nothing."""
        _LOGS.discard(self)
        if not self._ended.is_set():
            self._ended.set()
            if self._thread is not threading.current_thread():
                self._thread.join()
            self.look()

    def _run(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mmapguard losses", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        ended = self._ended
        while not ended.wait(self._every):
            try:
                self.look()
            except Exception:
                # A handler or filter of the host has failed. The next loss shall be logged all the same.
                if logging.raiseExceptions:
                    traceback.print_exc()

    def _go_on_in_child(self) -> None:
        """Start the thread again in a forked child, which has only the thread that forked.

        The parent logs the losses before the fork.
        """
        self._looking = threading.Lock()
        self._mark = native.losses_mark()
        self._run()


_LOGS: Final[set[LossLog]] = set()


def _after_fork() -> None:
    for log in list(_LOGS):
        log._go_on_in_child()


def _look_once_more() -> None:
    for log in list(_LOGS):
        log.look()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_look_once_more)


def _sentence(loss: Loss) -> str:
    seconds = time.time() - (time.monotonic_ns() - loss.time_ns) / 1e9
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    where = repr(loss.path) if loss.path else f"inode {loss.inode} of device {loss.device}"
    return (
        f"{where}: {loss.length} bytes are lost from byte {loss.offset} on ({loss.cause}, {loss.origin} mapping, "
        f"thread {loss.thread}, {moment})"
    )


def log_losses(
    logger: logging.Logger | None = None, *, level: int = logging.ERROR, every: float = 1.0
) -> LossLog:
    """Log every loss that is contained in this process from now on, within `every` seconds.

    Without `logger` the logger with the name "mmapguard" is used. Each loss is one line with path, offset,
    cause, thread and time. The log record has an attribute `loss`, a Loss. The thread is a daemon, and is
    started again in forked children, which log their own losses. Keep the returned object and call its stop() to end the thread. A last
    look is made then, and when the interpreter ends.

    For files that were written to while a region was open there is FileChangedWarning;
    logging.captureWarnings(True) writes warnings to the log.

        watching = mmapguard.log_losses()
        mmapguard.guard_process().start()
    """
    if not every > 0:
        raise ValueError("every must be positive")
    return LossLog(logger or _LOGGER, level, every)
