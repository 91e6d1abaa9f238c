# SPDX-License-Identifier: MIT OR Apache-2.0
"""A region reads like mmap.mmap, as the standard library's own tests show.

The tests are test.test_mmap of the interpreter, and run on the adapter in mmap_adapter.py. The tests of writing are
left out below. Where a region differs on purpose, the test must fail; otherwise the difference no longer exists.
"""

from __future__ import annotations

import importlib.util
import mmap
import sys
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import mmap_adapter
import pytest

import mmapguard

WRITING = {
    "test_move": "moves bytes within the map",
    "test_extended_set_del_slice": "assigns to slices",
    "test_write_returning_the_number_of_bytes_written": "writes",
    "test_flush_return_value": "writes back",
    "test_resize_past_pos": "resizes",
    "test_access_parameter": "is about the ways of writing; what it says on ACCESS_READ is tested below",
    "test_trackfd_parameter": "is about keeping the descriptor, which a region decides by itself",
    "test_trackfd_neg1": "as the former",
    "test_access_violations": "tests the repair of Windows, in a child that imports the real module",
    "test_find_does_not_access_beyond_buffer": "maps memory without any access",
    "test_anonymous": "writes through indices and reads back; reading is the same as in test_basic",
}

DIFFERENT = {
    "test_empty_file": "an empty file is an empty region; mmap's ValueError is there with reject_empty=True",
    "test_repr": "the text names the file and the guarantee, not the access, which is always reading",
    "test_bad_file_desc": "a negative descriptor is ValueError, as with open(), not OSError",
    "test_mmap_closed_by_int_scenarios": "the message of the ValueError is about a region; the same is tested below",
}


def _stdlib_tests() -> types.ModuleType | None:
    spec = importlib.util.find_spec("test.test_mmap")
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"mmap": mmap_adapter.module}):
        spec.loader.exec_module(module)
    return module


def _find() -> types.ModuleType | None:
    try:
        return _stdlib_tests()
    except ModuleNotFoundError:
        return None


STDLIB = _find()


def _cases() -> Iterator[tuple[str, str]]:
    for kind in ("MmapTests", "LargeMmapTests"):
        case = getattr(STDLIB, kind)
        for name in unittest.defaultTestLoader.getTestCaseNames(case):
            # The tests that the standard library skips at once are for Windows.
            if name not in WRITING and not getattr(getattr(case, name), "__unittest_skip__", False):
                yield kind, name


def _run(kind: str, name: str) -> unittest.TestResult:
    case = getattr(STDLIB, kind)(name)
    result = unittest.TestResult()
    case.run(result)
    return result


if STDLIB is None:

    def test_standard_library_comes_with_the_interpreter() -> None:
        pytest.skip("this interpreter comes without its test package")

else:

    @pytest.mark.parametrize(("kind", "name"), list(_cases()))
    def test_standard_library_agrees(
        kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = _run(kind, name)
        assert result.testsRun == 1
        if result.skipped:
            pytest.skip(f"the standard library skips it: {result.skipped[0][1]}")
        failures = [text for _, text in result.failures + result.errors]
        if name in DIFFERENT:
            assert failures, f"the region no longer differs: {DIFFERENT[name]}"
        else:
            assert not failures, failures[0]

    def test_every_listed_difference_is_a_test_there_is_in_some_python() -> None:
        here = {name for kind in ("MmapTests", "LargeMmapTests") for name in dir(getattr(STDLIB, kind))}
        newer = {"test_trackfd_parameter", "test_trackfd_neg1", "test_access_violations"}
        assert (WRITING.keys() | DIFFERENT.keys()) - here <= newer


def test_a_region_cannot_be_written(small: Path) -> None:
    before = small.read_bytes()
    with mmapguard.open(small) as region:
        with pytest.raises(TypeError):
            region[:] = b"b" * len(region)  # type: ignore[index]
        with pytest.raises(TypeError):
            region[0] = 98  # type: ignore[index]
        with pytest.raises(TypeError):
            del region[0]  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            memoryview(region)[0] = 98
        assert not region.writable()
        assert not hasattr(region, "write")
    assert small.read_bytes() == before


@pytest.mark.parametrize(
    "use",
    [
        lambda region, index: region[index],
        lambda region, index: region[index:20],
        lambda region, index: region[index:20:2],
        lambda region, index: region[20:index:-2],
        lambda region, index: region.read(index),
        lambda region, index: region.find(b"1", 1, index),
        lambda region, index: region.rfind(b"1", index),
        lambda region, index: region.seek(index),
        lambda region, index: region.read_into(bytearray(3), index),
        lambda region, index: index in region,
    ],
)
def test_an_index_that_closes_the_region_is_a_value_error(use: object, either: Path) -> None:
    region = mmapguard.open(either)

    class Closing:
        def __index__(self) -> int:
            region.close()
            return 10

    with pytest.raises(ValueError, match="closed"):
        use(region, Closing())  # type: ignore[operator]


def test_an_empty_file_is_mmaps_error_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        mmapguard.open(tmp_path / "empty", reject_empty=True)
    with mmapguard.open(tmp_path / "empty") as region:
        assert len(region) == 0
        assert bytes(region) == region[:] == region.read() == b""
        assert region.find(b"") == 0 and region.find(b"x") == -1
        assert memoryview(region).nbytes == 0


def test_methods_and_results_of_mmap_are_there(large: Path) -> None:
    with large.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plain:
        with mmapguard.open(large) as region:
            assert region.size() == plain.size()
            assert len(region) == len(plain)
            assert region.read(100) == plain.read(100)
            assert region.readline() == plain.readline()
            assert region.read_byte() == plain.read_byte()
            assert region.tell() == plain.tell()
            assert region.find(region[5000:5010]) == plain.find(plain[5000:5010])
            assert region.rfind(region[5000:5010]) == plain.rfind(plain[5000:5010])
            assert region.seek(-9, 2) == len(plain) - 9
            plain.seek(-9, 2)
            assert region.read(100) == plain.read(100) and region.read(1) == plain.read(1) == b""
            assert region.madvise(mmap.MADV_SEQUENTIAL) is plain.madvise(mmap.MADV_SEQUENTIAL) is None  # type: ignore[func-returns-value]
            assert region.seekable() and region.readable()
            missing = {name for name in dir(plain) if not name.startswith("__")} - set(dir(region))
            assert missing <= {"write", "write_byte", "move", "resize", "set_name"}
