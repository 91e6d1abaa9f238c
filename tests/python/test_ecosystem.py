# SPDX-License-Identifier: MIT OR Apache-2.0
"""With the real packages, a region works wherever they take a buffer or a file, without a copy where that is
possible.

Each test also checks that the bytes come from the mapping: through the address of what the package made, or through
the pin that its buffer holds.
"""

from __future__ import annotations

import array
import hashlib
import io
import itertools
import json
import pickle
import re
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from PIL import Image

import mmapguard
from support import watch

ROWS = 200_000

# polars starts its threads, which have descriptors, at its first query. The query runs here, before the test counts
# anything.
for _write, _read in ((pl.DataFrame.write_parquet, pl.read_parquet), (pl.DataFrame.write_ipc, pl.read_ipc)):
    _write(pl.DataFrame({"a": [1]}), _file := io.BytesIO())
    _read(_file.getvalue())


def mapped(path: Path, address: int) -> bool:
    """Returns true when the address lies in the mapping of the file."""
    place = watch.mapping_at(address)
    return place is not None and place.inode == path.stat().st_ino


# ------------------------------------------------------------------------------------------------------- NumPy --


def test_numpy_frombuffer_shows_the_file_itself(tmp_path: Path) -> None:
    values = np.arange(ROWS, dtype="<f4")
    path = tmp_path / "floats"
    path.write_bytes(b"header: 12 b" + values.tobytes())
    with mmapguard.open(path) as region:
        view = np.frombuffer(region, "<f4", offset=12)
        assert mapped(path, view.ctypes.data)
        assert not view.flags.writeable and not view.flags.owndata
        assert np.array_equal(view, values)
        part = view.reshape(-1, 2)[::3]
        del view
        assert region.exports == 1
        assert part.sum() == values.reshape(-1, 2)[::3].sum()
        del part
        assert region.exports == 0


def test_numpy_structured_types(tmp_path: Path) -> None:
    record = np.dtype([("id", "<u8"), ("position", "<f8", (3,)), ("name", "S16")])
    values = np.zeros(5000, record)
    values["id"] = np.arange(5000)
    values["position"] = np.random.default_rng(1).random((5000, 3))
    values["name"] = [f"number {n}".encode() for n in range(5000)]
    path = tmp_path / "records"
    values.tofile(path)
    with mmapguard.open(path) as region:
        view = np.frombuffer(region, record)
        assert mapped(path, view["position"].ctypes.data)
        assert view[4999]["name"] == b"number 4999"
        assert np.array_equal(view, values)
        del view


def test_files_that_numpy_memmap_wrote(tmp_path: Path) -> None:
    raw, npy = tmp_path / "raw", tmp_path / "a.npy"
    written = np.memmap(raw, "<i4", "w+", shape=(300, 200))
    written[:] = np.arange(60_000).reshape(300, 200)
    written.flush()
    other = np.lib.format.open_memmap(npy, "w+", "<i4", (300, 200))
    other[:] = written
    other.flush()
    with mmapguard.open(raw) as region:
        view = np.frombuffer(region, "<i4").reshape(300, 200)
        assert np.array_equal(view, np.memmap(raw, "<i4", "r", shape=(300, 200)))
        del view
    with mmapguard.open(npy) as region, region.file() as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        view = np.frombuffer(region, dtype, offset=file.tell()).reshape(shape)
        assert mapped(npy, view.ctypes.data)
        assert np.array_equal(view, written)
        file.seek(0)
        assert np.array_equal(np.load(file), written)
        del view
    del written, other


# ----------------------------------------------------------------------------------------- pyarrow, polars, models --


@pytest.fixture
def table() -> pa.Table:
    numbers = np.random.default_rng(2)
    return pa.table(
        {
            "key": pa.array(np.arange(ROWS)),
            "value": pa.array(numbers.random(ROWS)),
            "word": pa.array([f"word {n % 1000}" for n in range(ROWS)]),
        }
    )


def test_pyarrow_reads_an_ipc_file_without_a_copy(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "table.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    with mmapguard.open(path) as region:
        read = pa.ipc.open_file(pa.py_buffer(region)).read_all()
        assert mapped(path, read["value"].chunk(0).buffers()[1].address)
        assert region.exports > 0
        assert read.equals(table)
        del read
        assert region.exports == 0


def test_pyarrow_reads_parquet(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(table, path)
    with mmapguard.open(path) as region:
        assert pq.read_table(pa.BufferReader(region)).equals(table)
        assert pq.read_table(region.file(), columns=["value"]).column("value").equals(table["value"])
        assert pq.ParquetFile(pa.BufferReader(region)).metadata.num_rows == ROWS


def test_polars_reads_parquet_ipc_and_csv(table: pa.Table, tmp_path: Path) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.arrow")
    frame.write_csv(tmp_path / "t.csv")
    readers: dict[str, Any] = {"t.parquet": pl.read_parquet, "t.arrow": pl.read_ipc, "t.csv": pl.read_csv}
    for name, read in readers.items():
        with mmapguard.open(tmp_path / name) as region:
            assert read(region.file()).equals(frame)
    with mmapguard.open(tmp_path / "t.arrow") as region:
        shared = pl.from_arrow(pa.ipc.open_file(pa.py_buffer(region)).read_all())
        assert isinstance(shared, pl.DataFrame)
        assert shared["value"].sum() == frame["value"].sum()
        del shared


def test_safetensors_loads_from_a_region(tmp_path: Path) -> None:
    tensors = {"a": np.arange(90_000, dtype="f4").reshape(300, 300), "b": np.ones(7, dtype="i8")}
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(tensors, path)
    with mmapguard.open(path) as region:
        loaded = safetensors.numpy.load(region[:])  # it takes only bytes
        assert loaded.keys() == tensors.keys()
        assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)
        # The format is made for reading in place, and a region allows this.
        (length,) = struct.unpack_from("<Q", region)
        header = json.loads(region[8 : 8 + length])
        start, stop = header["a"]["data_offsets"]
        view = np.frombuffer(region, "<f4", offset=8 + length + start, count=(stop - start) // 4)
        assert mapped(path, view.ctypes.data)
        assert np.array_equal(view.reshape(header["a"]["shape"]), tensors["a"])
        del view


def test_pillow_opens_and_shows_an_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for name in ("i.png", "i.bmp", "i.tiff"):
        image.save(tmp_path / name)
        with mmapguard.open(tmp_path / name) as region, Image.open(region.file()) as read:
            assert np.array_equal(np.asarray(read), pixels)
        with mmapguard.open(tmp_path / name) as region, Image.open(io.BytesIO(region)) as read:
            assert read.size == (400, 300)
    raw = tmp_path / "raw"
    raw.write_bytes(np.dstack([pixels, np.full((300, 400), 255, np.uint8)]).tobytes())
    with mmapguard.open(raw) as region:
        shown = Image.frombuffer("RGBA", (400, 300), region, "raw", "RGBA", 0, 1)  # type: ignore[arg-type]
        assert region.exports == 1
        assert shown.getpixel((7, 9)) == (*map(int, pixels[9, 7]), 255)
        del shown


# ---------------------------------------------------------------------------------------------- standard library --


def test_the_modules_of_the_standard_library_that_take_buffers(large: Path) -> None:
    data = large.read_bytes()
    with mmapguard.open(large) as region:
        assert hashlib.sha256(region).digest() == hashlib.sha256(data).digest()
        assert hashlib.file_digest(region.file(), "sha256").digest() == hashlib.sha256(data).digest()
        assert zlib.crc32(region) == zlib.crc32(data)
        assert zlib.decompress(zlib.compress(region, 1)) == data
        assert struct.unpack_from("<IQ", region, 1001) == struct.unpack_from("<IQ", data, 1001)
        assert list(struct.iter_unpack("<Q", memoryview(region)[:800])) == list(
            struct.iter_unpack("<Q", data[:800])
        )
        assert array.array("B", region) == array.array("B", data)
        assert int.from_bytes(memoryview(region)[:8], "big") == int.from_bytes(data[:8], "big")
        assert b"".join([region, region]) == data + data
        assert data == region[:] == bytearray(region)
        assert region.exports == 0


def test_regular_expressions_search_a_region(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%07d error=%d\n" % (n, n % 7) for n in range(50_000)))
    with mmapguard.open(path) as region:
        found = re.search(rb"^0012345 error=(\d)$", region, re.MULTILINE)
        assert found is not None and found.group(1) == b"4"
        assert sum(1 for _ in re.finditer(rb"error=3\n", region)) == len(range(3, 50_000, 7))
        assert region.exports == 0
    # As with mmap, a match keeps the object but no buffer: take its groups before the end of the block.
    with pytest.raises((ValueError, TypeError)):
        found.group(1)


def test_sqlite_deserialises_a_database(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with sqlite3.connect(path) as made:
        made.execute("create table t (n integer, s text)")
        made.executemany("insert into t values (?, ?)", ((n, str(n)) for n in range(20_000)))
    made.close()
    with mmapguard.open(path) as region:
        read = sqlite3.connect(":memory:")
        read.deserialize(region)
        assert read.execute("select count(*), sum(n) from t").fetchone() == (20_000, sum(range(20_000)))
        read.close()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_are_read_through_a_file_over_the_region(kind: str, tmp_path: Path) -> None:
    members = {f"folder/{n}": bytes([n]) * (n * 5000) for n in range(20)}
    path = tmp_path / f"archive.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in members.items():
                made.writestr(name, data)
        with mmapguard.open(path) as region, zipfile.ZipFile(region.file()) as read:
            assert {name: read.read(name) for name in read.namelist()} == members
            assert read.testzip() is None
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as packed:
            for name, data in members.items():
                header = tarfile.TarInfo(name)
                header.size = len(data)
                packed.addfile(header, io.BytesIO(data))
        with mmapguard.open(path) as region, tarfile.open(fileobj=region.file()) as unpacked:
            contents = {one.name: unpacked.extractfile(one) for one in unpacked}
            assert {name: file.read() for name, file in contents.items() if file} == members


def test_zipfile_takes_the_region_itself(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as made:
        made.writestr("one", b"1" * 300_000)
    with mmapguard.open(tmp_path / "z") as region, zipfile.ZipFile(region) as read:
        assert read.read("one") == b"1" * 300_000


def test_pickle_takes_buffers_out_of_band_from_a_region(tmp_path: Path) -> None:
    values = {"a": np.arange(ROWS, dtype="<i8"), "b": np.linspace(0, 1, ROWS)}
    buffers: list[pickle.PickleBuffer] = []
    inband = pickle.dumps(values, protocol=5, buffer_callback=buffers.append)
    raws = [buffer.raw() for buffer in buffers]
    path = tmp_path / "buffers"
    path.write_bytes(b"".join(raws))
    with mmapguard.open(path) as region:
        view = memoryview(region)
        ends = np.cumsum([0, *(raw.nbytes for raw in raws)])
        parts = [view[start:stop] for start, stop in itertools.pairwise(ends)]
        again = pickle.loads(inband, buffers=parts)
        assert mapped(path, again["a"].ctypes.data)
        assert all(np.array_equal(again[name], values[name]) for name in values)
        assert bytes(pickle.PickleBuffer(region)) == path.read_bytes()
        del again, parts, view


def test_what_is_written_from_a_region_arrives(large: Path, tmp_path: Path) -> None:
    with mmapguard.open(large) as region, (tmp_path / "copy").open("wb") as copy:
        assert copy.write(region) == len(region)
        copy.write(memoryview(region)[:10])
        buffered = io.BytesIO(region)
    assert (tmp_path / "copy").read_bytes() == large.read_bytes() + large.read_bytes()[:10]
    assert buffered.getvalue() == large.read_bytes()
