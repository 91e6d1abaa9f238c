# SPDX-License-Identifier: MIT OR Apache-2.0
"""The probes for tracers: notes in the object where they are wanted, and nothing at all where they are not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.library import ROOT, library_path

PROBES = {"contained": 6, "lease_break": 2, "snapshot": 1}
"""How many arguments each has."""
SOURCES = ["guard/ledger.c", "stable/keeper.c", "stable/snapshot.c"]
NOTE = re.compile(
    r"Provider: (\w+)\s+Name: (\w+)\s+Location: (\w+), Base: \w+, Semaphore: (\w+)\s+Arguments: (.*)"
)


def compiled(source: str, folder: Path, *options: str) -> Path:
    """The object of a source file of the library."""
    result = folder / f"{Path(source).stem}.o"
    command = ["cc", "-std=c11", "-O2", "-fPIC", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", *options]
    places = ["-I", str(ROOT / "include"), "-I", str(ROOT / "src")]
    last = ["-c", str(ROOT / "src" / source), "-o", str(result)]
    done = subprocess.run([*command, *places, *last], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return result


def probes(path: Path) -> dict[str, tuple[int, str]]:
    """The probes that the notes of an object name: arguments, and the semaphore, which would be a cost."""
    notes = subprocess.run(["readelf", "-n", "-W", path], capture_output=True, text=True, check=True).stdout
    found = NOTE.findall(notes)
    assert {provider for provider, *_ in found} <= {"mmapguard"}
    return {name: (len(arguments.split()), semaphore) for _, name, _, semaphore, arguments in found}


def test_each_probe_has_a_note_with_its_arguments(tmp_path: Path) -> None:
    wanted = subprocess.run(
        ["cc", "-E", "-x", "c", "-"],
        input="#include <sys/sdt.h>",
        capture_output=True,
        text=True,
        check=False,
    )
    if wanted.returncode != 0:
        pytest.skip("sys/sdt.h is not installed (Debian: systemtap-sdt-dev)")
    found: dict[str, tuple[int, str]] = {}
    for source in SOURCES:
        found |= probes(compiled(source, tmp_path, "-DMMAPGUARD_PROBES"))
    assert {name: count for name, (count, _) in found.items()} == PROBES
    assert {int(semaphore, 16) for _, semaphore in found.values()} == {0}, "a probe costs one instruction"


@pytest.mark.parametrize("source", SOURCES)
def test_without_the_option_the_header_is_not_even_read(source: str, tmp_path: Path) -> None:
    poisoned = tmp_path / "include" / "sys" / "sdt.h"
    poisoned.parent.mkdir(parents=True)
    poisoned.write_text("#error read\n")
    without = compiled(source, tmp_path, "-I", str(tmp_path / "include"))
    assert probes(without) == {}
    text = without.read_bytes()
    assert text == compiled(source, tmp_path).read_bytes(), "the object is another where the header is there"


def test_the_library_has_the_probes_that_the_build_says() -> None:
    cache = library_path().absolute().parent / "CMakeCache.txt"
    if not cache.exists():
        pytest.skip("the library is not in its build folder")
    settings = dict(re.findall(r"^(MMAPGUARD_(?:PROBES|HAS_SDT)):\w+=(\w*)$", cache.read_text(), re.M))
    has_probes = settings["MMAPGUARD_PROBES"] == "ON" and settings.get("MMAPGUARD_HAS_SDT", "") == "1"
    assert set(probes(library_path())) == (set(PROBES) if has_probes else set())
