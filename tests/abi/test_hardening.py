# SPDX-License-Identifier: MIT OR Apache-2.0
"""The built file was linked as distributions, and programs that load the library, expect."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from support import elf
from support import library as mmg

pytestmark = pytest.mark.skipif(
    "san.so" in mmg.library_path().read_bytes().decode("latin-1"),
    reason="a build with sanitizers is for finding faults, and linked otherwise",
)


def readelf(*words: str) -> str:
    """Return what readelf says of the library."""
    command = ["readelf", "--wide", *words, str(mmg.library_path())]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_nothing_in_it_is_writable_once_it_is_loaded_that_need_not_be() -> None:
    assert "GNU_RELRO" in readelf("--program-headers")
    assert re.search(r"\(FLAGS.*NOW", readelf("--dynamic")), "full RELRO needs immediate binding"


def test_no_segment_is_writable_and_executable() -> None:
    segments = re.findall(
        r"^  ([A-Z_]+) .*0x\w+ 0x\w+ ([RWE ]{3}) ", readelf("--program-headers"), re.MULTILINE
    )
    assert ("GNU_STACK", "RW ") in segments
    assert [name for name, flags in segments if "W" in flags and "E" in flags] == []


def test_the_code_is_shared_as_it_is() -> None:
    assert "TEXTREL" not in readelf("--dynamic")


def test_it_stays_loaded_since_a_signal_handler_cannot_be_unloaded() -> None:
    assert re.search(r"\(FLAGS_1\).*NODELETE", readelf("--dynamic"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are marks of x86-64")
def test_it_is_marked_for_control_flow_protection() -> None:
    assert re.search(r"x86 feature:.*IBT.*SHSTK", readelf("--notes"))


def test_it_needs_nothing_newer_than_glibc_2_28() -> None:
    assert elf.too_new(mmg.library_path()) == {}


def test_a_program_that_needs_a_newer_glibc_is_told_apart(tmp_path: Path) -> None:
    newest = max(elf.symbols_of_glibc(mmg.library_path()).values())
    (tmp_path / "new.c").write_text(
        '__asm__(".symver used, arc4random@GLIBC_2.36");\nunsigned used(void);\n'
        "unsigned f(void);\nunsigned f(void) { return used(); }\n"
    )
    command = ["gcc", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all", "-o", "new.so", "new.c"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert newest <= elf.OLDEST_GLIBC
    assert elf.too_new(tmp_path / "new.so") == {"arc4random": (2, 36)}
