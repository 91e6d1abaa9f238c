# SPDX-License-Identifier: MIT OR Apache-2.0
"""The files that belong to the sources. As a program: prints their names with a zero byte behind each, for xargs -0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Folders that building and testing make.
MADE_HERE = {"build", "target", "__pycache__"}


def names(*kinds: str) -> list[str]:
    """
    Return the files that git tracks; without git, as in an unpacked archive, all but what building leaves behind.

    `kinds` are options of git ls-files, such as "--others", for files that git does not track yet.
    """
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", *kinds]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = [Path(name) for name in listed.split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        found = [path for path in found if not any(is_made_here(part) for part in path.parts)]
    return [str(path) for path in found if (ROOT / path).is_file() or (ROOT / path).is_symlink()]


def is_made_here(part: str) -> bool:
    """Return True when a file or folder of this name is none of the sources."""
    return part in MADE_HERE or part.startswith(".venv") or (part.startswith(".") and part.endswith("_cache"))


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\0" for name in names(*sys.argv[1:])))
