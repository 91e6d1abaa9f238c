# SPDX-License-Identifier: MIT OR Apache-2.0
"""The gate judges real libraries: shims, built from changed copies of header and sources, as a release might change
them.

One shim only adds. It works with old programs, and new programs work with the old library. Each of the others breaks
the ABI in one way; the five means (abidiff, the list of symbols, the layout that the sources pin, a program compiled
against the record, the bindings beside abi.json) each notice this by themselves.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.library import ROOT

sys.path.insert(0, str(ROOT / "abi"))

import gate
from abigate.debuginfo import KEEP_TYPES
from abigate.exports import SONAME
from abigate.programs import compile_program, complaint, run_with

CONSUMERS = ROOT / "tests" / "abi" / "consumer"
RECORD = ROOT / "abi" / "1.0"
HEADER, LAYOUT, STATUS, API = (
    "include/mmapguard.h",
    "src/base/struct_size.c",
    "src/base/status.h",
    "src/api/guard_calls.c",
)
SCRIPT = "abi/mmapguard.map"

#: For each file, the texts to replace and their replacements. The replacement of an empty text is appended.
Patches = dict[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Shim:
    """A copy of the sources of the library, to be changed and built."""

    root: Path

    @property
    def paths(self) -> gate.Paths:
        """Return the paths of this shim for the gate."""
        return gate.Paths(self.root, self.root / "build" / "release")

    @property
    def library(self) -> Path:
        """Return the path of the built library."""
        return self.paths.library

    @classmethod
    def make(cls, root: Path, *patches: Patches) -> Shim:
        """Copy the sources, and change them."""
        copied = (
            "include",
            "src",
            "abi",
            "tests/abi/consumer",
            "bindings/common",
            "bindings/python/mmapguard",
        )
        for folder in copied:
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shim = cls(root)
        for patch in patches:
            for name, changes in patch.items():
                path = root / name
                text = path.read_text(encoding="utf-8")
                for old, new in changes:
                    assert old in text, f"not in {name} to be changed: {old}"
                    text = text.replace(old, new, 1) if old else text + new
                path.write_text(text, encoding="utf-8")
        return shim

    def build(self) -> str:
        """Build the library. Return the errors of the compiler."""
        build = self.paths.build
        build.mkdir(parents=True)
        (build / "CMakeCache.txt").write_text("CMAKE_C_COMPILER:FILEPATH=cc\n", encoding="utf-8")
        command = ["cc", "-std=c11", "-g", KEEP_TYPES, "-fPIC", "-fvisibility=hidden", "-pthread", "-shared"]
        command += ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", '-DMMAPGUARD_VERSION="1.0.0"']
        command += ["-I", str(self.root / "include"), "-I", str(self.root / "src")]
        command += [
            str(source) for source in sorted((self.root / "src").rglob("*.c")) if "stub" not in source.parts
        ]
        command += [f"-Wl,--version-script={self.paths.version_script}", f"-Wl,-soname,{SONAME}"]
        done = subprocess.run(
            [*command, "-Wl,-z,nodelete", "-o", str(self.library)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr if done.returncode != 0 else ""

    def gate(self) -> gate.Gate:
        """Return the gate, after it has read everything as it is now."""
        scratch = self.root / "scratch"
        scratch.mkdir(exist_ok=True)
        return gate.Gate(self.paths, scratch)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program. Return how it ended."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def built(shim: Shim) -> Shim:
    """Return the shim with its library. The build must succeed."""
    assert shim.build() == ""
    return shim


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """Return the library as it is, built in the same way as the others."""
    return built(Shim.make(tmp_path_factory.mktemp("today") / "shim"))


@pytest.fixture(scope="module")
def old_program(today: Shim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program as it was compiled against the record and linked with the library of then."""
    program = tmp_path_factory.mktemp("old") / "consumer"
    assert compile_program("cc", CONSUMERS / "consumer.c", RECORD, today.library, program) == ""
    return program


def test_the_library_as_it_is_passes(today: Shim, old_program: Path, tmp_path: Path) -> None:
    now = today.gate()
    assert [finding for check, _ in gate.CONSISTENCY + gate.RECORD for finding in check(now)] == []
    assert run_with(today.library, old_program, str(tmp_path / "file")).returncode == 0


# ------------------------------------------------------------------------------------------------- what only adds

ADDS: Patches = {
    HEADER: (
        ("MMG_ABI UINT32_C(0x00010000)", "MMG_ABI UINT32_C(0x00010001)"),
        ("{sizeof(mmg_options), 0,", "{sizeof(mmg_options), 0, 0,"),
        ("0, 0, {0}}", "0, 0, {0}, 0}"),
        ("{sizeof(mmg_stats), 0,", "{sizeof(mmg_stats), 0, 0,"),
        ("{0}, {0}}", "{0}, {0}, 0}"),
        ("} mmg_options;", "    uint64_t shim_bytes;\n} mmg_options;"),
        ("} mmg_error;", "    uint64_t shim_detail;\n} mmg_error;"),
        ("} mmg_info;", "    uint64_t shim_detail;\n} mmg_info;"),
        ("} mmg_stats;", "    uint64_t shim_detail;\n} mmg_stats;"),
        ("MMG_E_GUARD = -62 ", "MMG_E_GUARD = -62, MMG_E_SHIM = -63 "),
        ("MMG_FLAG_SHARED_WRITABLE = 1024 ", "MMG_FLAG_SHARED_WRITABLE = 1024, MMG_FLAG_SHIM = 2048 "),
        ("/* MMG_CDEF_END */", "int32_t mmg_shim(void);\n/* MMG_CDEF_END */"),
    ),
    LAYOUT: (
        ("== MMGI_FIRST_OPTIONS_SIZE", "== MMGI_FIRST_OPTIONS_SIZE + 8"),
        ("== MMGI_FIRST_ERROR_SIZE", "== MMGI_FIRST_ERROR_SIZE + 8"),
        ("== MMGI_FIRST_INFO_SIZE", "== MMGI_FIRST_INFO_SIZE + 8"),
        ("== MMGI_FIRST_STATS_SIZE", "== MMGI_FIRST_STATS_SIZE + 8"),
        ("MMG_FLAG_SHARED_WRITABLE))", "MMG_FLAG_SHARED_WRITABLE | MMG_FLAG_SHIM))"),
    ),
    STATUS: (("    X(MMG_E_GUARD,", '    X(MMG_E_SHIM, -63, "shim") \\\n    X(MMG_E_GUARD,'),),
    API: (
        ("LIBRARY_ABI UINT32_C(0x00010000)", "LIBRARY_ABI UINT32_C(0x00010001)"),
        ("", "\nint32_t\nmmg_shim(void)\n{\n    return 42;\n}\n"),
    ),
    SCRIPT: (("", "MMAPGUARD_1.1 { global: mmg_shim; } MMAPGUARD_1.0;\n"),),
    "bindings/python/mmapguard/_info.py": (
        ("    size: int\n", "    shim_detail: int\n    size: int\n"),
        ("    guard_state: str\n", "    shim_detail: int\n    guard_state: str\n"),
    ),
    "bindings/python/mmapguard/_options.py": (
        ("    stable: bool\n", "    shim: bool\n    shim_bytes: int\n    stable: bool\n"),
    ),
}


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """Return a later library: a function, a member, a status and an option bit more."""
    return built(Shim.make(tmp_path_factory.mktemp("later") / "shim", ADDS))


@pytest.fixture
def released(later: Shim, tmp_path: Path) -> Shim:
    """Return the same, after 1.0 was declared a release."""
    shim = Shim(Path(shutil.copytree(later.root, tmp_path / "released")))
    (shim.root / "abi" / "1.0" / "status").write_text("release\n", encoding="utf-8")
    return shim


def test_an_addition_to_a_release_passes_and_is_named_when_it_is_recorded(
    released: Shim, capsys: pytest.CaptureFixture[str]
) -> None:
    now = released.gate()
    assert [finding for check, _ in gate.CONSISTENCY for finding in check(now)] == []
    stale = now.description()
    for words in (
        "constant MMG_E_SHIM is new",
        "constant MMG_FLAG_SHIM is new",
        "member mmg_options.shim_bytes is new",
        "function mmg_shim is new",
    ):
        assert f"abi.json is stale: {words}" in stale
    assert gate.main(["--root", str(released.root), "--accept"]) == 0, capsys.readouterr().out
    assert gate.main(["--root", str(released.root)]) == 0, capsys.readouterr().out


def test_old_programs_work_with_the_later_library(later: Shim, old_program: Path, tmp_path: Path) -> None:
    done = run_with(later.library, old_program, str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr


def test_old_ctypes_programs_work_with_the_later_library(later: Shim, tmp_path: Path) -> None:
    script, description = CONSUMERS / "consumer.py", ROOT / "abi" / "abi.json"
    done = run(sys.executable, script, description, later.library, tmp_path / "file")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("luajit") is None, reason="luajit is not installed")
def test_old_luajit_programs_work_with_the_later_library(later: Shim, tmp_path: Path) -> None:
    script, header = CONSUMERS / "consumer.lua", RECORD / "mmapguard.h"
    done = run("luajit", script, header, later.library, tmp_path / "file")
    assert done.returncode == 0, done.stderr


def newer_program(later: Shim, folder: Path, *more: str) -> tuple[Path, str]:
    """Return a program compiled and linked with the later library, and a file for it."""
    program, file = folder / "newer", folder / "file"
    file.write_bytes(b"some bytes")
    headers = later.root / "include"
    assert compile_program("cc", CONSUMERS / "newer.c", headers, later.library, program, *more) == ""
    return program, str(file)


def test_new_programs_find_what_they_know_in_the_later_library(later: Shim, tmp_path: Path) -> None:
    program, file = newer_program(later, tmp_path, "-DCALL_SHIM")
    done = run_with(later.library, program, file)
    assert done.stdout.splitlines() == [
        "version: as needed",
        "defaults: MMG_OK",
        "member: MMG_OK",
        "bit: MMG_OK",
        "status: MMG_E_SHIM",
        "error: MMG_E_NOT_FOUND, zero behind it",
        "info: MMG_OK, zero behind it",
        "stats: MMG_OK, zero behind it",
        "function: 42",
    ]


def test_new_programs_get_a_clear_status_from_the_old_library(
    later: Shim, today: Shim, tmp_path: Path
) -> None:
    program, file = newer_program(later, tmp_path)
    done = run_with(today.library, program, file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "version: older",
        "defaults: MMG_OK",
        "member: MMG_E_ABI_NEWER",
        "bit: MMG_E_ARGUMENT",
        "status: MMG_E_UNKNOWN",
        "error: MMG_E_NOT_FOUND, zero behind it",
        "info: MMG_OK, zero behind it",
        "stats: MMG_OK, zero behind it",
    ]


def test_new_programs_that_need_a_new_function_are_told_by_the_loader(
    later: Shim, today: Shim, tmp_path: Path
) -> None:
    program, file = newer_program(later, tmp_path, "-DCALL_SHIM")
    done = run_with(today.library, program, file)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "version `MMAPGUARD_1.1' not found" in done.stderr


def test_new_ctypes_declarations_refuse_the_old_library(released: Shim, today: Shim) -> None:
    assert gate.main(["--root", str(released.root), "--accept"]) == 0
    script = "import runpy, sys; runpy.run_path(sys.argv[1])['load'](sys.argv[2])"
    done = run(sys.executable, "-c", script, released.paths.declarations, today.library)
    assert done.returncode != 0
    assert "has ABI 1.0, these declarations need 1.1 or a later minor" in done.stderr


# --------------------------------------------------------------------------------------------------- what breaks


@dataclass(frozen=True)
class Breakage:
    """A way to break the ABI: the change, the text that the sources must lose to compile, and the finding of each
    means."""

    change: Patches
    unpinned: Patches
    noticed: dict[str, str]


RESIDENT = "mmg_status mmg_resident(mmg_handle handle, uint64_t offset, uint64_t length, uint64_t *bytes);"

BREAKAGES = {
    "members reordered": Breakage(
        change={
            HEADER: (
                ("    uint64_t size;              /**< bytes in the region */\n", ""),
                ("    uint64_t file_size; ", "    uint64_t size;\n    uint64_t file_size; "),
            )
        },
        unpinned={LAYOUT: (("FROZEN(mmg_info, size, 32);", ""),)},
        noticed={
            "abidiff": "'uint64_t offset' offset changed from 320 to 256 (in bits)",
            "layout": "mmg_info.size must not move",
            "program": "info.size == SIZE - 7",
            "bindings": "member mmg_info.size is declared at offset 32 with 8 bytes, not at 40 with 8",
        },
    ),
    "a function removed": Breakage(
        change={HEADER: ((RESIDENT, ""),), SCRIPT: (("        mmg_resident;\n", ""),)},
        unpinned={},
        noticed={
            "abidiff": "mmg_resident",
            "symbols": "symbol mmg_resident MMAPGUARD_1.0 is gone from the library",
            "program": "undefined symbol: mmg_resident, version MMAPGUARD_1.0",
            "bindings": "function mmg_resident is declared but does not exist",
        },
    ),
    "a member resized": Breakage(
        change={HEADER: (("operation[24];", "operation[32];"), ("message[464];", "message[456];"))},
        unpinned={LAYOUT: (("FROZEN(mmg_error, message, 48);", ""),)},
        noticed={
            "abidiff": "char[24]",
            "layout": "mmg_error.message must not move",
            "program": "strstr(error.message",
            "bindings": "member mmg_error.operation is declared at offset 24 with 24 bytes, not at 24 with 32",
        },
    ),
    "a status renumbered": Breakage(
        change={HEADER: (("MMG_E_NOT_FOUND = -20", "MMG_E_NOT_FOUND = -30"),)},
        unpinned={STATUS: (("X(MMG_E_NOT_FOUND, -20,", "X(MMG_E_NOT_FOUND, -30,"),)},
        noticed={
            "layout": "MMG_E_NOT_FOUND must keep its number",
            "program": "== MMG_E_NOT_FOUND",
            "bindings": "constant MMG_E_NOT_FOUND is declared as -20, not -30",
        },
    ),
    "a function at another node": Breakage(
        change={
            SCRIPT: (
                ("        mmg_resident;\n", ""),
                ("", "MMAPGUARD_1.1 { global: mmg_resident; } MMAPGUARD_1.0;\n"),
            )
        },
        unpinned={},
        noticed={
            "abidiff": "mmg_resident",
            "symbols": "symbol mmg_resident MMAPGUARD_1.0 is gone from the library",
            "program": "undefined symbol: mmg_resident, version MMAPGUARD_1.0",
        },
    ),
}
MEANS = ("abidiff", "symbols", "layout", "program", "bindings")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shim]:
    """Return every breakage, built."""
    return {
        kind: built(Shim.make(tmp_path_factory.mktemp("broken") / "shim", breakage.change, breakage.unpinned))
        for kind, breakage in BREAKAGES.items()
    }


def test_every_means_is_shown_to_fail() -> None:
    assert {means for breakage in BREAKAGES.values() for means in breakage.noticed} == set(MEANS)


@pytest.mark.parametrize(
    ("kind", "means"),
    [(kind, means) for kind, breakage in BREAKAGES.items() for means in MEANS if means in breakage.noticed],
)
def test_a_breakage_is_noticed(
    kind: str, means: str, broken: dict[str, Shim], old_program: Path, tmp_path: Path
) -> None:
    shim, words = broken[kind], BREAKAGES[kind].noticed[means]
    if means == "layout":  # the sources do not compile with it
        findings = [Shim.make(tmp_path / "pinned", BREAKAGES[kind].change).build()]
    elif means == "program":
        done = run_with(shim.library, old_program, str(tmp_path / "file"))
        findings = [complaint(done)] if done.returncode != 0 else []
    elif means == "bindings":
        now = shim.gate()
        assert now.description() != [], "abi.json goes with the bindings"
        findings = now.ctypes()
    else:
        starts = {"abidiff": "abidiff reports ", "symbols": "symbol "}
        findings = [finding for finding in shim.gate().record() if finding.startswith(starts[means])]
    assert any(words in finding for finding in findings), findings


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_breakage_fails_the_gate_and_is_never_taken_after_a_release(
    kind: str, broken: dict[str, Shim], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shim = Shim(Path(shutil.copytree(broken[kind].root, tmp_path / "shim")))
    assert gate.main(["--root", str(shim.root)]) == 1
    (shim.root / "abi" / "1.0" / "status").write_text("release\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in (shim.root / "abi").rglob("*") if path.is_file()}
    assert gate.main(["--root", str(shim.root), "--accept"]) == 1
    assert "not an addition to 1.0: " in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in before}
