# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs made for every recorded version work with the library of today: in C, through ctypes, and in LuaJIT."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.library import ROOT, library_path

sys.path.insert(0, str(ROOT / "abi"))

from abigate.programs import compile_program, complaint, run_with

CONSUMERS = ROOT / "tests" / "abi" / "consumer"
RECORDS = sorted(path.parent for path in (ROOT / "abi").glob("[0-9]*.[0-9]*/mmapguard.h"))
every_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)


def run(*command: str | Path) -> str:
    """Run a program. Return its error messages."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else complaint(done)


def test_there_is_a_record() -> None:
    assert [record.name for record in RECORDS][:1] == ["1.0"]


@every_record
def test_a_c_program_compiled_against_the_record_works(record: Path, tmp_path: Path) -> None:
    program, source = tmp_path / "consumer", CONSUMERS / "consumer.c"
    more = ["-Wall", "-Wextra"]
    assert compile_program("cc", source, record, library_path(), program, *more) == ""
    done = run_with(library_path(), program, str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr


def test_a_ctypes_program_declared_by_the_description_works(tmp_path: Path) -> None:
    script = CONSUMERS / "consumer.py"
    assert run(sys.executable, script, ROOT / "abi" / "abi.json", library_path(), tmp_path / "file") == ""


@every_record
@pytest.mark.skipif(shutil.which("luajit") is None, reason="luajit is not installed")
def test_a_luajit_program_declared_by_the_record_works(record: Path, tmp_path: Path) -> None:
    script = CONSUMERS / "consumer.lua"
    assert run("luajit", script, record / "mmapguard.h", library_path(), tmp_path / "file") == ""
