# SPDX-License-Identifier: MIT OR Apache-2.0
"""Load a safetensors file without a copy: each tensor is an array over the mapped file.

    python safetensors_load.py FILE

The format is simple: eight bytes with the length of a header in JSON, the header, and the bytes of the tensors. With the
package `safetensors`, `safetensors.numpy.load(bytes)` copies every tensor and `safe_open` maps the file by itself: a
`truncate` by another process then kills the interpreter. Needs NumPy.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from typing import Any

import numpy as np

import mmapguard

#: The names of the format's types in NumPy. NumPy has no BF16 and no 8-bit floats, so these stay plain integers.
DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
}  # fmt: skip


def load(region: mmapguard.Region) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of an open file, by name. They keep the bytes alive, also when the region is closed."""
    (length,) = struct.unpack("<Q", region[:8])
    header: dict[str, Any] = json.loads(region[8 : 8 + length])
    header.pop("__metadata__", None)
    view, tensors = memoryview(region), {}
    for name, about in header.items():
        start, end = (8 + length + place for place in about["data_offsets"])
        tensors[name] = np.frombuffer(view[start:end], DTYPES[about["dtype"]]).reshape(about["shape"])
    return tensors


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    given = parser.parse_args(arguments)
    try:
        with mmapguard.open(given.file) as region:
            for name, tensor in load(region).items():
                mean = float(tensor.mean()) if tensor.size else 0.0
                print(f"{name}: {tensor.dtype} {tensor.shape}, mean {mean:g}")
    except mmapguard.MapFaultError as lost:
        print(f"the file was cut while it was read: {lost}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
