# SPDX-License-Identifier: MIT OR Apache-2.0
"""Remembers the result of each language and case in a run, and makes the table of README.md beside this file."""

from __future__ import annotations

import re

from ffi.cases import CASES
from ffi.languages import LANGUAGES, ROOT

README = ROOT / "tests" / "ffi" / "README.md"
MARKS = re.compile(r"(<!-- ffi matrix -->\n).*?(<!-- end of ffi matrix -->)", re.DOTALL)
LEAST = 14
"""Languages of which the matrix consists at least, where all toolchains can be had."""

outcomes: dict[tuple[str, str], str] = {}
versions: dict[str, str] = {}


def matrix() -> str:
    """Return the table in Markdown, with a row for each case and a column for each language."""
    names = [language.name for language in LANGUAGES]
    marks = {"x": "✓", "-": "–"}
    rows = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for case in CASES:
        cells = [outcomes.get((name, case.name), "?") for name in names]
        rows.append(f"| {case.shows} | " + " | ".join(marks.get(cell, cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"
