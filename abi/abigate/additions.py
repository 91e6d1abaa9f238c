# SPDX-License-Identifier: MIT OR Apache-2.0
"""What may still change once a version is declared a release: additions, and nothing else.

Every program made for the release must go on working, and every program made for the addition must get a clear
status, or a clear message of the loader, from the release.
"""

from __future__ import annotations

from .exports import Library
from .model import Description, Struct, differences

VERSION_MACRO = "MMG_ABI"

#: src/base/struct_size.c reads no structure that is larger, and none whose size is no multiple of this once it has grown.
LARGEST_STRUCT, STRUCT_STEP = 4096, 8


def breaks(old: Description, new: Description) -> list[str]:
    """What is not a mere addition from `old` to `new`, one sentence each."""
    found = differences(
        Description(types=old.types, macros={n: m for n, m in old.macros.items() if n != VERSION_MACRO}),
        Description(
            types={name: kind for name, kind in new.types.items() if name in old.types},
            macros={n: m for n, m in new.macros.items() if n in old.macros and n != VERSION_MACRO},
        ),
    )
    for name, struct in old.structs.items():
        if name not in new.structs:
            found.append(f"struct {name} is gone")
        else:
            found += _struct_breaks(name, struct, new.structs[name])
    found += _constant_breaks(old, new)
    for name, function in old.functions.items():
        if name not in new.functions:
            found.append(f"function {name} is gone")
        elif (
            function != new.functions[name]
        ):  # their names are all that tells two parameters of one type apart
            found.append(
                f"function {name} changed from `{function.prototype(name)}`"
                f" to `{new.functions[name].prototype(name)}`"
            )
    return found


def symbol_breaks(released: list[str], library: Library) -> list[str]:
    """What became of the symbols of a release (lines of its record): none is gone, and none joined their nodes."""
    now = library.listing().splitlines()
    found = [f"symbol {symbol} is gone from the library" for symbol in released if symbol not in now]
    shipped = {symbol.rpartition(" ")[2] for symbol in released}
    found += [
        f"symbol {symbol} is new at a node that has shipped"
        for symbol in now
        if symbol not in released and symbol.rpartition(" ")[2] in shipped
    ]
    return found


def suppressions(structs: list[str]) -> str:
    """For abidiff: members at the end of these structures are no change; the rest of them is left to breaks()."""
    return "".join(
        f"[suppress_type]\n  name = {name}\n  has_data_member_inserted_at = end\n" for name in structs
    )


def grown(old: Description, new: Description) -> list[str]:
    """The structures that have become larger."""
    return [n for n, struct in old.structs.items() if n in new.structs and new.structs[n].size > struct.size]


def _struct_breaks(name: str, old: Struct, new: Struct) -> list[str]:
    if old == new:
        return []
    if old.members[0].name != "struct_size":
        return [f"struct {name} changed, and has no struct_size that would tell"]
    found = differences(Description(structs={name: old}), Description(structs={name: _head(old, new)}))
    if new.size < old.size or new.size > LARGEST_STRUCT or new.size % STRUCT_STEP:
        found.append(
            f"struct {name} has {new.size} bytes now: from {old.size} it may grow in steps of {STRUCT_STEP},"
            f" up to {LARGEST_STRUCT}"
        )
    return found


def _head(old: Struct, new: Struct) -> Struct:
    """The part of `new` that a program made for `old` sees: what begins after it is an addition."""
    members = tuple(member for member in new.members if member.offset < old.size)
    return Struct(old.size if new.size >= old.size else new.size, new.alignment, members)


def _constant_breaks(old: Description, new: Description) -> list[str]:
    found = [f"constant {name} is gone" for name in old.constants if name not in new.constants]
    for group in new.enumerations:
        taken = {
            old.constants[name]: name for name in reversed([*group]) if group[name] == old.constants.get(name)
        }
        for name, value in group.items():
            if name in old.constants and value != old.constants[name]:
                found.append(f"constant {name} changed from {old.constants[name]} to {value}")
            elif name not in old.constants and value in taken:
                found.append(f"constant {name} takes the number {value} of {taken[value]}")
    return found
