# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmapguard.memmap() gives the array that numpy.memmap() gives, for reading, and it survives a cut."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import program

import mmapguard


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    np.arange(60_000, dtype="<f4").tofile(path)
    return path


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"dtype": "<f4"},
        {"dtype": np.uint8, "offset": 3},
        {"dtype": "<f4", "shape": 10},
        {"dtype": "<f4", "shape": (10,), "offset": 8},
        {"dtype": "<f4", "shape": (200, 300)},
        {"dtype": "<f4", "shape": (200, 300), "order": "F"},
        {"dtype": "<f4", "shape": (2, 3, 5), "order": "F", "offset": 4},
        {"dtype": [("a", "<i2"), ("b", "<u2")], "shape": (3, 4)},
        {"dtype": "<f4", "shape": np.int64(10)},
        {"dtype": "<f4", "shape": [10, np.int32(2)]},
        {"dtype": "<f4", "mode": "r"},
        {"dtype": "<f4", "mode": "readonly"},
    ],
    ids=str,
)
def test_the_array_is_that_of_numpy(asked: dict[str, Any], numbers: Path) -> None:
    theirs = np.memmap(numbers, **{"mode": "r"} | asked)
    ours = mmapguard.memmap(numbers, **asked)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.strides == theirs.strides
    assert (ours == theirs).all()
    assert not ours.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        ours.flags.writeable = True


def test_positions_of_the_arguments_are_those_of_numpy(numbers: Path) -> None:
    ours = mmapguard.memmap(numbers, "<f4", "r", 8, (10, 2), "F")
    assert (ours == np.memmap(numbers, "<f4", "r", 8, (10, 2), "F")).all()


def test_what_cannot_be_is_refused(numbers: Path, tmp_path: Path) -> None:
    for mode in ("r+", "w+", "c"):
        with pytest.raises(ValueError, match="mode"):
            mmapguard.memmap(numbers, mode=mode)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole number"):
        mmapguard.memmap(numbers, "<f4", offset=1)
    with pytest.raises(ValueError, match=r"window|outside"):
        mmapguard.memmap(numbers, "<f4", shape=60_001)
    with pytest.raises(ValueError, match="negative"):
        mmapguard.memmap(numbers, "<f4", shape=(-1,))
    with pytest.raises(FileNotFoundError):
        mmapguard.memmap(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert mmapguard.memmap(tmp_path / "empty", "<f4").shape == (0,)
    assert mmapguard.memmap(numbers, "<f4", shape=(3, 0)).shape == (3, 0)


def test_the_last_array_gives_the_bytes_back(numbers: Path) -> None:
    before = mmapguard.stats().regions
    array = mmapguard.memmap(numbers, "<f4", stable=True)
    part = array[10:20]
    del array
    gc.collect()
    assert mmapguard.stats().regions == before + 1
    assert part[0] == 10
    mmapguard.check(part)
    del part
    gc.collect()
    assert mmapguard.stats().regions == before


def test_a_cut_kills_the_one_and_not_the_other(numbers: Path) -> None:
    source = """
import os, sys, numpy as np, mmapguard
path, module = sys.argv[1], sys.argv[2]
array = (np if module == "numpy" else mmapguard).memmap(path, "<f4", "r")
os.truncate(path, 8192)
total = float(array.sum())
if module == "mmapguard":
    mmapguard.check(array[:2048])
    try:
        mmapguard.check(array)
    except mmapguard.TruncatedError as lost:
        print(lost.offset)
"""
    assert program(source, numbers, "mmapguard").returned() == "8192\n"
    np.arange(60_000, dtype="<f4").tofile(numbers)
    import signal

    program(source, numbers, "numpy").died_of(signal.SIGBUS)
    assert os.path.getsize(numbers) == 8192
