# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ABI gate accepts a sound library, and names what is wrong with any other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from abi.gate_house import SCRIPT, House, changed, everything
from abigate.exports import Library
from support.library import ROOT, library_path

# ------------------------------------------------------------------------------------------------ what is sound


def test_a_sound_library_passes(house: House) -> None:
    assert everything(house.gate()) == []


def test_the_same_library_built_again_is_no_change(house: House) -> None:
    house.build()
    assert everything(house.gate()) == []


def test_the_built_library_passes_on_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "abi" / "gate.py", "--build", library_path().parent],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The ABI holds" in done.stdout


def test_the_symbols_are_those_that_nm_shows() -> None:
    shown = subprocess.run(
        ["nm", "-D", "--defined-only", library_path()], capture_output=True, text=True, check=True
    ).stdout
    seen = {name.replace("@@", " ") for _, kind, name in map(str.split, shown.splitlines()) if kind != "A"}
    assert seen == set(Library.read(library_path()).listing().splitlines())
    assert seen


# ----------------------------------------------------------------------------------- header, script and symbols


def test_an_export_outside_the_version_script_is_caught(house: House) -> None:
    extra = '__attribute__((visibility("default"))) int mmg_extra(void) { return 1; }\n'
    house.build(script=changed(SCRIPT, ("mmg_find;", "mmg_find; mmg_extra;")), more=extra)
    assert house.gate().exports() == ["mmg_extra is exported by the library but not in the version script"]


def test_an_export_that_the_header_does_not_declare_is_caught(house: House) -> None:
    house.rewrite(house.paths.version_script, ("mmg_find;", "mmg_find; mmg_extra;"))
    house.build(more='__attribute__((visibility("default"))) int mmg_extra(void) { return 1; }\n')
    assert house.gate().exports() == ["mmg_extra is in the version script but not declared in the header"]


def test_a_function_that_the_library_lacks_is_caught(house: House) -> None:
    house.build(script=changed(SCRIPT, ("mmg_check;", "")))
    assert house.gate().exports() == ["mmg_check is in the version script but the library does not export it"]
    assert "from the header to the library: function mmg_check is gone" in house.gate().layout()
    assert "symbol mmg_check MMAPGUARD_1.0 is gone from the library" in house.gate().record()


def test_a_declared_function_missing_from_the_version_script_is_caught(house: House) -> None:
    house.rewrite(house.paths.version_script, ("mmg_check;", ""))
    house.build()
    assert "mmg_check is declared in the header but not in the version script" in house.gate().exports()


@pytest.mark.parametrize(
    ("declaration", "kind"), [("int mmg_data = 1;", "writable data"), ("const int mmg_data = 1;", "data")]
)
def test_exported_data_is_caught(house: House, declaration: str, kind: str) -> None:
    exported = f'__attribute__((visibility("default"))) {declaration}\n'
    house.build(script=changed(SCRIPT, ("mmg_find;", "mmg_find; mmg_data;")), more=exported)
    assert f"mmg_data is exported as {kind}; only functions may be" in house.gate().exports()


def test_a_symbol_at_another_node_is_caught(house: House) -> None:
    later = changed(SCRIPT, ("mmg_find;", "")) + "MMAPGUARD_1.1 { global: mmg_find; } MMAPGUARD_1.0;\n"
    house.build(script=later)
    assert house.gate().exports() == ["mmg_find is exported at MMAPGUARD_1.1, not at MMAPGUARD_1.0"]


def test_symbols_without_a_version_are_caught(house: House) -> None:
    house.build(script="")
    found = house.gate().exports()
    assert "mmg_find is exported at no version, not at MMAPGUARD_1.0" in found
    assert len(found) == len(house.gate().header.functions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("mmg_find;", "mmg_fi*;"), "`mmg_fi*` is a pattern"),
        (("mmg_find;", "mmg_find; mmg_find;"), "mmg_find is listed twice"),
        (("local:\n        *;", ""), "needs one `local: *;`"),
        (("global:", "everything:"), "no node of the form"),
    ],
)
def test_a_version_script_that_says_less_than_it_should_is_refused(
    house: House, change: tuple[str, str], words: str
) -> None:
    house.rewrite(house.paths.version_script, change)
    (finding,) = house.gate().exports()
    assert words in finding


@pytest.mark.parametrize(("soname", "shown"), [("libmmapguard.so.2", "libmmapguard.so.2"), (None, "missing")])
def test_a_wrong_soname_is_caught(house: House, soname: str | None, shown: str) -> None:
    house.build(soname=soname)
    assert house.gate().soname() == [f"the SONAME is {shown}, not libmmapguard.so.1"]


# ------------------------------------------------------------------------------------------- what bindings declare


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('("backing", c_uint32),\n        ("guarantee", c_uint32)', '("guarantee", c_uint32),\n        ("backing", c_uint32)'),
            "member mmg_options.backing is declared at offset 8 with 4 bytes, not at 4 with 4",
        ),
        (('("pins", c_uint64)', '("pins", c_int64)'), "member mmg_info.pins is declared as c_long, not uint64_t"),
        (('        ("retired_slots", c_uint64),\n', ""), "member mmg_stats.retired_slots is not declared"),
        (("c_char * 464", "c_char * 463"), "member mmg_error.message is declared at offset 48 with 463 bytes, not at 48 with 464"),
        (("__all__ =", "mmg_info = None\n__all__ ="), "struct mmg_info is not declared"),
        (("MMG_E_RANGE: Final = -3", "MMG_E_RANGE: Final = -6"), "constant MMG_E_RANGE is declared as -6, not -3"),
        (("MMG_E_RANGE: Final = -3\n", ""), "constant MMG_E_RANGE is not declared"),
        (("MMG_E_RANGE: Final = -3", "MMG_E_RANGE: Final = -3\nMMG_E_NEW: Final = -6"), "constant MMG_E_NEW is declared but does not exist"),
        (("MMG_WAIT_FOREVER: Final = 0xFFFFFFFF", "MMG_WAIT_FOREVER: Final = -1"), "constant MMG_WAIT_FOREVER is declared as -1, not 4294967295"),
        (("mmg_handle = c_uint64", "mmg_handle = c_uint32"), "type mmg_handle is declared as c_uint, not uint64_t"),
        (('"mmg_close": (mmg_status, (mmg_handle, c_uint32))', '"mmg_close": (mmg_status, (mmg_handle, c_uint64))'), "argument flags of mmg_close is declared as c_ulong, not uint32_t"),
        (('"mmg_close": (mmg_status, (mmg_handle, c_uint32))', '"mmg_close": (mmg_status, (mmg_handle,))'), "function mmg_close is declared with 1 arguments, not 2"),
        (('"mmg_version": (c_char_p', '"mmg_version": (c_void_p'), "function mmg_version is declared to return c_void_p, not const char *"),
        (('    "mmg_check": (mmg_status, (mmg_handle,)),\n', ""), "function mmg_check is not declared"),
        (('"mmg_check":', '"mmg_late": (c_int32, ()),\n    "mmg_check":'), "function mmg_late is declared but does not exist"),
    ],
)  # fmt: skip
def test_ctypes_declarations_that_differ_are_named(
    house: House, change: tuple[str, str], sentence: str
) -> None:
    house.rewrite(house.paths.declarations, change)
    assert sentence in house.gate().ctypes()


def test_ctypes_declarations_that_cannot_be_imported_are_named(house: House) -> None:
    house.rewrite(house.paths.declarations, ("class mmg_info(", "class mmg_information("))
    assert house.gate().ctypes() == ["abi.py cannot be imported: NameError: name 'mmg_info' is not defined"]
    assert "cannot be called through the ctypes declarations" in house.gate().answers()[0]


def test_ctypes_declarations_may_be_written_differently(house: House) -> None:
    house.rewrite(house.paths.declarations, ("MMG_E_RANGE: Final = -3", "MMG_E_RANGE = -1 - 2"))
    assert house.gate().ctypes() == []


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("_info.py", ("    faults: int\n", ""), "Info has no field 'faults', which mmg_info asks for"),
        ("_info.py", ("    leases: int\n", "    rents: int\n"), "Stats has a field 'rents', which mmg_stats does not know"),
        ("_options.py", ("    no_lease: bool\n", ""), "Options has no field 'no_lease', which mmg_options asks for"),
    ],
)  # fmt: skip
def test_python_classes_that_differ_are_named(
    house: House, file: str, change: tuple[str, str], sentence: str
) -> None:
    house.rewrite(house.paths.declarations.parent / file, change)
    assert f"{file}: {sentence}" in house.gate().dataclasses()


def test_a_stale_description_is_named(house: House) -> None:
    house.rewrite(house.paths.description, ('"value": "-3"', '"value": "-6"'))
    assert house.gate().description() == ["abi.json is stale: constant MMG_E_RANGE changed from -6 to -3"]
    house.paths.description.unlink()
    assert house.gate().description() == ["abi.json does not exist"]


# --------------------------------------------------------------------------------------- what the library answers


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"mmg_abi_version": "return 0x00010001u;"}, "mmg_abi_version() returns 0x10001, MMG_ABI is 0x10000"),
        ({"mmg_abi_version": "return 0x00020000u;"}, "has ABI 2.0, these declarations need 1.0 or a later minor"),
        ({"mmg_status_name": 'return status == -3 ? "MMG_E_IO" : "MMG_E_UNKNOWN";'}, "mmg_status_name(-3) returns MMG_E_IO, not MMG_E_RANGE"),
        ({"mmg_status_name": "return 0;"}, "cannot be called through the ctypes declarations"),
        ({"mmg_status_name": "__builtin_trap();"}, "exit status -4"),
    ],
)  # fmt: skip
def test_a_library_that_answers_wrongly_is_caught(
    house: House, answers: dict[str, str], sentence: str
) -> None:
    house.build(answers=answers)
    run = house.gate()
    assert run.layout() == []
    assert any(sentence in finding for finding in run.answers())
