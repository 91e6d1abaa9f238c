# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Debian packages build from the files that git tracks, lintian finds nothing, and they hold the right files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import checkout

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-8000:]}{done.stderr[-8000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the packages."""
    folder = tmp_path_factory.mktemp("debian")
    tree = folder / "mmapguard-1.0.0"
    for name in checkout.names():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    run("dpkg-buildpackage", "--jobs=auto", "--unsigned-source", "--unsigned-changes", cwd=tree)
    return folder


def contents(built: Path, package: str) -> set[str]:
    """Return the files in a package, without their folder for the processor."""
    (found,) = built.glob(f"{package}_*.deb")
    listed = run("dpkg", "-c", found, cwd=built)
    names = {line.split()[5].removeprefix("./") for line in listed.splitlines() if not line.startswith("d")}
    return {re.sub(r"^usr/lib/[^/]+-linux-gnu\w*/", "usr/lib/", name) for name in names}


def test_lintian_has_nothing_to_say(built: Path) -> None:
    (changes,) = built.glob("*.changes")
    said = run(
        "lintian",
        "--allow-root",
        "--fail-on",
        "error,warning",
        "--tag-display-limit",
        "0",
        changes,
        cwd=built,
    )
    assert not re.search(r"^[EW]:", said, re.MULTILINE), said


def test_the_library_is_in_one_package_and_what_is_built_with_it_in_the_other(built: Path) -> None:
    library = contents(built, "libmmapguard1")
    development = contents(built, "libmmapguard-dev")
    assert {name for name in library if not name.startswith("usr/share/doc/")} == {
        "usr/lib/libmmapguard.so.1"
    }
    assert {name for name in contents(built, "mmapguard") if not name.startswith("usr/share/doc/")} == {
        "usr/bin/mmapguard",
        "usr/lib/mmapguard/mmapguard-preload.so",
        "usr/share/man/man1/mmapguard.1.gz",
    }
    for name in (
        "usr/include/mmapguard.h",
        "usr/lib/libmmapguard.a",
        "usr/lib/libmmapguard.so",
        "usr/lib/pkgconfig/mmapguard.pc",
        "usr/lib/cmake/mmapguard/mmapguardConfig.cmake",
        "usr/share/man/man3/mmapguard.3.gz",
        "usr/share/man/man3/mmg_open.3.gz",
    ):
        assert name in development


def test_the_launcher_of_the_package_guards(built: Path, tmp_path: Path) -> None:
    (package,) = built.glob("mmapguard_*.deb")
    run("dpkg", "--extract", package, tmp_path, cwd=built)
    assert run(tmp_path / "usr/bin/mmapguard", "run", "echo", "well", cwd=tmp_path) == "well\n"
    preloaded = run(tmp_path / "usr/bin/mmapguard", "run", "printenv", "LD_PRELOAD", cwd=tmp_path).strip()
    assert Path(preloaded).is_file() and Path(preloaded).is_relative_to(tmp_path)


def test_the_symbols_file_is_the_version_script() -> None:
    script = (ROOT / "abi" / "mmapguard.map").read_text()
    exported = set(re.findall(r"^        (mmg_\w+);$", script, re.MULTILINE))
    recorded = (ROOT / "debian" / "libmmapguard1.symbols").read_text()
    assert set(re.findall(r"^ (mmg_\w+)@MMAPGUARD_1\.0 1\.0\.0$", recorded, re.MULTILINE)) == exported
