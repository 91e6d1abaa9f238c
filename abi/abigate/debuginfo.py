# SPDX-License-Identifier: MIT OR Apache-2.0
"""Describe an ABI from DWARF debug information: of the built library, and of a probe that is all header.

The probe holds nothing but the header, one pointer to each function and one constant for each macro. It says
what the header means to a compiler, while the library says what was really built.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from .header import Header
from .model import Description, Function, Macro, Member, Parameter, Struct

HEADER_NAME = "mmapguard.h"
KEEP_TYPES = "-fno-eliminate-unused-debug-types"
_FUNCTION_PROBE, _MACRO_PROBE = "probe_function_", "probe_macro_"
_FIXED_WIDTH = {  # (DW_ATE encoding, size) of the types that the header may use
    (0x05, 4): "int32_t",
    (0x05, 8): "int64_t",
    (0x07, 1): "uint8_t",
    (0x08, 1): "uint8_t",
    (0x07, 4): "uint32_t",
    (0x07, 8): "uint64_t",
    (0x06, 1): "char",  # signed on x86-64, and like uint8_t but for its name on ARM
}
_KEPT_TYPEDEFS = frozenset({"int32_t", "int64_t", "uint8_t", "uint32_t", "uint64_t"})


class DebugInfoError(Exception):
    """The debug information is missing or says something that the ABI may not hold."""


def describe_library(library: Path, exported: Iterable[str]) -> Description:
    """Describe what was built. Macros leave no trace in a library, so `macros` stays empty.

    Raises DebugInfoError when the library has no debug information.
    """
    with library.open("rb") as stream:
        reader = _Reader(ELFFile(stream), library)
        description = reader.types()
        description.functions = reader.functions(set(exported))
    return description


def describe_header(header: Header, compiler: str, scratch: Path) -> Description:
    """Describe what the header declares, as `compiler` understands it. `scratch` is a writable folder."""
    source, binary = scratch / "probe.c", scratch / "probe.so"
    source.write_text(
        f'#include "{HEADER_NAME}"\n'
        + "".join(f"__typeof__({name}) *{_FUNCTION_PROBE}{name};\n" for name in header.functions)
        + "".join(
            f"const __typeof__({name}) {_MACRO_PROBE}{name} = {name};\n" for name in header.number_macros
        ),
        encoding="utf-8",
    )
    # GCC 14 forgets the typedefs among the parameters of a function type that has attributes.
    command = [compiler, "-std=gnu11", "-g", KEEP_TYPES, "-fPIC", "-shared", "-nostdlib"]
    command += ["-DMMG_NO_ATTRIBUTES", "-I", str(header.path.parent), str(source), "-o", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DebugInfoError(f"{header.path.name} does not compile with {compiler}:\n{done.stderr}")
    with binary.open("rb") as stream:
        reader = _Reader(ELFFile(stream), binary)
        description = reader.types()
        description.functions = reader.probed_functions(header)
        description.macros = reader.probed_macros(header)
    return description


class _Reader:
    """Reads one ELF file. Only what the public header declares is taken, wherever it was included."""

    def __init__(self, elf: ELFFile, path: Path) -> None:
        if not elf.has_dwarf_info(strict=True):
            raise DebugInfoError(f"{path.name} has no debug information: build it with -g")
        self._elf = elf
        self._units = list(elf.get_dwarf_info().iter_CUs())

    def types(self) -> Description:
        """Typedefs, structures and enumerations of the header, in its order."""
        types: dict[int, tuple[str, str]] = {}
        structs: dict[int, tuple[str, Struct]] = {}
        enumerations: dict[int, dict[str, int]] = {}
        for unit in self._units:
            header_files = _file_numbers(unit)
            for die in unit.get_top_DIE().iter_children():
                if _number(die, "DW_AT_decl_file", -1) not in header_files:
                    continue
                line = _number(die, "DW_AT_decl_line")
                if die.tag == "DW_TAG_structure_type" and "DW_AT_byte_size" in die.attributes:
                    structs[line] = (_name(die), _struct(die))
                elif die.tag == "DW_TAG_enumeration_type":
                    enumerations[line] = {
                        _name(child): _number(child, "DW_AT_const_value") for child in die.iter_children()
                    }
                elif die.tag == "DW_TAG_typedef":
                    types[line] = (_name(die), _spell(_target(die)))
        struct_names = {name for name, _ in structs.values()}
        return Description(
            types={n: target for _, (n, target) in sorted(types.items()) if n not in struct_names},
            structs={n: struct for _, (n, struct) in sorted(structs.items())},
            enumerations=[group for _, group in sorted(enumerations.items())],
        )

    def functions(self, wanted: set[str]) -> dict[str, Function]:
        """The definitions of the named functions, by name."""
        found = {}
        for unit in self._units:
            for die in unit.get_top_DIE().iter_children():
                if die.tag != "DW_TAG_subprogram" or "DW_AT_declaration" in die.attributes:
                    continue
                if "DW_AT_name" in die.attributes and (name := _name(die)) in wanted:
                    found[name] = _function(die, None)
        return dict(sorted(found.items()))

    def probed_functions(self, header: Header) -> dict[str, Function]:
        """The functions to which a probe points; their parameters are named by the header."""
        found = {}
        for die in self._variables(_FUNCTION_PROBE):
            name = _name(die).removeprefix(_FUNCTION_PROBE)
            subroutine = _target(_target(die))
            assert subroutine is not None, "the compiler was told that it is a pointer to a function"
            found[name] = _function(subroutine, header.functions[name].parameters)
        return dict(sorted(found.items()))

    def probed_macros(self, header: Header) -> dict[str, Macro]:
        """The values of a probe's constants, read from its data, in the order of the header."""
        types = {
            _name(die).removeprefix(_MACRO_PROBE): _spell(_target(die))
            for die in self._variables(_MACRO_PROBE)
        }
        table = self._elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        order: Literal["little", "big"] = "little" if self._elf.little_endian else "big"
        found = {}
        for name in header.number_macros:
            symbols = table.get_symbol_by_name(_MACRO_PROBE + name)
            assert symbols, "an initialised constant with external linkage is kept"
            symbol = symbols[0]
            section = self._elf.get_section(symbol["st_shndx"])
            start = symbol["st_value"] - section["sh_addr"]
            data = section.data()[start : start + symbol["st_size"]]
            kind = types[name].removeprefix("const ")
            found[name] = Macro(int.from_bytes(data, order, signed=kind.startswith("int")), kind)
        return found

    def _variables(self, prefix: str) -> Iterator[DIE]:
        for unit in self._units:
            for die in unit.get_top_DIE().iter_children():
                if (
                    die.tag == "DW_TAG_variable"
                    and "DW_AT_name" in die.attributes
                    and _name(die).startswith(prefix)
                ):
                    yield die


def _file_numbers(unit: CompileUnit) -> set[int]:
    """The numbers that the unit's line table gives to the public header."""
    program = unit.dwarfinfo.line_program_for_CU(unit)
    if program is None:
        return set()
    first = 0 if program.header.version >= 5 else 1
    entries = program.header.file_entry
    return {n for n, entry in enumerate(entries, first) if Path(entry.name.decode()).name == HEADER_NAME}


def _name(die: DIE) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode() if attribute else ""


def _number(die: DIE, attribute: str, default: int = 0) -> int:
    return int(die.attributes[attribute].value) if attribute in die.attributes else default


def _target(die: DIE | None) -> DIE | None:
    """The type that a variable, member, pointer or typedef refers to; None for void."""
    if die is None or "DW_AT_type" not in die.attributes:
        return None
    return die.get_DIE_from_attribute("DW_AT_type")


def _spell(die: DIE | None) -> str:
    """The type as the header spells it."""
    if die is None:
        return "void"
    if die.tag == "DW_TAG_typedef":
        name = _name(die)
        return name if name in _KEPT_TYPEDEFS or name.startswith("mmg_") else _spell(_target(die))
    if die.tag == "DW_TAG_const_type":
        return "const " + _spell(_target(die))
    if die.tag == "DW_TAG_pointer_type":
        target = _spell(_target(die))
        return target + ("*" if target.endswith("*") else " *")
    if die.tag == "DW_TAG_array_type":
        counts = [
            _element_count(child) for child in die.iter_children() if child.tag == "DW_TAG_subrange_type"
        ]
        return _spell(_target(die)) + "".join(f"[{count}]" for count in counts)
    if die.tag == "DW_TAG_base_type":
        key = (_number(die, "DW_AT_encoding"), _number(die, "DW_AT_byte_size"))
        if _name(die) == "char":
            return "char"
        if key in _FIXED_WIDTH:
            return _FIXED_WIDTH[key]
        raise DebugInfoError(f"the type {_name(die)} may not occur in the ABI")
    if die.tag == "DW_TAG_structure_type":
        return "struct " + _name(die)
    raise DebugInfoError(f"{die.tag} may not occur in the ABI")


def _element_count(subrange: DIE) -> int:
    if "DW_AT_count" in subrange.attributes:
        return _number(subrange, "DW_AT_count")
    return _number(subrange, "DW_AT_upper_bound") + 1


def _size(die: DIE | None) -> int:
    """Size of a type in bytes."""
    if die is None:
        raise DebugInfoError("void has no size")
    if die.tag == "DW_TAG_array_type":
        size = _size(_target(die))
        for child in die.iter_children():
            if child.tag == "DW_TAG_subrange_type":
                size *= _element_count(child)
        return size
    if "DW_AT_byte_size" in die.attributes:
        return _number(die, "DW_AT_byte_size")
    if die.tag == "DW_TAG_pointer_type":
        return int(die.cu["address_size"])
    return _size(_target(die))


def _alignment(die: DIE | None) -> int:
    """Natural alignment of a type in bytes; the header has no other."""
    if die is not None and die.tag == "DW_TAG_structure_type":
        return max(_alignment(_target(child)) for child in die.iter_children())
    if die is not None and die.tag in ("DW_TAG_array_type", "DW_TAG_typedef", "DW_TAG_const_type"):
        return _alignment(_target(die))
    return _size(die)


def _struct(die: DIE) -> Struct:
    members = []
    for child in die.iter_children():
        if "DW_AT_bit_size" in child.attributes:
            raise DebugInfoError(f"{_name(die)}.{_name(child)} is a bit-field, which the ABI may not hold")
        kind = _target(child)
        offset = _number(child, "DW_AT_data_member_location")
        members.append(Member(_name(child), _spell(kind), offset, _size(kind)))
    return Struct(_number(die, "DW_AT_byte_size"), _alignment(die), tuple(members))


def _function(die: DIE, names: tuple[str, ...] | None) -> Function:
    """A function from its definition, or from its type and the names that its parameters have elsewhere."""
    children = [child for child in die.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    spelt = [_spell(_unqualified(_target(child))) for child in children]
    named = names if names is not None else tuple(_name(child) for child in children)
    parameters = tuple(Parameter(name, kind) for name, kind in zip(named, spelt, strict=True))
    return Function(_spell(_target(die)), parameters)


def _unqualified(die: DIE | None) -> DIE | None:
    """A parameter's own const is no part of the function's type."""
    while die is not None and die.tag == "DW_TAG_const_type":
        die = _target(die)
    return die
