# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a shared library exports, and whether header and version script say the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

from .header import Header, uncommented

SONAME = "libmmapguard.so.1"
_WRITABLE = 0x1  # SHF_WRITE
_VERSION_HIDDEN = 0x8000  # of an entry in .gnu.version: not the default version of that symbol


@dataclass(frozen=True)
class Symbol:
    """One symbol that other programs can see."""

    name: str
    node: str  # empty when the symbol has no version
    is_function: bool
    is_writable: bool


@dataclass(frozen=True)
class Library:
    """The outside of a shared library."""

    path: Path
    machine: str
    soname: str
    symbols: tuple[Symbol, ...]

    @classmethod
    def read(cls, path: Path) -> Library:
        """Read the SONAME and what `nm -D --defined-only` shows, without the nodes themselves."""
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            dynamic = elf.get_section_by_name(".dynamic")
            assert isinstance(dynamic, DynamicSection)
            sonames = [getattr(tag, "soname", "") for tag in dynamic.iter_tags("DT_SONAME")]
            machine = elf["e_machine"].removeprefix("EM_").lower()
            return cls(path, machine, sonames[0] if sonames else "", tuple(_symbols(elf)))

    def listing(self) -> str:
        """The symbols as text, one a line, as the baseline keeps them."""
        return "".join(sorted(f"{symbol.name} {symbol.node}\n" for symbol in self.symbols))


def _symbols(elf: ELFFile) -> list[Symbol]:
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    nodes = _node_names(elf)
    versions = elf.get_section_by_name(".gnu.version")
    found = []
    for number, symbol in enumerate(table.iter_symbols()):
        where = symbol["st_shndx"]
        if where == "SHN_UNDEF" or symbol["st_info"]["bind"] == "STB_LOCAL":
            continue
        if where == "SHN_ABS" and symbol.name in nodes.values():
            continue  # the linker marks each node with a symbol of its name
        node = ""
        if isinstance(versions, GNUVerSymSection):
            index = versions.get_symbol(number)["ndx"]
            node = nodes.get(index & ~_VERSION_HIDDEN, "") if isinstance(index, int) else ""
        writable = isinstance(where, int) and bool(elf.get_section(where)["sh_flags"] & _WRITABLE)
        function = symbol["st_info"]["type"] == "STT_FUNC"
        found.append(Symbol(symbol.name, node, function, writable))
    return found


def _node_names(elf: ELFFile) -> dict[int, str]:
    """The version nodes that the library defines, by number; without the one named after the file."""
    section = elf.get_section_by_name(".gnu.version_d")
    if not isinstance(section, GNUVerDefSection):
        return {}
    names = {}
    for definition, auxiliaries in section.iter_versions():
        own_name = definition["vd_flags"] & 1  # VER_FLG_BASE
        if not own_name:
            names[definition["vd_ndx"]] = next(iter(auxiliaries)).name
    return names


def read_version_script(path: Path) -> dict[str, str]:
    """The symbols that the version script exports, each with its node.

    Raises ValueError for a script that is not of the one form the project allows: nodes that list names, one
    `local: *`.
    """
    text = uncommented(path.read_text(encoding="utf-8"))
    node = r"\s*(\w[\w.]*)\s*\{\s*global:(?P<names>[^{}:]*)(?:local:\s*\*\s*;\s*)?\}\s*(?:\w[\w.]*\s*)?;\s*"
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = re.compile(node).match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise ValueError(
                f"{path.name}: no node of the form `NAME {{ global: ...; }};` from line {line} on"
            )
        for name in match["names"].split(";"):
            if not (name := name.strip()):
                continue
            if not re.fullmatch(r"\w+", name):
                raise ValueError(
                    f"{path.name}: `{name}` is a pattern; every exported symbol is listed by its name"
                )
            if name in found:
                raise ValueError(f"{path.name}: {name} is listed twice")
            found[name] = match[1]
        position = match.end()
    if text.count("local:") != 1:
        raise ValueError(f"{path.name}: needs one `local: *;`, so that nothing else is exported")
    return found


def check_exports(header: Header, script: dict[str, str], library: Library) -> list[str]:
    """Whether header, version script and library name the same symbols, as functions, each at its node."""
    found = [
        f"{name} is declared in the header but not in the version script"
        for name in header.functions
        if name not in script
    ]
    found += [
        f"{name} is in the version script but not declared in the header"
        for name in script
        if name not in header.functions
    ]
    exported = {symbol.name for symbol in library.symbols}
    found += [
        f"{name} is in the version script but the library does not export it"
        for name in script
        if name not in exported
    ]
    for symbol in library.symbols:
        if symbol.name not in script:
            found.append(f"{symbol.name} is exported by the library but not in the version script")
        elif symbol.node != script[symbol.name]:
            node = symbol.node or "no version"
            found.append(f"{symbol.name} is exported at {node}, not at {script[symbol.name]}")
        if not symbol.is_function:
            kind = "writable data" if symbol.is_writable else "data"
            found.append(f"{symbol.name} is exported as {kind}; only functions may be")
    return found


def check_soname(library: Library) -> list[str]:
    """Whether programs that link the library will ask for the right one."""
    if library.soname == SONAME:
        return []
    return [f"the SONAME is {library.soname or 'missing'}, not {SONAME}"]
