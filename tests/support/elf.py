# SPDX-License-Identifier: MIT OR Apache-2.0
"""Finds the versions of the C library's functions that a shared object needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

OLDEST_GLIBC = (2, 28)
"""What is built on any system has to load on one with this version."""


def symbols_of_glibc(shared_object: Path) -> dict[str, tuple[int, ...]]:
    """Return the version of glibc that each undefined symbol of a shared object needs."""
    listed = subprocess.run(
        ["readelf", "--wide", "--dyn-syms", str(shared_object)], capture_output=True, text=True, check=True
    ).stdout
    return {
        name: tuple(int(part) for part in version.split("."))
        for name, version in re.findall(r" UND (\S+)@GLIBC_([\d.]+)", listed)
    }


def too_new(shared_object: Path) -> dict[str, tuple[int, ...]]:
    """Return the symbols that an older system does not have; a shared object without any symbol is an error."""
    needed = symbols_of_glibc(shared_object)
    assert needed, f"{shared_object} needs no symbol of glibc, which is not possible"
    return {name: version for name, version in needed.items() if version > OLDEST_GLIBC}
