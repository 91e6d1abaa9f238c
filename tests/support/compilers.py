# SPDX-License-Identifier: MIT OR Apache-2.0
"""Finds the compilers that tests try."""

from __future__ import annotations

import os
import shutil


def compilers(*names: str, otherwise: str) -> list[str]:
    """Return those of the compilers that are installed, each once, whatever names it has; `otherwise` when none is."""
    found: dict[str, str] = {}
    for name in names:
        path = shutil.which(name)
        if path is not None:
            found.setdefault(os.path.realpath(path), name)
    return list(found.values()) or [otherwise]
