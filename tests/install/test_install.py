# SPDX-License-Identifier: MIT OR Apache-2.0
"""Other projects can use the files that `cmake --install` installs: by CMake, by pkg-config, shared and static."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from install.consumers import CONSUMER, ROOT, VERSION, library_folder, needs, run, works

BUILD = Path(os.environ.get("MMAPGUARD_BUILD", ROOT / "build" / "release"))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an installation that was moved after it was made. No file in it may depend on the old place."""
    first = tmp_path_factory.mktemp("first") / "usr"
    run("cmake", "--install", BUILD, "--prefix", first)
    second = tmp_path_factory.mktemp("moved") / "usr"
    shutil.move(first, second)
    return second


@pytest.mark.parametrize("how", ["shared", "static"])
def test_a_cmake_project_finds_and_uses_it(how: str, prefix: Path, text: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    settings = [f"-DHOW={how}", f"-DCMAKE_PREFIX_PATH={prefix}"]
    run("cmake", "-G", "Ninja", "-S", CONSUMER, "-B", build, "-DCMAKE_BUILD_TYPE=Release", *settings)
    run("cmake", "--build", build)
    works(build / "consumer", text)
    total = sum(text.read_bytes())
    assert run(build / "checksum", text) == f"{total}\n"
    assert ("libmmapguard.so.1" in needs(build / "consumer")) == (how != "static")


def test_a_cmake_project_that_needs_another_major_version_does_not_find_it(
    prefix: Path, tmp_path: Path
) -> None:
    for wanted, found in (("1.0", True), ("1.99", False), ("2.0", False), ("0.9", False)):
        (tmp_path / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES C)\n"
            f'find_package(mmapguard {wanted} CONFIG)\nmessage("found: ${{mmapguard_FOUND}}")\n'
        )
        done = subprocess.run(
            [
                "cmake",
                "-G",
                "Ninja",
                "-S",
                tmp_path,
                "-B",
                tmp_path / "build",
                "--fresh",
                f"-DCMAKE_PREFIX_PATH={prefix}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"found: {int(found)}" in done.stderr, wanted


def pkg_config(prefix: Path, *words: str) -> list[str]:
    """Return the output of pkg-config as words."""
    folder = library_folder(prefix) / "pkgconfig"
    return shlex.split(run("pkg-config", *words, "mmapguard", environment={"PKG_CONFIG_PATH": str(folder)}))


def test_pkg_config_tells_how_to_link_the_shared_library(prefix: Path, text: Path, tmp_path: Path) -> None:
    program = tmp_path / "consumer"
    run("cc", "-o", program, CONSUMER / "consumer.c", *pkg_config(prefix, "--cflags", "--libs"))
    works(program, text, library_folder(prefix))
    assert "libmmapguard.so.1" in needs(program)
    assert pkg_config(prefix, "--modversion") == [VERSION]


def test_pkg_config_tells_how_to_link_the_static_library(prefix: Path, text: Path, tmp_path: Path) -> None:
    program = tmp_path / "consumer"
    words = pkg_config(prefix, "--static", "--cflags", "--libs")
    run("cc", "-static", "-o", program, CONSUMER / "consumer.c", *words)
    works(program, text)
    assert needs(program) == set()


def test_destdir_and_absolute_directories_are_respected(tmp_path: Path) -> None:
    build, stage = tmp_path / "build", tmp_path / "stage"
    settings = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        "-DMMAPGUARD_BUILD_DEMO=OFF",
        "-DCMAKE_INSTALL_PREFIX=/opt/mmapguard",
        "-DCMAKE_INSTALL_LIBDIR=/opt/elsewhere/lib",
    ]
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *settings)
    run("cmake", "--build", build)
    run("cmake", "--install", build, environment={"DESTDIR": str(stage)})
    found = {str(path.relative_to(stage)) for path in stage.rglob("*") if not path.is_dir()}
    assert {path.split("/")[1] for path in found} == {"mmapguard", "elsewhere"}
    assert "opt/mmapguard/include/mmapguard.h" in found
    assert "opt/elsewhere/lib/libmmapguard.so.1" in found
    described = (stage / "opt/elsewhere/lib/pkgconfig/mmapguard.pc").read_text()
    assert "libdir=/opt/elsewhere/lib" in described
    assert "prefix=/opt/mmapguard" in described
    assert str(tmp_path) not in described
    guards(stage / "opt/mmapguard/bin/mmapguard", tmp_path / "work")


def guards(program: Path, folder: Path) -> None:
    """Check that the installed launcher keeps a program alive whose mapped file is cut, and reports the loss."""
    folder.mkdir(exist_ok=True)
    source = (
        "import mmap, os\n"
        "open('f', 'wb').write(b'1' * (1 << 20))\n"
        "m = mmap.mmap(os.open('f', os.O_RDONLY), 0, access=mmap.ACCESS_READ)\n"
        "os.truncate('f', 5000)\n"
        "print(m[:].count(b'1'))\n"
    )
    alone = subprocess.run([sys.executable, "-c", source], cwd=folder, capture_output=True)
    assert alone.returncode == -signal.SIGBUS
    command = [str(program), "run", "--", sys.executable, "-c", source]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (75, "5000\n"), done.stderr
    assert f"{folder}/f: 1043576 bytes from offset 5000" in done.stderr


def test_the_launcher_works_where_it_was_moved_to(prefix: Path, tmp_path: Path) -> None:
    guards(prefix / "bin" / "mmapguard", tmp_path / "work")


def test_nothing_but_the_library_and_the_launcher_is_installed(prefix: Path) -> None:
    names = sorted(path.name for path in prefix.rglob("*") if not path.is_dir())
    assert names == sorted(
        [
            "mmapguard.h",
            "mmapguard.hpp",
            "mmapguard_arrow.h",
            "libmmapguard.a",
            "libmmapguard.so",
            "libmmapguard.so.1",
            "mmapguard",
            "mmapguard-preload.so",
            "mmapguard.1",
            "mmapguard.pc",
            "mmapguardConfig.cmake",
            "mmapguardConfigVersion.cmake",
            "mmapguardTargets.cmake",
            *(path.name for path in prefix.rglob("mmapguardTargets-*.cmake")),
        ]
    )


def test_the_program_in_the_readme_works_with_the_line_beside_it(
    prefix: Path, text: Path, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text()
    program = re.search(r"```c\n(.+?)```", readme, re.DOTALL)
    line = re.search(r"^cc -o lines .+$", readme, re.MULTILINE)
    assert program is not None
    assert line is not None
    (tmp_path / "examples" / "c").mkdir(parents=True)
    (tmp_path / "examples" / "c" / "lines.c").write_text(program[1])
    folder = library_folder(prefix)
    run("sh", "-c", line[0], cwd=tmp_path, environment={"PKG_CONFIG_PATH": str(folder / "pkgconfig")})
    counted = run(tmp_path / "lines", text, environment={"LD_LIBRARY_PATH": str(folder)})
    assert counted == "10001 lines\n"
    refused = subprocess.run(
        [tmp_path / "lines", tmp_path / "missing"],
        env=os.environ | {"LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "missing" in refused.stderr
