# SPDX-License-Identifier: MIT OR Apache-2.0
"""Builds and runs other projects with the library, and finds the libraries that their programs need."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = Path(__file__).with_name("consumer")
VERSION = "1.0.0"


def run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Return what a command prints; the command must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}:\n{done.stdout}{done.stderr}"
    return done.stdout


def library_folder(prefix: Path) -> Path:
    """Return the folder of the shared library; Debian has one for each architecture."""
    return next(prefix.glob("lib*/**/libmmapguard.so.1")).parent


def works(program: Path, text: Path, libraries: Path | None = None) -> None:
    """Check that a consumer does its work, with the library from that folder, or with the library inside itself."""
    found = {"LD_LIBRARY_PATH": str(libraries)} if libraries is not None else {}
    assert run(program, text, environment=found) == f"{VERSION} the first line\n"


def needs(program: Path) -> set[str]:
    """Return the names of the shared libraries that a program needs."""
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", program)))
