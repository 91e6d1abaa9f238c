# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the text of the public header says: its declarations, their comments, and its macros.

The section between MMG_CDEF_BEGIN and MMG_CDEF_END has no preprocessor lines, so a small reader is enough.
The compiler, not this module, is asked for types, sizes and values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BEGIN, _END = "/* MMG_CDEF_BEGIN */", "/* MMG_CDEF_END */"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Declaration:
    """One declaration: the comment before it, its text as written, and its line in the file."""

    kind: str  # "function", "struct", "opaque", "enum" or "type"
    name: str  # empty for an anonymous enumeration
    comment: str
    text: str
    line: int

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of a function's parameters."""
        inside = uncommented(self.text).partition("(")[2].rpartition(")")[0].strip()
        if inside in ("", "void"):
            return ()
        return tuple(re.findall(r"\w+", part)[-1] for part in inside.split(","))


class Header:
    """The public header, read once."""

    def __init__(self, path: Path) -> None:
        """Read the header at `path`. Raises ValueError for a declaration that the ABI may not hold."""
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        if self.text.count(_BEGIN) != 1 or self.text.count(_END) != 1:
            raise ValueError(f"{path.name} must hold {_BEGIN} and {_END} once each")
        self._start = self.text.index(_BEGIN) + len(_BEGIN)
        self.declaration_section = self.text[self._start : self.text.index(_END)]
        self.declarations = self._read_declarations()

    @property
    def functions(self) -> dict[str, Declaration]:
        """The declared functions by name, in order."""
        return {d.name: d for d in self.declarations if d.kind == "function"}

    @property
    def macros(self) -> dict[str, str]:
        """The MMG_ macros without parameters, and what they stand for, in order."""
        joined = self.text.replace("\\\n", " ")
        found = re.findall(r"^#define (MMG_\w+)[ \t]+(.*?)[ \t]*$", joined, re.MULTILINE)
        return dict(found)

    @property
    def number_macros(self) -> list[str]:
        """The macros that stand for a number."""
        return [name for name, body in self.macros.items() if not body.startswith("{")]

    @property
    def initialisers(self) -> list[str]:
        """The macros that initialise a structure."""
        return [name for name, body in self.macros.items() if body.startswith("{")]

    def _read_declarations(self) -> list[Declaration]:
        """Cut the section into declarations at the semicolons outside braces."""
        section = self.declaration_section
        blank = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), section)
        if "#" in blank:
            raise ValueError(f"{self.path.name}: a preprocessor line between {_BEGIN} and {_END}")
        found, depth, start = [], 0, 0
        for position, character in enumerate(blank):
            depth += {"{": 1, "}": -1}.get(character, 0)
            if character == ";" and depth == 0:
                found.append(self._declaration(section, blank, start, position + 1))
                start = position + 1
        if blank[start:].strip():
            raise ValueError(f"{self.path.name}: a declaration without its semicolon before {_END}")
        return found

    def _declaration(self, section: str, blank: str, start: int, end: int) -> Declaration:
        """Make sense of one declaration."""
        first = start + len(blank[start:end]) - len(blank[start:end].lstrip())
        code = " ".join(blank[first:end].split())
        comments = [match.group() for match in _COMMENT.finditer(section[start:first])]
        comment = comments[-1] if comments and comments[-1].startswith("/**") else ""
        line = self.text.count("\n", 0, self._start + first) + 1
        for kind, pattern in (
            ("struct", r"typedef struct (\w+) \{.*\} \1;"),
            ("opaque", r"struct (\w+);"),
            ("enum", r"enum()\s*\{.*\};"),
            ("type", r"typedef [\w ]+ (\w+);"),
            ("function", r"(?:const )?\w+ \*?(\w+)\([^(){}.]*\);"),
        ):
            if match := re.fullmatch(pattern, code):
                return Declaration(kind, match.group(1), comment, section[first:end], line)
        raise ValueError(f"{self.path.name}:{line}: not a declaration the ABI may hold: {code[:80]}")


def uncommented(text: str) -> str:
    """The text with every C comment replaced by a space."""
    return _COMMENT.sub(" ", text)
