# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compares the public interface of the crates with the one that is recorded in interface.txt.

usage: interface.py FOLDER [--accept] [--package NAME]

FOLDER gets the results of the build. A line of the record that is gone is a break for users; a new line is an addition.
Both end with 1, and `--accept` records them. The interface is what rustdoc says in JSON, an unstable format, so the step
sets RUSTC_BOOTSTRAP. cargo-semver-checks knows more rules, but takes longer to build than all tests of the crates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CRATES = ["mmapguard", "mmapguard-compat", "mmapguard-memmap2"]
RECORD = Path(__file__).with_name("interface.txt")


def generics(args: Any) -> str:
    """Returns the generic arguments of a path."""
    inside = (args or {}).get("angle_bracketed", {}).get("args", [])
    words = [
        spelled(one["type"]) if "type" in one else one.get("lifetime", "_")
        for one in inside
        if isinstance(one, dict)
    ]
    return f"<{', '.join(words)}>" if words else ""


def bound(one: Any) -> str:
    """Returns a bound: a trait or a lifetime."""
    trait = one.get("trait_bound", {}).get("trait") or one.get("trait")
    return named(trait) if trait else str(one.get("outlives", "_"))


def named(path: Any) -> str:
    """Returns a path as its last word, so that moving an item between private modules changes nothing."""
    return str(path.get("path") or path.get("name")).rsplit("::", 1)[-1] + generics(path.get("args"))


def spelled(kind: Any) -> str:
    """Returns a type as Rust spells it."""
    if kind is None:
        return "()"
    if not isinstance(kind, dict):
        return str(kind)
    ((name, value),) = kind.items()
    match name:
        case "primitive" | "generic":
            return str(value)
        case "resolved_path":
            return named(value)
        case "tuple":
            return f"({', '.join(map(spelled, value))})"
        case "slice":
            return f"[{spelled(value)}]"
        case "array":
            return f"[{spelled(value['type'])}; {value['len']}]"
        case "borrowed_ref":
            return f"&{'mut ' if value['is_mutable'] else ''}{spelled(value['type'])}"
        case "raw_pointer":
            return f"*{'mut' if value['is_mutable'] else 'const'} {spelled(value['type'])}"
        case "impl_trait":
            return "impl " + " + ".join(map(bound, value))
        case "dyn_trait":
            return "dyn " + " + ".join(bound(one) for one in value["traits"])
        case "qualified_path":
            return f"{spelled(value['self_type'])}::{value['name']}"
        case _:
            return str(name)


def signature(function: Any) -> str:
    """Returns what a caller of a function must know."""
    said = function["sig"]
    inputs = ", ".join(spelled(kind) for _, kind in said["inputs"])
    params = [
        f"{one['name']}: {' + '.join(map(bound, one['kind']['type']['bounds']))}"
        for one in function["generics"]["params"]
        if "type" in one["kind"] and not one["kind"]["type"].get("is_synthetic")
    ]
    unsafe = "unsafe " if function["header"]["is_unsafe"] else ""
    over = f"<{', '.join(params)}>" if params else ""
    return f"{unsafe}fn{over}({inputs}) -> {spelled(said['output'])}"


class Interface:
    """The public items of one crate."""

    def __init__(self, document: Any) -> None:
        """Takes what rustdoc has written."""
        self.index: dict[str, Any] = document["index"]
        self.root = document["root"]

    def lines(self) -> Iterator[str]:
        """Returns one line for each item that a user can name."""
        root = self.index[str(self.root)]
        yield from self.module(root["name"], root)

    def items(self, numbers: list[Any]) -> Iterator[tuple[str, str, Any]]:
        """Returns names, kinds and contents. Private items and those of other crates are not in the index."""
        for number in numbers:
            if (item := self.index.get(str(number))) is not None and item["visibility"] in (
                "public",
                "default",
            ):
                ((kind, inner),) = item["inner"].items()
                yield item["name"], kind, inner

    def module(self, path: str, module: Any) -> Iterator[str]:
        """Returns the lines of a module, with what the module takes from private ones."""
        for name, kind, inner in self.items(module["inner"]["module"]["items"]):
            if kind == "use":
                target = self.index.get(str(inner["id"]))
                if target is not None:
                    ((kind, body),) = target["inner"].items()
                    yield from self.item(f"{path}::{inner['name']}", kind, body)
            elif kind == "module":
                yield f"{path}::{name}: module"
            else:
                yield from self.item(f"{path}::{name}", kind, inner)

    def item(self, path: str, kind: str, inner: Any) -> Iterator[str]:
        """Returns the lines of an item and of what belongs to it."""
        match kind:
            case "function":
                yield f"{path}: {signature(inner)}"
            case "constant" | "assoc_const":
                yield f"{path}: const {spelled(inner['type'])}"
            case "struct_field":
                yield f"{path}: {spelled(inner)}"
            case "assoc_type":
                yield f"{path}: type {spelled(inner.get('type'))}"
            case _:
                yield f"{path}: {kind}"
        fields = inner.get("kind") if kind in ("struct", "variant") else None
        plain = fields.get("plain") or fields.get("struct") if isinstance(fields, dict) else None
        members = inner.get("items") or inner.get("variants") or (plain or {}).get("fields") or []
        if kind in ("trait", "enum", "struct", "variant"):
            for name, of, body in self.items(members):
                yield from self.item(f"{path}::{name}", of, body)
        for number in inner.get("impls") or []:
            if (block := self.index.get(str(number))) is not None:
                yield from self.block(path, block["inner"]["impl"])

    def block(self, path: str, block: Any) -> Iterator[str]:
        """Returns the lines of an impl. A trait counts by its name, a blanket impl of another crate does not."""
        whose = path.rsplit("::", 1)[0] + "::" + spelled(block["for"])
        if block["trait"] is None:
            for name, of, body in self.items(block["items"]):
                yield from self.item(f"{whose}::{name}", of, body)
        elif block["blanket_impl"] is None:
            trait = named(block["trait"])
            # The compiler adds many traits of its own. A user relies on these two.
            if trait in ("Send", "Sync") or not (block["is_synthetic"] or trait == "StructuralPartialEq"):
                yield f"{whose}: {'not ' if block['is_negative'] else ''}{trait}"


def interface_of(package: str, folder: Path) -> list[str]:
    """Asks rustdoc for the interface of a crate."""
    command = [
        "cargo",
        "rustdoc",
        "--locked",
        "--quiet",
        "--lib",
        "--all-features",
        "--package",
        package,
        "--",
    ]
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_TARGET_DIR": str(folder)}
    subprocess.run([*command, "-Zunstable-options", "--output-format=json"], env=environment, check=True)
    document = json.loads((folder / "doc" / f"{package.replace('-', '_')}.json").read_text())
    return sorted(set(Interface(document).lines()))


def main() -> int:
    """Compares, or records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--package", choices=CRATES)
    arguments = parser.parse_args()
    packages = [arguments.package] if arguments.package else CRATES
    found = {line for package in packages for line in interface_of(package, arguments.folder)}
    if arguments.accept:
        RECORD.write_text("".join(f"{line}\n" for line in sorted(found)))
        return 0
    starts = tuple(f"{package.replace('-', '_')}::" for package in packages)
    recorded = {line for line in RECORD.read_text().splitlines() if line.startswith(starts)}
    for line in sorted(recorded - found):
        print(f"gone: {line}")
    for line in sorted(found - recorded):
        print(f"new:  {line}")
    if recorded != found:
        print(
            "the interface is not the recorded one; python3 bindings/rust/interface.py build/rust/interface --accept records it"
        )
    return int(recorded != found)


if __name__ == "__main__":
    sys.exit(main())
