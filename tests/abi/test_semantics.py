# SPDX-License-Identifier: MIT OR Apache-2.0
"""abi.json says all that a generator of bindings needs, and the library treats pointers as abi.json says."""

from __future__ import annotations

import ctypes
import json
from collections import Counter
from typing import Any

import pytest

from mmapguard import abi
from support import library as mmg
from support.library import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "abi" / "abi.json").read_text(encoding="utf-8"))
GROUPS = {group["name"]: group for group in DOCUMENT["enumerations"]}
STRUCTS, FUNCTIONS = DOCUMENT["structs"], DOCUMENT["functions"]
PARAMETERS = [(name, p) for name, function in FUNCTIONS.items() for p in function["parameters"]]
POINTERS = [(name, p) for name, p in PARAMETERS if p["type"].endswith("*")]


def users() -> list[dict[str, Any]]:
    """Return every parameter and member that may take the constants of a group."""
    members = [member for struct in STRUCTS.values() for member in struct["members"]]
    return members + [p for _, p in PARAMETERS] + [function["returns"] for function in FUNCTIONS.values()]


def plain(kind: str) -> str:
    """Return the number type behind a name or a pointer."""
    kind = kind.removesuffix(" *")
    return str(DOCUMENT["types"].get(kind, {"type": kind})["type"])


def test_every_group_of_constants_is_taken_by_something_and_in_one_type() -> None:
    taken = Counter((user["enumeration"], plain(user["type"])) for user in users() if "enumeration" in user)
    assert set(taken) == {(name, group["type"]) for name, group in GROUPS.items()}


def test_bits_are_powers_of_two_and_only_they_are_marked_so() -> None:
    bits = {name for name, group in GROUPS.items() if group["bits"]}
    assert bits == {"MMG_FLAG", "MMG_CLOSE", "MMG_CHANGED", "MMG_EXCEPT", "MMG_PROCESS"}
    for name in bits:
        assert all(int(c["value"]).bit_count() == 1 for c in GROUPS[name]["constants"].values()), name


@pytest.mark.parametrize(("name", "parameter"), POINTERS, ids=lambda value: value if isinstance(value, str) else value["name"])  # fmt: skip
def test_a_pointer_says_its_direction(name: str, parameter: dict[str, Any]) -> None:
    assert parameter["direction"] in ("in", "out", "in,out")
    read_only = parameter["type"].startswith("const ") and not parameter["type"].endswith("**")
    assert (parameter["direction"] == "in") == read_only or name == "mmg_handle_fault"


def test_every_text_says_its_encoding() -> None:
    texts = [user for user in users() if "char" in user["type"]]
    assert len(texts) > 5
    assert {user["encoding"] for user in texts} == {"ascii", "utf-8", "filesystem"}


def test_every_handle_and_every_pin_names_the_call_that_gives_it_back() -> None:
    handles = [p["given_back_by"] for _, p in POINTERS if p["type"] == "mmg_handle *"]
    assert handles and set(handles) == {"mmg_close"}
    spans = [
        p.get("given_back_by") for _, p in POINTERS if p["type"] == "mmg_span *" and p["direction"] == "out"
    ]
    assert spans == ["mmg_unpin"]


def test_every_untyped_buffer_names_its_size() -> None:
    buffers = [
        (name, p)
        for name, p in POINTERS
        if p["type"] in ("void *", "const void *") and name != "mmg_handle_fault"
    ]
    assert buffers
    for name, buffer in buffers:
        assert buffer["size_in"] in [p["name"] for p in FUNCTIONS[name]["parameters"]], name


def test_the_numbers_of_the_release_agree_with_each_other_and_with_the_library() -> None:
    major, minor, patch = abi.MMG_VERSION_MAJOR, abi.MMG_VERSION_MINOR, abi.MMG_VERSION_PATCH
    assert major << 16 | minor == abi.MMG_ABI
    assert mmg.lib.mmg_version().decode() == f"{major}.{minor}.{patch}"


def test_everything_is_documented() -> None:
    assert [name for name, function in FUNCTIONS.items() if not function["documentation"]] == []
    assert [name for name, macro in DOCUMENT["macros"].items() if not macro["documentation"]] == []
    assert [
        m["name"] for struct in STRUCTS.values() for m in struct["members"] if not m["documentation"]
    ] == []
    constants = [item for group in GROUPS.values() for item in group["constants"].items()]
    assert [name for name, constant in constants if not constant["documentation"]] == []


#: The offset of the release callback in an Arrow array.
RELEASE = 5 * 8 + 3 * ctypes.sizeof(ctypes.c_void_p)


#: A pointer with a size may be NULL where the size is 0, as in the calls below.
@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, p) for name, p in POINTERS if name != "mmg_handle_fault"],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_null_is_refused_exactly_where_it_is_said_to_be(
    name: str, parameter: dict[str, Any], tmp_path: Any
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    with open(path, "rb") as stream, mmg.opened(mmg.try_open(path)) as handle:
        room = ctypes.create_string_buffer(4096)
        ctypes.c_uint32.from_buffer(room).value = 0
        numbers = {"handle": handle, "fd": stream.fileno(), "struct_size": ctypes.sizeof(abi.mmg_options)}
        arguments: list[Any] = []
        for p in FUNCTIONS[name]["parameters"]:
            kind = p["type"].removeprefix("const ").removesuffix(" *")
            if p["name"] == parameter["name"]:
                arguments.append(None)
            elif not p["type"].endswith("*"):
                arguments.append(numbers.get(p["name"], 0))
            elif p["type"] == "const char *":
                arguments.append(str(path).encode())
            elif kind in STRUCTS:
                arguments.append(ctypes.byref(getattr(abi, kind)()))
            else:
                arguments.append(ctypes.cast(room, abi.FUNCTIONS[name][1][len(arguments)]))
        status = getattr(mmg.lib, name)(*arguments)
        assert (mmg.status_name(status) == "MMG_E_ARGUMENT") == (not parameter["nullable"])
        if status == abi.MMG_OK and name == "mmg_export_arrow":
            release = ctypes.CFUNCTYPE(None, ctypes.c_void_p).from_buffer(room, RELEASE)
            release(ctypes.addressof(room))
        given = [
            a
            for a, p in zip(arguments, FUNCTIONS[name]["parameters"], strict=True)
            if p.get("given_back_by") == "mmg_close"
        ]
        if status == abi.MMG_OK and given:
            assert mmg.close(ctypes.c_uint64.from_buffer(room).value) == abi.MMG_OK


def test_no_two_names_differ_in_case_alone() -> None:
    """Many languages take such names for the same one."""
    names = [*FUNCTIONS, *STRUCTS, *DOCUMENT["types"], *DOCUMENT["macros"]]
    names += [constant for group in GROUPS.values() for constant in group["constants"]]
    taken = Counter(name.lower() for name in names)
    assert [name for name, times in taken.items() if times > 1] == []
