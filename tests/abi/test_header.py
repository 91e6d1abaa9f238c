# SPDX-License-Identifier: MIT OR Apache-2.0
"""The public header: every C and C++ compiler takes it alone, without a warning, and it says what its reader must know."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.library import ROOT

sys.path.insert(0, str(ROOT / "abi"))

from abigate.debuginfo import describe_header
from abigate.header import Declaration, Header
from abigate.model import Description

HEADER = Header(ROOT / "include" / "mmapguard.h")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wpadded", "-Wmissing-field-initializers", "-Werror")
C_STANDARDS, CXX_STANDARDS = ("c99", "c11", "c2x"), ("c++11", "c++20")

#: Named by the header, and not declared by it: what comes later, a text, and the marks of the section.
NOT_DECLARED = {"mmg_export_arrow", "MMG_E_UNKNOWN", "MMG_CDEF_BEGIN", "MMG_CDEF_END", "MMG_NO_ATTRIBUTES"}


def compilers(*names: str) -> list[str]:
    """Those of the compilers that are installed."""
    return [name for name in names if shutil.which(name)]


C_COMPILERS = compilers("gcc", "clang", "clang-14") or ["cc"]
CXX_COMPILERS = compilers("g++", "clang++", "clang++-14") or ["c++"]
WAYS = [(compiler, standard) for compiler in C_COMPILERS for standard in C_STANDARDS]
WAYS += [(compiler, standard) for compiler in CXX_COMPILERS for standard in CXX_STANDARDS]


def struct_of(initialiser: str) -> str:
    """The structure that an initialiser is for: mmg_info for MMG_INFO_INIT."""
    return initialiser.removesuffix("_INIT").lower()


def program(header: Path) -> str:
    """A translation unit that includes the header first and twice, and uses every initialiser."""
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


def described(compiler: str, folder: Path) -> Description:
    """What the header means to a compiler."""
    return describe_header(HEADER, compiler, folder)


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
