# SPDX-License-Identifier: MIT OR Apache-2.0
"""The rooms of src/ use only lower rooms, only src/os/ knows the kernel, and no name collides with one of a program.

Each rule is also applied to a tree with a planted violation, so that a rule that finds nothing is noticed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import library as mmg
from support.source_tree import FLOORS, Tree, room_of

SOURCES = mmg.ROOT / "src"
BUILD_OF_THE_CRATE = "bindings/rust/mmapguard-sys/build.rs"
OBJECTS = mmg.library_path().parent / "CMakeFiles" / "mmapguard_objects.dir" / "src"

SHORT = {
    "bindings": (".c", ".h", ".i", ".lua", ".py", ".rs"),
    "tests/c": (".c", ".h"),
    "tests/fault": (".c", ".h"),
    "tests/inject": (".c", ".h"),
}
"""The folders in which a file has at most 400 lines, and the endings of the files that count."""
LONG = {
    "bindings/python/mmapguard/_region.py": "the public class, most of it the documentation of its methods",
    "bindings/rust/mmapguard/src/region.rs": "the public type, most of it the documentation of its methods",
    "bindings/rust/compat/contract.rs": "one contract, which two crates are held to",
}
"""The exceptions, each with its reason. Generated files say that they are, and do not count."""


@pytest.fixture(scope="module")
def tree() -> Tree:
    """Return the sources, and the objects of the build that is tested."""
    if not OBJECTS.is_dir():
        pytest.skip(f"the object files of {mmg.library_path()} are not beside it")
    return Tree(SOURCES, OBJECTS)


def test_every_file_is_in_a_room(tree: Tree) -> None:
    assert {room_of(name) for name in tree.texts} == set(FLOORS)


def test_includes_point_down(tree: Tree) -> None:
    assert tree.wrong_includes() == []
    assert tree.circles() == []


def test_calls_point_down(tree: Tree) -> None:
    assert tree.wrong_calls() == []


def test_only_the_platform_knows_the_kernel(tree: Tree) -> None:
    assert tree.kernel_words() == []
    assert tree.system_calls() == []


def test_every_global_name_has_the_prefix(tree: Tree) -> None:
    assert tree.foreign_names() == []


def test_a_file_is_at_most_400_lines(tree: Tree) -> None:
    assert [name for name, text in tree.texts.items() if text.count("\n") > 400] == []


def long_files(root: Path) -> set[str]:
    """Return the files of code below the folders of SHORT that have more than 400 lines."""
    found = set()
    for folder, endings in SHORT.items():
        for path in (root / folder).rglob("*"):
            parts = path.relative_to(root)
            if path.suffix in endings and "target" not in parts.parts and path.is_file():
                text = path.read_text(encoding="utf-8")
                if text.count("\n") > 400 and "do not edit" not in text[:2000]:
                    found.add(str(parts))
    return found


def test_a_file_of_the_bindings_and_of_the_tests_in_c_is_at_most_400_lines() -> None:
    assert long_files(mmg.ROOT) - set(LONG) == set()


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    for name, text in {
        "long.c": "\n" * 401,
        "short.c": "\n" * 400,
        "made.c": "/* do not edit */" + "\n" * 401,
    }.items():
        (tmp_path / "bindings" / "lua").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bindings" / "lua" / name).write_text(text, encoding="utf-8")
    assert long_files(tmp_path) == {"bindings/lua/long.c"}


def test_both_builds_put_the_code_of_opening_and_closing_side_by_side() -> None:
    lists = re.search(r"OBJECT\n(.*?)  # The rest\.", (mmg.ROOT / "CMakeLists.txt").read_text(), re.S)
    crate = re.search(r"NAMES: .*? = \[(.*?)\];", (mmg.ROOT / BUILD_OF_THE_CRATE).read_text(), re.S)
    assert lists and crate
    assert re.findall(r"(\w+\.c)\n", lists[1]) == re.findall(r'"(\w+\.c)"', crate[1])


# ---------------------------------------------------------------------------------------------- planted violations --


def planted(tmp_path: Path, name: str, addition: str) -> Tree:
    """Return the tree with lines added to one file. Only this file is compiled again."""
    root, objects = tmp_path / "src", tmp_path / "objects"
    shutil.copytree(SOURCES, root)
    shutil.copytree(OBJECTS, objects)
    path = root / name
    path.write_text(path.read_text(encoding="utf-8") + addition, encoding="utf-8")
    if name.endswith(".c"):
        command = [
            "cc",
            "-std=c11",
            "-D_GNU_SOURCE",
            "-D_FILE_OFFSET_BITS=64",
            '-DMMAPGUARD_VERSION="0"',
            "-c",
        ]
        command += [
            "-I",
            str(root),
            "-I",
            str(mmg.ROOT / "include"),
            str(path),
            "-o",
            str(objects / f"{name}.o"),
        ]
        subprocess.run(command, check=True)
    return Tree(root, objects)


def test_an_include_that_goes_up_is_found(tree: Tree, tmp_path: Path) -> None:
    wrong = planted(tmp_path, "base/table.h", '\n#include "region/region.h"\n').wrong_includes()
    assert 'base/table.h includes "region/region.h"' in wrong
    assert planted(
        tmp_path / "circle", "os/file.h", '\n#include "os/map.h"\n#include "os/file.h"\n'
    ).circles()


def test_a_call_that_goes_up_is_found(tree: Tree, tmp_path: Path) -> None:
    wrong = planted(
        tmp_path,
        "base/table.c",
        "\nvoid mmgi_region_discard(void *);\nvoid mmgi_up(void);\n"
        "void mmgi_up(void) { mmgi_region_discard((void *)0); }\n",
    ).wrong_calls()
    assert wrong == ["base/table.c uses mmgi_region_discard of region/region.c"]


def test_a_system_call_outside_the_platform_is_found(tree: Tree, tmp_path: Path) -> None:
    addition = '\n#include <unistd.h>\nint mmgi_id(void);\nint mmgi_id(void) { return (int)getpid() + "/proc"[0]; }\n'
    found = planted(tmp_path, "region/find.c", addition)
    assert set(found.kernel_words()) >= {"region/find.c includes <unistd.h>", "region/find.c names /proc"}
    assert "region/find.c uses getpid()" in found.system_calls()


def test_a_name_without_the_prefix_is_found(tree: Tree, tmp_path: Path) -> None:
    addition = "\nvoid error_clear(void);\nvoid error_clear(void) {}\n"
    assert planted(tmp_path, "base/error.c", addition).foreign_names() == ["error_clear"]


# ------------------------------------------------------------------------------- a program with names of its own --

PROGRAM = """
#include <mmapguard.h>
#include <stdio.h>
/* Names that the library used for itself once, and that a program may have as well. */
int map_file(int x) { return x + 1; }
int error_clear(int x) { return x + 2; }
int table_take(int x) { return x + 3; }
int region_read(int x) { return x + 4; }
int main(int argc, char **argv)
{
    mmg_handle region = 0;
    uint64_t got = 0;
    char bytes[8] = "";
    mmg_error error = MMG_ERROR_INIT;
    if (argc != 2 || mmg_open(argv[1], NULL, &region, &error) != MMG_OK || mmg_read(region, 0, bytes, 5, &got) != MMG_OK)
        return 1;
    printf("%s %d\\n", bytes, map_file(0) + error_clear(0) + table_take(0) + region_read(0));
    return mmg_close(region, 0) == MMG_OK ? 0 : 1;
}
"""


def test_a_program_may_have_names_of_its_own_beside_the_static_library(tmp_path: Path) -> None:
    archive = mmg.library_path().parent / "libmmapguard.a"
    if not archive.exists() or mmg.library_path().parent.name not in ("release", "demo"):
        pytest.skip("links the static library of a build without a sanitizer")
    source, program, file = tmp_path / "program.c", tmp_path / "program", tmp_path / "file"
    source.write_text(PROGRAM, encoding="utf-8")
    file.write_bytes(b"hello, world")
    command = ["cc", "-std=c11", "-I", str(mmg.ROOT / "include"), str(source), str(archive), "-pthread", "-o"]
    subprocess.run([*command, str(program)], check=True)
    ended = subprocess.run([str(program), str(file)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "hello 10\n")
