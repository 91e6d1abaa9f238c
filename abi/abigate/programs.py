# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether a program that was compiled against a recorded header works with the library of today."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Protocol

from .exports import SONAME

#: The program, from the root of the repository. It takes the name of a file and prints nothing when all is well.
PROGRAM = Path("tests") / "abi" / "consumer" / "consumer.c"

#: Seconds; it takes milliseconds.
_PATIENCE = 60


class _Paths(Protocol):
    @property
    def program(self) -> Path: ...
    @property
    def library(self) -> Path: ...
    @property
    def compiler(self) -> str: ...


def compile_program(
    compiler: str, source: Path, headers: Path, library: Path, program: Path, *more: str
) -> str:
    """Compile `source` against the header in `headers` and link it with `library`; what the compiler objects to."""
    command = [compiler, "-std=c99", "-pedantic-errors", "-Werror", "-I", str(headers), *more, str(source)]
    done = subprocess.run(
        [*command, "-o", str(program), str(library)], capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode != 0 else ""


def run_with(library: Path, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that is linked with the library, with the one at `library` in its place."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "LD_BIND_NOW": "1"}
    command = [str(program), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=_PATIENCE
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What a program that failed has to say, in one line."""
    return " | ".join(done.stderr.strip().splitlines()) or f"exit status {done.returncode}"


def run_program(paths: _Paths, headers: Path, scratch: Path) -> list[str]:
    """Compile the program against a recorded header and run it with the library, one sentence for what fails."""
    label = f"the program compiled against abi/{headers.name}/mmapguard.h"
    if not paths.program.exists():
        return [f"{PROGRAM} does not exist"]
    program = scratch / f"program-{headers.name}"
    if objection := compile_program(paths.compiler, paths.program, headers, paths.library, program):
        return [f"{label} cannot be built:\n{objection}"]
    assert paths.library.name == SONAME, "the loader looks for the library by its SONAME"
    done = run_with(paths.library, program, str(scratch / "program-file"))
    return [] if done.returncode == 0 else [f"{label} fails: {complaint(done)}"]
