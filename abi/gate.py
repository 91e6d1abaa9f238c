# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ABI gate: checks that header, library, record and bindings describe one and the same ABI.

`./dev abi` runs it. It exits with 0 when they do, with 1 and a sentence for each finding when they do not,
and with 2 when it cannot tell. What is built for another processor is checked too where there is such a build;
where there is none, it says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from abigate.answers import check_answers, load_declarations
from abigate.baseline import CANDIDATE, MACHINES, RELEASE, Baseline, BaselineError
from abigate.dataclasses import differing
from abigate.debuginfo import KEEP_TYPES, DebugInfoError, describe_header, describe_library
from abigate.declarations import disagreements, write
from abigate.exports import SONAME, Library, check_exports, check_soname, read_version_script
from abigate.header import Header
from abigate.includes import FOLDER, texts
from abigate.model import Description, differences
from abigate.programs import PROGRAM, run_program
from abigate.semantics import document

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paths:
    """Where the things are that have to agree: a checkout, and a folder in which it was built."""

    root: Path
    build: Path

    @property
    def library(self) -> Path:
        """The library that was built."""
        return self.build / SONAME

    @property
    def header(self) -> Path:
        """The public header."""
        return self.root / "include" / "mmapguard.h"

    @property
    def version_script(self) -> Path:
        """The list of what may be exported."""
        return self.root / "abi" / "mmapguard.map"

    @property
    def description(self) -> Path:
        """The description for bindings."""
        return self.root / "abi" / "abi.json"

    @property
    def declarations(self) -> Path:
        """The ctypes declarations."""
        return self.root / "bindings" / "python" / "mmapguard" / "abi.py"

    @property
    def includes(self) -> Path:
        """The folder of the lists that the bindings are compiled from."""
        return self.root / FOLDER

    def baseline(self, version: int) -> Path:
        """The record of an ABI number."""
        return self.root / "abi" / f"{version >> 16}.{version & 0xFFFF}"

    @property
    def program(self) -> Path:
        """The program that is compiled against the recorded headers."""
        return self.root / PROGRAM

    @property
    def baselines(self) -> list[Baseline]:
        """Every record, oldest first."""
        found = [Baseline(path.parent) for path in (self.root / "abi").glob("[0-9]*.[0-9]*/mmapguard.h")]
        return sorted(found, key=lambda baseline: baseline.version)

    @property
    def compiler(self) -> str:
        """The C compiler that the build folder uses."""
        for line in (self.build / "CMakeCache.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("CMAKE_C_COMPILER:"):
                return line.partition("=")[2]
        raise FileNotFoundError(f"{self.build.name}/CMakeCache.txt names no C compiler")


@dataclass
class Gate:
    """One run: reads everything once, then asks whether it agrees."""

    paths: Paths
    scratch: Path
    header: Header = field(init=False)
    library: Library = field(init=False)
    declared: Description = field(init=False)
    built: Description = field(init=False)
    unseen: list[dict[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        """Read everything. Raises OSError, ValueError or DebugInfoError for what cannot be read."""
        self.header = Header(self.paths.header)
        self.library = Library.read(self.paths.library)
        self.declared = describe_header(self.header, self.paths.compiler, self.scratch)
        self.built = describe_library(self.paths.library, [symbol.name for symbol in self.library.symbols])
        # Of macros a library keeps no trace, and of an enumeration none if nothing uses it. The latter is a finding.
        self.built.macros = self.declared.macros
        seen = self.built.constants.keys()
        self.unseen = [group for group in self.declared.enumerations if not group.keys() & seen]
        if self.unseen:
            self.built.enumerations = [
                next((built for built in self.built.enumerations if built.keys() & group.keys()), group)
                for group in self.declared.enumerations
            ]

    @property
    def baseline(self) -> Baseline:
        """The record of the version that the header claims to be."""
        return Baseline(self.paths.baseline(self.declared.macros["MMG_ABI"].value))

    def exports(self) -> list[str]:
        """Header, version script and library export the same functions at the same nodes."""
        try:
            script = read_version_script(self.paths.version_script)
        except ValueError as error:
            return [str(error)]
        return check_exports(self.header, script, self.library)

    def soname(self) -> list[str]:
        """The library is called what programs will ask for."""
        return check_soname(self.library)

    def layout(self) -> list[str]:
        """The library was built with the types, structures, constants and prototypes of the header."""
        unseen = [
            f"the debug information tells nothing of {next(iter(group))} and the constants with it: the library was"
            f" built from another header, or it uses none of them and lacks {KEEP_TYPES}"
            for group in self.unseen
        ]
        changes = differences(self.declared, self.built)
        return unseen + [f"from the header to the library: {change}" for change in changes]

    @property
    def last_release(self) -> Baseline | None:
        """The latest declared release that this version has to continue: of the same major number."""
        version = self.baseline.version
        earlier = [
            baseline
            for baseline in self.paths.baselines
            if baseline.version[0] == version[0]
            and baseline.version <= version
            and baseline.status == RELEASE
        ]
        return earlier[-1] if earlier else None

    def additions(self) -> list[str]:
        """Since the last release, if there is one, there have only been additions."""
        release = self.last_release
        if release is None:
            return []
        return release.breaks(self.declared, self.library, self.paths.compiler, self.scratch)

    def programs(self) -> list[str]:
        """A program compiled against each recorded header works with the library."""
        return [
            finding
            for baseline in self.paths.baselines
            if baseline.version[0] == self.baseline.version[0]
            for finding in run_program(self.paths, baseline.header.parent, self.scratch)
        ]

    def description(self) -> list[str]:
        """abi.json says what was built."""
        if not self.paths.description.exists():
            return [f"{self.paths.description.name} does not exist"]
        if self.paths.description.read_text(encoding="utf-8") == document(self.built, self.header):
            return []
        changes = differences(Description.load(self.paths.description), self.built)
        return [
            f"{self.paths.description.name} is stale: {change}"
            for change in changes or ["it is written otherwise"]
        ]

    def ctypes(self) -> list[str]:
        """The ctypes declarations have the sizes, offsets, types and numbers of the library."""
        try:
            declarations = load_declarations(self.paths.declarations)
        except Exception as error:  # the module is code: anything may come out of it
            return [f"{self.paths.declarations.name} cannot be imported: {type(error).__name__}: {error}"]
        return disagreements(self.built, declarations)

    def includes(self) -> list[str]:
        """The lists that the bindings are compiled from say what abi.json says."""
        wanted = texts(json.loads(document(self.built, self.header)))
        stale = [
            name
            for name, text in wanted.items()
            if not (path := self.paths.includes / name).exists() or path.read_text(encoding="utf-8") != text
        ]
        return [f"{self.paths.includes.name}/{name} is stale" for name in stale]

    def dataclasses(self) -> list[str]:
        """The classes of the Python package have a field for each member, and no other."""
        return differing(json.loads(document(self.built, self.header)), self.paths.declarations.parent)

    def answers(self) -> list[str]:
        """The library, called through the ctypes declarations, answers with the header's numbers."""
        return check_answers(self.declared, self.paths.declarations, self.paths.library)

    def record(self) -> list[str]:
        """Nothing has changed since the version was recorded."""
        return self.baseline.changes(
            self.header, self.declared, self.library, self.paths.compiler, self.scratch
        )

    def accept(self, *others: Gate) -> None:
        """Make what was built the record: abi.json, what is written from it, and the baseline.

        `others` are the builds for other processors; of their ABI only a dump is recorded, the rest is the same.
        """
        gates = (self, *others)
        if self.baseline.status == CANDIDATE or any(gate.record() for gate in gates):
            self.baseline.record(self.header, *(gate.library for gate in gates))
        text = document(self.built, self.header)
        self.paths.description.write_text(text, encoding="utf-8")
        self.paths.includes.mkdir(parents=True, exist_ok=True)
        for name, include in texts(json.loads(text)).items():
            (self.paths.includes / name).write_text(include, encoding="utf-8")
        self.paths.declarations.write_text(write(self.built), encoding="utf-8")


#: What has to agree before anything may be recorded, and what is compared with the record: check and promise.
CONSISTENCY: tuple[tuple[Callable[[Gate], list[str]], str], ...] = (
    (Gate.exports, "header, version script and library export the same functions at the same nodes"),
    (Gate.soname, f"the library asks to be found as {SONAME}"),
    (Gate.layout, "the library was built with the types, constants and prototypes of the header"),
    (Gate.additions, "there have only been additions to what is declared a release"),
)
RECORD: tuple[tuple[Callable[[Gate], list[str]], str], ...] = (
    (Gate.record, "nothing has changed since the version was recorded"),
    (Gate.description, "abi.json describes this library"),
    (Gate.includes, "the lists that the bindings are compiled from say the same"),
    (Gate.ctypes, "the ctypes declarations have its sizes, offsets, types and numbers"),
    (Gate.dataclasses, "the Python package's Info, Stats and Options have a field for each member"),
    (Gate.answers, "the library answers with the numbers of the header"),
    (Gate.programs, "programs compiled against the recorded headers work with it"),
)
#: How a build for another processor is made.
HOW_TO_BUILD = (
    "install its compiler (Debian: gcc-{0}-linux-gnu), then cmake --preset {0} and cmake --build --preset {0}"
)
#: What can be told of a build for another processor without running it.
ELSEWHERE = (Gate.record, Gate.description)


def run(gates: list[Gate], checks: tuple[tuple[Callable[[Gate], list[str]], str], ...]) -> int:
    """Run checks, print what each found, and return the number of findings; the first gate's are run in full."""
    total = 0
    consistency = [check for check, _ in CONSISTENCY]
    for check, promise in checks:
        findings = check(gates[0])
        for gate in gates[1:]:
            if check in consistency or check in ELSEWHERE:
                findings += [f"{gate.library.machine}: {finding}" for finding in check(gate)]
        print(f"  {'FAILS' if findings else 'holds'}  {promise}")
        for finding in findings:
            print(f"    - {finding}")
        total += len(findings)
    return total


def elsewhere(root: Path, machine: str, scratch: Path) -> tuple[list[Gate], list[str]]:
    """The gates for builds for other processors than `machine`, and for each that is missing how to make it."""
    gates, missing = [], []
    for other in MACHINES:
        paths = Paths(root, root / "build" / other)
        if other == machine:
            continue
        if not paths.library.exists():
            missing.append(f"{other}: there is no build/{other}/{SONAME}; {HOW_TO_BUILD.format(other)}")
        elif shutil.which(paths.compiler) is None:
            missing.append(f"{other}: {paths.compiler} is gone; {HOW_TO_BUILD.format(other)}")
        else:
            folder = scratch / other
            folder.mkdir()
            gates.append(Gate(paths, folder))
    return gates, missing


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev abi", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to check")
    parser.add_argument("--build", type=Path, help="where it was built (default: build/release in it)")
    parser.add_argument(
        "--accept", action="store_true", help="record what was built, and name what has changed"
    )
    chosen = parser.parse_args(arguments)
    build = chosen.build or chosen.root / "build" / "release"
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="mmapguard-abi-") as scratch:
            gate = Gate(Paths(chosen.root, build), Path(scratch))
            label = f"{gate.baseline.folder.name} ({gate.baseline.status})"
            print(f"ABI {label}, {gate.library.machine}, {len(gate.header.functions)} functions")
            others, missing = elsewhere(chosen.root, gate.library.machine, Path(scratch))
            gates = [gate, *others]
            for other in others:
                print(f"also {other.library.machine}, as built in {other.paths.build.name}")
            for what in missing:
                print(f"  not {'renewed' if chosen.accept else 'checked'}: {what}")
            found = run(gates, CONSISTENCY)
            if chosen.accept and found == 0:
                changes = list(dict.fromkeys(change for each in gates for change in each.record()))
                gate.accept(*others)
                for change in changes:
                    print(f"  accepted: {change}")
            elif chosen.accept:
                print("Nothing was recorded: this has to hold first.")
            found += run(gates, RECORD)
    except (OSError, ValueError, DebugInfoError, BaselineError) as error:
        print(f"The ABI cannot be checked: {error}", file=sys.stderr)
        return 2
    seconds = time.monotonic() - started
    if found == 0:
        print(f"The ABI holds ({seconds:.1f} s).")
        return 0
    hint = (
        " An intended change is recorded with ./dev abi --accept."
        if gate.baseline.status == CANDIDATE
        else ""
    )
    print(f"{found} finding{'s' if found > 1 else ''} ({seconds:.1f} s).{hint}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
