# SPDX-License-Identifier: MIT OR Apache-2.0
"""mdoc(7), as far as make_man.py needs it: running text with names in it, escaped, one sentence a line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf)\.$|^\W*\.\.\.")
_CLOSING = ".,:;)]?!"


@dataclass(frozen=True)
class Piece:
    """A stretch of text, and the macro it is the argument of: "Dv" for a constant, "" for plain text."""

    text: str
    macro: str = ""


def escaped(text: str) -> str:
    """Text such that it comes out as it is, whatever formatter reads it."""
    text = text.replace("\\", "\\e")
    text = re.sub(r"(?<![A-Za-z0-9])-|-(?![A-Za-z0-9])", r"\\-", text)
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return re.sub(r"^(?=[.'])", r"\\&", text)


def argument(text: str) -> str:
    """Text as one argument of a macro, never taken for a macro or for punctuation."""
    text = escaped(text).replace('"', "\\(dq")
    if re.fullmatch(r"[A-Z][a-z]|[%A-Z]\w|[^\w\\]", text):
        text = "\\&" + text
    return f'"{text}"' if " " in text or not text else text


def flow(pieces: Iterable[Piece]) -> list[str]:
    """Running text as lines of mdoc. Each sentence starts on a line of its own, as mdoc(7) wants it."""
    lines: list[str] = []
    text: list[str] = []
    for word in _words(pieces):
        plain = "".join(piece.text for piece in word)
        if any(piece.macro for piece in word):
            lines += _filled(text)
            text = []
            lines.append(_call(word))
            continue
        text.append(escaped(plain) if not text else escaped(plain).removeprefix("\\&"))
        if plain.rstrip(")\"'")[-1:] in tuple(".?!") and not _ABBREVIATION.search(plain):
            lines += _filled(text)
            text = []
    return lines + _filled(text)


def _filled(words: list[str]) -> list[str]:
    """Words as lines of at most 80 characters, none of which looks like the end of a sentence and is none."""
    lines = textwrap.wrap(" ".join(words), 80, break_long_words=False, break_on_hyphens=False)
    return [line + "\\&" if _ABBREVIATION.search(line) else line for line in lines]


def _words(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """The pieces of each word: what no white space divides. The argument of a macro is not divided."""
    word: list[Piece] = []
    for piece in pieces:
        parts = [piece.text] if piece.macro else re.split(r"(\s+)", piece.text)
        for part in parts:
            if not piece.macro and not part.strip():
                if part and word:
                    yield word
                    word = []
            else:
                word.append(Piece(part, piece.macro))
    if word:
        yield word


def _call(word: list[Piece]) -> str:
    """A word with names in it as one line of macros, punctuation kept at its neighbour."""
    out: list[str] = []
    for number, piece in enumerate(word):
        text, closing = piece.text, ""
        if not piece.macro:
            text = piece.text.rstrip(_CLOSING)
            closing = piece.text[len(text) :]
        if text and number and out[-1] != "Ns":
            out.append("Ns")
        if piece.macro == "Xr":
            name, _, section = piece.text.partition("(")
            out += ["Xr", name, section.rstrip(")")]
        elif text:
            out += [piece.macro or "No", argument(text)]
        out += closing
    return "." + " ".join(out)
