# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ctypes declarations of the Python package: write them, and compare what they really declare.

The comparison looks at the ctypes objects (sizes, offsets, types, argument lists), not at the text, so it
holds for declarations changed by hand too.
"""

from __future__ import annotations

import ctypes
import re
from types import ModuleType
from typing import Any

from .model import Description, Function, Struct

LINE_WIDTH = 110

_SIMPLE = {
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "uint8_t": "c_uint8",
    "uint32_t": "c_uint32",
    "uint64_t": "c_uint64",
    "char": "c_char",
}

#: A pointer to a structure that the header declares and does not define.
_OPAQUE = re.compile(r"struct \w+ \*")

_HEAD = '''\
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The whole C ABI of mmapguard, declared for ctypes: nothing to compile, nothing else to import.

Written by `./dev abi --accept` from abi/abi.json; do not edit. The meaning of every name is in mmapguard.h.
A structure made without `struct_size` has the right one, as its MMG_..._INIT gives it in C.

    import ctypes
    from mmapguard.abi import *

    library = load()
    handle, span = mmg_handle(), mmg_span()
    status = library.mmg_open(b"big.bin", None, ctypes.byref(handle), None)
    if status == MMG_OK:
        library.mmg_pin(handle, 0, MMG_TO_END, ctypes.byref(span))
        first = ctypes.string_at(span.data, 16)
        library.mmg_unpin(ctypes.byref(span))
        library.mmg_close(handle, 0)
"""

from __future__ import annotations

import os
from ctypes import (
    CDLL,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int32,
    c_int64,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)
from typing import Any, Final
'''

_SIZED = '''\
class _Sized(Structure):
    """A structure that begins with its own size."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**{"struct_size": sizeof(type(self)), **members})
'''

_LOAD = '''\
def declare(library: CDLL) -> CDLL:
    """Give every function of a loaded library its types. Raises AttributeError when the library lacks one."""
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def load(path: str | os.PathLike[str] | None = None) -> CDLL:
    """Load the library at `path`, else at $MMAPGUARD_LIBRARY, else the installed one, and declare its calls.

    Raises OSError when there is none, or when its ABI is another than these declarations need.
    """
    name = os.fspath(path) if path is not None else os.environ.get("MMAPGUARD_LIBRARY") or "libmmapguard.so.1"
    library = CDLL(name)
    library.mmg_abi_version.restype = c_uint32
    library.mmg_abi_version.argtypes = ()
    version = library.mmg_abi_version()
    if version >> 16 != MMG_ABI >> 16 or version < MMG_ABI:
        raise OSError(
            f"{name} has ABI {version >> 16}.{version & 0xFFFF}, "
            f"these declarations need {MMG_ABI >> 16}.{MMG_ABI & 0xFFFF} or a later minor"
        )
    return declare(library)


__all__ = [name for name in globals() if name.startswith(("MMG_", "mmg_"))] + ["FUNCTIONS", "declare", "load"]
'''


def write(description: Description) -> str:
    """The text of the module `mmapguard.abi`."""
    parts = [_HEAD, *_constants(description), _types(description)]
    if any(_is_sized(struct) for struct in description.structs.values()):
        parts.append("\n" + _SIZED)
    parts += [_struct(name, struct, description) for name, struct in description.structs.items()]
    parts += [_functions(description), "\n" + _LOAD]
    return "\n".join(parts)


def _constants(description: Description) -> list[str]:
    macros = "".join(f"{name}: Final = 0x{macro.value:X}\n" for name, macro in description.macros.items())
    groups = ["".join(f"{n}: Final = {v}\n" for n, v in group.items()) for group in description.enumerations]
    return [macros, *groups]


def _types(description: Description) -> str:
    return "".join(f"{name} = {_python(kind, description)}\n" for name, kind in description.types.items())


def _is_sized(struct: Struct) -> bool:
    return struct.members[0].name == "struct_size"


def _struct(name: str, struct: Struct, description: Description) -> str:
    members = "".join(f'        ("{m.name}", {_python(m.type, description)}),\n' for m in struct.members)
    base = "_Sized" if _is_sized(struct) else "Structure"
    return f"\nclass {name}({base}):  # {struct.size} bytes\n    _fields_ = [\n{members}    ]\n"


def _functions(description: Description) -> str:
    lines = ["\n#: For each function its result and its arguments.\n"]
    lines.append("FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {\n")
    for name, function in description.functions.items():
        arguments = [_python(parameter.type, description) for parameter in function.parameters]
        lines += [f"    # {line}\n" for line in _wrapped(function.prototype(name), LINE_WIDTH - 6)]
        result = _python(function.returns, description)
        entry = f'    "{name}": ({result}, ({", ".join(arguments)}{"," if len(arguments) == 1 else ""})),\n'
        if len(entry) > LINE_WIDTH + 1:
            inner = f"        ({', '.join(arguments)}),\n"
            entry = f'    "{name}": (\n        {result},\n{inner}    ),\n'
        lines.append(entry)
    return "".join([*lines, "}\n"])


def _wrapped(prototype: str, width: int) -> list[str]:
    lines = [""]
    for word in prototype.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("    " + word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _python(kind: str, description: Description) -> str:
    """The ctypes expression for a type as the header spells it."""
    plain = kind.removeprefix("const ")
    if plain in _SIMPLE:
        return _SIMPLE[plain]
    if plain in description.types or plain in description.structs:
        return plain
    if array := re.fullmatch(r"(.+)\[(\d+)\]", plain):
        return f"{_python(array.group(1), description)} * {array.group(2)}"
    if plain == "void *" or _OPAQUE.fullmatch(plain):
        return "c_void_p"
    if plain == "char *":
        return "c_char_p"
    if plain.endswith("*"):
        return f"POINTER({_python(plain.removesuffix('*').strip(), description)})"
    raise ValueError(f"no ctypes type is known for {kind}")


def disagreements(description: Description, module: ModuleType) -> list[str]:
    """Where the ctypes objects of `module` say something else than `description`, one sentence each."""
    found: list[str] = []
    resolver = _Resolver(description, module)
    for name, kind in description.types.items():
        if (declared := getattr(module, name, None)) is not resolver.type(kind):
            found.append(f"type {name} is declared as {_label(declared)}, not {kind}")
    for name, struct in description.structs.items():
        found.extend(_struct_disagreements(name, struct, getattr(module, name, None), resolver))
    found.extend(_constant_disagreements(description, module))
    for name, function in description.functions.items():
        found.extend(_function_disagreements(name, function, module, resolver))
    found.extend(
        f"function {n} is declared but does not exist"
        for n in module.FUNCTIONS
        if n not in description.functions
    )
    return found


class _Resolver:
    """Finds the ctypes object that stands for a type, by ctypes itself and the structures of the module."""

    def __init__(self, description: Description, module: ModuleType) -> None:
        self._description = description
        self._module = module

    def type(self, kind: str) -> Any:
        """The ctypes type for `kind` as the header spells it; None where a structure is not declared."""
        plain = kind.removeprefix("const ")
        if plain in self._description.types:
            return self.type(self._description.types[plain])
        if plain in self._description.structs:
            return getattr(self._module, plain, None)
        if array := re.fullmatch(r"(.+)\[(\d+)\]", plain):
            return self.type(array.group(1)) * int(array.group(2))
        if plain == "char *":
            return ctypes.c_char_p
        if plain == "void *" or _OPAQUE.fullmatch(plain):
            return ctypes.c_void_p
        if plain.endswith("*"):
            return ctypes.POINTER(self.type(plain.removesuffix("*").strip()))
        return getattr(ctypes, _SIMPLE[plain])


def _label(declared: object) -> str:
    return getattr(declared, "__name__", repr(declared))


def _struct_disagreements(name: str, struct: Struct, declared: object, resolver: _Resolver) -> list[str]:
    if not (isinstance(declared, type) and issubclass(declared, ctypes.Structure)):
        return [f"struct {name} is not declared"]
    found = []
    if ctypes.sizeof(declared) != struct.size:
        found.append(f"struct {name} is declared with {ctypes.sizeof(declared)} bytes, not {struct.size}")
    if ctypes.alignment(declared) != struct.alignment:
        found.append(
            f"struct {name} is declared with alignment {ctypes.alignment(declared)}, not {struct.alignment}"
        )
    types = {field[0]: field[1] for field in declared._fields_}
    if list(types) != [member.name for member in struct.members]:
        found.append(f"struct {name} is declared with the members {', '.join(types)}")
    for member in struct.members:
        if member.name not in types:
            found.append(f"member {name}.{member.name} is not declared")
            continue
        place = getattr(declared, member.name)
        if (place.offset, place.size) != (member.offset, member.size):
            found.append(
                f"member {name}.{member.name} is declared at offset {place.offset} with {place.size} bytes,"
                f" not at {member.offset} with {member.size}"
            )
        if types[member.name] is not resolver.type(member.type):
            found.append(
                f"member {name}.{member.name} is declared as {_label(types[member.name])}, not {member.type}"
            )
    return found


def _constant_disagreements(description: Description, module: ModuleType) -> list[str]:
    wanted = {**{name: macro.value for name, macro in description.macros.items()}, **description.constants}
    declared = {name: value for name, value in vars(module).items() if name.startswith("MMG_")}
    found = [f"constant {name} is not declared" for name in wanted if name not in declared]
    found += [f"constant {name} is declared but does not exist" for name in declared if name not in wanted]
    for name, value in wanted.items():
        if declared.get(name, value) != value:
            found.append(f"constant {name} is declared as {declared[name]}, not {value}")
    return found


def _function_disagreements(
    name: str, function: Function, module: ModuleType, resolver: _Resolver
) -> list[str]:
    if name not in module.FUNCTIONS:
        return [f"function {name} is not declared"]
    result, arguments = module.FUNCTIONS[name]
    found = []
    if result is not resolver.type(function.returns):
        found.append(f"function {name} is declared to return {_label(result)}, not {function.returns}")
    if len(arguments) != len(function.parameters):
        found.append(
            f"function {name} is declared with {len(arguments)} arguments, not {len(function.parameters)}"
        )
    for declared, parameter in zip(arguments, function.parameters, strict=False):
        if declared is not resolver.type(parameter.type):
            found.append(
                f"argument {parameter.name} of {name} is declared as {_label(declared)}, not {parameter.type}"
            )
    return found
