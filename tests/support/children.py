# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs child processes for what a test must not do to its own process: limits, other users, signals, death.

`in_child` forks and runs a function with everything loaded already. `fresh_python` starts a new interpreter for what
depends on the environment, on standard input or on a process that has not used the library before. A deadline only
ends a child that hangs. It is far above the time that any child takes. When it passes, the test fails.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import watch
from .library import ROOT, library_path
from .unavailable import Unavailable

DEADLINE = 300.0


@dataclass(frozen=True)
class Ended:
    """Says how a child ended."""

    code: int | None
    killed_by: int | None
    value: Any
    failure: str | None
    errors: str

    @classmethod
    def of(cls, done: subprocess.CompletedProcess[bytes]) -> Ended:
        """Return how a program ended; the value is what it printed."""
        return cls(
            code=done.returncode if done.returncode >= 0 else None,
            killed_by=-done.returncode if done.returncode < 0 else None,
            value=done.stdout.decode("utf-8", "replace"),
            failure=None,
            errors=done.stderr.decode("utf-8", "replace"),
        )

    def __str__(self) -> str:
        if self.killed_by is not None:
            how = f"died of {signal.Signals(self.killed_by).name}"
        else:
            how = f"exited with {self.code}"
        return "\n".join(part for part in (how, self.failure, self.errors) if part)

    def returned(self) -> Any:
        """Return the value of a child that must have ended well."""
        assert self.killed_by is None and self.code == 0 and self.failure is None, str(self)
        return self.value

    def died_of(self, expected: signal.Signals) -> None:
        """Check that this signal, and no other, killed the child."""
        assert self.killed_by == expected, f"expected death by {expected.name}, but the child {self}"


def _leave(code: int) -> None:
    """End the process with the handlers of C's exit() run, so that coverage counters are written, but not Python's."""
    ctypes.CDLL(None).exit(code)


def _leaving_nothing(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Return the value of a function that closes all regions that it opens. It may also close what it has inherited."""
    before = watch.counters()
    value = function(*arguments)
    left = {name: count for name, count in watch.counters().items() if count > before[name]}
    assert not left, f"left behind in a child: {left}, after {before}"
    return value


def _run(function: Callable[..., Any], arguments: Sequence[Any], outlet: int, leaves_open: bool) -> None:
    code = 0
    try:
        value = function(*arguments) if leaves_open else _leaving_nothing(function, arguments)
        reply: tuple[str, Any] = ("value", value)
    except Unavailable as reason:
        reply = ("unavailable", str(reason))
    except BaseException:  # the report must reach the parent, whatever was raised
        reply = ("failure", traceback.format_exc())
        code = 1
    try:
        with os.fdopen(outlet, "wb") as stream:
            pickle.dump(reply, stream)
    finally:
        _leave(code)


def _collect(inlet: int, deadline: float) -> bytes | None:
    """Return everything that the child sends, or None when the child still sends at the deadline."""
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([inlet], [], [], left)[0]:
            return None
        part = os.read(inlet, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _reap(pid: int, deadline: float) -> int | None:
    """Return the wait status of a child, or None when the child is alive at the deadline."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(0.001)


def run_child(
    function: Callable[..., Any], *arguments: Any, deadline: float = DEADLINE, leaves_open: bool = False
) -> Ended:
    """Fork, call `function` in the child, and report how that ended. What it prints to standard error is kept.

    The child must close the regions that it opens, unless it `leaves_open` some on purpose. Unavailable is raised here
    when it is raised there.
    """
    until = time.monotonic() + deadline
    with tempfile.TemporaryFile() as errors:
        inlet, outlet = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(inlet)
                os.dup2(errors.fileno(), 2)
            finally:
                _run(function, arguments, outlet, leaves_open)
        os.close(outlet)
        hung = False
        try:
            sent = _collect(inlet, until)
            status = None if sent is None else _reap(pid, until)
            hung = status is None
            if hung:
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
        finally:
            os.close(inlet)
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace")
    assert not hung, f"the child hung for {deadline:.0f} s\n{text}"
    assert status is not None
    kind, value = pickle.loads(sent) if sent else ("value", None)
    if kind == "unavailable":
        raise Unavailable(value)
    return Ended(
        code=os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None,
        killed_by=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        value=value if kind == "value" else None,
        failure=value if kind == "failure" else None,
        errors=text,
    )


def in_child(
    function: Callable[..., Any], *arguments: Any, deadline: float = DEADLINE, leaves_open: bool = False
) -> Any:
    """Return the value of `function` called in a forked child. An assertion that fails there fails here."""
    return run_child(function, *arguments, deadline=deadline, leaves_open=leaves_open).returned()


PREAMBLE = """\
import sys
sys.path[:0] = {paths!r}
from mmapguard import abi
from support import library as mmg
"""


def fresh_python(
    source: str,
    *arguments: str | bytes | os.PathLike[Any],
    environment: Mapping[str, str] | None = None,
    stdin: Any = subprocess.DEVNULL,
    feed: bytes | None = None,
    deadline: float = DEADLINE,
) -> Ended:
    """Run `source` in a new interpreter, with `abi` and `mmg` (support.library) at hand and `arguments` in sys.argv.

    The value is what it prints to standard output. `feed` becomes its standard input; else `stdin` is, as for
    subprocess.
    """
    paths = [str(ROOT / "tests"), str(ROOT / "bindings" / "python")]
    variables = {**os.environ, "MMAPGUARD_LIBRARY": str(library_path()), **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(paths=paths) + source, *map(os.fsdecode, arguments)],
        env=variables,
        capture_output=True,
        timeout=deadline,
        **({"input": feed} if feed is not None else {"stdin": stdin}),
    )
    return Ended.of(done)


class Helper:
    """A child that runs `function(line, *arguments)` and talks to the test in short messages.

    `line.say(text)` and `line.hear()` exist on both ends. The child ends when `function` returns, or when the test
    leaves the `with` block and so hangs up. The child must end well.
    """

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments

    def __enter__(self) -> Line:
        to_child, from_test = os.pipe()
        to_test, from_child = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(from_test)
                os.close(to_test)
                _leaving_nothing(self._function, [Line(to_child, from_child, None), *self._arguments])
                code = 0
            except BrokenPipeError:
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                _leave(code)
        os.close(to_child)
        os.close(from_child)
        self.line = Line(to_test, from_test, self.pid)
        return self.line

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self.line.hang_up()
        status = _reap(self.pid, time.monotonic() + DEADLINE)
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if kind is None:
            assert status == 0, f"the helper ended with wait status {status}"


class Line:
    """One end of the conversation between a test and its helper."""

    def __init__(self, inlet: int, outlet: int, pid: int | None) -> None:
        self._inlet = inlet
        self._outlet = outlet
        self.pid = pid

    def say(self, text: str) -> None:
        """Send one message."""
        os.write(self._outlet, text.encode() + b"\n")

    def hear(self) -> str:
        """Return the next message, or an empty string when the other end has hung up."""
        got = b""
        while not got.endswith(b"\n"):
            if not select.select([self._inlet], [], [], DEADLINE)[0]:
                raise TimeoutError("the other end says nothing")
            one = os.read(self._inlet, 1)
            if not one:
                return ""
            got += one
        return got[:-1].decode()

    def silent(self) -> bool:
        """Returns true while the other end has neither said anything nor hung up."""
        return not select.select([self._inlet], [], [], 0)[0]

    def hang_up(self) -> None:
        """End the conversation."""
        for fd in (self._outlet, self._inlet):
            if fd >= 0:
                os.close(fd)
        self._inlet = self._outlet = -1


def become_nobody() -> None:
    """Become a user without rights for good. This is for child processes only."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def sanitizers() -> frozenset[str]:
    """Return which of address, thread and valgrind this process runs under."""
    with open("/proc/self/maps") as maps:
        text = maps.read()
    marks = {"address": "libasan", "thread": "libtsan", "valgrind": "vgpreload"}
    found = {name for name, mark in marks.items() if mark in text}
    if "libclang_rt.asan" in text:
        found.add("address")
    if "libclang_rt.tsan" in text:
        found.add("thread")
    return frozenset(found)
