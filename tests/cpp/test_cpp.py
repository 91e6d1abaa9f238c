# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmapguard.hpp: every compiler takes it as C++17, 20 and 23 without a warning, and it keeps what it promises."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.compilers import compilers
from support.library import ROOT, library_path

STANDARDS = ("c++17", "c++20", "c++2b")
COMPILERS = compilers("g++", "clang++", "clang++-14", otherwise="c++")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wold-style-cast"]
STRICT += ["-Wzero-as-null-pointer-constant", "-Werror"]
CASES = ("given-back", "bytes", "missing", "foreign", "adopted", "cut", "nul", "result")
WAYS = [(compiler, standard) for compiler in COMPILERS for standard in STANDARDS]


def compile_it(compiler: str, standard: str, source: Path, program: Path) -> subprocess.CompletedProcess[str]:
    """Compile a program and link it with the library of this build."""
    library = library_path()
    command = [compiler, f"-std={standard}", *STRICT, "-I", str(ROOT / "include"), str(source)]
    command += ["-o", str(program), str(library), f"-Wl,-rpath,{library.parent}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", params=WAYS, ids=" ".join)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the test program, compiled in one way, with warnings as errors."""
    path = tmp_path_factory.mktemp("cpp") / "raii"
    compiler, standard = request.param
    done = compile_it(compiler, standard, ROOT / "tests" / "cpp" / "raii.cpp", path)
    assert (done.returncode, done.stderr) == (0, "")
    return path


@pytest.mark.parametrize("case", CASES)
def test_the_header_keeps_its_promises(program: Path, case: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(at * 31 & 0xFF for at in range(300_000)))
    done = subprocess.run([program, case, file], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_forgotten_result_does_not_compile(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "forgotten.cpp"
    source.write_text(
        '#include "mmapguard.h"\nvoid f(mmg_handle handle) { mmg_check(handle); }\n', encoding="utf-8"
    )
    done = compile_it(compiler, "c++17", source, tmp_path / "out")
    assert done.returncode != 0
    assert "unused" in done.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_example_prints_a_sum_that_holds(compiler: str, tmp_path: Path) -> None:
    program, file = tmp_path / "checksum", tmp_path / "file"
    done = compile_it(compiler, "c++17", ROOT / "examples" / "cpp" / "checksum.cpp", program)
    assert (done.returncode, done.stderr) == (0, "")
    file.write_bytes(b"\x01\x02\x03")
    assert subprocess.run([program, file], capture_output=True, text=True, check=True).stdout == "6\n"
    missing = subprocess.run([program, tmp_path / "none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "MMG_E_NOT_FOUND" in missing.stderr
