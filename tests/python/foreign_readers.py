# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs libraries that map files by themselves: each writes a file, maps it, and reads it after it was cut to one
page.

    python foreign_readers.py NAME PATH plain|guarded

`plain` reads without mmapguard. `guarded` reads in a block of mmapguard.guard_process(), and prints as JSON what the
block raised. No reader passes anything to mmapguard.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

#: The count of numbers in a file, which take 8 MiB.
COUNT = 1 << 20
LEFT = 4096

Reader = Callable[[str], Iterator[None]]
READERS: dict[str, Reader] = {}


def reader(function: Reader) -> Reader:
    """Register a reader. The reader yields when the file is mapped, and then reads it."""
    READERS[function.__name__] = function
    return function


@reader
def stdlib_mmap(path: str) -> Iterator[None]:
    import mmap

    with open(path, "wb") as file:
        file.write(b"x" * COUNT)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield
    assert mapped[-1] == 0


@reader
def stdlib_re(path: str) -> Iterator[None]:
    import mmap
    import re

    with open(path, "wb") as file:
        file.write(b"abc " * COUNT)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield
    assert len(re.findall(b"abc", mapped)) == LEFT // 4


@reader
def numpy_memmap(path: str) -> Iterator[None]:
    import numpy as np

    np.ones(COUNT).tofile(path)
    array = np.memmap(path, "f8", "r")
    yield
    assert array.sum() == LEFT / 8


@reader
def numpy_memmap_copy_on_write(path: str) -> Iterator[None]:
    import numpy as np

    np.ones(COUNT).tofile(path)
    array = np.memmap(path, "f8", "c")
    yield
    array[-1] = 7  # the new page can be written to, as the mapping could
    assert array.sum() == LEFT / 8 + 7


@reader
def numpy_load(path: str) -> Iterator[None]:
    import numpy as np

    with open(path, "wb") as file:
        np.save(file, np.ones(COUNT))
    array = np.load(path, mmap_mode="r")
    yield
    array.sum()


@reader
def joblib_load(path: str) -> Iterator[None]:
    import joblib
    import numpy as np

    joblib.dump({"a": np.ones(COUNT)}, path)
    loaded = joblib.load(path, mmap_mode="r")
    yield
    loaded["a"].sum()


@reader
def pyarrow_ipc(path: str) -> Iterator[None]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.ipc

    table = pa.table({"i": pa.array(range(COUNT))})
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    read = pa.ipc.open_file(pa.memory_map(path)).read_all()
    yield
    pc.sum(read["i"]).as_py()


@reader
def pyarrow_feather(path: str) -> Iterator[None]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.feather

    pa.feather.write_feather(pa.table({"i": pa.array(range(COUNT))}), path, compression="uncompressed")
    read = pa.feather.read_table(path, memory_map=True)
    yield
    pc.sum(read["i"]).as_py()


@reader
def pandas_csv(path: str) -> Iterator[None]:
    import pandas as pd

    pd.DataFrame({"a": range(300_000)}).to_csv(path)
    chunks = pd.read_csv(path, memory_map=True, chunksize=1000)
    next(chunks)
    yield
    for chunk in chunks:
        len(chunk)


@reader
def safetensors_slice(path: str) -> Iterator[None]:
    import numpy as np
    import safetensors
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.ones((1024, 1024), "f4")}, path)
    file: Any = safetensors.safe_open
    with file(path, "np") as opened:
        yield
        opened.get_slice("a")[1000:].sum()


@reader
def gguf_reader(path: str) -> Iterator[None]:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("t", np.ones(COUNT, "f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = gguf.GGUFReader(path)
    yield
    read.tensors[0].data.sum()


@reader
def tifffile_memmap(path: str) -> Iterator[None]:
    import numpy as np
    import tifffile

    tifffile.imwrite(path + ".tif", np.ones((1024, 1024), "f4"))
    os.replace(path + ".tif", path)
    array = tifffile.memmap(path, mode="r")
    yield
    array.sum()


@reader
def nibabel_load(path: str) -> Iterator[None]:
    import nibabel
    import numpy as np

    nibabel.save(nibabel.Nifti1Image(np.ones((100, 100, 100), "i2"), np.eye(4)), path + ".nii")
    image = nibabel.load(path + ".nii")
    array = np.asanyarray(image.dataobj)
    os.rename(path + ".nii", path)
    yield
    array.sum()


@reader
def astropy_fits(path: str) -> Iterator[None]:
    import numpy as np
    from astropy.io import fits

    fits.writeto(path, np.ones(COUNT, ">f4"), overwrite=True)
    data = fits.open(path)[0].data
    yield
    data.sum()


@reader
def lmdb_cursor(path: str) -> Iterator[None]:
    import lmdb

    environment = lmdb.open(path, subdir=False, map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for number in range(20_000):
            transaction.put(b"%08d" % number, b"x" * 100)
    environment.close()
    environment = lmdb.open(path, subdir=False, readonly=True, lock=False)
    transaction = environment.begin()
    transaction.get(b"00000001")
    yield
    for _ in transaction.cursor():
        pass


@reader
def sqlite_mmap_size(path: str) -> Iterator[None]:
    import sqlite3

    with sqlite3.connect(path) as writer:
        writer.execute("create table t(a, b)")
        writer.executemany("insert into t values(?, ?)", ((number, "x" * 50) for number in range(100_000)))
    writer.close()
    connection = sqlite3.connect(path)
    connection.execute("pragma mmap_size=268435456")
    rows = connection.execute("select * from t")
    rows.fetchone()
    yield
    for _ in rows:
        pass


@reader
def maxminddb_extension(path: str) -> Iterator[None]:
    import maxminddb
    import mmdb_writer
    import netaddr

    writer = mmdb_writer.MMDBWriter(4)
    for number in range(3000):
        network = netaddr.IPSet([f"{1 + number % 200}.{number // 200}.0.0/24"])
        writer.insert_network(network, {"n": "x" * 100 + str(number)})
    writer.to_db_file(path)
    database = maxminddb.open_database(path, maxminddb.MODE_MMAP)
    database.get("1.0.0.1")
    yield
    for first in range(1, 200, 20):
        for second in (0, 5, 10):
            database.get(f"{first}.{second}.0.1")


@reader
def pillow_bmp(path: str) -> Iterator[None]:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.ones((2000, 2000), "u1")).save(path, "BMP")
    image = Image.open(path)
    image.load()
    yield
    np.asarray(image).sum()


@reader
def scipy_wav(path: str) -> Iterator[None]:
    import numpy as np
    import scipy.io.wavfile

    scipy.io.wavfile.write(path, 44_100, np.ones(COUNT, "i2"))
    _, array = scipy.io.wavfile.read(path, mmap=True)
    yield
    array.sum()


@reader
def scipy_netcdf(path: str) -> Iterator[None]:
    import scipy.io

    file = scipy.io.netcdf_file(path, "w")
    file.createDimension("x", COUNT)
    file.createVariable("v", "d", ("x",))[:] = 1
    file.close()
    array = scipy.io.netcdf_file(path, "r").variables["v"][:]
    yield
    array.sum()


def _read(name: str, path: str) -> None:
    steps = READERS[name](path)
    next(steps)
    os.truncate(path, LEFT)
    next(steps, None)


def _guarded(name: str, path: str) -> dict[str, Any]:
    """Run a reader in a block of guard_process(). Return what the end of the block raised."""
    import mmapguard

    try:
        with mmapguard.guard_process():
            _read(name, path)
    except mmapguard.MapFaultError as error:
        return {"raised": type(error).__name__, "path": error.filename, "offset": error.offset}
    return {"raised": None}


if __name__ == "__main__":
    if sys.argv[3] == "plain":
        _read(sys.argv[1], sys.argv[2])
    else:
        result = _guarded(sys.argv[1], sys.argv[2])
        print(json.dumps(result), flush=True)
        os._exit(0)  # a library may fail on the zeros when the interpreter ends, which is not under test
