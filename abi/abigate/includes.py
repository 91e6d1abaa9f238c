# SPDX-License-Identifier: MIT OR Apache-2.0
"""The lists of members, constants and functions from which the bindings are compiled, written from `abi.json`.

For C these are lists of macro calls, which whoever includes them defines; for Rust the declarations themselves.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

FOLDER = "bindings/common"
_NOTE = "Written by ./dev abi --accept from abi/abi.json; do not edit."
_RUST = {
    "uint8_t": "u8",
    "int32_t": "i32",
    "int64_t": "i64",
    "uint32_t": "u32",
    "uint64_t": "u64",
    "char": "c_char",
    "void": "c_void",
}
_LINE_WIDTH = 110
#: What is a name in a comment, and a name or code that is marked as such already.
_NAME = re.compile(r"`[^`]*`|\b(?:mmg_\w+(?:\.\w+|\(\))?|MMG_[A-Z0-9_]+(?:\.\.\.)?)")


def texts(document: dict[str, Any]) -> dict[str, str]:
    """The text of each file, by its name in FOLDER."""
    return {
        "fields.inc": _fields(document),
        "constants.inc": _constants(document),
        "constants.rs": _rust_constants(document),
        "structs.rs": _rust_structs(document),
        "functions.rs": _rust_functions(document),
    }


def _head(what: str) -> str:
    return f"/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n/*\n * {what}\n * {_NOTE}\n */\n"


def _list(macro: str, calls: list[str]) -> str:
    return f"#ifdef {macro}\n" + "".join(f"{macro}({call})\n" for call in calls) + f"#undef {macro}\n#endif\n"


def _fields(document: dict[str, Any]) -> str:
    parts = [
        _head(
            "The members of each structure but struct_size: MMG_INFO_FIELD(uint32_t, backing) and so on, where that is defined;"
            "\n * then the members of mmg_info whose value has a word: MMG_INFO_WORD(MMG_TERM_BACKING, backing) and so on."
        )
    ]
    for name, struct in document["structs"].items():
        members = [
            f"{member['type'].partition('[')[0]}, {member['name']}"
            for member in struct["members"]
            if member["name"] != "struct_size"
        ]
        parts.append(_list(f"{name.upper()}_FIELD", members))
    parts.append(
        _list("MMG_INFO_WORD", [f"{term}, {name}" for name, term in words_of_info(document).items()])
    )
    return "\n".join(parts)


def words_of_info(document: dict[str, Any]) -> dict[str, str]:
    """The members of mmg_info that hold one value of a group, each with the vocabulary of its words for mmg_term()."""
    groups = {group["name"]: group for group in document["enumerations"]}
    terms = {
        match[1]: name
        for name, constant in groups.get("MMG_TERM", {"constants": {}})["constants"].items()
        if (match := re.search(r"`mmg_info\.(\w+)`", constant["documentation"]))
    }
    return {
        member["name"]: terms[member["name"]]
        for member in document["structs"]["mmg_info"]["members"]
        if member["name"] in terms and not groups[member["enumeration"]]["bits"]
    }


def _constants(document: dict[str, Any]) -> str:
    parts = [
        _head(
            "The constants of each group: MMG_LOCK_CONSTANT(MMG_LOCK_NONE) and so on, where that is defined."
        )
    ]
    parts += [
        _list(f"{group['name']}_CONSTANT", list(group["constants"])) for group in document["enumerations"]
    ]
    return "\n".join(parts)


def _rust_head(what: str) -> str:
    return f"// SPDX-License-Identifier: MIT OR Apache-2.0\n// {what} {_NOTE}\n\n"


def _rust_type(kind: str) -> str:
    """How Rust spells a type of C."""
    if array := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return f"[{_rust_type(array[1])}; {array[2]}]"
    if kind.endswith("**"):
        return f"*mut {_rust_type(kind.removesuffix('*'))}"
    if kind.endswith("*"):
        target = kind.removesuffix("*").strip()
        return f"*{'const' if target.startswith('const ') else 'mut'} {_rust_type(target.removeprefix('const '))}"
    return _RUST.get(kind, kind.removeprefix("struct "))


def _rust_comment(text: str, indent: str) -> str:
    """A comment for rustdoc: names as code, paragraphs filled, each item of a list on lines of its own."""
    lines: list[str] = []
    for paragraph in re.split(r"\n{2,}|\n(?=- )", text.strip()):
        spelt = _NAME.sub(
            lambda m: m[0] if m[0].startswith("`") else f"`{m[0]}`", " ".join(paragraph.split())
        )
        hanging = "  " if paragraph.startswith("- ") else ""
        if lines and not (hanging and lines[-1].startswith(("- ", "  "))):
            lines.append("")
        lines += textwrap.wrap(
            spelt,
            _LINE_WIDTH - len(indent) - 4,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "".join(f"{indent}/// {line}".rstrip() + "\n" for line in lines)


def _rust_constants(document: dict[str, Any]) -> str:
    parts = []
    for name, macro in document["macros"].items():
        parts.append(_rust_comment(macro["documentation"], "    "))
        parts.append(f"    {name}: {_rust_type(macro['type'])} = {macro['value']};\n")
    for group in document["enumerations"]:
        kind = "mmg_status" if group["name"] == "MMG_STATUS" else _rust_type(group["type"])
        parts.append(
            "\n" + "".join(f"    // {line}\n" for line in textwrap.wrap(group["documentation"], 100))
        )
        for name, constant in group["constants"].items():
            parts.append(_rust_comment(constant["documentation"], "    "))
            parts.append(f"    {name}: {kind} = {constant['value']};\n")
    return _rust_head("The constants of mmapguard.h.") + "constants! {\n" + "".join(parts) + "}\n"


def _rust_structs(document: dict[str, Any]) -> str:
    parts, initialisers = [], []
    for name, struct in document["structs"].items():
        parts.append(_rust_comment(struct["documentation"], "    ") + f"    pub struct {name} {{\n")
        for member in struct["members"]:
            parts.append(_rust_comment(member["documentation"], "        "))
            parts.append(f"        {member['name']}: {_rust_type(member['type'])},\n")
        parts.append("    }\n\n")
        initialisers.append(_rust_initialiser(name, struct))
    structs = "".join(parts).rstrip("\n")
    return (
        _rust_head("The structures of mmapguard.h.") + f"structs! {{\n{structs}\n}}\n" + "".join(initialisers)
    )


def _rust_initialiser(name: str, struct: dict[str, Any]) -> str:
    lines = [
        f"\n/// Every member of a `{name}` its default.\npub const {struct['initialiser']}: {name} = {name} {{\n"
    ]
    for member in struct["members"]:
        kind = _rust_type(member["type"])
        value = "0"
        if member["name"] == "struct_size":
            value = f"std::mem::size_of::<{name}>() as u32"
        elif kind.startswith("*"):
            value = f"std::ptr::null{'' if kind.startswith('*const') else '_mut'}()"
        elif kind.startswith("["):
            value = f"[0; {kind.rpartition(' ')[2]}"
        lines.append(f"    {member['name']}: {value},\n")
    return "".join(lines) + "};\n"


def _rust_functions(document: dict[str, Any]) -> str:
    parts = []
    for name, function in document["functions"].items():
        parameters = ", ".join(f"{p['name']}: {_rust_type(p['type'])}" for p in function["parameters"])
        parts.append(_rust_comment(_rust_about(function), "    "))
        parts.append(f"    pub fn {name}({parameters}) -> {_rust_type(function['returns']['type'])};\n\n")
    functions = "".join(parts).rstrip("\n")
    return _rust_head("The calls of mmapguard.h.") + f"functions! {{\n{functions}\n}}\n"


def _rust_about(function: dict[str, Any]) -> str:
    """All that is said of a function."""
    about = [function["documentation"]]
    said = [f"- `{p['name']}`: {p['documentation']}" for p in function["parameters"] if p["documentation"]]
    about += ["\n".join(said)] if said else []
    values = [f"- {v}: {text}" if text else f"- {v}" for v, text in function["returns"]["values"].items()]
    returns = function["returns"]["documentation"]
    if returns or values:
        about.append(f"Returns {returns or 'one of these:'}" + "".join(f"\n{value}" for value in values))
    about += [f"{title}: {text}" for title, text in function["notes"].items()]
    return "\n\n".join([*about, f"Since {function['since']}."])
