# SPDX-License-Identifier: MIT OR Apache-2.0
"""The tests that look for a mutant, one program or one file of pytest at a time, and the lines of src/ that each reaches.

The lines come from a build with counters, so that a mutant meets only the tests that run its line, the fastest first.
They are measured once, and later only for new tests; a file of src/ that has changed since counts as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: The tests through ctypes that a mutant of the library can break.
FOLDERS = ("tests/contract", "tests/fault", "tests/stable", "tests/launcher", "tests/cost")
#: A test may take this many times its usual time, and at least this many seconds, before it counts as hung.
SLOWER, LEAST_SECONDS, MOST_SECONDS = 3.0, 30.0, 900.0
SKIPPED = 77


@dataclass(frozen=True)
class Test:
    """A program, or a file of pytest."""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: tuple[tuple[str, str], ...] = field(default=())

    @property
    def program(self) -> str | None:
        """Return the program that the build makes for this test, or None for a file of pytest."""
        return self.command[0] if "build" in Path(self.command[0]).parts else None


def contained(command: tuple[str, ...]) -> list[str]:
    """Return the command with name spaces of its own where this is allowed, so that a mutant leaves no process and no
    mount."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return list(command)
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]


def passes(test: Test, library: Path, log: Path, seconds: float = MOST_SECONDS) -> bool:
    """Returns true when the test ends well in time. What the test prints goes into the log."""
    environment = {**os.environ, **dict(test.environment), "MMAPGUARD_LIBRARY": str(library)}
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                contained(test.command), cwd=test.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return done.returncode in (0, SKIPPED)


def programs(tree: Path, preset: str) -> list[Test]:
    """Return the C tests of a build in this tree."""
    listed = subprocess.run(
        ["ctest", "--preset", preset, "--label-regex", "^(unit|inject|model)$", "--show-only=json-v1"],
        cwd=tree, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = []
    for entry in json.loads(listed)["tests"]:
        properties = {given["name"]: given["value"] for given in entry["properties"]}
        given = tuple(tuple(line.split("=", 1)) for line in properties.get("ENVIRONMENT", []))
        found.append(
            Test(entry["name"], tuple(entry["command"]), Path(properties["WORKING_DIRECTORY"]), given)
        )
    return found


def files_of_pytest(tree: Path) -> list[Test]:
    """Return the files of pytest in this tree."""
    pytest = (".venv/bin/python", "-m", "pytest", "--quiet", "--exitfirst")
    return [
        Test(str(path.relative_to(tree)), (*pytest, str(path.relative_to(tree))), tree)
        for folder in FOLDERS
        for path in sorted((tree / folder).glob("test_*.py"))
    ]


def digest(path: Path) -> str:
    """Return what tells one version of a file from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Reach:
    """Which test runs which line of src/, and how long each test takes."""

    def __init__(self, tree: Path, place: Path) -> None:
        """Load what was measured in this tree, if anything was."""
        self.tree, self.place = tree, place
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}  # of each test, for each file
        self.code: dict[str, list[int]] = {}  # the lines of each file that are code
        self.digests: dict[str, str] = {}
        if place.exists():
            for name, value in json.loads(place.read_text(encoding="utf-8")).items():
                setattr(self, name, value)

    def save(self) -> None:
        """Keep what was measured."""
        names = ("seconds", "lines", "code", "digests")
        self.place.write_text(json.dumps({name: getattr(self, name) for name in names}), encoding="utf-8")

    def measure(self, log: Path, fresh: bool) -> None:
        """Run each test once on a build with counters. A test that was measured before is left out, unless all is fresh."""
        tree = self.tree
        if fresh or not self.digests:
            digests = {str(path.relative_to(tree)): digest(path) for path in (tree / "src").rglob("*.c")}
            self.seconds, self.lines, self.code, self.digests = {}, {}, {}, digests
        build = tree / "build/coverage"
        for preset in (
            ["--preset", "coverage", "-DMMAPGUARD_PLANTED_FAULTS=OFF"],
            ["--build", "--preset", "coverage"],
        ):
            with log.open("ab") as output:
                subprocess.run(["cmake", *preset], cwd=tree, stdout=output, stderr=output, check=True)
        for test in [*programs(tree, "coverage"), *files_of_pytest(tree)]:
            if test.name in self.seconds or test.name.startswith("tests/cost/"):
                continue
            for counters in build.rglob("*.gcda"):
                counters.unlink()
            begun = time.monotonic()
            well = passes(test, build / "libmmapguard.so.1", log)
            self.seconds[test.name] = time.monotonic() - begun
            self.lines[test.name] = self.counted(build)
            print(
                f"{self.seconds[test.name]:6.1f} s  {test.name}{'' if well else ' (fails here)'}", flush=True
            )
            self.save()

    def counted(self, build: Path) -> dict[str, list[int]]:
        """Return the lines of each file that the counters in the build say were run."""
        counters = [str(path) for path in (build / "CMakeFiles/mmapguard_objects.dir").rglob("*.gcda")]
        if not counters:  # the program loads another library
            return {}
        told = subprocess.run(
            ["gcov", "--json-format", "--stdout", *counters],
            cwd=self.tree,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        run: dict[str, set[int]] = {}
        code: dict[str, set[int]] = {name: set(lines) for name, lines in self.code.items()}
        for document in told.splitlines():
            for file in json.loads(document)["files"]:
                path = Path(file["file"])
                name = str(path.relative_to(self.tree)) if path.is_relative_to(self.tree) else file["file"]
                for line in file["lines"]:
                    code.setdefault(name, set()).add(line["line_number"])
                    if line["count"] != 0:
                        run.setdefault(name, set()).add(line["line_number"])
        self.code = {name: sorted(lines) for name, lines in code.items()}
        return {name: sorted(lines) for name, lines in run.items()}

    def tests_at(self, file: str, line: int) -> set[str]:
        """Return the names of the tests that run a line. A line without code counts with the code around it."""
        code = self.code.get(file, [])
        near = {line} if line in code else {
            *[other for other in code if other < line][-1:], *[other for other in code if other > line][:1],
        }  # fmt: skip
        if digest(ROOT / file) == self.digests.get(file):
            found = {name for name, files in self.lines.items() if near & set(files.get(file, []))}
            if found:
                return found
        # The file has changed, or the counters of a process that was killed are lost.
        return {name for name, files in self.lines.items() if file in files}
