# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the compiled host programs of this folder as children, and says how they ended: output, signal, core dump."""

from __future__ import annotations

import difflib
import os
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.library import library_path


def program(name: str) -> Path:
    """Return the path of a program of this build. CMake puts it into tests/fault beside the library."""
    path = library_path().parent / "tests" / "fault" / name
    if not path.exists():
        pytest.fail(f"{path} is not built: cmake --build builds it beside the library")
    return path


@dataclass(frozen=True)
class Signal:
    """The signal of a core dump, as the kernel noted it (NT_SIGINFO)."""

    number: int
    code: int
    address: int  # for a signal that was sent: the sender's process and user

    def like(self) -> tuple[int, ...]:
        """Return what must be the same in two runs.

        A mapping may be at another address, so of an address only its place in its page counts.
        """
        return (self.number, self.code, *([self.address % 4096] if self.code > 0 else []))


@dataclass(frozen=True)
class End:
    """How a program ended."""

    code: int | None
    signal: int | None
    dumped: bool  # the kernel made a core dump of it
    output: str
    errors: str
    core: Signal | None  # what the dump says, where it could be read

    def like(self) -> tuple[int | None, int | None, bool, str]:
        """Return what must be the same in two runs."""
        return self.code, self.signal, self.dumped, self.output

    def __str__(self) -> str:
        how = f"exited with {self.code}" if self.signal is None else f"died of signal {self.signal}"
        return f"{how}{', core dumped' if self.dumped else ''}\n{self.output}{self.errors}"


_NOTE_SEGMENT = 4
_SIGINFO_NOTE = 0x53494749


def _notes(core: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Provide the notes of a 64-bit ELF core dump: type and contents."""
    table, size, count = struct.unpack_from(f"{order}32xQ14xHH", core)
    for index in range(count):
        kind, _, at, _, _, length = struct.unpack_from(f"{order}IIQQQQ", core, table + index * size)
        end = at + length
        while kind == _NOTE_SEGMENT and at + 12 <= end:
            name, held, note = struct.unpack_from(f"{order}III", core, at)
            start = at + 12 + (name + 3) // 4 * 4
            yield note, core[start : start + held]
            at = start + (held + 3) // 4 * 4


def _read_core(folder: Path) -> Signal | None:
    """Return the signal in the only core dump of a folder; None when there is none that can be read."""
    dumps = [path.read_bytes() for path in folder.glob("core*")]
    if len(dumps) != 1 or dumps[0][:5] != b"\x7fELF\x02":
        return None
    order = "<" if dumps[0][5] == 1 else ">"
    for kind, note in _notes(dumps[0], order):
        if kind == _SIGINFO_NOTE:
            number, _, code, address = struct.unpack_from(f"{order}iiixxxxQ", note)
            return Signal(number, code, address)
    return None


def run_command(
    command: Sequence[str | os.PathLike[str]], folder: Path, environment: Mapping[str, str] | None = None
) -> End:
    """Run a command in `folder`, with the library under test in its path.

    The command must end itself, even when it hangs.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MMAPGUARD_")}
    variables |= {"MMAPGUARD_LIBRARY": str(library_path().absolute()), **(environment or {})}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            close_fds=False,
        )
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        code = child.wait()
        output.seek(0)
        errors.seek(0)
        return End(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            dumped=ended is not None and ended.si_code == os.CLD_DUMPED,
            output=output.read(),
            errors=errors.read(),
            core=_read_core(folder),
        )


def run(name: str, *arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> End:
    """Run a program of this folder. Each of the programs ends itself when it hangs."""
    return run_command([program(name), *arguments], folder, environment)


def _difference(without: End, with_it: End) -> str:
    """Return a few lines that show where two runs differ."""
    before, after = str(without).splitlines(), str(with_it).splitlines()
    told = list(difflib.unified_diff(before, after, "without the library", "with it", lineterm="", n=2))
    return "\n".join(told[:40] + (["..."] if len(told) > 40 else []))


def _has_done_its_steps(end: End) -> bool:
    """Returns true when a host came to its end, or when its own SIGBUS ended it. Two runs that fail alike show nothing."""
    if end.code == 0:
        return end.output.endswith("end\n")
    died = end.signal == signal.SIGBUS or "AddressSanitizer: BUS" in end.errors
    return died and "step " in end.output


def run_with_and_without(
    name: str, *steps: str, folder: Path, environment: Mapping[str, str] | None = None
) -> End:
    """Run a host with the library, and its twin without the library. The host must see the same in both runs."""
    without = run(name, "--twin", *steps, folder=folder / "without", environment=environment)
    assert _has_done_its_steps(without), str(without)
    with_it = run(name, *steps, folder=folder / "with", environment=environment)
    assert with_it.like() == without.like(), _difference(without, with_it)
    if without.core is not None and with_it.core is not None:
        assert with_it.core.like() == without.core.like(), f"{with_it.core}, without it {without.core}"
    return with_it
