# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small house for the ABI gate: header, version script, record, declarations, and a library generated from the header.

So a test can break one thing at a time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.library import ROOT

sys.path.insert(0, str(ROOT / "abi"))

import gate
from abigate.debuginfo import KEEP_TYPES
from abigate.exports import SONAME
from abigate.header import Header

SCRIPT = (ROOT / "abi" / "mmapguard.map").read_text(encoding="utf-8")
DEBUG = ("-g", KEEP_TYPES)

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


def sound_house_in(folder: Path) -> House:
    """Build a house in the folder whose gate finds nothing."""
    house = House(folder)
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
