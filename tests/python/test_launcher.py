# SPDX-License-Identifier: MIT OR Apache-2.0
"""`mmapguard run` of the package hands over to the program that comes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import mmapguard

READER = """
import mmap, os, sys
with open("lost", "wb") as file:
    file.write(b"1" * (1 << 20))
with open("lost", "rb") as file:
    map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate("lost", 5000)
print("left", map[:].count(b"1"))
"""
COMMANDS = {
    "module": [sys.executable, "-m", "mmapguard"],
    "script": [str(Path(sys.executable).parent / "mmapguard")],
}


def run(*command: str, folder: Path, feed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=feed, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_program_is_guarded(tmp_path: Path) -> None:
    assert run(sys.executable, "-c", READER, folder=tmp_path).returncode == -signal.SIGBUS
    for command in COMMANDS.values():
        done = run(*command, "run", "--", sys.executable, "-c", READER, folder=tmp_path)
        assert (done.returncode, done.stdout) == (75, "left 5000\n"), done.stderr
        assert f"{tmp_path}/lost: 1043576 bytes from offset 5000" in done.stderr
        done = run(*command, "run", "--on-loss=report", sys.executable, "-c", READER, folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, "left 5000\n"), done.stderr


def test_signals_and_streams_are_those_of_the_caller(tmp_path: Path) -> None:
    # Python ignores some signals in its own process, so the test lets a shell print the ignored signals that it
    # inherits.
    done = run(
        *COMMANDS["module"],
        "run",
        "sh",
        "-c",
        "cat; grep SigIgn /proc/self/status",
        folder=tmp_path,
        feed="fed\n",
    )
    plain = run("sh", "-c", "cat; grep SigIgn /proc/self/status", folder=tmp_path, feed="fed\n")
    assert (done.returncode, done.stdout) == (0, plain.stdout)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    for words, code in (
        (["run"], 2),
        (["run", "--unknown", "true"], 2),
        (["run", "no-such-command"], 127),
        (["run", "--help"], 0),
    ):
        assert run(*COMMANDS["module"], *words, folder=tmp_path).returncode == code


def test_a_file_with_the_name_of_the_command_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"x" * 100_000)
    done = run(*COMMANDS["module"], "./run", folder=tmp_path)
    assert done.returncode == 0 and "contained" in done.stdout


def test_a_package_without_the_program_says_so(tmp_path: Path) -> None:
    package = Path(str(mmapguard.__file__)).parent
    (tmp_path / "mmapguard").mkdir()
    for path in package.iterdir():
        if path.is_file() and path.name != "mmapguard":
            (tmp_path / "mmapguard" / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-m", "mmapguard", "run", "true"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 126 and "No such file" in done.stderr
