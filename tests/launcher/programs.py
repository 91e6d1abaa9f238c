# SPDX-License-Identifier: MIT OR Apache-2.0
"""Lists programs of Debian that map files, each with a file to map and a command that reads it to the end."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Program:
    """A program, and what to do with it."""

    name: str
    tools: tuple[str, ...]
    package: str
    make: Callable[[Path], Path]
    """Make the file in a folder, and return its path."""
    command: Callable[[Path], list[str]]
    keeps: int = PAGE
    """Bytes that the cut leaves, so that the program gets as far as to map the rest."""
    notices: bool = False
    """The program sees by itself that the zeros make no sense, and fails."""


def needs(program: Program) -> None:
    """Skip the test when a program is missing. Fail instead where ./dev has installed everything."""
    missing = [tool for tool in program.tools if shutil.which(tool) is None]
    if (
        not missing
        and program.name == "numpy"
        and subprocess.run(["/usr/bin/python3", "-c", "import numpy"]).returncode
    ):
        missing = ["numpy for /usr/bin/python3"]
    if missing and os.environ.get("MMAPGUARD_LAUNCHER") == "all":
        pytest.fail(f"not installed: {' '.join(missing)}")
    if missing:
        pytest.skip(
            f"not installed: {' '.join(missing)} ({program.package}); ./dev test launcher installs it"
        )


def _fed(command: list[str], text: str) -> None:
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def _text(folder: Path) -> Path:
    path = folder / "text.log"
    path.write_bytes(b"a line of some text\n" * 200_000)
    return path


def _words(folder: Path) -> Path:
    path = folder / "words"
    path.write_bytes(b"".join(b"word%08d\n" % number for number in range(200_000)))
    return path


def _magic(folder: Path) -> Path:
    path = folder / "magic.mgc"
    shutil.copy(os.path.realpath("/usr/lib/file/magic.mgc"), path)
    return path


def _database(folder: Path) -> Path:
    path = folder / "data.db"
    path.unlink(missing_ok=True)
    _fed(
        ["sqlite3", str(path)],
        "create table t(a, b);"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)"
        " insert into t select i, hex(randomblob(30)) from n;",
    )
    return path


def _lmdb(folder: Path) -> Path:
    path = folder / "data.mdb"
    for name in (path, folder / "data.mdb-lock"):
        name.unlink(missing_ok=True)
    head = "VERSION=3\nformat=print\ntype=btree\nmapsize=16777216\nmaxreaders=126\nHEADER=END\n"
    records = "".join(f" k{number:08d}\n {'v' * 100}\n" for number in range(20_000))
    _fed(["mdb_load", "-n", str(path)], f"{head}{records}DATA=END\n")
    return path


def _repository(folder: Path) -> Path:
    shutil.rmtree(folder / "repository", ignore_errors=True)
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    git = ["git", "-C", str(folder / "repository"), *who]
    (folder / "repository").mkdir()
    (folder / "repository" / "data").write_bytes(random.Random(1).randbytes(3 << 20))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "data"], ["repack", "-adq"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    (pack,) = (folder / "repository" / ".git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    return pack


NUMPY = "import sys, numpy; print(numpy.memmap(sys.argv[1], 'u1', 'r').sum())"

PROGRAMS = [
    Program(
        "ripgrep",
        ("rg",),
        "ripgrep",
        _text,
        lambda path: ["rg", "--mmap", "--text", "--count", "some", str(path)],
    ),
    Program("b3sum", ("b3sum",), "b3sum", _text, lambda path: ["b3sum", str(path)]),
    Program(
        "sqlite3",
        ("sqlite3",),
        "sqlite3",
        _database,
        lambda path: [
            "sqlite3",
            "-cmd",
            "pragma mmap_size=268435456",
            str(path),
            "select sum(length(b)) from t",
        ],
        keeps=10 * PAGE,
        notices=True,
    ),
    Program(
        "git",
        ("git",),
        "git",
        _repository,
        lambda path: ["git", "-C", str(path.parents[3]), "cat-file", "blob", "HEAD:data"],
        keeps=16 * PAGE,
        notices=True,
    ),
    Program(
        "numpy",
        ("/usr/bin/python3",),
        "python3-numpy",
        _text,
        lambda path: ["/usr/bin/python3", "-c", NUMPY, str(path)],
    ),
    Program(
        "file", ("file",), "file", _magic, lambda path: ["file", "-m", str(path), "/etc/passwd", "/bin/sh"]
    ),
    Program(
        "mdb_dump",
        ("mdb_dump", "mdb_load"),
        "lmdb-utils",
        _lmdb,
        lambda path: ["mdb_dump", "-n", str(path)],
        16 * PAGE,
    ),
    Program(
        "look",
        ("look",),
        "bsdextrautils",
        _words,
        lambda path: ["look", "word00150000", str(path)],
        notices=True,
    ),
]
