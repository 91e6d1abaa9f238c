# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether the library, when it is called, answers with the numbers that the header gives.

The calls are made in a child process, which is this file run as a program: a crash is a finding too.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Description

#: No status will ever be outside of these.
_STATUSES = range(-1000, 1000)


def load_declarations(path: Path) -> ModuleType:
    """The ctypes declarations, loaded from their file, not from wherever that package is found."""
    spec = importlib.util.spec_from_file_location("mmapguard_abi_declarations", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_answers(description: Description, declarations: Path, library: Path) -> list[str]:
    """Call the library through the ctypes declarations: its ABI number, and the name of every status."""
    command = [sys.executable, str(Path(__file__)), str(declarations), str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return [f"the library cannot be called through the ctypes declarations: {reason}"]
    answers = json.loads(done.stdout)
    found = []
    wanted = description.macros["MMG_ABI"].value
    if answers["abi_version"] != wanted:
        found.append(f"mmg_abi_version() returns {answers['abi_version']:#x}, MMG_ABI is {wanted:#x}")
    names = {v: n for n, v in description.constants.items() if n == "MMG_OK" or n.startswith("MMG_E_")}
    for status, answer in zip(_STATUSES, answers["status_names"], strict=True):
        name = names.get(status, "MMG_E_UNKNOWN")
        if answer != name:
            found.append(f"mmg_status_name({status}) returns {answer}, not {name}")
    return found


def _ask(declarations: Path, library: Path) -> None:
    """Make the calls and print the answers."""
    loaded = load_declarations(declarations).load(library)
    names = [loaded.mmg_status_name(status).decode() for status in _STATUSES]
    print(json.dumps({"abi_version": loaded.mmg_abi_version(), "status_names": names}))


if __name__ == "__main__":
    _ask(Path(sys.argv[1]), Path(sys.argv[2]))
