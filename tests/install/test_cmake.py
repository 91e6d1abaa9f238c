# SPDX-License-Identifier: MIT OR Apache-2.0
"""The build works as strangers run it: inside their project, with their compiler and settings, and without Ninja."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from install.consumers import CONSUMER, ROOT, needs, run, works

# The settings that other projects use for everything that they build.
STRICT = "-Wall -Wextra -Werror"
#: A larger function in bytes is many copies of the same code, over which a compiler sits for minutes.
LARGEST = 1 << 17


def configure(source: Path, build: Path, *settings: str, generator: str = "Ninja") -> None:
    """Configure a project in a build folder of its own."""
    run("cmake", "-G", generator, "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", *settings)


def build_inside(how: str, build: Path, *settings: str, generator: str = "Ninja") -> None:
    """Build the consumer, which also builds the library."""
    configure(CONSUMER, build, f"-DHOW={how}", f"-DMMAPGUARD_SOURCES={ROOT}", *settings, generator=generator)
    run("cmake", "--build", build, "--parallel", "2")


def files_below(folder: Path) -> set[str]:
    """Return the paths of all files below a folder, relative to that folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def compilers() -> list[str]:
    """Return the C compilers of this machine. The build must work with each."""
    return [name for name in ("gcc", "clang") if shutil.which(name)]


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("how", ["inside", "fetched"])
def test_inside_another_project_the_library_builds_without_a_warning_and_brings_nothing_else(
    how: str, compiler: str, text: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    build_inside(how, build, f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_C_FLAGS={STRICT}")
    works(build / "consumer", text)
    assert "libmmapguard.so.1" in needs(build / "consumer")
    for folder in ("demo", "tests"):
        assert not list(build.glob(f"*/{folder}")), f"another project gets our folder {folder}"


@pytest.mark.parametrize("how", ["inside", "fetched"])
def test_another_projects_installation_has_the_library_only_on_demand(how: str, tmp_path: Path) -> None:
    build_inside(how, tmp_path / "build")
    run("cmake", "--install", tmp_path / "build", "--prefix", tmp_path / "theirs")
    assert files_below(tmp_path / "theirs") == {"bin/consumer"}
    run("cmake", tmp_path / "build", "-DMMAPGUARD_INSTALL=ON")
    run("cmake", "--install", tmp_path / "build", "--prefix", tmp_path / "both")
    assert {"bin/consumer", "include/mmapguard.h"} <= files_below(tmp_path / "both")


@pytest.mark.parametrize("shared", ["ON", "OFF"])
def test_inside_another_project_build_shared_libs_chooses_the_library(
    shared: str, text: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    build_inside("inside", build, f"-DBUILD_SHARED_LIBS={shared}")
    works(build / "consumer", text)
    assert ("libmmapguard.so.1" in needs(build / "consumer")) == (shared == "ON")
    libraries = {path.name for path in (build / "mmapguard").glob("libmmapguard.*")}
    assert libraries == ({"libmmapguard.so", "libmmapguard.so.1"} if shared == "ON" else {"libmmapguard.a"})


@pytest.mark.parametrize("shared", ["ON", "OFF"])
def test_build_shared_libs_chooses_what_is_installed_and_found(
    shared: str, text: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "usr"
    settings = ["-DBUILD_TESTING=OFF", "-DMMAPGUARD_BUILD_DEMO=OFF", f"-DBUILD_SHARED_LIBS={shared}"]
    configure(ROOT, tmp_path / "library", *settings, "-DCMAKE_INSTALL_LIBDIR=lib")
    run("cmake", "--build", tmp_path / "library", "--parallel", "2")
    run("cmake", "--install", tmp_path / "library", "--prefix", prefix)
    libraries = {path.name for path in (prefix / "lib").glob("libmmapguard.*")}
    assert libraries == ({"libmmapguard.so", "libmmapguard.so.1"} if shared == "ON" else {"libmmapguard.a"})

    configure(CONSUMER, tmp_path / "consumer", "-DHOW=shared", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "consumer")
    works(tmp_path / "consumer" / "consumer", text)

    found = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    words = run("pkg-config", "--cflags", "--libs", "mmapguard", environment=found).split()
    run("cc", "-o", tmp_path / "program", CONSUMER / "consumer.c", *words)
    works(tmp_path / "program", text, prefix / "lib")
    assert ("libmmapguard.so.1" in needs(tmp_path / "program")) == (shared == "ON")


def largest_function(library: Path) -> int:
    """Return the size in bytes of the largest function of a library."""
    lines = [line.split() for line in run("nm", "--print-size", "--radix=d", library).splitlines()]
    return max(int(words[1]) for words in lines if len(words) == 4 and words[2] in "tT")


@pytest.mark.parametrize(
    "setting", ["CMAKE_UNITY_BUILD", "CMAKE_INTERPROCEDURAL_OPTIMIZATION", "CMAKE_POSITION_INDEPENDENT_CODE"]
)
def test_settings_for_the_whole_project_do_no_harm(setting: str, text: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    build_inside("inside", build, f"-D{setting}=ON")
    works(build / "consumer", text)
    assert largest_function(build / "mmapguard" / "libmmapguard.so.1") < LARGEST


def test_make_does_as_well_as_ninja(text: Path, tmp_path: Path) -> None:
    build_inside("inside", tmp_path / "build", generator="Unix Makefiles")
    works(tmp_path / "build" / "consumer", text)


def refusal(build: Path, *settings: str) -> str:
    """Return the message with which CMake refuses to configure, with single spaces."""
    done = subprocess.run(
        ["cmake", "-S", ROOT, "-B", build, *settings],
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert done.stderr.count("CMake Error") == 1, done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("system", ["Windows", "Darwin", "FreeBSD"])
def test_another_system_is_refused_in_one_sentence(system: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, f"-DCMAKE_SYSTEM_NAME={system}")
    assert f"mmapguard is a library for Linux; this build is for {system}." in said


def test_another_compiler_is_refused_in_one_sentence(tmp_path: Path) -> None:
    said = refusal(tmp_path, "-DCMAKE_C_COMPILER_ID=Strange", "-DCMAKE_C_COMPILER_FORCED=ON")
    assert "mmapguard needs GCC or Clang;" in said
    assert "is Strange." in said


@pytest.mark.skipif(
    shutil.which("i686-linux-gnu-gcc") is None,
    reason="i686-linux-gnu-gcc is not installed; ./dev test i686 does",
)
def test_a_processor_without_64_bit_atomics_is_refused_in_one_sentence(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_C_COMPILER=i686-linux-gnu-gcc",
        "-DCMAKE_C_FLAGS=-march=i486",
    )
    assert "mmapguard needs a processor with lock-free 64-bit atomic operations" in said
