# SPDX-License-Identifier: MIT OR Apache-2.0
"""LuaJIT's ffi.cdef and Python's cffi take the declaration section as it stands, and see what the C compiler sees."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cffi
import pytest

from support.library import ROOT, library_path

sys.path.insert(0, str(ROOT / "abi"))

from abigate.debuginfo import describe_header
from abigate.header import Header
from abigate.model import Description

HEADER = Header(ROOT / "include" / "mmapguard.h")

#: Prints every name of the list on its standard input with what LuaJIT makes of it.
LUAJIT_READER = r"""
local ffi = require "ffi"
local section = assert(io.open(arg[1])):read("*a")
ffi.cdef(section)
local library = ffi.load(arg[2])
for line in io.lines() do
    local kind, name, member = line:match("^(%S+) (%S+) ?(%S*)$")
    local value
    if kind == "size" then
        value = ffi.sizeof(name)
    elseif kind == "alignment" then
        value = ffi.alignof(name)
    elseif kind == "offset" then
        value = ffi.offsetof(name, member)
    elseif kind == "constant" then
        value = ffi.C[name]
    elseif kind == "function" then
        value = tostring(ffi.typeof(library[name]))
    end
    print(line, value)
end
print("mmg_status_name(-2)", ffi.string(library.mmg_status_name(ffi.C.MMG_E_HANDLE)))
"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Description:
    """Return what the header means to the C compiler."""
    return describe_header(HEADER, "cc", tmp_path_factory.mktemp("probe"))


def numbers(described: Description) -> dict[str, int]:
    """Return every size, alignment, offset and constant, by the question that the readers are asked."""
    wanted = {}
    for name, struct in described.structs.items():
        wanted[f"size {name}"] = struct.size
        wanted[f"alignment {name}"] = struct.alignment
        wanted |= {f"offset {name} {member.name}": member.offset for member in struct.members}
    wanted |= {f"constant {name}": value for name, value in described.constants.items()}
    return wanted


@pytest.mark.skipif(shutil.which("luajit") is None, reason="luajit is not installed")
def test_luajit_takes_the_declarations_and_agrees_with_the_c_compiler(
    described: Description, tmp_path: Path
) -> None:
    section, reader = tmp_path / "section.h", tmp_path / "reader.lua"
    section.write_text(HEADER.declaration_section, encoding="utf-8")
    reader.write_text(LUAJIT_READER, encoding="utf-8")
    wanted = numbers(described)
    questions = [*wanted, *(f"function {name}" for name in described.functions)]
    done = subprocess.run(
        ["luajit", reader, section, library_path()],
        input="\n".join(questions) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {question: int(answers[question]) for question in wanted} == wanted
    assert answers["mmg_status_name(-2)"] == "MMG_E_HANDLE"
    assert [name for name in described.functions if "()" not in answers[f"function {name}"]] == []


def test_cffi_takes_the_declarations_and_agrees_with_the_c_compiler(described: Description) -> None:
    ffi = cffi.FFI()
    ffi.cdef(HEADER.declaration_section)
    library = ffi.dlopen(str(library_path()))
    seen = {}
    for name, struct in described.structs.items():
        seen[f"size {name}"] = ffi.sizeof(name)
        seen[f"alignment {name}"] = ffi.alignof(name)
        seen |= {f"offset {name} {member.name}": ffi.offsetof(name, member.name) for member in struct.members}
    seen |= {f"constant {name}": getattr(library, name) for name in described.constants}
    assert seen == numbers(described)
    for name, function in described.functions.items():
        declared = ffi.typeof(getattr(library, name))
        assert declared.result is ffi.typeof(function.returns), name
        assert list(declared.args) == [ffi.typeof(parameter.type) for parameter in function.parameters], name
    assert ffi.string(library.mmg_status_name(library.MMG_E_HANDLE)) == b"MMG_E_HANDLE"
