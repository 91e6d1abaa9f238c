# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a program and cuts a file short at the very moment at which the program has mapped it.

ptrace(2) stops the program and its children at each system call until one of them has mapped the file. While they
stand still, the file is cut, and then they go on. So no test depends on which process is faster, and no program is
changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACEME, _CONT, _DETACH, _SYSCALL, _SETOPTIONS = 0, 7, 17, 24, 0x4200
_SYSGOOD, _FORK, _VFORK, _CLONE, _EXEC = 1, 2, 4, 8, 16
_FOLLOW = _SYSGOOD | _FORK | _VFORK | _CLONE | _EXEC
_WALL = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
PATIENCE_S = 120
"""Only a hang takes so long."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class End:
    """How a program ended."""

    code: int | None
    signal: int | None
    output: bytes
    errors: str
    was_cut: bool

    @property
    def is_alive(self) -> bool:
        """Returns true when no signal killed the program, and no shell says that of a child."""
        return self.signal is None and (self.code is None or self.code < 128 + 1 or self.code > 128 + 64)

    def __str__(self) -> str:
        how = f"died of {signal.Signals(self.signal).name}" if self.signal else f"exited with {self.code}"
        return (
            f"{how}, {'after' if self.was_cut else 'without'} the cut\n{self.output[-2000:]!r}\n{self.errors}"
        )


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(ctypes.c_long(request), pid, ctypes.c_void_p(0), ctypes.c_void_p(data)) != 0:
        raise ProcessLookupError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def maps(pid: int, path: Path) -> bool:
    """Returns true when a process has mapped the file."""
    try:
        text = Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False
    return any(line.endswith(b" " + os.fsencode(path)) for line in text.splitlines())


class _Tracer:
    """Drives the program and its children until `cut` has been called, then lets each of them go at its next stop."""

    def __init__(self, root: int, is_due: Callable[[int], bool], cut: Callable[[], None]) -> None:
        self.root, self.is_due, self.cut = root, is_due, cut
        self.was_cut = False
        self.status: int | None = None
        self.known = {root}

    def _stopped(self, pid: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        if not self.was_cut and (number == _SYSCALL_STOP or event) and self.is_due(pid):
            self.cut()
            self.was_cut = True
        is_new = pid not in self.known
        self.known.add(pid)
        # The stops of ptrace(2) itself, and the first stop of a child, are no signals for the program.
        passed = 0 if number == _SYSCALL_STOP or event or (is_new and number == signal.SIGSTOP) else number
        with contextlib.suppress(ProcessLookupError):
            _ptrace(_DETACH if self.was_cut else _SYSCALL, pid, passed)

    def run(self) -> int:
        """Run the program to its end, and return its wait status."""
        _, status = os.waitpid(self.root, _WALL)  # the program stops at its own execve(2)
        assert os.WIFSTOPPED(status)
        _ptrace(_SETOPTIONS, self.root, _FOLLOW)
        _ptrace(_SYSCALL, self.root)
        until = time.monotonic() + PATIENCE_S
        while self.status is None:
            pid, status = os.waitpid(-1, _WALL | (os.WNOHANG if self.was_cut else 0))
            if pid == 0:
                time.sleep(0.001)
                if time.monotonic() > until:
                    os.kill(self.root, signal.SIGKILL)
                    until += PATIENCE_S
            elif os.WIFSTOPPED(status):
                self._stopped(pid, status)
            elif pid == self.root:
                self.status = status
        return self.status


def run(
    command: Sequence[str | os.PathLike[str]],
    path: Path,
    cut: Callable[[], None],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    feed: bytes = b"",
) -> End:
    """Run a command, and call `cut` as soon as it has mapped the file `path`."""
    words = [os.fsencode(word) for word in command]
    variables = dict(os.environ) | {"LC_ALL": "C"} | dict(environment or {})
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        tempfile.TemporaryFile() as given,
    ):
        given.write(feed)
        given.seek(0)
        pid = os.fork()
        if pid == 0:
            try:
                for number, file in enumerate((given, output, errors)):
                    os.dup2(file.fileno(), number)
                if folder is not None:
                    os.chdir(folder)
                _libc.prctl(4, 0, 0, 0, 0)  # no core dumps
                _ptrace(_TRACEME, 0)
                os.execvpe(words[0], words, variables)
            finally:
                os._exit(99)
        tracer = _Tracer(pid, lambda who: maps(who, path), cut)
        status = tracer.run()
        output.seek(0)
        errors.seek(0)
        return End(
            code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            output=output.read(),
            errors=errors.read().decode(errors="replace"),
            was_cut=tracer.was_cut,
        )
