# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the words of documents and comments without the marks around them."""

from __future__ import annotations

import re


def words_of(text: str) -> str:
    """Return a text without the marks of comments and of Markdown, and with single spaces."""
    plain = re.sub(r"(?m)^\s*(?:/?\*+/?|///?|//!|--+|>|-|\d+\.)(?:\s|$)", " ", text)
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", plain)
    return " ".join(re.sub(r"/\*\*<|\*/|[`*|]", " ", plain).split())
