# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes a binding from abi.json alone: `generate.py pascal|nim ABI.JSON OUTPUT`.

This program knows no function, structure or constant of the library by name. It generates declarations in the style
of the language: a value that a call fills is a `var` or `out` parameter, an optional pointer stays a pointer, a
structure with a size has a function that makes a new one, and a program stops at its start when the layout is another
one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Abi = dict[str, Any]


def opaque(abi: Abi, kind: str) -> bool:
    """Return true when a type is a structure that another header declares."""
    return kind.removeprefix("struct ") in abi["opaque"]


def pointee(kind: str) -> str:
    """Return the type that a pointer points to, in C."""
    return kind.removesuffix("*").strip().removeprefix("const ")


def by_reference(abi: Abi, parameter: dict[str, Any]) -> bool:
    """Return true when this parameter must be a variable of the caller."""
    kind = parameter["type"]
    plain = pointee(kind)
    return (
        kind.endswith("*")
        and not parameter["nullable"]
        and parameter["direction"] != "in"
        and plain not in ("void", "char")
        and not plain.endswith("*")
        and not opaque(abi, plain)
    )


def first_sentence(text: str) -> str:
    """Return the first sentence of a comment in one line, without marks that end a comment in some language."""
    text = re.split(r"(?<=[.?]) ", " ".join(text.split()))[0]
    return text.replace("{", "(").replace("}", ")").replace("*/", "* /")


# ------------------------------------------------------------------------------------------------------------ pascal --

PASCAL_TYPES = {
    "uint8_t": "Byte",
    "int32_t": "Int32",
    "int64_t": "Int64",
    "uint32_t": "UInt32",
    "uint64_t": "QWord",
    "char": "AnsiChar",
}
PASCAL_POINTERS = {"char": "PAnsiChar", "void": "Pointer", "uint8_t": "PByte"}
PASCAL_RESERVED = {
    "array",
    "type",
    "file",
    "string",
    "set",
    "object",
    "unit",
    "end",
    "record",
    "var",
    "of",
    "in",
}


def pascal_name(name: str) -> str:
    """Return a name that is no reserved word of Pascal."""
    return name + "_" if name in PASCAL_RESERVED else name


def pascal_type(abi: Abi, kind: str) -> str:
    """Return a type of C in Pascal."""
    if array := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return f"array[0..{int(array[2]) - 1}] of {pascal_type(abi, array[1])}"
    if not kind.endswith("*"):
        return PASCAL_TYPES.get(kind, kind)
    plain = pointee(kind)
    if plain.endswith("*") or opaque(abi, plain):
        return "Pointer"
    return PASCAL_POINTERS.get(plain) or f"P{PASCAL_TYPES.get(plain, plain)}"


def layouts(struct: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Size and offsets of a structure: on 32-bit x86, and on every other system."""
    here = {"size": struct["size"], "offsets": {m["name"]: m["offset"] for m in struct["members"]}}
    return struct.get("on_i386", here), here


def pascal(abi: Abi) -> str:
    """Return the unit for Free Pascal."""
    out = ["{ Made by generate.py from abi.json. }", "unit mmapguard;", "{$mode objfpc}{$packrecords c}"]
    out += [f"{{$linklib {abi['library']}}}", "interface", "type"]
    for name, kind in abi["types"].items():
        out += [f"  {name} = {PASCAL_TYPES[kind['type']]};", f"  P{name} = ^{name};"]
    for name, struct in abi["structs"].items():
        out += [f"  {{ {first_sentence(struct['documentation'])} }}", f"  {name} = record"]
        out += [f"    {pascal_name(m['name'])}: {pascal_type(abi, m['type'])};" for m in struct["members"]]
        out += ["  end;", f"  P{name} = ^{name};"]
    out.append("const")
    for name, macro in abi["macros"].items():
        out.append(f"  {name} = {PASCAL_TYPES[macro['type']]}({macro['value']});")
    for group in abi["enumerations"]:
        kind = PASCAL_TYPES[group["type"]]
        out += [f"  {name} = {kind}({c['value']});" for name, c in group["constants"].items()]
    for name, function in abi["functions"].items():
        out += [f"{{ {first_sentence(function['documentation'])} }}", pascal_function(abi, name, function)]
    sized = [name for name, struct in abi["structs"].items() if struct["sized"]]
    out += [f"function fresh_{name}: {name};" for name in sized]
    out.append("implementation")
    for name in sized:
        out += [f"function fresh_{name}: {name};", "begin", "  Result := Default(" + name + ");"]
        out += [f"  Result.struct_size := SizeOf({name});", "end;"]
    out.append("initialization")
    for name, struct in abi["structs"].items():
        for mark, layout in zip(("{$ifdef CPUI386}", "{$else}"), layouts(struct), strict=True):
            out += [mark, f"  if SizeOf({name}) <> {layout['size']} then RunError(255);"]
            for member, offset in layout["offsets"].items():
                place = f"PtrUInt(@P{name}(nil)^.{pascal_name(member)})"
                out.append(f"  if {place} <> {offset} then RunError(255);")
        out.append("{$endif}")
    return "\n".join([*out, "end."]) + "\n"


def pascal_function(abi: Abi, name: str, function: dict[str, Any]) -> str:
    """Return the declaration of one function."""
    parameters = []
    for p in function["parameters"]:
        if by_reference(abi, p):
            how = "out" if p["direction"] == "out" else "var"
            parameters.append(f"{how} {pascal_name(p['name'])}: {pascal_type(abi, pointee(p['type']))}")
        else:
            parameters.append(f"{pascal_name(p['name'])}: {pascal_type(abi, p['type'])}")
    inside = f"({'; '.join(parameters)})" if parameters else ""
    return f"function {name}{inside}: {pascal_type(abi, function['returns']['type'])}; cdecl; external;"


# --------------------------------------------------------------------------------------------------------------- nim --

NIM_TYPES = {
    "uint8_t": "uint8",
    "int32_t": "int32",
    "int64_t": "int64",
    "uint32_t": "uint32",
    "uint64_t": "uint64",
    "char": "char",
}


def nim_type(abi: Abi, kind: str) -> str:
    """Return a type of C in Nim."""
    if array := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return f"array[{array[2]}, {nim_type(abi, array[1])}]"
    if not kind.endswith("*"):
        return NIM_TYPES.get(kind, kind)
    plain = pointee(kind)
    if plain == "void" or opaque(abi, plain):
        return "pointer"
    if plain == "char":
        return "cstring"
    if plain == "uint8_t":
        return "ptr UncheckedArray[uint8]"
    return f"ptr {nim_type(abi, plain)}"


def nim(abi: Abi) -> str:
    """Return the module for Nim."""
    out = ["# Made by generate.py from abi.json.", "type"]
    out += [f"  {name}* = {NIM_TYPES[kind['type']]}" for name, kind in abi["types"].items()]
    for name, struct in abi["structs"].items():
        out.append(f"  {name}* {{.bycopy.}} = object ## {first_sentence(struct['documentation'])}")
        out += [f"    `{m['name']}`*: {nim_type(abi, m['type'])}" for m in struct["members"]]
    out.append("const")
    for name, macro in abi["macros"].items():
        kind = NIM_TYPES[macro["type"]]
        out.append(f"  {name}* = {macro['value']}'{kind[0]}{re.sub('[a-z]', '', kind)}")
    for group in abi["enumerations"]:
        kind = NIM_TYPES[group["type"]]
        out += [f"  {name}*: {kind} = {c['value']}" for name, c in group["constants"].items()]
    for name, function in abi["functions"].items():
        parameters = []
        for p in function["parameters"]:
            kind = (
                f"var {nim_type(abi, pointee(p['type']))}"
                if by_reference(abi, p)
                else nim_type(abi, p["type"])
            )
            parameters.append(f"`{p['name']}`: {kind}")
        returns = nim_type(abi, function["returns"]["type"])
        out.append(f"proc {name}*({', '.join(parameters)}): {returns} {{.importc, cdecl.}}")
        out.append(f"  ## {first_sentence(function['documentation'])}")
    for name, struct in abi["structs"].items():
        if struct["sized"]:
            out.append(f"proc fresh*(kind: typedesc[{name}]): {name} =")
            out.append(f"  {name}(struct_size: uint32(sizeof({name})))")
        for mark, layout in zip(("when defined(i386):", "else:"), layouts(struct), strict=True):
            out += [mark, f"  static: doAssert sizeof({name}) == {layout['size']}"]
            out += [
                f"  static: doAssert offsetOf({name}, `{member}`) == {offset}"
                for member, offset in layout["offsets"].items()
            ]
    return "\n".join(out) + "\n"


LANGUAGES: dict[str, Callable[[Abi], str]] = {"pascal": pascal, "nim": nim}


def main(language: str, description: str, output: str) -> None:
    """Write the binding."""
    abi = json.loads(Path(description).read_text(encoding="utf-8"))
    Path(output).write_text(LANGUAGES[language](abi), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
