# SPDX-License-Identifier: MIT OR Apache-2.0
"""The public header: every C and C++ compiler takes it alone, without a warning, and it says what its reader must know."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.compilers import compilers
from support.library import ROOT

sys.path.insert(0, str(ROOT / "abi"))

from abigate.debuginfo import describe_header
from abigate.header import Declaration, Header
from abigate.model import Description

HEADER = Header(ROOT / "include" / "mmapguard.h")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wpadded", "-Wmissing-field-initializers", "-Werror")
C_STANDARDS, CXX_STANDARDS = ("c99", "c11", "c2x"), ("c++11", "c++20")

#: Names in the header that it does not declare: later functions, a text, and the marks of the section.
NOT_DECLARED = {"mmg_export_arrow", "MMG_E_UNKNOWN", "MMG_CDEF_BEGIN", "MMG_CDEF_END", "MMG_NO_ATTRIBUTES"}


C_COMPILERS = compilers("gcc", "clang", "clang-14", otherwise="cc")
CXX_COMPILERS = compilers("g++", "clang++", "clang++-14", otherwise="c++")
WAYS = [(compiler, standard) for compiler in C_COMPILERS for standard in C_STANDARDS]
WAYS += [(compiler, standard) for compiler in CXX_COMPILERS for standard in CXX_STANDARDS]


def struct_of(initialiser: str) -> str:
    """Return the structure that an initialiser is for: mmg_info for MMG_INFO_INIT."""
    return initialiser.removesuffix("_INIT").lower()


def program(header: Path) -> str:
    """Return a translation unit that includes the header first and twice, and uses every initialiser."""
    lines = [f'#include "{header}"', f'#include "{header}"']
    lines += [f"extern {struct_of(name)} made_by_{name};" for name in HEADER.initialisers]
    lines += [f"{struct_of(name)} made_by_{name} = {name};" for name in HEADER.initialisers]
    return "\n".join(lines) + "\n"


def compiled(way: tuple[str, str], header: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile that translation unit, warnings being errors."""
    compiler, standard = way
    source = folder / ("unit.cc" if "++" in standard else "unit.c")
    source.write_text(program(header), encoding="utf-8")
    command = [compiler, f"-std={standard}", *STRICT, "-fsyntax-only", str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_the_header_alone_compiles_without_a_warning(way: tuple[str, str], tmp_path: Path) -> None:
    done = compiled(way, HEADER.path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("compiler", C_COMPILERS + CXX_COMPILERS)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    uint32_t lock_wait_ms; ", "    uint64_t lock_wait_ms; ", "pad"),
        (
            "    uint64_t writer_wait_max_ns; ",
            "    uint64_t writer_wait_max_ns; uint64_t more; ",
            "initializer",
        ),
    ],
    ids=["implicit padding", "a member without initialiser"],
)
def test_a_careless_header_would_not_compile(
    compiler: str, old: str, new: str, words: str, tmp_path: Path
) -> None:
    assert old in HEADER.text
    careless = tmp_path / "mmapguard.h"
    careless.write_text(HEADER.text.replace(old, new, 1), encoding="utf-8")
    done = compiled((compiler, "c++11" if "++" in compiler else "c11"), careless, tmp_path)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("compiler", [C_COMPILERS[0], CXX_COMPILERS[0]])
def test_an_initialiser_sets_the_size_and_clears_the_rest(compiler: str, tmp_path: Path) -> None:
    source, binary = tmp_path / ("unit.cc" if "++" in compiler else "unit.c"), tmp_path / "unit"
    body = "".join(
        f"fwrite(&made_by_{name}, sizeof made_by_{name}, 1, stdout);\n" for name in HEADER.initialisers
    )
    source.write_text(
        program(HEADER.path) + "#include <stdio.h>\nint main(void) {\n" + body + "return 0; }\n",
        encoding="utf-8",
    )
    subprocess.run([compiler, str(source), "-o", str(binary)], check=True)
    written = subprocess.run([binary], capture_output=True, check=True).stdout
    expected = b""
    for name in HEADER.initialisers:
        struct = described(compiler="cc", folder=tmp_path).structs[struct_of(name)]
        sized = struct.members[0].name == "struct_size"
        expected += (struct.size if sized else 0).to_bytes(4, sys.byteorder) + bytes(struct.size - 4)
    assert written == expected


def test_every_structure_has_an_initialiser(tmp_path: Path) -> None:
    structs = described(compiler="cc", folder=tmp_path).structs
    assert {struct_of(name) for name in HEADER.initialisers} == set(structs)


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_every_compiler_lays_it_out_alike(compiler: str, tmp_path: Path) -> None:
    assert described(compiler, tmp_path) == described("cc", tmp_path)


def layout_assertions(name: str, struct: dict[str, Any]) -> str:
    """Say in C what abi.json says of a structure on 32-bit systems."""
    offsets = {member["name"]: member["offset"] for member in struct["members"]}
    lines = [f'_Static_assert(sizeof({name}) == {struct["size"]}, "{name}");']
    lines += [
        f'_Static_assert(__builtin_offsetof({name}, {member}) == {offset}, "{name}.{member}");'
        for member, offset in offsets.items()
    ]
    return "\n".join(lines) + "\n"


#: Compilers of 32-bit code, which need no C library for this; and whether they align a 64-bit number to 4 bytes only.
COMPILERS_OF_32_BITS = {
    "gcc -m32": True,
    "clang -m32": True,
    "clang-14 -m32": True,
    "clang-14 --target=armv7-linux-gnueabihf": False,
    "clang-14 --target=mips-linux-gnu": False,
    "i686-linux-gnu-gcc": True,
    "arm-linux-gnueabihf-gcc": False,
}


@pytest.mark.parametrize(("command", "is_i386"), COMPILERS_OF_32_BITS.items())
def test_32_bit_systems_lay_it_out_as_the_description_says(
    command: str, is_i386: bool, tmp_path: Path
) -> None:
    compiler, *options = command.split()
    structs = json.loads((ROOT / "abi" / "abi.json").read_text(encoding="utf-8"))["structs"]
    assert [name for name, struct in structs.items() if "on_i386" in struct] == ["mmg_span"]
    source = tmp_path / "unit.c"

    def compiled_with(text: str) -> subprocess.CompletedProcess[str]:
        source.write_text(text, encoding="utf-8")
        line = [compiler, *options, "-std=c11", "-ffreestanding", "-fsyntax-only"]
        line += ["-I", str(HEADER.path.parent), str(source)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    if shutil.which(compiler) is None or compiled_with("int x;\n").returncode != 0:
        pytest.skip(f"{command} compiles nothing here")
    text = '#include <mmapguard.h>\n_Static_assert(sizeof(void *) == 4, "32 bits");\n'
    for name, struct in structs.items():
        there = struct.get("on_i386") if is_i386 else None
        if there:
            members = [{"name": member, "offset": offset} for member, offset in there["offsets"].items()]
            struct = {"size": there["size"], "members": members}
        text += layout_assertions(name, struct)
    done = compiled_with(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert compiled_with(text.replace("mmg_span, size) == ", "mmg_span, size) == 1")).returncode != 0


def described(compiler: str, folder: Path) -> Description:
    """Return what the header means to a compiler."""
    return describe_header(HEADER, compiler, folder)


# -------------------------------------------------------------------------------- what the compiler tells a caller

#: A caller need not look at the status of these: with valid arguments they succeed, or another call returns the same.
MAY_BE_FORGOTTEN = {
    "mmg_advise",
    "mmg_close",
    "mmg_explain",
    "mmg_info_get",
    "mmg_options_init",
    "mmg_resident",
    "mmg_stats_get",
}
DESCRIPTION: dict[str, Any] = json.loads((ROOT / "abi" / "abi.json").read_text(encoding="utf-8"))
CALLS = {
    n: f["parameters"] for n, f in DESCRIPTION["functions"].items() if f["returns"]["type"] == "mmg_status"
}


def told(compiler: str, arguments: dict[str, str], folder: Path, *options: str) -> dict[str, str]:
    """Compile a call of each function with these arguments, each in a function of its own.

    Return the warnings for each.
    """
    source = folder / "unit.c"
    lines = [f'#include "{HEADER.path}"', "#include <stddef.h>"]
    lines += [
        f"void caller_of_{name}(void *room) {{ (void)room; {call}; }}" for name, call in arguments.items()
    ]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # GCC warns of unused results only when it generates code.
    command = [compiler, "-std=c11", "-Wall", "-S", "-o", str(folder / "unit.s"), *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    warnings = dict.fromkeys(arguments, "")
    for line, text in re.findall(r"unit\.c:(\d+):\d+: warning: (.*)", done.stderr):
        warnings[list(arguments)[int(line) - 3]] += text + "\n"
    return warnings


def call_of(name: str, null: str = "") -> str:
    """Return a call with room for every pointer, but NULL for one of them."""
    values = [
        "NULL" if p["name"] == null else "room" if p["type"].endswith("*") else "0" for p in CALLS[name]
    ]
    return f"{name}({', '.join(values)})"


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_a_forgotten_status_is_a_warning(compiler: str, tmp_path: Path) -> None:
    forgotten = {name: call_of(name) for name in CALLS}
    silent = {name for name, words in told(compiler, forgotten, tmp_path).items() if "unused" not in words}
    assert silent == MAY_BE_FORGOTTEN
    assert set(told(compiler, forgotten, tmp_path, "-DMMG_NO_ATTRIBUTES").values()) == {""}


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_null_is_a_warning_exactly_where_it_is_refused(compiler: str, tmp_path: Path) -> None:
    for place in range(max(len(parameters) for parameters in CALLS.values())):
        pointers = {
            n: p[place] for n, p in CALLS.items() if len(p) > place and p[place]["type"].endswith("*")
        }
        if not pointers:
            continue
        passed = {name: f"(void)!{call_of(name, p['name'])}" for name, p in pointers.items()}
        warned = {n for n, words in told(compiler, passed, tmp_path).items() if re.search("null|NULL", words)}
        assert warned == {name for name, pointer in pointers.items() if not pointer["nullable"]}


# -------------------------------------------------------------------------------------- what a reader must be told

FUNCTIONS = list(HEADER.functions.values())
by_name = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)


@by_name
def test_a_function_says_which_threads_may_call_it(function: Declaration) -> None:
    assert {"Threads", "Blocks and threads"} & function.documentation.notes.keys()


@by_name
def test_a_function_says_since_when_it_exists(function: Declaration) -> None:
    assert re.fullmatch(r"1\.\d+", function.documentation.since)


@pytest.mark.parametrize(
    "function",
    [function for function in FUNCTIONS if function.returns == "mmg_status"],
    ids=lambda function: function.name,
)
def test_a_function_says_which_statuses_it_returns(function: Declaration) -> None:
    comment = function.documentation
    assert "MMG_OK" in comment.values or re.match(r"as mmg_\w+\(\)", comment.returns)


@by_name
def test_a_function_documents_parameters_that_it_has(function: Declaration) -> None:
    documented = function.documentation.parameters
    assert documented.keys() <= set(function.parameters)
    assert {direction for direction, _ in documented.values()} <= {"in", "out", "in,out"}


@pytest.mark.parametrize(
    "declaration",
    [declaration for declaration in HEADER.declarations if declaration.kind != "function"],
    ids=lambda declaration: declaration.name or f"line {declaration.line}",
)
def test_a_type_or_a_group_of_constants_is_explained(declaration: Declaration) -> None:
    assert declaration.comment


@pytest.mark.parametrize(
    "declaration",
    [d for d in HEADER.declarations if d.kind in ("struct", "enum")],
    ids=lambda declaration: declaration.name or f"line {declaration.line}",
)
def test_every_member_of_a_structure_and_every_constant_is_explained(declaration: Declaration) -> None:
    assert declaration.parts
    assert [name for name, comment in declaration.parts.items() if not comment] == []


def test_the_comments_name_only_what_exists(tmp_path: Path) -> None:
    known = described("cc", tmp_path)
    names = {*known.constants, *HEADER.macros, *known.types, *known.structs, *known.functions, *NOT_DECLARED}
    comments = " ".join(re.findall(r"/\*.*?\*/", HEADER.text, re.DOTALL))
    mentioned = set(re.findall(r"\b(?:mmg|MMG)_\w+(?![\w.]*\.\.)", comments))
    assert {name for name in mentioned - names if not name.endswith("_")} == set()


def test_the_comments_name_only_members_that_exist(tmp_path: Path) -> None:
    structs = described("cc", tmp_path).structs
    for name, member in re.findall(r"\b(mmg_\w+)\.(\w+)", HEADER.text):
        assert member in {m.name for m in structs[name].members}, f"{name}.{member}"
