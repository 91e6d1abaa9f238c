# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the words of documents and comments without the marks around them, and finds the tests that they name."""

from __future__ import annotations

import re
from pathlib import Path


def words_of(text: str) -> str:
    """Return a text without the marks of comments and of Markdown, and with single spaces."""
    plain = re.sub(r"(?m)^\s*(?:/?\*+/?|///?|//!|--+|>|-|\d+\.)(?:\s|$)", " ", text)
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", plain)
    return " ".join(re.sub(r"/\*\*<|\*/|[`*|]", " ", plain).split())


def cases_of(path: Path) -> str:
    """Return the text in which a case is looked for, with the strings of C that go on in the next line joined."""
    return re.sub(r'"\s*\n\s*"', "", path.read_text(encoding="utf-8"))


def has_case(path: Path, case: str) -> bool:
    """Return True when a test with this name is in the file: a function, or a string that names a case."""
    names = rf'\b(?:def|fn|function|const) {re.escape(case)}\b|"{re.escape(case)}"'
    return path.is_file() and re.search(names, cases_of(path)) is not None
