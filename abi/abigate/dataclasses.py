# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether the classes of the Python package have a field for each member of the structures that they stand for.

Their fields are spelt by hand, since each has a type and a sentence of Python's own. Here they are held against abi.json.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The group of flags, each of which is an option of its own in Python.
_FLAGS = "MMG_FLAG"


@dataclass(frozen=True)
class Mirror:
    """A class that stands for a structure."""

    file: str
    name: str
    struct: str
    #: What a member is called in the class, where that is another name; None: the class does not have it.
    renamed: dict[str, str | None]
    #: What the class has beside the members.
    own: frozenset[str] = frozenset()


MIRRORS = (
    Mirror(
        "_info.py",
        "Info",
        "mmg_info",
        {
            "mtime_seconds": "mtime_ns",
            "mtime_nanoseconds": "mtime_ns",
            "ctime_seconds": "ctime_ns",
            "ctime_nanoseconds": "ctime_ns",
            "means_order": "means_tried",
        },
    ),
    Mirror("_info.py", "Stats", "mmg_stats", {}),
    Mirror(
        "_options.py",
        "Options",
        "mmg_options",
        {
            "guarantee": "stable",
            "lock_wait_ms": "lock_wait",
            "max_lease_wait_ms": "max_lease_wait",
            "stream_wait_ms": "timeout",
            "flags": None,
        },
        frozenset({"on_change"}),
    ),
)


def _fields(path: Path, name: str) -> set[str]:
    """The annotated names in the body of a class."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {
                field.target.id
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            }
    return set()


def differing(document: dict[str, Any], folder: Path) -> list[str]:
    """What the classes in `folder` lack, and what they have beyond the structures in `document`."""
    found = []
    for mirror in MIRRORS:
        members = [member["name"] for member in document["structs"][mirror.struct]["members"]]
        wanted = {mirror.renamed.get(name, name) for name in members} - {None, "struct_size", "reserved"}
        if mirror.name == "Options":
            wanted |= {
                name.removeprefix(f"{_FLAGS}_").lower()
                for group in document["enumerations"]
                if group["name"] == _FLAGS
                for name in group["constants"]
            }
        fields = _fields(folder / mirror.file, mirror.name)
        found += [
            f"{mirror.file}: {mirror.name} has no field '{name}', which {mirror.struct} asks for"
            for name in sorted(name for name in wanted - fields if name)
        ]
        found += [
            f"{mirror.file}: {mirror.name} has a field '{name}', which {mirror.struct} does not know"
            for name in sorted(fields - wanted - mirror.own)
        ]
    return found
