# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ABI gate names each kind of change of a type, a constant or a prototype."""

from __future__ import annotations

import pytest

from abi.gate_house import CHANGES, House, changed
from abigate.debuginfo import KEEP_TYPES, DebugInfoError

# -------------------------------------------------------- types, constants and prototypes: each kind of change


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_since_the_record_is_named(house: House, kind: str) -> None:
    changes, sentence = CHANGES[kind]
    house.rewrite(house.paths.header, *changes)
    house.build()
    run = house.gate()
    assert run.exports() + run.soname() + run.layout() == []
    assert sentence in run.record()
    assert f"abi.json is stale: {sentence}" in run.description()


@pytest.mark.parametrize("kind", [kind for kind in CHANGES if kind != "a macro changed"])
def test_a_library_built_from_another_header_is_caught(house: House, kind: str) -> None:
    changes, sentence = CHANGES[kind]
    house.build(header=changed(house.paths.header.read_text(encoding="utf-8"), *changes))
    assert f"from the header to the library: {sentence}" in house.gate().layout()


@pytest.mark.parametrize(
    "kind", ["members reordered", "a member resized", "a parameter retyped", "a type widened"]
)
def test_abidiff_alone_catches_a_changed_layout_or_prototype(house: House, kind: str) -> None:
    changes, _ = CHANGES[kind]
    house.build(header=changed(house.paths.header.read_text(encoding="utf-8"), *changes))
    assert [finding for finding in house.gate().record() if finding.startswith("abidiff reports ")]


def test_a_changed_comment_is_named_too(house: House) -> None:
    house.rewrite(
        house.paths.header,
        ("/** What mmg_guard_state() returns. */", "/** Returned by mmg_guard_state(). */"),
    )
    house.build()
    assert house.gate().record() == [
        "the text of mmapguard.h differs from abi/1.0/mmapguard.h, though not its meaning"
    ]  # fmt: skip


def test_a_library_without_debug_information_is_refused(house: House) -> None:
    house.build(debug=())
    with pytest.raises(DebugInfoError, match="no debug information"):
        house.gate()


def test_constants_of_which_the_debug_information_tells_nothing_are_named(house: House) -> None:
    house.build(debug=("-g",))
    found = house.gate().layout()
    assert [finding for finding in found if "is gone" in finding] == []
    assert any(KEEP_TYPES in finding and "nothing of MMG_CLOSE_STRICT" in finding for finding in found)


def test_a_header_with_a_preprocessor_line_among_its_declarations_is_refused(house: House) -> None:
    house.rewrite(house.paths.header, ("/* MMG_CDEF_BEGIN */", "/* MMG_CDEF_BEGIN */\n#define MMG_ONE 1\n"))
    with pytest.raises(ValueError, match="a preprocessor line"):
        house.gate()


@pytest.mark.parametrize(
    "declaration",
    ["typedef mmg_status (*mmg_callback)(void);", "struct mmg_late { uint32_t a; };", "extern int32_t mmg_state;", "int32_t mmg_log(const char *text, ...);"],
)  # fmt: skip
def test_a_declaration_that_the_abi_may_not_hold_is_refused(house: House, declaration: str) -> None:
    house.rewrite(house.paths.header, ("/* MMG_CDEF_END */", f"{declaration}\n/* MMG_CDEF_END */"))
    with pytest.raises(ValueError, match="not a declaration the ABI may hold"):
        house.gate()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    uint32_t lock_wait_ms; ", "    uint32_t lock_wait_ms : 31; "), "bit-field"),
        (("uint64_t copy_threshold; ", "double copy_threshold; "), "double may not occur"),
    ],
)
def test_a_type_that_the_abi_may_not_hold_is_refused(
    house: House, change: tuple[str, str], words: str
) -> None:
    house.rewrite(house.paths.header, change)
    with pytest.raises(DebugInfoError, match=words):
        house.gate()
