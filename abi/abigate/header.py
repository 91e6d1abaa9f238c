# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the text of the public header says: its declarations, their comments, and its macros.

pycparser reads the section between MMG_CDEF_BEGIN and MMG_CDEF_END, which has no preprocessor lines. The comments are
Doxygen's, and are taken apart here for those who need them by program. The compiler, not this module, is asked for
types, sizes and values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pycparser import c_ast, c_generator, c_parser

_BEGIN, _END = "/* MMG_CDEF_BEGIN */", "/* MMG_CDEF_END */"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_FIXED_WIDTH = ("uint8_t", "int32_t", "int64_t", "uint32_t", "uint64_t")
#: A command of Doxygen's at the start of a line begins a new part of a comment.
_COMMAND = re.compile(r"^@(\w+)(?:\[([\w,]+)\])?[ \t]*", re.MULTILINE)


@dataclass(frozen=True)
class Comment:
    """A documentation comment, taken apart at Doxygen's commands."""

    about: str = ""
    #: For each the direction ("in", "out" or "in,out") and the text.
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)
    returns: str = ""
    values: dict[str, str] = field(default_factory=dict)  # what is returned, and when
    notes: dict[str, str] = field(default_factory=dict)  # paragraphs by their title
    since: str = ""

    @classmethod
    def read(cls, comment: str) -> Comment:
        """Take the text of a comment apart, the comment's own marks included."""
        text = bare(comment)
        cuts = list(_COMMAND.finditer(text))
        found = cls(about=text[: cuts[0].start()].strip() if cuts else text.strip())
        returns, since = "", ""
        ends = [cut.start() for cut in cuts[1:]] + [len(text)]
        for cut, end in zip(cuts, ends, strict=False):
            rest = text[cut.end() : end]
            first, _, more = rest.partition("\n" if cut[1] == "par" else " ")
            if cut[1] == "param":
                names, _, more = " ".join(rest.split()).partition(" ")
                for name in names.split(","):
                    found.parameters[name] = (cut[2] or "", more)
            elif cut[1] == "retval":
                name, _, more = " ".join(rest.split()).partition(" ")
                found.values[name] = more
            elif cut[1] == "par":
                found.notes[first.strip()] = " ".join(more.split())
            elif cut[1] == "return":
                returns = " ".join(rest.split())
            elif cut[1] == "since":
                since = rest.strip()
        return cls(found.about, found.parameters, returns, found.values, found.notes, since)


@dataclass(frozen=True)
class Declaration:
    """One declaration: the comment before it, what it names, and its line in the file."""

    kind: str  # "function", "struct", "opaque", "enum" or "type"
    name: str  # empty for an anonymous enumeration
    comment: str
    line: int
    parts: dict[str, str]  # parameters, members or constants, each with the comment behind it
    returns: str = ""  # the type that a function returns
    text: str = ""  # the prototype of a function

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of a function's parameters."""
        return tuple(self.parts) if self.kind == "function" else ()

    @property
    def documentation(self) -> Comment:
        """The comment, taken apart."""
        return Comment.read(self.comment)


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
        self._comments = list(_COMMENT.finditer(self.text))
        self.declarations = self._read_declarations()

    @property
    def functions(self) -> dict[str, Declaration]:
        """The declared functions by name, in order."""
        return {d.name: d for d in self.declarations if d.kind == "function"}

    @property
    def macros(self) -> dict[str, str]:
        """The MMG_ macros before the declarations, without parameters, and what they stand for, in order."""
        joined = _COMMENT.sub(" ", self.text[: self._start].replace("\\\n", " "))
        found = re.findall(r"^#define (MMG_\w+)[ \t]+(\S.*?)[ \t]*$", joined, re.MULTILINE)
        return dict(found)

    @property
    def number_macros(self) -> list[str]:
        """The macros that stand for a number."""
        return [name for name, body in self.macros.items() if not body.startswith("{")]

    @property
    def initialisers(self) -> list[str]:
        """The macros that initialise a structure."""
        return [name for name, body in self.macros.items() if body.startswith("{")]

    def comment_of_macro(self, name: str) -> str:
        """The comment before a macro; empty if there is none."""
        place = re.search(rf"^#define {name}\b", self.text, re.MULTILINE)
        return self._comment_ending(place.start()) if place else ""

    def _read_declarations(self) -> list[Declaration]:
        """Have the section parsed, and make sense of each declaration in it."""
        blank = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)
        section = blank[self._start : self.text.index(_END)]
        if "#" in section:
            raise ValueError(f"{self.path.name}: a preprocessor line between {_BEGIN} and {_END}")
        first = self.text.count("\n", 0, self._start) + 1
        types = "".join(f"typedef int {name}; " for name in _FIXED_WIDTH)
        code = f'{types}\n# {first} "{self.path.name}"\n{section}'
        try:
            parsed = c_parser.CParser().parse(code, self.path.name)
        except Exception as error:  # its class has moved between releases of pycparser
            raise ValueError(f"{self.path.name} cannot be parsed: {error}") from error
        return [self._declaration(node) for node in parsed.ext[len(_FIXED_WIDTH) :]]

    def _declaration(self, node: c_ast.Node) -> Declaration:
        """Make sense of one declaration."""
        kind, name, parts, returns = "", getattr(node, "name", None) or "", [], ""
        place = node.coord.line
        if isinstance(node, c_ast.Typedef) and isinstance(node.type.type, c_ast.Struct):
            struct = node.type.type
            if struct.name == name and struct.decls:
                kind, parts, place = "struct", struct.decls, struct.coord.line
        elif isinstance(node, c_ast.Typedef) and isinstance(node.type.type, c_ast.IdentifierType):
            kind = "type"
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            kind, returns = "function", _spelt(node.type.type)
            parts = _parameters(node.type)
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Struct) and not node.type.decls:
            kind, name, place = "opaque", node.type.name, node.type.coord.line
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Enum) and node.type.values:
            kind, name, parts, place = "enum", "", node.type.values.enumerators, node.type.coord.line
        specifiers = {*getattr(node, "storage", []), *getattr(node, "funcspec", [])}
        if not kind or None in parts or specifiers - {"typedef"}:
            raise ValueError(f"{self.path.name}:{place}: not a declaration the ABI may hold: {name}")
        documented = {part.name: self._trailing_comment(part) for part in parts}
        text = c_generator.CGenerator().visit(node) + ";" if kind == "function" else ""
        return Declaration(kind, name, self._comment_before(place), place, documented, returns, text)

    def _line_start(self, line: int) -> int:
        """Where in the text a line begins; the first is 1."""
        return sum(map(len, self.text.splitlines(keepends=True)[: line - 1]))

    def _comment_before(self, line: int) -> str:
        return self._comment_ending(self._line_start(line))

    def _comment_ending(self, position: int) -> str:
        """The documentation comment between which and `position` there is nothing."""
        for comment in reversed(self._comments):
            if comment.end() <= position:
                lone = comment[0].startswith("/**") and not self.text[comment.end() : position].strip()
                return comment[0] if lone else ""
        return ""

    def _trailing_comment(self, node: c_ast.Node) -> str:
        """What the first `/**<` from the name of a member or constant to the next one says."""
        start = self.text.index(node.name, self._line_start(node.coord.line))
        for comment in self._comments:
            if comment.start() >= start:
                between = uncommented(self.text[start : comment.start()])
                lone = comment[0].startswith("/**<") and not re.search(r"[;,][^;,]*[;,]", between)
                return " ".join(bare(comment[0]).removeprefix("<").split()) if lone else ""
        return ""


def _parameters(function: c_ast.FuncDecl) -> list[c_ast.Decl | None]:
    """The parameters of a function; None stands for what the ABI may not hold, an ellipsis or a callback."""
    found: list[c_ast.Decl | None] = []
    for parameter in function.args.params if function.args else []:
        target = parameter.type if not isinstance(parameter, c_ast.EllipsisParam) else None
        while isinstance(target, c_ast.PtrDecl):
            target = target.type
        if isinstance(parameter, c_ast.Decl) and isinstance(target, c_ast.TypeDecl):
            found.append(parameter)
        elif not isinstance(parameter, c_ast.Typename) or len(function.args.params) > 1:
            found.append(None)
    return found


def _spelt(node: c_ast.Node) -> str:
    """The type that a function returns, as the header spells it."""
    if isinstance(node, c_ast.PtrDecl):
        return _spelt(node.type) + " *"
    return " ".join([*node.quals, *node.type.names])


def bare(comment: str) -> str:
    """The text of a comment, without its frame."""
    return "\n".join(re.sub(r"^ ?\* ?", "", line.strip()) for line in comment[3:-2].strip().split("\n"))


def uncommented(text: str) -> str:
    """The text with every C comment replaced by a space."""
    return _COMMENT.sub(" ", text)
