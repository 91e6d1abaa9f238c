# SPDX-License-Identifier: MIT OR Apache-2.0
"""Show what can be promised for a file, by which means, and why not more.

The command is `mmapguard FILE` or `python -m mmapguard FILE`. `mmapguard run COMMAND...` runs any program
under the guard; `mmapguard run --help` explains it. To examine a file with the name "run", write `./run`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import stat
import sys
import textwrap
from dataclasses import asdict, dataclass
from typing import Any, Final

from . import Info, Options, Region, UnstableError, __version__, guard_state, load
from . import open as open_region

EXIT_PROMISED: Final = 0
EXIT_NOT_OPENED: Final = 1
EXIT_NOT_PROMISED: Final = 3
EXIT_LOCKED: Final = 4
EXIT_NOT_WRITTEN: Final = 5
EXIT_NOT_GUARDED: Final = 126

#: Where a line of the report has the details of an attempt, and how wide they are. What is longer goes on below.
DETAIL_COLUMN: Final = 32
DETAIL_WIDTH: Final = 86

_EXITS = """\
exit codes:
  0  the file can be read, and the promise that was asked for holds
  1  the file cannot be opened
  2  wrong arguments
  3  the file can be read, but the promise cannot be given
  4  another process holds a lock on the file
  5  the report could not be written
"""


@dataclass(frozen=True)
class Attempt:
    """One way to open the file, and its result."""

    demand: str
    attained: bool
    guarantee: str | None
    means: str | None
    reason: str | None


@dataclass(frozen=True)
class Report:
    """Everything that the command reports about a file."""

    file: str
    version: str
    promise: str | None
    error: str | None
    errno: int | None
    info: Info | None
    attempts: list[Attempt]
    resident_bytes: int | None
    guard_state: str
    exit_code: int


def _attempt(path: str, demand: str, wanted: str, **options: Any) -> Attempt:
    """Open the file in one way.

    If another process locks or removes the file in between, that is the reason for the failure.
    """
    try:
        with open_region(path, **options) as region:
            info = region.info
    except (OSError, ValueError, MemoryError) as failure:
        return Attempt(demand, False, None, None, _text(failure))
    attained = wanted in (info.guarantee, info.lock) and options.get("backing", info.backing) == info.backing
    reason = None
    if not attained and wanted == options.get("lock") and info.lock_error:
        reason = os.strerror(info.lock_error)
    elif not attained:
        reason = (
            info.shortfall
            if wanted == "stable" != info.guarantee
            else f"{info.backing}: {info.backing_reason}"
        )
    return Attempt(demand, attained, info.guarantee, info.means, reason)


def _text(failure: Exception) -> str:
    """Return the text of an exception without errno and filename, which the report shows separately."""
    return failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)


def _attempts(path: str, size: int, copy_limit: int) -> list[Attempt]:
    """Try the other ways to open a regular file.

    Ways that may need a copy larger than `copy_limit` are not tried.
    """
    tried = [
        _attempt(path, "contained, mapped", "contained", backing="map"),
        _attempt(path, "stable, mapped", "stable", stable=True, backing="map", max_snapshot_bytes=1),
    ]
    if size <= copy_limit:
        tried.append(_attempt(path, "stable, by any means", "stable", stable=True))
    else:
        reason = f"not tried: it may mean a copy of {_bytes(size)}, and --copy-limit is {_bytes(copy_limit)}"
        tried.append(Attempt("stable, by any means", False, None, None, reason))
    locks: tuple[tuple[str, Options], ...] = (
        ("shared", {"lock": "shared", "backing": "map", "require_lock": True}),
        ("ofd", {"lock": "ofd", "backing": "map", "require_lock": True}),
    )
    tried.extend(_attempt(path, f"lock: {kind}", kind, **options) for kind, options in locks)
    return tried


def _first(path: str, stable: bool) -> Region:
    return load(path, stable=True) if stable else load(path)


def examine(path: str, *, stable: bool = False, copy_limit: int = 64 << 20) -> Report:
    """Open a file as open() does, with `stable` if that is asked for, and then in all other ways."""
    attempts: list[Attempt] = []
    try:
        regular = path != "-" and stat.S_ISREG(os.stat(path).st_mode)
        with _first(path, stable) as region:
            info = region.info
            resident = region.resident()
            guard = guard_state()
    except (OSError, ValueError, MemoryError) as failure:
        code = EXIT_NOT_OPENED
        if isinstance(failure, BlockingIOError):
            code = EXIT_LOCKED
        elif isinstance(failure, UnstableError):
            code = EXIT_NOT_PROMISED
        number = failure.errno if isinstance(failure, OSError) else None
        return Report(
            path, __version__, None, _text(failure), number, None, attempts, None, guard_state(), code
        )
    if regular and info.size:
        attempts = _attempts(path, info.file_size, copy_limit)
    kept = info.guarantee == "stable" if stable else info.guarantee in ("contained", "stable")
    code = EXIT_PROMISED if kept else EXIT_NOT_PROMISED
    return Report(path, __version__, info.guarantee, None, None, info, attempts, resident, guard, code)


def _bytes(number: int) -> str:
    """Return a size as text, such as "64 MiB"."""
    size = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{number} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


_PROMISES = {
    "contained": "nothing that happens to the file can kill the process; a loss is reported",
    "stable": "the bytes neither change nor vanish, whoever writes to the file",
    "none": "nothing: a truncation kills the process, as with plain mmap",
}


def _told(report: Report, colour: bool) -> list[str]:
    """Return the report as lines for a terminal."""

    def paint(code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if colour else text

    def line(title: str, text: str) -> str:
        return f"  {title:<12}{text}"

    lines = [paint("1", report.file)]
    if report.info is None:
        lines.append(line("error", paint("31", report.error or "")))
        lines.append(line("fault guard", report.guard_state))
        return lines
    info = report.info
    mark = "32" if report.exit_code == EXIT_PROMISED else "31"
    lines.append(
        line("promise", f"{paint(mark, info.guarantee)}: {_PROMISES.get(info.guarantee, 'unknown')}")
    )
    lines.append(line("by", info.means))
    if info.guarantee != "stable":
        lines.append(
            line(
                "not stable",
                f"because it was {info.shortfall}" if "asked" in info.shortfall else info.shortfall,
            )
        )
    lines.append(
        line(
            "size",
            f"{_bytes(info.size)}" + (f" of {_bytes(info.file_size)}" if info.size != info.file_size else ""),
        )
    )
    lines.append(line("backing", f"{info.backing} ({info.backing_reason})"))
    held = info.lock
    if info.lock_error:
        held += f" (the file system gives none: {os.strerror(info.lock_error)})"
    elif info.lock == "none" and info.backing == "copy":
        held += " (a copy needs none)"
    lines.append(line("lock", held))
    lines.append(line("fault guard", report.guard_state))
    share = f" ({100 * (report.resident_bytes or 0) // info.size} %)" if info.size else ""
    lines.append(line("in memory", f"{_bytes(report.resident_bytes or 0)}{share}"))
    if report.attempts:
        lines.append("  other ways to open it")
    for one in report.attempts:
        verdict = paint("32", "yes") if one.attained else paint("33", "no ")
        detail = (
            one.reason if one.reason else (f"by {one.means}" if not one.demand.startswith("lock") else "")
        )
        first, *more = textwrap.wrap(detail, DETAIL_WIDTH) or [""]
        lines.append(f"    {verdict} {one.demand:<24}{first}".rstrip())
        lines += [" " * DETAIL_COLUMN + rest for rest in more]
    return lines


def _run(words: list[str]) -> int:
    """Execute the launcher that comes with the package.

    Returns only when that fails, with the exit status.
    """
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mmapguard")
    # The interpreter ignores these two signals, and the launcher would inherit that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, ["mmapguard", *words])
    except OSError as failed:
        print(f"mmapguard: {program}: {failed.strerror}", file=sys.stderr)
    return EXIT_NOT_GUARDED


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["run"]:
        return _run(words)
    parser = argparse.ArgumentParser(
        prog="mmapguard",
        description=__doc__,
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help='the file; "-" is standard input')
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")
    parser.add_argument("--stable", action="store_true", help="ask for bytes that do not change either")
    parser.add_argument(
        "--copy-limit", type=int, default=64 << 20, metavar="BYTES",
        help="largest file that is copied to find out whether that works (default: 64 MiB)",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    given = parser.parse_args(words)
    report = examine(given.file, stable=given.stable, copy_limit=given.copy_limit)
    if given.json:
        text = json.dumps(asdict(report), indent=2)
    else:
        is_terminal = False
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
            is_terminal = sys.stdout.isatty()
        text = "\n".join(_told(report, is_terminal and "NO_COLOR" not in os.environ))
    return report.exit_code if _print(text) else EXIT_NOT_WRITTEN


def _print(text: str) -> bool:
    """Write a text to standard output and flush it. Returns False, and prints the reason, when that fails."""
    if sys.stdout is None:
        print("mmapguard: the report cannot be written: standard output is closed", file=sys.stderr)
        return False
    try:
        print(text, flush=True)
    except OSError as failed:
        print(f"mmapguard: the report cannot be written: {failed.strerror}", file=sys.stderr)
        # Otherwise the rest of the buffer would fail a second time when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
