# SPDX-License-Identifier: MIT OR Apache-2.0
"""The table of cases says what happens to the file, and what every language must say about it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a program that says nothing is stuck."""
SIZE = 300_000
NEEDLE_AT = 123_456


def contents() -> bytes:
    """Return bytes that do not repeat within a page, with one needle."""
    data = bytearray((i * 7 + i // 251 + i // 65_521) % 251 for i in range(SIZE))
    data[NEEDLE_AT : NEEDLE_AT + 6] = b"NEEDLE"
    return bytes(data)


CONTENTS = contents()
CUT = SIZE // 2
#: The bytes from the cut on are lost. The rest of the last page reads as zeros without a fault.
ALL = sum(CONTENTS) % 2**32
LEFT = sum(CONTENTS[:CUT]) % 2**32


@dataclass
class Talk:
    """One run of a program, and what it has printed so far."""

    process: subprocess.Popen[str]
    path: Path
    signal: signal.Signals

    def line(self) -> str:
        """Return the next line that the program prints, or an empty string at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def wait_until_ready(self) -> None:
        """Wait until the program says that it is ready."""
        said = self.line()
        assert said == "ready", f"instead of 'ready': {said!r}{self.rest()}"

    def go_on(self) -> None:
        """Let the program go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rest(self) -> str:
        """Return how the program ended, and its error messages."""
        out, errors = self.process.communicate(timeout=PATIENCE)
        return f"\n{out}{errors}\nexit code {self.process.returncode}"


Act = Callable[[Talk], None]


def nothing(talk: Talk) -> None:
    """Change nothing while the program waits."""


def cut(talk: Talk) -> None:
    """Cut the file short when the program has mapped it."""
    talk.wait_until_ready()
    os.truncate(talk.path, CUT)
    talk.go_on()


def rewrite(talk: Talk) -> None:
    """Overwrite the file in place when the program has mapped it."""
    talk.wait_until_ready()
    with talk.path.open("r+b") as file:
        file.write(bytes(255 - byte for byte in CONTENTS))
    talk.go_on()


def cut_then_signal(talk: Talk) -> None:
    """Cut the file short, and send a signal after the program has handled the cut."""
    cut(talk)
    talk.wait_until_ready()
    talk.process.send_signal(talk.signal)
    # Some languages run a handler between two steps of the program, and waiting for a line is such a step. Other
    # programs have ended by now.
    time.sleep(0.2)
    with contextlib.suppress(BrokenPipeError):
        talk.go_on()


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    shows: str
    answer: str
    """What the program must print; a trailing "..." stands for anything."""
    act: Act = nothing
    file: bytes | None = CONTENTS
    locked: bool = False
    deaths: tuple[int, ...] = field(default=())
    """Instead of an answer: the signals of which the program dies."""
    own: bool = False
    """The program maps the file by itself, where the language can."""

    def holds(self, said: str, path: Path) -> bool:
        """Returns true when the program said what it must say."""
        if self.answer.endswith("..."):
            return said.startswith(self.answer.removesuffix("...")) and str(path) in said
        return said == self.answer


CASES = [
    Case("open", "a file opens, and its size is known", f"ok {SIZE}"),
    Case("info", "how it is held, in words", f"ok {SIZE} map"),
    Case("pin", "every byte through a span", f"ok {ALL}"),
    Case("unpin", "a second unpin is harmless", "ok MMG_OK MMG_OK"),
    Case("read", "an exact copy", f"ok {CONTENTS[5:21].hex()}"),
    Case("find", "a search", f"ok {NEEDLE_AT}"),
    Case("close", "a second close is told", "ok MMG_OK MMG_E_HANDLE"),
    Case("use-after-close", "a closed handle is dead", "error MMG_E_HANDLE"),
    Case("empty", "an empty file is no special case", "ok 0", file=b""),
    Case("locked", "a lock held elsewhere", "error MMG_E_WOULD_BLOCK ...", locked=True),
    Case("missing", "a missing file is named", "error MMG_E_NOT_FOUND ...", file=None),
    Case("truncated", "cut short while mapped", f"error MMG_E_TRUNCATED {CUT}", act=cut),
    Case("stable", "rewritten while held STABLE", "ok same", act=rewrite),
    Case("signals", "its own signal handling goes on", "ok handled", act=cut_then_signal),
    Case("guarded", "its own mapping cut short, guarded", f"ok {LEFT} 1", act=cut, own=True),
    Case("twin", "the same unguarded", "", act=cut, deaths=(signal.SIGBUS,), own=True),
]


def prepare(case: Case, path: Path) -> int | None:
    """Make the file. Return the descriptor of a lock that is held meanwhile."""
    if case.file is not None:
        path.write_bytes(case.file)
    if not case.locked:
        return None
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd
