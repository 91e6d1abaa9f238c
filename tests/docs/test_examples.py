# SPDX-License-Identifier: MIT OR Apache-2.0
"""The examples in C build without a warning, do what they say, and live when their file is cut under them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from support.library import library_path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "c"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.c"))
STRICT = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
]


def build(source: Path, program: Path) -> None:
    """Build one of the examples with the library under test."""
    library = library_path()
    files: list[str | Path] = [source, library, f"-Wl,-rpath,{library.parent}", "-o", program]
    subprocess.run(["cc", *STRICT, f"-I{ROOT / 'include'}", *files], check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the built examples."""
    folder = tmp_path_factory.mktemp("examples")
    for name in PROGRAMS:
        build(EXAMPLES / f"{name}.c", folder / name)
    return folder


def run(*command: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def start(*command: str | Path) -> subprocess.Popen[str]:
    """Start a program that prints a line and waits for one."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_every_example_is_described() -> None:
    described = re.findall(r"^\| \[(\w+)\.c\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(described) == PROGRAMS


def test_the_readme_shows_lines(tmp_path: Path) -> None:
    program = re.search(r"```c\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert program is not None
    assert (EXAMPLES / "lines.c").read_text().endswith("*/\n" + program[1])


def test_lines_counts(built: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"some words\n" * 20_000)
    assert run(built / "lines", text) == (0, "20000 lines\n", "")
    code, said, errors = run(built / "lines", tmp_path / "missing")
    assert (code, said) == (1, "")
    assert "missing" in errors


def test_window_finds_at_the_offset_in_the_file(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"needle:first " + b"." * 300_000 + b"needle:second half of it" + b"." * 100)
    assert run(built / "window", path, "12345", "287700", "needle")[:2] == (
        0,
        "at 300013, followed by ':second half of '\n",
    )
    assert run(built / "window", path, "12345", "1000", "needle")[:2] == (0, "not found\n")
    code, said, errors = run(built / "window", path, "12345", "999999", "needle")
    assert (code, said) == (1, "")
    assert "window" in errors


def test_stable_keeps_its_bytes_while_the_file_is_rewritten(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(300_000)
    path.write_bytes(data)
    with start(built / "stable", path) as process:
        assert process.stdout is not None
        means, before = process.stdout.readline(), process.stdout.readline()
        with path.open("r+b") as file:
            file.write(bytes(255 - byte for byte in data))
        after, errors = process.communicate("\n", timeout=60)
    assert means.startswith("stable by ")
    assert before == after == f"{zlib.adler32(data):08x}\n"
    assert (process.returncode, errors) == (0, "")


def test_a_host_with_its_own_handler_lives_when_its_file_is_cut(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\1" * 300_000)
    with start(built / "own_handler", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "300000\n"
        os.truncate(path, 100_000)
        after, errors = process.communicate("\n", timeout=60)
    assert after == "100000\n"
    assert process.returncode == 1
    assert "MMG_E_TRUNCATED" in errors


def test_without_the_library_in_its_handler_that_host_dies(built: Path, tmp_path: Path) -> None:
    """The twin is the same program without the call."""
    source = (EXAMPLES / "own_handler.c").read_text()
    twin = source.replace(
        "if (mmg_handle_fault(signo, info, context))\n", "if (signo == 0 || !info || !context)\n"
    )
    assert twin != source
    (tmp_path / "twin.c").write_text(twin)
    shutil.copy(EXAMPLES / "errors.h", tmp_path)
    build(tmp_path / "twin.c", tmp_path / "twin")
    path = tmp_path / "file"
    path.write_bytes(b"\1" * 300_000)
    with start(tmp_path / "twin", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "300000\n"
        os.truncate(path, 100_000)
        _, errors = process.communicate("\n", timeout=60)
    assert process.returncode == 3
    assert "a SIGBUS of the host's own" in errors


def test_mappings_of_other_code_live_and_the_ledger_tells(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\1" * (73 << 12))
    with start(built / "foreign", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "299008\n"
        os.truncate(path, 40_960)
        after, errors = process.communicate("\n", timeout=60)
    assert (process.returncode, after) == (1, "40960\n")
    assert errors == f"{path}: 258048 bytes from 40960 on are lost (MMG_E_TRUNCATED)\n"


def test_without_the_guard_that_program_dies(built: Path, tmp_path: Path) -> None:
    """The twin is the same program without the call."""
    source = (EXAMPLES / "foreign.c").read_text()
    twin = source.replace('    must(mmg_guard_process(MMG_SCOPE_FILES, 0), "guard");\n', "")
    assert twin != source
    (tmp_path / "twin.c").write_text(twin)
    shutil.copy(EXAMPLES / "errors.h", tmp_path)
    build(tmp_path / "twin.c", tmp_path / "twin")
    path = tmp_path / "file"
    path.write_bytes(b"\1" * 300_000)
    with start(tmp_path / "twin", path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.truncate(path, 40_960)
        process.communicate("\n", timeout=60)
    assert process.returncode == -signal.SIGBUS


def test_lines_tells_a_file_that_was_written_to(built: Path, tmp_path: Path) -> None:
    """Another program writes to the file all the time, so that it disturbs one of the readings."""
    text = tmp_path / "text"
    text.write_bytes(b"some words\n" * 400_000)
    script = "import os, sys\nwhile True: os.pwrite(1, b'S', 0)\n"
    with text.open("r+b") as out, subprocess.Popen([sys.executable, "-c", script], stdout=out) as writer:
        try:
            for _ in range(200):
                code, said, errors = run(built / "lines", text)
                if code != 0:
                    break
        finally:
            writer.kill()
    assert (code, said) == (1, "")
    assert "written to" in errors or "changed" in errors
