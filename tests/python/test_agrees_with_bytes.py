# SPDX-License-Identifier: MIT OR Apache-2.0
"""For any arguments, a region answers as bytes and io.BytesIO do."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmapguard

SIZES = (0, 1, 300, 70_000)
#: Only few different bytes, so that needles occur.
CONTENT = bytes((i * i // 7) % 3 + 97 for i in range(max(SIZES)))


@pytest.fixture(scope="module", params=[f"{size}-{backing}" for size in SIZES for backing in ("copy", "map")])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[mmapguard.Region, bytes]]:
    size, backing = request.param.split("-")
    data = CONTENT[: int(size)]
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with mmapguard.open(file.name, backing=backing) as region:
            yield region, data


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> None:
    """The regions of this module live across its tests."""


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """Return the value that a call returns, or the exception that it raises."""
    try:
        return "value", call()
    except Exception as error:
        return "error", type(error)


near = st.integers(-400, 400) | st.integers(-70_100, 70_100)
anything = (
    st.none() | near | st.integers() | st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63), 2**64, -(2**64)])
)
needles = st.binary(max_size=3) | st.text("abc", max_size=8).map(str.encode) | st.integers(0, 70_000).map(
    lambda start: CONTENT[start : start + 40]
)  # fmt: skip


@given(start=anything, stop=anything, step=anything)
@settings(max_examples=400, deadline=None)
def test_slices(pair: tuple[mmapguard.Region, bytes], start: Any, stop: Any, step: Any) -> None:
    region, data = pair
    key = slice(start, stop, step)
    assert outcome(lambda: region[key]) == outcome(lambda: data[key])


@given(index=near | st.integers() | st.booleans())
@settings(max_examples=300, deadline=None)
def test_indices(pair: tuple[mmapguard.Region, bytes], index: int) -> None:
    region, data = pair
    assert outcome(lambda: region[index]) == outcome(lambda: data[index])


@given(key=st.none() | st.floats() | st.text() | st.binary() | st.tuples(near) | st.lists(near))
@settings(max_examples=50, deadline=None)
def test_what_is_no_index(pair: tuple[mmapguard.Region, bytes], key: Any) -> None:
    region, data = pair
    assert outcome(lambda: region[key]) == outcome(lambda: data[key]) == ("error", TypeError)


@given(needle=needles, start=anything, end=anything)
@settings(max_examples=600, deadline=None)
def test_find_and_rfind(pair: tuple[mmapguard.Region, bytes], needle: bytes, start: Any, end: Any) -> None:
    region, data = pair
    region.seek(0)
    for name in ("find", "rfind"):
        ours, theirs = getattr(region, name), getattr(data, name)
        assert ours(needle) == theirs(needle)
        assert ours(needle, start) == theirs(needle, start)
        assert ours(needle, start, end) == theirs(needle, start, end)
        assert ours(memoryview(needle), start, end) == theirs(needle, start, end)


@given(item=needles | st.integers(-10, 300) | st.integers() | st.none() | st.text())
@settings(max_examples=200, deadline=None)
def test_containment(pair: tuple[mmapguard.Region, bytes], item: Any) -> None:
    region, data = pair
    assert outcome(lambda: item in region) == outcome(lambda: item in data)


steps = st.lists(
    st.tuples(st.just("read"), st.none() | near)
    | st.tuples(st.just("readline"))
    | st.tuples(st.just("seek"), near, st.sampled_from([0, 1, 2]))
    | st.tuples(st.just("tell")),
    max_size=20,
)


@given(steps=steps)
@settings(max_examples=300, deadline=None)
def test_reading_and_seeking(pair: tuple[mmapguard.Region, bytes], steps: list[tuple[Any, ...]]) -> None:
    """A region does as io.BytesIO, except that seeking outside the region is a ValueError, as with mmap."""
    region, data = pair
    region.seek(0)
    file = io.BytesIO(data)
    for name, *arguments in steps:
        if name == "seek":
            offset, whence = arguments
            target = (0, file.tell(), len(data))[whence] + offset
            if not 0 <= target <= len(data):
                with pytest.raises(ValueError, match="out of range"):
                    region.seek(offset, whence)
                continue
        assert getattr(region, name)(*arguments) == getattr(file, name)(*arguments)
    assert region.tell() == file.tell()


@given(offset=near, size=st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_read_into(pair: tuple[mmapguard.Region, bytes], offset: int, size: int) -> None:
    region, data = pair
    buffer = bytearray(size)
    if 0 <= offset <= len(data):
        assert buffer[: region.read_into(buffer, offset)] == data[offset : offset + size]
    else:
        with pytest.raises((ValueError, OverflowError)):
            region.read_into(buffer, offset)


def test_iteration_is_that_of_bytes(pair: tuple[mmapguard.Region, bytes]) -> None:
    region, data = pair
    assert list(region) == list(data)
    assert list(reversed(region)) == list(reversed(data))
    assert bytes(region) == data
    assert memoryview(region) == data
    assert len(region) == len(data)
    assert bool(region) == bool(data)
