# SPDX-License-Identifier: MIT OR Apache-2.0
"""What ./dev demo and ./dev bench print with: colours, a line of progress, tables, and units for people.

Colours and the line of progress appear on a terminal only. Where a terminal or a file takes ASCII only, plain characters
stand for ours.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys

_COLOUR = re.compile(r"\x1b\[\d+m")
_PLAIN = str.maketrans({"━": "=", "─": "-", "╳": "x", "·": "-", "…": "...", "µ": "u", "≤": "<="})
"""The plain character for each of ours."""


def without_colour(text: str) -> str:
    """Return the text without the codes for colours."""
    return _COLOUR.sub("", text)


def _spell_plainly(error: UnicodeError) -> tuple[str, int]:
    """Handle an error of a codec: return plain characters for ours, and escapes for all others."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def plural(count: int, noun: str) -> str:
    """Return the number with its noun, e.g. "1 signal" or "2,000 signals"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def amount(size: int) -> str:
    """Return a size in bytes with the unit that suits it, e.g. "111.9 MiB"."""
    if size < 1024:
        return plural(size, "byte")
    value, unit = size / 1024, "KiB"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.1f} {unit}"


def duration(nanoseconds: float) -> str:
    """Return a time with three digits and the unit that suits it, e.g. "2.31 µs"."""
    for unit, scale in (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = nanoseconds / scale
        if value < 999.5 or unit == "s":
            break
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


class Console:
    """Standard output, with a line of progress on standard error that the next finished line replaces."""

    def __init__(self) -> None:
        codecs.register_error("plainly", _spell_plainly)
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(errors="plainly")
        speaks_codes = os.environ.get("TERM", "dumb") != "dumb"
        on_terminal = sys.stdout.isatty() and speaks_codes
        self.colour = on_terminal and not os.environ.get("NO_COLOR")
        self.live = sys.stderr.isatty() and speaks_codes
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100) if on_terminal else 100
        self.kept: list[str] | None = None
        """The finished lines since a caller set this to a list, with their colours; None: no line is kept."""
        self._passing = False

    def paint(self, code: str, text: str) -> str:
        """Return the text in a colour or weight, by the number that terminals know it by."""
        painted = self.colour or self.kept is not None
        return f"\x1b[{code}m{text}\x1b[0m" if painted and text else text

    def bold(self, text: str) -> str:
        """Return the text in bold."""
        return self.paint("1", text)

    def dim(self, text: str) -> str:
        """Return the text in a weaker colour than the rest."""
        return self.paint("2", text)

    def good(self, text: str) -> str:
        """Return the text in green."""
        return self.paint("32", text)

    def bad(self, text: str) -> str:
        """Return the text in red."""
        return self.paint("31", text)

    def line(self, text: str = "") -> None:
        """Print one finished line."""
        if self.kept is not None:
            self.kept.append(text.rstrip())
        self.erase()
        print((text if self.colour else without_colour(text)).rstrip(), flush=self.live)

    def passing(self, text: str) -> None:
        """Show a line of progress, on a terminal only; the next line replaces it."""
        if self.live:
            sys.stdout.flush()
            shown = (text if self.colour else without_colour(text)).rstrip()
            print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)
            self._passing = True

    def erase(self) -> None:
        """Take the line of progress away."""
        if self._passing:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._passing = False

    def heading(self, text: str, remark: str = "") -> None:
        """Print a title below an empty line."""
        self.line()
        self.line(f"  {self.bold(text)}" + (f"  {self.dim(remark)}" if remark else ""))

    def table(self, head: list[str], rows: list[list[str]]) -> None:
        """Print columns as wide as their cells; the first column is set to the left, the others to the right."""
        widths = [
            max(len(without_colour(cell)) for cell in column) for column in zip(head, *rows, strict=True)
        ]
        for number, row in enumerate([head, *rows]):
            cells = []
            for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
                space = " " * (width - len(without_colour(cell)))
                cells.append(cell + space if index == 0 else space + cell)
            line = "  " + "   ".join(cells)
            self.line(self.dim(line) if number == 0 else line)
