# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ABI gate accepts a sound library, and names what is wrong with any other.

Each test makes a small house: header, version script, record, declarations, and a library that is generated from the
header. So a test can break one thing at a time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.library import ROOT, library_path

sys.path.insert(0, str(ROOT / "abi"))

import gate
from abigate.baseline import BaselineError
from abigate.debuginfo import KEEP_TYPES, DebugInfoError
from abigate.exports import SONAME, Library
from abigate.header import Header

SCRIPT = (ROOT / "abi" / "mmapguard.map").read_text(encoding="utf-8")
DEBUG = ("-g", KEEP_TYPES)
ARM_COMPILER = "aarch64-linux-gnu-gcc"

#: Stands in for the program that is compiled against the recorded headers, since this library has only the facts
#: about itself.
ASKS_VERSION = """
#include "mmapguard.h"
int main(void) { return mmg_abi_version() >= MMG_ABI ? 0 : 3; }
"""


@dataclass(frozen=True)
class House:
    """A folder with everything that the gate compares."""

    root: Path

    @property
    def paths(self) -> gate.Paths:
        """Return the paths of this house for the gate."""
        return gate.Paths(self.root, self.root / "build" / "release")

    @property
    def record(self) -> Path:
        """Return the folder of the record."""
        return self.paths.baseline(0x10000)

    def build(
        self,
        header: str | None = None,
        script: str | None = None,
        more: str = "",
        soname: str | None = SONAME,
        answers: dict[str, str] | None = None,
        debug: tuple[str, ...] = DEBUG,
        compiler: str = "cc",
    ) -> None:
        """Build the library from this header, with this version script, additional code and function bodies."""
        build = self.paths.build if compiler == "cc" else self.root / "build" / compiler.partition("-")[0]
        folder = self.root / "source"
        folder.mkdir(exist_ok=True)
        build.mkdir(parents=True, exist_ok=True)
        (build / "CMakeCache.txt").write_text(f"CMAKE_C_COMPILER:FILEPATH={compiler}\n", encoding="utf-8")
        text = self.paths.header.read_text(encoding="utf-8") if header is None else header
        (folder / "mmapguard.h").write_text(text, encoding="utf-8")
        if script is None:
            script = self.paths.version_script.read_text(encoding="utf-8")
        (folder / "script.map").write_text(script, encoding="utf-8")
        code = '#include "mmapguard.h"\n' + definitions(Header(folder / "mmapguard.h"), answers or {}) + more
        (folder / "library.c").write_text(code, encoding="utf-8")
        command = [compiler, "-std=c11", "-O1", *debug, "-fPIC", "-fvisibility=hidden", "-shared"]
        command += [str(folder / "library.c"), "-o", str(build / SONAME)]
        command += [f"-Wl,--version-script={folder / 'script.map'}"] if script else []
        command += [f"-Wl,-soname,{soname}"] if soname else []
        subprocess.run(command, check=True)

    def rewrite(self, path: Path, *changes: tuple[str, str]) -> None:
        """Change a file of the house. Each text must be in the file."""
        path.write_text(changed(path.read_text(encoding="utf-8"), *changes), encoding="utf-8")

    def gate(self) -> gate.Gate:
        """Return the gate, after it has read everything as it is now."""
        scratch = self.root / "scratch"
        scratch.mkdir(exist_ok=True)
        return gate.Gate(self.paths, scratch)


def changed(text: str, *changes: tuple[str, str]) -> str:
    """Return the text with each change made once."""
    for old, new in changes:
        assert old in text, f"the text to change is missing: {old}"
        text = text.replace(old, new, 1)
    return text


def definitions(header: Header, answers: dict[str, str]) -> str:
    """Return a body for every function of the header.

    Only the functions about the library itself give right answers.
    """
    statuses = re.findall(r"\b(MMG_OK|MMG_E_\w+) =", header.text)
    bodies = {
        "mmg_abi_version": "return MMG_ABI;",
        "mmg_status_name": "switch (status) {"
        + "".join(f'case {name}: return "{name}";' for name in statuses)
        + '} return "MMG_E_UNKNOWN";',
        **answers,
    }
    made = []
    for name, declaration in header.functions.items():
        body = bodies.get(name, 'return "";' if "char *mmg" in declaration.text else "return 0;")
        made.append(declaration.text.removesuffix(";") + "{ " + body + " }\n")
    return "".join(made)


def everything(run: gate.Gate) -> list[str]:
    """Return all findings of a run."""
    return [finding for check, _ in gate.CONSISTENCY + gate.RECORD for finding in check(run)]


@pytest.fixture(scope="module")
def sound_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Return a house whose gate finds nothing; tests change copies of it."""
    house = House(tmp_path_factory.mktemp("house"))
    for path in (
        house.paths.header,
        house.paths.version_script,
        house.paths.declarations,
        house.paths.program,
    ):
        path.parent.mkdir(parents=True)
    house.paths.program.write_text(ASKS_VERSION, encoding="utf-8")
    shutil.copy(ROOT / "include" / "mmapguard.h", house.paths.header)
    for name in ("_info.py", "_options.py"):
        shutil.copy(ROOT / "bindings" / "python" / "mmapguard" / name, house.paths.declarations.parent)
    house.paths.version_script.write_text(SCRIPT, encoding="utf-8")
    house.build()
    house.gate().accept()
    return house


@pytest.fixture
def house(sound_house: House, tmp_path: Path) -> House:
    """Return a copy of the sound house, to be broken."""
    return House(Path(shutil.copytree(sound_house.root, tmp_path / "house")))


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


# -------------------------------------------------------- types, constants and prototypes: each kind of change

Change = tuple[tuple[tuple[str, str], ...], str]

CHANGES: dict[str, Change] = {
    "members reordered": (
        (
            ("    uint32_t backing;            /**< MMG_BACKING_...: what holds the bytes */\n", ""),
            ("    uint32_t access; ", "    uint32_t backing;\n    uint32_t access; "),
        ),
        "member mmg_options.backing changed its offset from 4 to 16",
    ),
    "a member removed": (
        (("    uint64_t writer_wait_max_ns; /**< the longest of these waits */\n", ""),),
        "member mmg_stats.writer_wait_max_ns is gone",
    ),
    "a member resized": (
        (("    uint64_t pins; ", "    uint32_t pins;\n    uint32_t padding; "),),
        "member mmg_info.pins changed its size from 8 to 4",
    ),
    "a member retyped": (
        (("    int32_t guard_state; ", "    uint32_t guard_state; "),),
        "member mmg_stats.guard_state changed its type from int32_t to uint32_t",
    ),
    "a member renamed": ((("    uint64_t inode; ", "    uint64_t node; "),), "member mmg_info.node is new"),
    "a member added at the end": (
        (("    uint64_t losses_foreign; ", "    uint64_t losses_foreign;\n    uint64_t more; "),),
        "struct mmg_stats changed its size from 224 to 232 bytes",
    ),
    "a constant renumbered": (
        (("MMG_E_RANGE = -3", "MMG_E_RANGE = -6"),),
        "constant MMG_E_RANGE changed from -3 to -6",
    ),
    "two constants swapped": (
        (("MMG_LOCK_SHARED = 1", "MMG_LOCK_SHARED = 2"), ("MMG_LOCK_OFD = 2", "MMG_LOCK_OFD = 1")),
        "constant MMG_LOCK_SHARED changed from 1 to 2",
    ),
    "a constant removed": ((("    MMG_FLAG_POPULATE = 8, ", "    "),), "constant MMG_FLAG_POPULATE is gone"),
    "a constant added": (
        (("MMG_CLOSE_STRICT = 1 ", "MMG_CLOSE_STRICT = 1, MMG_CLOSE_LATE = 2 "),),
        "constant MMG_CLOSE_LATE is new",
    ),
    "a macro changed": (
        (("#define MMG_NOT_FOUND UINT64_MAX", "#define MMG_NOT_FOUND (UINT64_MAX - 1)"),),
        "macro MMG_NOT_FOUND changed from 0xffffffffffffffff (uint64_t) to 0xfffffffffffffffe (uint64_t)",
    ),
    "a parameter retyped": (
        (
            ("mmg_status mmg_close(mmg_handle handle, uint32_t flags)", "mmg_status mmg_close(mmg_handle handle, uint64_t flags)"),
        ),
        "function mmg_close changed from `mmg_status mmg_close(mmg_handle handle, uint32_t flags)`"
        " to `mmg_status mmg_close(mmg_handle handle, uint64_t flags)`",
    ),
    "parameters swapped": (
        (("int32_t mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext)", "int32_t mmg_handle_fault(int32_t signo, void *ucontext, void *siginfo)"),),
        "function mmg_handle_fault changed from `int32_t mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext)`"
        " to `int32_t mmg_handle_fault(int32_t signo, void *ucontext, void *siginfo)`",
    ),
    "a result retyped": (
        (("int32_t mmg_supports(uint32_t feature)", "uint32_t mmg_supports(uint32_t feature)"),),
        "function mmg_supports changed from `int32_t mmg_supports(uint32_t feature)`"
        " to `uint32_t mmg_supports(uint32_t feature)`",
    ),
    "const lost": (
        (
            ("mmg_status mmg_load(const char *path", "mmg_status mmg_load(char *path"),
            ("mmg_status mmg_load(const char *,", "mmg_status mmg_load(char *,"),
        ),
        "function mmg_load changed from `mmg_status mmg_load(const char *path, const mmg_options *options,"
        " mmg_handle *handle, mmg_error *error)` to `mmg_status mmg_load(char *path, const mmg_options *options,"
        " mmg_handle *handle, mmg_error *error)`",
    ),
    "a type widened": ((("typedef int32_t mmg_status;", "typedef int64_t mmg_status;"),), "type mmg_status changed from int32_t to int64_t"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_since_the_record_is_named(house: House, kind: str) -> None:
    changes, sentence = CHANGES[kind]
    house.rewrite(house.paths.header, *changes)
    house.build()
    run = house.gate()
    assert run.exports() + run.soname() + run.layout() == []
    assert sentence in run.record()
    assert f"abi.json is stale: {sentence}" in run.description()


@pytest.mark.parametrize("kind", [kind for kind in CHANGES if kind != "a macro changed"])
def test_a_library_built_from_another_header_is_caught(house: House, kind: str) -> None:
    changes, sentence = CHANGES[kind]
    house.build(header=changed(house.paths.header.read_text(encoding="utf-8"), *changes))
    assert f"from the header to the library: {sentence}" in house.gate().layout()


@pytest.mark.parametrize(
    "kind", ["members reordered", "a member resized", "a parameter retyped", "a type widened"]
)
def test_abidiff_alone_catches_a_changed_layout_or_prototype(house: House, kind: str) -> None:
    changes, _ = CHANGES[kind]
    house.build(header=changed(house.paths.header.read_text(encoding="utf-8"), *changes))
    assert [finding for finding in house.gate().record() if finding.startswith("abidiff reports ")]


def test_a_changed_comment_is_named_too(house: House) -> None:
    house.rewrite(
        house.paths.header,
        ("/** What mmg_guard_state() returns. */", "/** Returned by mmg_guard_state(). */"),
    )
    house.build()
    assert house.gate().record() == [
        "the text of mmapguard.h differs from abi/1.0/mmapguard.h, though not its meaning"
    ]  # fmt: skip


def test_a_library_without_debug_information_is_refused(house: House) -> None:
    house.build(debug=())
    with pytest.raises(DebugInfoError, match="no debug information"):
        house.gate()


def test_constants_of_which_the_debug_information_tells_nothing_are_named(house: House) -> None:
    house.build(debug=("-g",))
    found = house.gate().layout()
    assert [finding for finding in found if "is gone" in finding] == []
    assert any(KEEP_TYPES in finding and "nothing of MMG_CLOSE_STRICT" in finding for finding in found)


def test_a_header_with_a_preprocessor_line_among_its_declarations_is_refused(house: House) -> None:
    house.rewrite(house.paths.header, ("/* MMG_CDEF_BEGIN */", "/* MMG_CDEF_BEGIN */\n#define MMG_ONE 1\n"))
    with pytest.raises(ValueError, match="a preprocessor line"):
        house.gate()


@pytest.mark.parametrize(
    "declaration",
    ["typedef mmg_status (*mmg_callback)(void);", "struct mmg_late { uint32_t a; };", "extern int32_t mmg_state;", "int32_t mmg_log(const char *text, ...);"],
)  # fmt: skip
def test_a_declaration_that_the_abi_may_not_hold_is_refused(house: House, declaration: str) -> None:
    house.rewrite(house.paths.header, ("/* MMG_CDEF_END */", f"{declaration}\n/* MMG_CDEF_END */"))
    with pytest.raises(ValueError, match="not a declaration the ABI may hold"):
        house.gate()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    uint32_t lock_wait_ms; ", "    uint32_t lock_wait_ms : 31; "), "bit-field"),
        (("uint64_t copy_threshold; ", "double copy_threshold; "), "double may not occur"),
    ],
)
def test_a_type_that_the_abi_may_not_hold_is_refused(
    house: House, change: tuple[str, str], words: str
) -> None:
    house.rewrite(house.paths.header, change)
    with pytest.raises(DebugInfoError, match=words):
        house.gate()


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


# --------------------------------------------------------------------------------------------------- the record


def renumber(house: House) -> None:
    """Make an incompatible change, and rebuild everything up to the library."""
    house.rewrite(house.paths.header, ("MMG_E_RANGE = -3", "MMG_E_RANGE = -6"))
    house.build()


def test_a_candidate_takes_any_change_when_told_to(house: House) -> None:
    renumber(house)
    assert everything(house.gate()) != []
    house.gate().accept()
    assert everything(house.gate()) == []
    assert "MMG_E_RANGE: Final = -6" in house.paths.declarations.read_text(encoding="utf-8")


def declare_release(house: House) -> None:
    """Do what a person does after the review of the header."""
    (house.record / "status").write_text("release\n", encoding="utf-8")


def recorded(house: House) -> dict[Path, bytes]:
    """Return every recorded file with its contents."""
    files = [path for path in (house.root / "abi").rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in [*files, house.paths.declarations]}


def test_a_release_takes_none(house: House) -> None:
    declare_release(house)
    assert everything(house.gate()) == []
    renumber(house)
    before = recorded(house)
    with pytest.raises(
        BaselineError, match=r"declares a release.* belongs to 1\.1: set MMG_ABI to 0x00010001"
    ):
        house.gate().accept()
    assert before == recorded(house)
    assert "constant MMG_E_RANGE changed from -3 to -6" in house.gate().record()


#: An addition that follows the rules: a new minor version, and the new function at a node of its own.
ADDITION = (
    ("MMG_ABI UINT32_C(0x00010000)", "MMG_ABI UINT32_C(0x00010001)"),
    ("    char file_system[24]; ", "    char file_system[24];\n    uint64_t more; "),
    ("MMG_E_GUARD = -62", "MMG_E_GUARD = -62, MMG_E_LATE = -63"),
    ("MMG_FLAG_REQUIRE_GUARD = 512", "MMG_FLAG_REQUIRE_GUARD = 512, MMG_FLAG_LATE = 2048"),
    ("/* MMG_CDEF_END */", "int32_t mmg_late(void);\n/* MMG_CDEF_END */"),
)
LATER_NODE = "MMAPGUARD_1.1 { global: mmg_late; } MMAPGUARD_1.0;\n"


def add(house: House, *more: tuple[str, str], node: str = LATER_NODE) -> None:
    """Make the addition and these changes to the header, and rebuild everything up to the library."""
    house.rewrite(house.paths.header, *ADDITION, *more)
    package = house.paths.declarations.parent
    house.rewrite(package / "_info.py", ("    faults: int\n", "    faults: int\n    more: int\n"))
    house.rewrite(package / "_options.py", ("    no_lease: bool\n", "    no_lease: bool\n    late: bool\n"))
    house.paths.version_script.write_text(SCRIPT + node, encoding="utf-8")
    house.build()


def test_after_a_release_an_addition_is_recorded_as_the_next_minor_version(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    before = {path: path.read_bytes() for path in house.record.iterdir()}
    add(house)
    run = house.gate()
    assert run.exports() + run.soname() + run.layout() + run.additions() == []
    assert "abi/1.1/mmapguard.h is not recorded yet" in run.record()
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert {path: path.read_bytes() for path in before} == before
    assert (house.root / "abi" / "1.1" / "status").read_text(encoding="utf-8") == "candidate\n"
    status, printed = on_the_command_line(house, capsys)
    assert status == 0, printed
    assert printed.startswith("ABI 1.1 (candidate)")


def test_what_is_added_after_a_release_may_change_until_it_is_released_too(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    add(house)
    assert on_the_command_line(house, capsys, "--accept")[0] == 0
    house.rewrite(house.paths.header, ("MMG_E_LATE = -63", "MMG_E_LATE = -64"))
    house.build()
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "  accepted: constant MMG_E_LATE changed from -63 to -64\n" in printed
    (house.root / "abi" / "1.1" / "status").write_text("release\n", encoding="utf-8")
    house.rewrite(house.paths.header, ("MMG_E_LATE = -64", "MMG_E_LATE = -63"))
    house.build()
    assert "not an addition to 1.1: constant MMG_E_LATE changed from -64 to -63" in house.gate().additions()
    assert on_the_command_line(house, capsys, "--accept")[0] == 1


def test_an_addition_without_a_new_minor_version_is_refused(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    add(house, ("MMG_ABI UINT32_C(0x00010001)", "MMG_ABI UINT32_C(0x00010000)"))
    before = recorded(house)
    assert house.gate().additions() == []
    assert "constant MMG_E_LATE is new" in house.gate().record()
    assert on_the_command_line(house, capsys, "--accept")[0] == 2
    assert before == recorded(house)


def test_a_function_added_to_a_node_that_has_shipped_is_refused(house: House) -> None:
    declare_release(house)
    house.rewrite(house.paths.header, *ADDITION)
    house.rewrite(house.paths.version_script, ("mmg_load;", "mmg_load; mmg_late;"))
    house.build()
    assert (
        "not an addition to 1.0: symbol mmg_late MMAPGUARD_1.0 is new at a node that has shipped"
        in house.gate().additions()
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        *(CHANGES[kind] for kind in CHANGES if kind not in ("a member added at the end", "a constant added")),
        ((("    uint64_t more; ", "    char more[5000]; "),), "struct mmg_info has 5192 bytes now: from 192 it may grow in steps of 8, up to 4096"),
        ((("MMG_FLAG_LATE = 2048", "MMG_FLAG_LATE = 64"),), "constant MMG_FLAG_LATE takes the number 64 of MMG_FLAG_NO_LEASE"),
        ((("\n} mmg_span;", "\n    uint64_t more;\n} mmg_span;"),), "struct mmg_span changed, and has no struct_size that would tell"),
        ((("    uint64_t inode; ", "    uint64_t late;\n    uint64_t inode; "),), "member mmg_info.inode changed its offset from 64 to 72"),
    ],
)  # fmt: skip
def test_after_a_release_everything_but_additions_is_refused(
    house: House, capsys: pytest.CaptureFixture[str], changes: tuple[tuple[str, str], ...], sentence: str
) -> None:
    declare_release(house)
    house.rewrite(house.paths.header, *ADDITION, *changes)
    house.paths.version_script.write_text(SCRIPT + LATER_NODE, encoding="utf-8")
    house.build()
    sentence = sentence.replace(" is new", " is gone").replace("mmg_info.node", "mmg_info.inode")
    assert any(f"not an addition to 1.0: {sentence}" in finding for finding in house.gate().additions())
    before = recorded(house)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert before == recorded(house)


def test_abidiff_alone_tells_an_addition_from_another_change(house: House) -> None:
    declare_release(house)
    add(house)
    assert house.gate().additions() == []
    house.build(
        header=changed(
            house.paths.header.read_text(encoding="utf-8"),
            ("    uint64_t handles; ", "    uint32_t handles;\n    uint32_t padding; "),
        )
    )
    (finding,) = house.gate().additions()
    assert finding.startswith("not an addition to 1.0: abidiff reports ")


# ------------------------------------------------------------------------------ other processors, older programs


def test_a_program_compiled_against_the_record_is_run(house: House) -> None:
    assert house.gate().programs() == []
    house.build(answers={"mmg_abi_version": "return 0;"})
    assert house.gate().programs() == [
        "the program compiled against abi/1.0/mmapguard.h fails: exit status 3"
    ]
    house.rewrite(house.record / "mmapguard.h", ("uint32_t mmg_abi_version(void);", ""))
    (finding,) = house.gate().programs()
    assert "cannot be built" in finding
    house.paths.program.unlink()
    assert house.gate().programs() == ["tests/abi/consumer/consumer.c does not exist"]


def test_another_processor_that_cannot_be_checked_is_named(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    if house.gate().library.machine != "x86_64":
        pytest.skip("the other processor of the record is this one")
    status, printed = on_the_command_line(house, capsys)
    assert (
        status,
        "  not checked: aarch64: there is no build/aarch64/libmmapguard.so.1; install" in printed,
    ) == (0, True)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert (status, "  not renewed: aarch64: there is no build/aarch64/" in printed) == (0, True)
    assert "gcc-aarch64-linux-gnu" in printed
    folder = house.root / "build" / "aarch64"
    folder.mkdir()
    shutil.copy(house.paths.library, folder)
    (folder / "CMakeCache.txt").write_text("CMAKE_C_COMPILER:FILEPATH=/nowhere/cc\n", encoding="utf-8")
    status, printed = on_the_command_line(house, capsys)
    assert (status, "  not checked: aarch64: /nowhere/cc is gone; install" in printed) == (0, True)


@pytest.mark.skipif(shutil.which(ARM_COMPILER) is None, reason=f"{ARM_COMPILER} is not installed")
def test_another_processor_is_recorded_and_checked(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.build(compiler=ARM_COMPILER)
    status, printed = on_the_command_line(house, capsys)
    assert (status, "- aarch64: abi/1.0/aarch64.abi is not recorded yet" in printed) == (1, True)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "architecture='elf-arm-aarch64'" in (house.record / "aarch64.abi").read_text(encoding="utf-8")
    assert on_the_command_line(house, capsys)[0] == 0
    reordered, sentence = CHANGES["members reordered"]
    header = changed(house.paths.header.read_text(encoding="utf-8"), *reordered)
    house.build(compiler=ARM_COMPILER, header=header)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert f"- aarch64: from the header to the library: {sentence}" in printed
    assert "- aarch64: abidiff reports a change" in printed
    assert "    - abidiff" not in printed


def test_a_status_that_is_neither_is_refused(house: House) -> None:
    (house.record / "status").write_text("nearly\n", encoding="utf-8")
    with pytest.raises(BaselineError, match="says `nearly`"):
        house.gate().accept()


@pytest.mark.parametrize("name", ["mmapguard.h", "symbols", "{machine}.abi"])
def test_a_missing_record_is_named(house: House, name: str) -> None:
    name = name.format(machine=house.gate().library.machine)
    (house.record / name).unlink()
    assert house.gate().record() == [f"abi/1.0/{name} is not recorded yet"]


def test_nothing_is_recorded_of_a_library_that_is_not_what_the_header_says(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    renumbered = changed(
        house.paths.header.read_text(encoding="utf-8"), ("MMG_E_RANGE = -3", "MMG_E_RANGE = -6")
    )
    house.build(header=renumbered)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert "MMG_E_RANGE: Final = -3" in house.paths.declarations.read_text(encoding="utf-8")


def test_the_command_line_names_what_it_accepts(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    renumber(house)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert "    - constant MMG_E_RANGE changed from -3 to -6\n" in printed
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "  accepted: constant MMG_E_RANGE changed from -3 to -6\n" in printed
    assert on_the_command_line(house, capsys)[0] == 0


def test_the_command_line_refuses_to_record_a_release_anew(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    renumber(house)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert "not an addition to 1.0: constant MMG_E_RANGE changed from -3 to -6" in printed
    assert "--accept" not in printed
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert on_the_command_line(house, capsys)[0] == 1


def test_what_cannot_be_checked_is_not_called_sound(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.paths.library.unlink()
    assert on_the_command_line(house, capsys)[0] == 2


def on_the_command_line(house: House, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the gate's program on this house. Return its exit status and what it printed."""
    status = gate.main(["--root", str(house.root), *arguments])
    return status, capsys.readouterr().out
