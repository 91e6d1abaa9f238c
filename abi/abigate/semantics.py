# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a binding must know beyond types and sizes, read from the comments of the header.

The comments follow a few conventions, and nothing else is needed to generate a binding from `abi.json`:

- `MMG_LOCK_...` at the start of what is said of a member, a parameter or a result: it takes these constants;
- an enumeration whose comment begins with "Bits" holds bits that may be combined, any other one value at a time;
- "or NULL", "may be NULL": the pointer is optional. Any other pointer is not;
- "`size` bytes": the parameter `size` tells how large the buffer is;
- "must give to mmg_close()": what is handed out is given back by that call;
- "NUL-terminated UTF-8", "ASCII", "in the encoding of the file system": how a text is encoded;
- "as for mmg_open()": what is said of the parameter of that name there.

Nothing here fails where a comment leaves one of these open; a test of the header does.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .header import Comment, Declaration, Header
from .model import NAME, Description

STATUS = "MMG_STATUS"
_LEADING_CONSTANT = re.compile(r"(?:receives )?(MMG_[A-Z]+_)(?:\.\.\.|[A-Z])")
_OPTIONAL = re.compile(r"\b(?:or|may be) NULL\b")
_BUFFER = re.compile(r"`(\w+)` bytes")
_GIVEN_BACK = re.compile(r"must give to (mmg_\w+)\(\)")
_AS_FOR = re.compile(r"as for (mmg_\w+)\(\)")
_ENCODINGS = {
    "NUL-terminated UTF-8": "utf-8",
    "ASCII": "ascii",
    "in the encoding of the file system": "filesystem",
}


def document(description: Description, header: Header) -> str:
    """The text of `abi.json`."""
    return json.dumps(_Document(description, header).all(), indent=2, ensure_ascii=False) + "\n"


def plain(text: str) -> str:
    """A comment as running text."""
    return " ".join(text.split())


class _Document:
    """The description of an ABI, with what the header says of each thing in it."""

    def __init__(self, description: Description, header: Header) -> None:
        self._description, self._header = description, header
        self._declarations = {(d.kind, d.name): d for d in header.declarations}
        self._comments = {d.name: d.documentation for d in header.declarations}
        self._groups = {_group_name(group): group for group in description.enumerations}
        self._users: dict[str, set[str]] = {name: set() for name in self._groups}

    def all(self) -> dict[str, Any]:
        """The whole document. The functions and structures come first, as they tell the types of the enumerations."""
        structs = {name: self._struct(name) for name in self._description.structs}
        functions = {name: self._function(name) for name in self._description.functions}
        return {
            "library": NAME,
            "data_model": "LP64",
            "types": {
                name: {"type": kind, "documentation": plain(self._comments[name].about)}
                for name, kind in self._description.types.items()
            },
            "opaque": {
                d.name: {"documentation": plain(d.documentation.about)}
                for d in self._header.declarations
                if d.kind == "opaque"
            },
            "structs": structs,
            "enumerations": [self._enumeration(name) for name in self._groups],
            "macros": {
                name: {
                    "value": str(macro.value),
                    "type": macro.type,
                    "documentation": plain(Comment.read(self._header.comment_of_macro(name)).about),
                }
                for name, macro in self._description.macros.items()
            },
            "functions": functions,
        }

    def _struct(self, name: str) -> dict[str, Any]:
        struct = self._description.structs[name]
        said = self._declarations["struct", name].parts
        initialiser = f"{name.upper()}_INIT"
        return {
            "size": struct.size,
            "alignment": struct.alignment,
            **self._on_i386(name),
            "sized": struct.members[0].name == "struct_size",
            "initialiser": initialiser if initialiser in self._header.initialisers else None,
            "documentation": plain(self._comments[name].about),
            "members": [
                {**vars(member), **self._use(member.type, said[member.name])} for member in struct.members
            ],
        }

    def _on_i386(self, name: str) -> dict[str, Any]:
        """The layout on 32-bit x86, where it is another one but for the size of pointers."""
        here, there = self._description.structs[name], self._description.on_i386(name)
        offsets = {member.name: member.offset for member in there.members}
        if there.size == here.size and offsets == {member.name: member.offset for member in here.members}:
            return {}
        return {"on_i386": {"size": there.size, "alignment": there.alignment, "offsets": offsets}}

    def _enumeration(self, name: str) -> dict[str, Any]:
        group = self._groups[name]
        declaration = self._enum_declaration(group)
        users = {self._description.types.get(kind, kind) for kind in self._users[name]}
        return {
            "name": name,
            "type": min(users, default="int32_t"),  # the header is tested for taking a group in one type only
            "bits": declaration.documentation.about.startswith("Bits"),
            "documentation": plain(declaration.documentation.about),
            "constants": {
                constant: {"value": str(value), "documentation": declaration.parts[constant]}
                for constant, value in group.items()
            },
        }

    def _enum_declaration(self, group: dict[str, int]) -> Declaration:
        return next(
            d for d in self._header.declarations if d.kind == "enum" and group.keys() == d.parts.keys()
        )

    def _use(self, kind: str, text: str) -> dict[str, Any]:
        """What the comment of a member, a parameter or a result adds to its type."""
        found: dict[str, Any] = {}
        group = self._group(kind, text)
        if group:
            self._users[group].add(kind.removesuffix(" *"))
            found["enumeration"] = group
        if "char" in kind:
            found["encoding"] = next((name for words, name in _ENCODINGS.items() if words in text), None)
        found["documentation"] = plain(text)
        return found

    def _group(self, kind: str, text: str) -> str | None:
        if kind.removesuffix(" *") == "mmg_status":
            return STATUS
        match = _LEADING_CONSTANT.match(text)
        return match[1].rstrip("_") if match and match[1].rstrip("_") in self._groups else None

    def _function(self, name: str) -> dict[str, Any]:
        function, comment = self._description.functions[name], self._comments[name]
        returned = comment.returns or comment.about
        names = [parameter.name for parameter in function.parameters]
        return {
            "returns": {"type": function.returns, **self._use(function.returns, returned)}
            | {"documentation": comment.returns, "values": comment.values},
            "parameters": [self._parameter(name, p.name, p.type, names) for p in function.parameters],
            "documentation": comment.about,
            "notes": comment.notes,
            "since": comment.since,
        }

    def _said(self, function: str, parameter: str) -> tuple[str, str]:
        """Direction and text for a parameter, references to another call resolved."""
        said = self._comments[function].parameters.get(parameter, ("", ""))
        other = _AS_FOR.match(said[1])
        return self._said(other[1], parameter) if other else said

    def _parameter(self, function: str, name: str, kind: str, names: list[str]) -> dict[str, Any]:
        direction, text = self._said(function, name)
        pointer = kind.endswith("*")
        found: dict[str, Any] = {"name": name, "type": kind, "direction": direction or "in"}
        if pointer:
            found |= {"nullable": bool(_OPTIONAL.search(text))}
        buffer = _BUFFER.search(text)
        if pointer and buffer and buffer[1] in names:
            found |= {"size_in": buffer[1]}
        if back := _GIVEN_BACK.search(text):
            found |= {"given_back_by": back[1]}
        return found | self._use(kind, text)


def _group_name(group: dict[str, int]) -> str:
    """MMG_LOCK for the constants MMG_LOCK_SHARED and so on."""
    if "MMG_OK" in group:
        return STATUS
    first, *others = group
    parts = first.split("_")[:-1]
    while parts and not all(name.startswith("_".join(parts) + "_") for name in others):
        parts.pop()
    return "_".join(parts)
