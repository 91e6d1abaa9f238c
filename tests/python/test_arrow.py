# SPDX-License-Identifier: MIT OR Apache-2.0
"""A region is an Arrow array for the real packages: no byte is copied, the bytes live as long as the array, and a
loss is reported."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import nanoarrow as na
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from children import program

import mmapguard

SIZE = 300_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of bytes that do not repeat soon; large enough to be mapped."""
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(1).integers(0, 256, SIZE, np.uint8).tobytes())
    return path


def address_of(region: mmapguard.Region) -> int:
    """Return where the first byte of a region is."""
    return np.frombuffer(region, np.uint8).ctypes.data


def by_pyarrow(region: mmapguard.Region) -> tuple[Any, int, bytes]:
    """Let pyarrow make an array. Return it, the address of its bytes, and the bytes."""
    made = pa.array(region)
    assert made.type == pa.uint8()
    return made, made.buffers()[1].address, made.to_numpy().tobytes()


def by_polars(region: mmapguard.Region) -> tuple[Any, int, bytes]:
    made = pl.Series("bytes", pa.array(region))
    return made, made.to_numpy(allow_copy=False).ctypes.data, made.to_numpy().tobytes()


def by_nanoarrow(region: mmapguard.Region) -> tuple[Any, int, bytes]:
    made = na.c_array(region)
    view = made.view()
    return made, made.buffers[1], bytes(memoryview(view.buffer(1)))


CONSUMERS = [by_pyarrow, by_polars, by_nanoarrow]


@pytest.mark.parametrize("consume", CONSUMERS)
def test_an_array_shows_the_bytes_of_the_mapping_itself(
    path: Path, consume: Callable[[mmapguard.Region], tuple[Any, int, bytes]]
) -> None:
    with mmapguard.open(path) as region:
        made, address, data = consume(region)
        assert address == address_of(region)
        assert data == path.read_bytes()
        assert region.info.pins >= 1
        del made, data
        gc.collect()
    assert mmapguard.stats().mappings == 0


@pytest.mark.parametrize("consume", CONSUMERS)
def test_an_array_outlives_the_region(
    path: Path, consume: Callable[[mmapguard.Region], tuple[Any, int, bytes]]
) -> None:
    region = mmapguard.open(path)
    made, address, _ = consume(region)
    region.close()
    del region
    gc.collect()
    assert mmapguard.stats().mappings == 1
    assert ctypes.string_at(address, SIZE) == path.read_bytes()
    del made
    gc.collect()
    assert mmapguard.stats().mappings == 0


def test_duckdb_counts_the_bytes_without_a_copy(path: Path) -> None:
    with mmapguard.open(path) as region:
        table = pa.table({"byte": pa.array(region)})
        assert table.column("byte").chunk(0).buffers()[1].address == address_of(region)
        with duckdb.connect() as connection:
            connection.register("file", table)
            found = connection.sql("select count(*), sum(byte), count(distinct byte) from file").fetchall()
        data = path.read_bytes()
        assert found == [(SIZE, sum(data), len(set(data)))]
        del table, connection
        gc.collect()


def test_what_is_lost_reads_as_zeros_and_ends_the_block_with_an_error(path: Path) -> None:
    made: Any = None

    def use() -> None:
        nonlocal made
        with mmapguard.open(path) as region:
            made = pa.array(region)
            os.truncate(path, 4096)
            assert made[SIZE - 1].as_py() == 0

    with pytest.raises(mmapguard.TruncatedError) as caught:
        use()
    assert caught.value.offset == 4096
    assert made[0].as_py() == path.read_bytes()[0]
    with mmapguard.open(path, backing="map") as region:
        os.truncate(path, 100)
        with pytest.raises(mmapguard.TruncatedError):
            region.check()
        with pytest.raises(mmapguard.TruncatedError):
            pa.array(region)
        region.close()


@pytest.mark.parametrize("consume", CONSUMERS)
def test_an_array_can_be_asked_after_the_region_was_closed(
    path: Path, consume: Callable[[mmapguard.Region], tuple[Any, int, bytes]]
) -> None:
    with mmapguard.open(path) as region:
        made, address, _ = consume(region)
    assert region.closed and region.exports == 1
    shown = (ctypes.c_char * SIZE).from_address(address)
    mmapguard.check(shown)
    os.truncate(path, 8192)
    with pytest.raises(mmapguard.TruncatedError) as caught:
        mmapguard.check(shown)
    assert caught.value.offset == 8192
    mmapguard.check((ctypes.c_char * 8192).from_address(address))
    with pytest.raises(mmapguard.TruncatedError):
        region.check()
    del made
    gc.collect()
    assert region.exports == 0


def test_pyarrow_buffers_are_views(path: Path) -> None:
    region = mmapguard.open(path)
    array = pa.array(region)
    with pytest.raises(BufferError):
        region.close(strict=True)
    region.close()
    mmapguard.check(array.buffers()[1])
    mmapguard.check(array[100:].to_numpy())
    os.truncate(path, 4096)
    for lost in (array.buffers()[1], array[SIZE - 10 :].to_numpy()):
        with pytest.raises(mmapguard.TruncatedError):
            mmapguard.check(lost)
    mmapguard.check(array[:4096].to_numpy())


def test_an_array_that_another_thread_releases(path: Path) -> None:
    """Each thread has the last reference to its array, and a consumer in Rust releases it without the GIL."""
    for _ in range(20):
        with mmapguard.open(path) as region:
            made = [[pl.Series(pa.array(region))] for _ in range(8)]
        threads = [threading.Thread(target=one.clear) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
    assert mmapguard.stats().mappings == 0


AT_EXIT = """
import os, sys, mmapguard, pyarrow as pa
array = pa.array(mmapguard.open(sys.argv[1]))
os.truncate(sys.argv[1], 4096)
print(array[5000])
"""


def test_a_loss_in_an_array_is_told_at_the_end(path: Path) -> None:
    ended = program(AT_EXIT, path)
    assert (ended.code, ended.value) == (120, "0\n"), ended
    assert len(ended.errors.splitlines()) == 1 and "from byte 4096 on" in ended.errors


def test_capsules_that_nobody_takes_give_the_bytes_back(path: Path) -> None:
    with mmapguard.open(path) as region:
        for _ in range(1000):
            region.__arrow_c_array__()
        schema, array = region.__arrow_c_array__(requested_schema=None)
        assert region.info.pins == 1
        assert "arrow_schema" in repr(schema)
        assert "arrow_array" in repr(array)
        del schema
        gc.collect()
        assert region.info.pins == 1
        del array
        gc.collect()
        assert region.info.pins == 0


def test_a_closed_region_is_no_array(path: Path) -> None:
    region = mmapguard.open(path)
    region.close()
    with pytest.raises(ValueError, match="closed"):
        region.__arrow_c_array__()
    with pytest.raises(TypeError):
        region.__arrow_c_array__(1, 2)  # type: ignore[call-arg]


def test_an_empty_region_is_an_empty_array(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with mmapguard.open(tmp_path / "empty") as region:
        assert len(pa.array(region)) == 0
