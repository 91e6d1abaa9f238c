# SPDX-License-Identifier: MIT OR Apache-2.0
"""The record of the ABI gate takes what may be added, refuses what may not, and holds other processors and older programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gate
from abi.gate_house import CHANGES, SCRIPT, House, changed, everything
from abigate.baseline import BaselineError

ARM_COMPILER = "aarch64-linux-gnu-gcc"


# --------------------------------------------------------------------------------------------------- the record


def renumber(house: House) -> None:
    """Make an incompatible change, and rebuild everything up to the library."""
    house.rewrite(house.paths.header, ("MMG_E_RANGE = -3", "MMG_E_RANGE = -6"))
    house.build()


def test_a_candidate_takes_any_change_when_told_to(house: House) -> None:
    renumber(house)
    assert everything(house.gate()) != []
    house.gate().accept()
    assert everything(house.gate()) == []
    assert "MMG_E_RANGE: Final = -6" in house.paths.declarations.read_text(encoding="utf-8")


def declare_release(house: House) -> None:
    """Do what a person does after the review of the header."""
    (house.record / "status").write_text("release\n", encoding="utf-8")


def recorded(house: House) -> dict[Path, bytes]:
    """Return every recorded file with its contents."""
    files = [path for path in (house.root / "abi").rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in [*files, house.paths.declarations]}


def test_a_release_takes_none(house: House) -> None:
    declare_release(house)
    assert everything(house.gate()) == []
    renumber(house)
    before = recorded(house)
    with pytest.raises(
        BaselineError, match=r"declares a release.* belongs to 1\.1: set MMG_ABI to 0x00010001"
    ):
        house.gate().accept()
    assert before == recorded(house)
    assert "constant MMG_E_RANGE changed from -3 to -6" in house.gate().record()


#: An addition that follows the rules: a new minor version, and the new function at a node of its own.
ADDITION = (
    ("MMG_ABI UINT32_C(0x00010000)", "MMG_ABI UINT32_C(0x00010001)"),
    ("    char file_system[24]; ", "    char file_system[24];\n    uint64_t more; "),
    ("MMG_E_GUARD = -62", "MMG_E_GUARD = -62, MMG_E_LATE = -63"),
    ("MMG_FLAG_REQUIRE_GUARD = 512", "MMG_FLAG_REQUIRE_GUARD = 512, MMG_FLAG_LATE = 2048"),
    ("/* MMG_CDEF_END */", "int32_t mmg_late(void);\n/* MMG_CDEF_END */"),
)
LATER_NODE = "MMAPGUARD_1.1 { global: mmg_late; } MMAPGUARD_1.0;\n"


def add(house: House, *more: tuple[str, str], node: str = LATER_NODE) -> None:
    """Make the addition and these changes to the header, and rebuild everything up to the library."""
    house.rewrite(house.paths.header, *ADDITION, *more)
    package = house.paths.declarations.parent
    house.rewrite(package / "_info.py", ("    faults: int\n", "    faults: int\n    more: int\n"))
    house.rewrite(package / "_options.py", ("    no_lease: bool\n", "    no_lease: bool\n    late: bool\n"))
    house.paths.version_script.write_text(SCRIPT + node, encoding="utf-8")
    house.build()


def test_after_a_release_an_addition_is_recorded_as_the_next_minor_version(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    before = {path: path.read_bytes() for path in house.record.iterdir()}
    add(house)
    run = house.gate()
    assert run.exports() + run.soname() + run.layout() + run.additions() == []
    assert "abi/1.1/mmapguard.h is not recorded yet" in run.record()
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert {path: path.read_bytes() for path in before} == before
    assert (house.root / "abi" / "1.1" / "status").read_text(encoding="utf-8") == "candidate\n"
    status, printed = on_the_command_line(house, capsys)
    assert status == 0, printed
    assert printed.startswith("ABI 1.1 (candidate)")


def test_what_is_added_after_a_release_may_change_until_it_is_released_too(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    add(house)
    assert on_the_command_line(house, capsys, "--accept")[0] == 0
    house.rewrite(house.paths.header, ("MMG_E_LATE = -63", "MMG_E_LATE = -64"))
    house.build()
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "  accepted: constant MMG_E_LATE changed from -63 to -64\n" in printed
    (house.root / "abi" / "1.1" / "status").write_text("release\n", encoding="utf-8")
    house.rewrite(house.paths.header, ("MMG_E_LATE = -64", "MMG_E_LATE = -63"))
    house.build()
    assert "not an addition to 1.1: constant MMG_E_LATE changed from -64 to -63" in house.gate().additions()
    assert on_the_command_line(house, capsys, "--accept")[0] == 1


def test_an_addition_without_a_new_minor_version_is_refused(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    add(house, ("MMG_ABI UINT32_C(0x00010001)", "MMG_ABI UINT32_C(0x00010000)"))
    before = recorded(house)
    assert house.gate().additions() == []
    assert "constant MMG_E_LATE is new" in house.gate().record()
    assert on_the_command_line(house, capsys, "--accept")[0] == 2
    assert before == recorded(house)


def test_a_function_added_to_a_node_that_has_shipped_is_refused(house: House) -> None:
    declare_release(house)
    house.rewrite(house.paths.header, *ADDITION)
    house.rewrite(house.paths.version_script, ("mmg_load;", "mmg_load; mmg_late;"))
    house.build()
    assert (
        "not an addition to 1.0: symbol mmg_late MMAPGUARD_1.0 is new at a node that has shipped"
        in house.gate().additions()
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        *(CHANGES[kind] for kind in CHANGES if kind not in ("a member added at the end", "a constant added")),
        ((("    uint64_t more; ", "    char more[5000]; "),), "struct mmg_info has 5192 bytes now: from 192 it may grow in steps of 8, up to 4096"),
        ((("MMG_FLAG_LATE = 2048", "MMG_FLAG_LATE = 64"),), "constant MMG_FLAG_LATE takes the number 64 of MMG_FLAG_NO_LEASE"),
        ((("\n} mmg_span;", "\n    uint64_t more;\n} mmg_span;"),), "struct mmg_span changed, and has no struct_size that would tell"),
        ((("    uint64_t inode; ", "    uint64_t late;\n    uint64_t inode; "),), "member mmg_info.inode changed its offset from 64 to 72"),
    ],
)  # fmt: skip
def test_after_a_release_everything_but_additions_is_refused(
    house: House, capsys: pytest.CaptureFixture[str], changes: tuple[tuple[str, str], ...], sentence: str
) -> None:
    declare_release(house)
    house.rewrite(house.paths.header, *ADDITION, *changes)
    house.paths.version_script.write_text(SCRIPT + LATER_NODE, encoding="utf-8")
    house.build()
    sentence = sentence.replace(" is new", " is gone").replace("mmg_info.node", "mmg_info.inode")
    assert any(f"not an addition to 1.0: {sentence}" in finding for finding in house.gate().additions())
    before = recorded(house)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert before == recorded(house)


def test_abidiff_alone_tells_an_addition_from_another_change(house: House) -> None:
    declare_release(house)
    add(house)
    assert house.gate().additions() == []
    house.build(
        header=changed(
            house.paths.header.read_text(encoding="utf-8"),
            ("    uint64_t handles; ", "    uint32_t handles;\n    uint32_t padding; "),
        )
    )
    (finding,) = house.gate().additions()
    assert finding.startswith("not an addition to 1.0: abidiff reports ")


# ------------------------------------------------------------------------------ other processors, older programs


def test_a_program_compiled_against_the_record_is_run(house: House) -> None:
    assert house.gate().programs() == []
    house.build(answers={"mmg_abi_version": "return 0;"})
    assert house.gate().programs() == [
        "the program compiled against abi/1.0/mmapguard.h fails: exit status 3"
    ]
    house.rewrite(house.record / "mmapguard.h", ("uint32_t mmg_abi_version(void);", ""))
    (finding,) = house.gate().programs()
    assert "cannot be built" in finding
    house.paths.program.unlink()
    assert house.gate().programs() == ["tests/abi/consumer/consumer.c does not exist"]


def test_another_processor_that_cannot_be_checked_is_named(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    if house.gate().library.machine != "x86_64":
        pytest.skip("the other processor of the record is this one")
    status, printed = on_the_command_line(house, capsys)
    assert (
        status,
        "  not checked: aarch64: there is no build/aarch64/libmmapguard.so.1; install" in printed,
    ) == (0, True)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert (status, "  not renewed: aarch64: there is no build/aarch64/" in printed) == (0, True)
    assert "gcc-aarch64-linux-gnu" in printed
    folder = house.root / "build" / "aarch64"
    folder.mkdir()
    shutil.copy(house.paths.library, folder)
    (folder / "CMakeCache.txt").write_text("CMAKE_C_COMPILER:FILEPATH=/nowhere/cc\n", encoding="utf-8")
    status, printed = on_the_command_line(house, capsys)
    assert (status, "  not checked: aarch64: /nowhere/cc is gone; install" in printed) == (0, True)


@pytest.mark.skipif(shutil.which(ARM_COMPILER) is None, reason=f"{ARM_COMPILER} is not installed")
def test_another_processor_is_recorded_and_checked(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.build(compiler=ARM_COMPILER)
    status, printed = on_the_command_line(house, capsys)
    assert (status, "- aarch64: abi/1.0/aarch64.abi is not recorded yet" in printed) == (1, True)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "architecture='elf-arm-aarch64'" in (house.record / "aarch64.abi").read_text(encoding="utf-8")
    assert on_the_command_line(house, capsys)[0] == 0
    reordered, sentence = CHANGES["members reordered"]
    header = changed(house.paths.header.read_text(encoding="utf-8"), *reordered)
    house.build(compiler=ARM_COMPILER, header=header)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert f"- aarch64: from the header to the library: {sentence}" in printed
    assert "- aarch64: abidiff reports a change" in printed
    assert "    - abidiff" not in printed


def test_a_status_that_is_neither_is_refused(house: House) -> None:
    (house.record / "status").write_text("nearly\n", encoding="utf-8")
    with pytest.raises(BaselineError, match="says `nearly`"):
        house.gate().accept()


@pytest.mark.parametrize("name", ["mmapguard.h", "symbols", "{machine}.abi"])
def test_a_missing_record_is_named(house: House, name: str) -> None:
    name = name.format(machine=house.gate().library.machine)
    (house.record / name).unlink()
    assert house.gate().record() == [f"abi/1.0/{name} is not recorded yet"]


def test_nothing_is_recorded_of_a_library_that_is_not_what_the_header_says(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    renumbered = changed(
        house.paths.header.read_text(encoding="utf-8"), ("MMG_E_RANGE = -3", "MMG_E_RANGE = -6")
    )
    house.build(header=renumbered)
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert "MMG_E_RANGE: Final = -3" in house.paths.declarations.read_text(encoding="utf-8")


def test_the_command_line_names_what_it_accepts(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    renumber(house)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert "    - constant MMG_E_RANGE changed from -3 to -6\n" in printed
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 0, printed
    assert "  accepted: constant MMG_E_RANGE changed from -3 to -6\n" in printed
    assert on_the_command_line(house, capsys)[0] == 0


def test_the_command_line_refuses_to_record_a_release_anew(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_release(house)
    renumber(house)
    status, printed = on_the_command_line(house, capsys)
    assert status == 1
    assert "not an addition to 1.0: constant MMG_E_RANGE changed from -3 to -6" in printed
    assert "--accept" not in printed
    status, printed = on_the_command_line(house, capsys, "--accept")
    assert status == 1
    assert "Nothing was recorded" in printed
    assert on_the_command_line(house, capsys)[0] == 1


def test_what_cannot_be_checked_is_not_called_sound(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.paths.library.unlink()
    assert on_the_command_line(house, capsys)[0] == 2


def on_the_command_line(house: House, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the gate's program on this house. Return its exit status and what it printed."""
    status = gate.main(["--root", str(house.root), *arguments])
    return status, capsys.readouterr().out
