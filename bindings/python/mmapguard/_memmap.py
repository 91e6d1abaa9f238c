# SPDX-License-Identifier: MIT OR Apache-2.0
"""Arrays over a file, with the arguments of numpy.memmap."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Literal

from ._options import Source
from ._region import open as open_region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray


def _count(shape: int | tuple[int, ...]) -> int:
    """Return the number of items in an array of that shape."""
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    if count < 0:
        raise ValueError("negative dimensions are not allowed")
    return count


def memmap(
    filename: Source,
    dtype: DTypeLike = "u1",
    mode: Literal["r", "readonly"] = "r",
    offset: int = 0,
    shape: int | tuple[int, ...] | None = None,
    order: Literal["C", "F"] = "C",
    **options: Any,
) -> NDArray[Any]:
    """Return the file as a read-only NumPy array, without a copy, as numpy.memmap(filename, dtype, mode="r") does.

    `offset` is in bytes. Without a `shape` the array is one-dimensional and reaches to the end of the file;
    the bytes up to there must be a whole number of items. The other keywords are those of mmapguard.open().
    The only mode is "r", also called "readonly", since a region cannot be written to.

    The array keeps the bytes until the last array over them is deleted. A file that is cut short meanwhile
    does not kill the process: its lost items read as zero, and mmapguard.check(array) raises TruncatedError.
    Call it when the result is computed, or open a region in a `with` block instead. The function needs NumPy.
    It raises what open() raises, and ValueError for a file that is too short for the shape.
    """
    import numpy as np

    if mode not in ("r", "readonly"):
        raise ValueError(f"mode must be 'r', not {mode!r}: a region cannot be written to")
    kind = np.dtype(dtype)
    if shape is not None:
        if not isinstance(shape, tuple):
            other: Any = shape
            shape = operator.index(other) if hasattr(other, "__index__") else tuple(other)
        size = _count(shape) * kind.itemsize
        if size == 0:
            return _read_only(np.empty(shape, kind))
        options["length"] = size
    region = open_region(filename, offset=offset, **options)
    size = len(region)
    if shape is None and size % kind.itemsize:
        region.close()
        text = f"{size} bytes are no whole number of items of {kind.itemsize} bytes"
        raise ValueError(f"{filename!r}: {text}")
    if size == 0:
        region.close()
        return _read_only(np.empty(0, kind))
    # frombuffer() keeps a view of the region. numpy.ndarray(buffer=region) does not.
    array = np.frombuffer(memoryview(region), kind)
    return array if shape is None else array.reshape(shape, order=order)


def _read_only(array: np.ndarray[Any, Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
