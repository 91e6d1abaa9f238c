# SPDX-License-Identifier: MIT OR Apache-2.0
"""The source distribution builds, and the wheel is abi3 and manylinux with the library inside.

Every CPython of this machine runs the tests with that one wheel.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from children import program

import mmapguard
from support import elf

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command that must succeed. Return what it prints."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def folder_of_the_package() -> Path:
    """Return the folder of the installed package."""
    return Path(str(mmapguard.__file__)).parent


def test_the_installed_package_is_whole() -> None:
    names = {path.name for path in folder_of_the_package().iterdir()}
    assert {"_mmapguard.abi3.so", "libmmapguard.so.1", "py.typed", "_mmapguard.pyi", "abi.py"} <= names
    assert {"mmapguard", "mmapguard-preload.so"} <= names
    dynamic = run("readelf", "-d", folder_of_the_package() / "_mmapguard.abi3.so")
    assert re.search(r"NEEDED.*\[libmmapguard\.so\.1\]", dynamic)
    assert re.search(r"(RUNPATH|RPATH).*\[\$ORIGIN\]", dynamic)
    assert "libpython" not in dynamic
    for name in ("_mmapguard.abi3.so", "libmmapguard.so.1"):
        assert elf.too_new(folder_of_the_package() / name) == {}


def test_a_source_tree_without_the_extension_has_the_abi_and_says_what_is_missing() -> None:
    source = """
import sys
sys.path.insert(0, sys.argv[1])
import mmapguard.abi
assert mmapguard.__file__.startswith(sys.argv[1])
assert mmapguard.abi.MMG_OK == 0
for name in ("open", "Region"):
    try:
        getattr(mmapguard, name)
    except ImportError as error:
        assert "compiled module" in str(error) and name in str(error)
    else:
        raise SystemExit(name)
assert not hasattr(mmapguard, "no_such_name")
print("well")
"""
    assert program(source, ROOT / "bindings" / "python", options=("-S",)).returned() == "well\n"


def test_importing_and_opening_small_files_installs_no_handler(small: Path) -> None:
    source = """
import signal, sys, mmapguard
with mmapguard.open(sys.argv[1]) as region:
    region[0]
print(mmapguard.guard_state(), signal.getsignal(signal.SIGBUS) == signal.SIG_DFL)
mmapguard.guard_install()
print(mmapguard.guard_state())
"""
    assert program(source, small).returned() == "none True\ntop\n"
    assert program(source, small, environment={"MMAPGUARD_NO_SIGNAL": "1"}).code == 1


# ---------------------------------------------------------------------------------------------- building it anew --


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def repaired(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel after auditwheel has made it fit for other machines."""
    folder = tmp_path_factory.mktemp("repaired")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run(sys.executable, "-m", "auditwheel", "repair", "-w", folder, distributions[1], PATH=tools)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.heavy
def test_the_source_distribution_has_what_it_needs_and_nothing_built(
    distributions: tuple[Path, Path],
) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "CMakeLists.txt",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "include/mmapguard.h",
    } <= names
    assert {
        "bindings/mmapguard.i",
        "bindings/python/region.c",
        "abi/mmapguard.map",
        "src/api/calls.c",
    } <= names
    assert not [
        name for name in names if name.startswith(("build/", ".venv")) or name.endswith((".so", ".o", ".pyc"))
    ]


@pytest.mark.heavy
def test_the_wheel_is_for_every_cpython_and_carries_one_library(repaired: Path) -> None:
    named = re.fullmatch(r"mmapguard-1\.0\.0-cp311-abi3-manylinux_2_(\d+)_\w+\.whl", repaired.name)
    assert named
    assert int(named[1]) <= 28, "the wheel has a file that needs a newer glibc than 2.28"
    with zipfile.ZipFile(repaired) as archive:
        libraries = [name for name in archive.namelist() if ".so" in name]
        metadata = archive.read("mmapguard-1.0.0.dist-info/METADATA").decode()
        program = archive.getinfo("mmapguard/mmapguard")
    assert sorted(libraries) == [
        "mmapguard/_mmapguard.abi3.so",
        "mmapguard/libmmapguard.so.1",
        "mmapguard/mmapguard-preload.so",
    ]
    assert program.external_attr >> 16 & 0o111
    assert "License-Expression: MIT OR Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "Requires-Dist" not in metadata


@pytest.mark.heavy
def test_nothing_outside_the_stable_abi_is_used(repaired: Path) -> None:
    told = run(sys.executable, "-m", "abi3audit", "--strict", "--report", repaired)
    report: dict[str, Any] = json.loads(told[told.index("{") : told.rindex("}") + 1])
    (wheel,) = report["specs"].values()
    results = {one["name"]: one["result"] for one in wheel["wheel"]}
    assert set(results) == {
        "_mmapguard.abi3.so",
        "mmapguard-preload.so",
    }  # the second calls nothing of Python's
    for result in results.values():
        assert result["is_abi3"] and result["is_abi3_baseline_compatible"]
        assert (result["baseline"], result["computed"], result["non_abi3_symbols"]) == ("3.11", "3.11", [])


@pytest.mark.heavy
def test_the_wheel_has_a_command_and_says_where_its_project_is(repaired: Path) -> None:
    with zipfile.ZipFile(repaired) as archive:
        commands = archive.read("mmapguard-1.0.0.dist-info/entry_points.txt").decode()
        metadata = archive.read("mmapguard-1.0.0.dist-info/METADATA").decode()
    assert "[console_scripts]\nmmapguard = mmapguard.__main__:main" in commands
    for field in ("Project-URL: Homepage, ", "Project-URL: Repository, "):
        assert field in metadata
    for field in ("Author", "Maintainer-Email"):
        assert re.search(rf"^{field}: \S", metadata, re.MULTILINE | re.IGNORECASE), metadata


def test_the_build_refuses_a_free_threaded_cpython(tmp_path: Path) -> None:
    """A script answers the question of the build in place of the interpreter."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("CMake is not here")
    listing = (ROOT / "bindings" / "python" / "CMakeLists.txt").read_text()
    start, end = listing.index("# One build for every CPython"), listing.index("# From PyPI or elsewhere")
    (tmp_path / "check.cmake").write_text(listing[start:end])
    fake = tmp_path / "python"
    for answer, refused in (("1", True), ("0", False)):
        fake.write_text(f"#!/bin/sh\necho {answer}\n")
        fake.chmod(0o755)
        done = subprocess.run(
            [cmake, f"-DPython_EXECUTABLE={fake}", "-P", tmp_path / "check.cmake"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == refused
        assert ("does not support free-threaded CPython" in done.stderr) == refused


def test_functions_that_files_share_have_one_prefix() -> None:
    """In a static build, these names stand beside the names of the program."""
    shared = []
    for path in sorted((ROOT / "bindings" / "python").glob("*.c")):
        for before, name in re.findall(r"^([\w *]+)\n(\w+)\(", path.read_text(), re.MULTILINE):
            if not before.startswith("static"):
                shared.append(name)
    assert len(shared) > 30
    assert [name for name in shared if not name.startswith("mgpy_")] == []


def pythons() -> list[str]:
    """Return one CPython of each version from 3.11 on that this machine has, without free-threaded ones."""
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    roots = [
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions",
        Path.home() / ".local/share/uv/python",
    ]
    folders += [made / "bin" for root in roots if root.is_dir() for made in sorted(root.iterdir())]
    question = (
        "import sys, sysconfig, venv, ensurepip; "
        "print(sys.implementation.name, sys.version_info >= (3, 11), not sysconfig.get_config_var('Py_GIL_DISABLED'), "
        "'%d.%d' % sys.version_info[:2])"
    )
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3*")):
            if not re.fullmatch(r"python3(\.\d+)?", path.name) or not os.access(path, os.X_OK):
                continue
            asked = subprocess.run(
                [path, "-c", question], capture_output=True, text=True, timeout=60, check=False
            )
            answer = asked.stdout.split()
            if answer[:3] == ["cpython", "True", "True"]:
                found.setdefault(answer[3], str(path))
    return [found[version] for version in sorted(found, key=lambda name: int(name[2:]))]


def needs(*packages: str) -> Sequence[str]:
    """Return the pinned requirements of these packages."""
    pins = (ROOT / "requirements-python.txt").read_text()
    return [re.search(rf"(?m)^{name}==\S+$", pins)[0] for name in packages]  # type: ignore[index]


@pytest.mark.heavy
@pytest.mark.parametrize("python", pythons())
def test_one_wheel_runs_the_tests_on_every_cpython(python: str, repaired: Path, tmp_path: Path) -> None:
    run(python, "-m", "venv", tmp_path / "venv")
    inside = tmp_path / "venv" / "bin" / "python"
    wanted = needs("pytest", "hypothesis", "numpy", "pyarrow")
    run(inside, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", repaired, *wanted)
    needs_more = ["arrow", "ecosystem", "foreign_libraries", "dask", "pools", "typing", "packaging", "cost"]
    left_out = [f"test_{name}.py" for name in needs_more]
    ignore = [f"--ignore={ROOT / 'tests' / 'python' / name}" for name in left_out]
    told = run(inside, "-m", "pytest", "-q", ROOT / "tests" / "python", *ignore, cwd=tmp_path)
    assert re.search(r"\d{3} passed", told), told
