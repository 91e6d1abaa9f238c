# SPDX-License-Identifier: MIT OR Apache-2.0
"""The target of Atheris: random calls of a Region, held against the same calls on bytes and on a file in memory.

usage: fuzz_python.py [ARGUMENT OF libFuzzer...] [FOLDER]

Between the calls the file is rewritten or cut. As long as nothing is lost, each result is that of bytes. After a cut,
bytes are those of the file or zeros, and the block ends with TruncatedError.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["mmapguard"]):
    import mmapguard

FOLDER = tempfile.TemporaryDirectory(prefix="mmapguard-fuzz-")
PATH = Path(FOLDER.name) / "file"
PIECE = b"key=12;\0line\n\xff\xfe"
#: What a wrong argument may raise, in the region and in bytes.
WRONG = (TypeError, ValueError, IndexError, OverflowError, BufferError)
ODD: list[Any] = [None, "text", 1.5, b"", b"key", True, 2**31, 2**63, -(2**63) - 1, 2**70]


class Model:
    """A region, and what bytes and a file in memory say in its place."""

    def __init__(self, data: atheris.FuzzedDataProvider) -> None:
        """Make a file of a size that the input chooses, and open it."""
        self.data = data
        self.bytes = (PIECE * 6000)[: data.ConsumeIntInRange(0, 80_000)]
        PATH.write_bytes(self.bytes)
        self.file = io.BytesIO(self.bytes)
        self.is_cut = False
        self.views: list[memoryview] = []
        backing = data.PickValueInList(["auto", "map", "copy"])
        self.region = mmapguard.open(PATH, backing=backing)

    def argument(self) -> Any:
        """Return a number near the size, or something odd."""
        size = len(self.bytes)
        if self.data.ConsumeIntInRange(0, 9) == 0:
            return self.data.PickValueInList(ODD)
        return self.data.ConsumeIntInRange(-size - 3, size + 3)

    def needle(self) -> bytes:
        """Return bytes that may occur."""
        if self.data.ConsumeBool():
            at = self.data.ConsumeIntInRange(0, len(self.bytes))
            return self.bytes[at : at + self.data.ConsumeIntInRange(0, 40)]
        return bytes(self.data.ConsumeBytes(8))

    def same(self, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
        """Make both calls. The results are equal, or both are errors of the same kind."""
        try:
            expected = theirs()
        except WRONG as error:
            expected = error
        try:
            found = ours()
        except WRONG as error:
            found = error
        except mmapguard.TruncatedError:
            assert self.is_cut, "a loss was told although nothing was cut"
            return
        if self.is_cut:
            return
        if isinstance(expected, Exception) or isinstance(found, Exception):
            assert isinstance(expected, Exception) and isinstance(found, Exception), (expected, found)
            return
        assert bytes(found) == bytes(expected) if isinstance(expected, bytes) else found == expected, (
            found,
            expected,
        )

    def index(self) -> None:
        """Take one byte."""
        at = self.argument()
        self.same(lambda: self.region[at], lambda: self.bytes[at])

    def slice(self) -> None:
        """Take a slice with any step."""
        key = slice(self.argument(), self.argument(), self.data.PickValueInList([None, 1, -1, 2, -3, 0]))
        self.same(lambda: self.region[key], lambda: self.bytes[key])

    def search(self) -> None:
        """Search forwards or backwards. Without a start, a region searches from its position, as mmap does."""
        name = self.data.PickValueInList(["find", "rfind"])
        needle, start, end = self.needle(), self.argument(), self.argument()
        first = self.region.tell() if start is None else start
        self.same(
            lambda: getattr(self.region, name)(needle, start, end),
            lambda: getattr(self.bytes, name)(needle, first, end),
        )

    def contain(self) -> None:
        """Ask whether a byte or a word occurs."""
        item = self.needle() if self.data.ConsumeBool() else self.data.ConsumeIntInRange(0, 255)
        self.same(lambda: item in self.region, lambda: item in self.bytes)

    def read(self) -> None:
        """Read like a file, from a position that may be anywhere."""
        where = self.data.ConsumeIntInRange(0, len(self.bytes))
        count = self.data.ConsumeIntInRange(-1, 5000)
        self.region.seek(where)
        self.file.seek(where)
        self.same(lambda: self.region.read(count), lambda: self.file.read(count))
        self.same(self.region.readline, self.file.readline)
        self.same(self.region.tell, self.file.tell)

    def view(self) -> None:
        """Keep a view, which keeps the region, and drop an older one."""
        if len(self.views) > 4:
            self.views.pop(0).release()
        try:
            view = memoryview(self.region)
        except mmapguard.TruncatedError:
            assert self.is_cut
            return
        self.views.append(view)
        start = self.data.ConsumeIntInRange(0, len(self.bytes))
        found = bytes(view[start : start + 500])
        assert self.is_cut or found == self.bytes[start : start + 500]

    def ask(self) -> None:
        """Ask for the description, and for losses."""
        assert len(self.region) == len(self.bytes)
        assert repr(self.region)
        assert self.region.info.size == len(self.bytes)
        try:
            self.region.check()
        except mmapguard.TruncatedError:
            assert self.is_cut

    def strict(self) -> None:
        """Close strictly, which views prevent."""
        if self.views:
            try:
                self.region.close(strict=True)
            except BufferError:
                return
            raise AssertionError("a region with views was closed")

    def cut(self) -> None:
        """Cut the file, which a copy does not feel."""
        if self.data.ConsumeIntInRange(0, 3) == 0 and self.bytes:
            with PATH.open("r+b") as file:
                file.truncate(self.data.ConsumeIntInRange(0, len(self.bytes) - 1))
            self.is_cut = self.is_cut or self.region.info.backing != "copy"

    def run(self) -> None:
        """Make calls until the input ends, and close."""
        steps = [
            self.index,
            self.slice,
            self.search,
            self.contain,
            self.read,
            self.view,
            self.ask,
            self.strict,
        ]
        steps.append(self.cut)
        try:
            with self.region:
                while self.data.remaining_bytes() > 0:
                    self.data.PickValueInList(steps)()
                for view in self.views:
                    view.release()
        except mmapguard.TruncatedError:
            assert self.is_cut, "a loss was told although nothing was cut"
        assert self.region.closed


def one_input(data: bytes) -> None:
    """Make the calls that follow from an input. The counters are then what they were before."""
    before = mmapguard.stats()
    Model(atheris.FuzzedDataProvider(data)).run()
    after = mmapguard.stats()
    assert (before.handles, before.mappings) == (after.handles, after.mappings), "a region is left"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
