# SPDX-License-Identifier: MIT OR Apache-2.0
"""The description of an ABI: plain data that is read from debug information, or out of `abi.json`.

Types are spelt as in the header (`const uint8_t *`, `mmg_status`, `char[24]`). The numbers of constants are decimal
strings in `abi.json`, since a JSON reader might keep a number in a double.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "mmapguard"


@dataclass(frozen=True)
class Member:
    """One member of a structure; offset and size in bytes."""

    name: str
    type: str
    offset: int
    size: int


@dataclass(frozen=True)
class Struct:
    """A structure with its members in the order of the declaration; size and alignment in bytes."""

    size: int
    alignment: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function."""

    name: str
    type: str


@dataclass(frozen=True)
class Function:
    """One exported function."""

    returns: str
    parameters: tuple[Parameter, ...]

    def prototype(self, name: str) -> str:
        """The declaration in C, without the semicolon."""
        spelt = (f"{p.type}{'' if p.type.endswith('*') else ' '}{p.name}" for p in self.parameters)
        gap = "" if self.returns.endswith("*") else " "
        return f"{self.returns}{gap}{name}({', '.join(spelt) or 'void'})"


@dataclass(frozen=True)
class Macro:
    """A macro that stands for a number, with the type that C gives it."""

    value: int
    type: str

    def __str__(self) -> str:
        return f"{self.value:#x} ({self.type})"


@dataclass
class Description:
    """Everything that a binding must know about the ABI."""

    types: dict[str, str] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    enumerations: list[dict[str, int]] = field(default_factory=list)
    macros: dict[str, Macro] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)

    @property
    def constants(self) -> dict[str, int]:
        """All enumeration constants by name."""
        return {name: value for group in self.enumerations for name, value in group.items()}

    def on_i386(self, name: str) -> Struct:
        """How 32-bit x86 lays a structure out: the only system on which a 64-bit number needs no alignment of 8 bytes."""
        struct, members, end = self.structs[name], [], 0
        for member in struct.members:
            size = 4 if member.type.endswith("*") else member.size
            alignment = 1 if self._is_text(member.type) else min(size, 4)
            end += -end % alignment
            members.append(Member(member.name, member.type, end, size))
            end += size
        alignment = min(struct.alignment, 4)
        return Struct(end + -end % alignment, alignment, tuple(members))

    @staticmethod
    def _is_text(kind: str) -> bool:
        return kind.startswith("char[")

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read it out of the text of `abi.json`, which holds more."""
        document = json.loads(text)
        return cls(
            types={name: kind["type"] for name, kind in document["types"].items()},
            structs={
                name: Struct(
                    struct["size"],
                    struct["alignment"],
                    tuple(Member(m["name"], m["type"], m["offset"], m["size"]) for m in struct["members"]),
                )
                for name, struct in document["structs"].items()
            },
            enumerations=[
                {name: int(constant["value"]) for name, constant in group["constants"].items()}
                for group in document["enumerations"]
            ],
            macros={
                name: Macro(int(macro["value"]), macro["type"]) for name, macro in document["macros"].items()
            },
            functions={
                name: Function(
                    function["returns"]["type"],
                    tuple(Parameter(p["name"], p["type"]) for p in function["parameters"]),
                )
                for name, function in document["functions"].items()
            },
        )

    @classmethod
    def load(cls, path: Path) -> Description:
        """Read a description from a file."""
        return cls.from_json(path.read_text(encoding="utf-8"))


def differences(old: Description, new: Description) -> list[str]:
    """What changed from `old` to `new`, one sentence each; empty when they say the same."""
    found: list[str] = []

    def named(kind: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        """Report what is in one only, and return the names that are in both."""
        found.extend(f"{kind} {name} is gone" for name in before if name not in after)
        found.extend(f"{kind} {name} is new" for name in after if name not in before)
        return [name for name in before if name in after]

    for name in named("type", old.types, new.types):
        if old.types[name] != new.types[name]:
            found.append(f"type {name} changed from {old.types[name]} to {new.types[name]}")
    for name in named("struct", old.structs, new.structs):
        found.extend(_struct_differences(name, old.structs[name], new.structs[name]))
    for name in named("constant", old.constants, new.constants):
        if old.constants[name] != new.constants[name]:
            found.append(f"constant {name} changed from {old.constants[name]} to {new.constants[name]}")
    if not found and old.enumerations != new.enumerations:
        found.append("the constants are grouped or ordered otherwise")
    for name in named("macro", old.macros, new.macros):
        before, after = old.macros[name], new.macros[name]
        if before != after:
            found.append(f"macro {name} changed from {before} to {after}")
    for name in named("function", old.functions, new.functions):
        if old.functions[name] != new.functions[name]:
            found.append(
                f"function {name} changed from `{old.functions[name].prototype(name)}`"
                f" to `{new.functions[name].prototype(name)}`"
            )
    return found


def _struct_differences(name: str, old: Struct, new: Struct) -> list[str]:
    """What changed inside one structure."""
    found = []
    if old.size != new.size:
        found.append(f"struct {name} changed its size from {old.size} to {new.size} bytes")
    if old.alignment != new.alignment:
        found.append(f"struct {name} changed its alignment from {old.alignment} to {new.alignment} bytes")
    before = {member.name: member for member in old.members}
    after = {member.name: member for member in new.members}
    found.extend(f"member {name}.{member} is gone" for member in before if member not in after)
    found.extend(f"member {name}.{member} is new" for member in after if member not in before)
    for member in (m for m in before if m in after):
        for what in ("offset", "size", "type"):
            was, now = getattr(before[member], what), getattr(after[member], what)
            if was != now:
                found.append(f"member {name}.{member} changed its {what} from {was} to {now}")
    return found
