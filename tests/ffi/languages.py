# SPDX-License-Identifier: MIT OR Apache-2.0
"""The languages, as ffi.toml describes them.

python3 tests/ffi/languages.py      the Debian packages that all of them need, for ./dev
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Language:
    """One language and its folder."""

    folder: Path
    name: str
    packages: list[str]
    build: list[list[str]]
    run: list[str]
    version: list[str]
    env: dict[str, str]
    twin: str
    """Why there is no twin; empty where there is one."""
    twin_survives: str
    signal: str

    @classmethod
    def read(cls, folder: Path) -> Language:
        """Read ffi.toml."""
        given = tomllib.loads((folder / "ffi.toml").read_text())
        return cls(
            folder,
            given["name"],
            given["packages"],
            given["build"],
            given["run"],
            given["version"],
            given.get("env", {}),
            given.get("twin", ""),
            given.get("twin_survives", ""),
            given.get("signal", "USR1"),
        )

    @property
    def number(self) -> Signals:
        """Return the signal that the runtime leaves to programs."""
        return Signals["SIG" + self.signal]

    def words(self, words: list[str], library: Path, out: Path) -> list[str]:
        """Return a command with its paths filled in."""
        places = {
            "library": library,
            "libdir": library.parent,
            "include": ROOT / "include",
            "root": ROOT,
            "source": self.folder,
            "out": out,
            "python": sys.executable,
        }
        return [word.format_map(places) for word in words]

    def environment(self, library: Path, out: Path) -> dict[str, str]:
        """Return the environment that its commands run in."""
        own = dict(zip(self.env, self.words(list(self.env.values()), library, out), strict=True))
        return os.environ | {"LD_LIBRARY_PATH": str(library.parent)} | own

    def reported_version(self, library: Path, out: Path) -> str:
        """Return the first line of what its tool says of itself."""
        done = subprocess.run(
            self.words(self.version, library, out), capture_output=True, text=True, check=False
        )
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "no version told"


LANGUAGES = [Language.read(path.parent) for path in sorted(HERE.glob("**/ffi.toml"))]

if __name__ == "__main__":
    print(*dict.fromkeys(package for language in LANGUAGES for package in language.packages))
