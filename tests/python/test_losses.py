# SPDX-License-Identifier: MIT OR Apache-2.0
"""A loss is reported by each reading call, for each view, after close(), and at the end of the interpreter."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import program

import mmapguard

WHOLE = (1 << 20) + 2000
CUT = WHOLE - 1000


@pytest.fixture
def cut_in_its_last_page(tmp_path: Path) -> Iterator[tuple[mmapguard.Region, Path]]:
    """Provide a region whose file has lost its last thousand bytes.

    They are in the last page, so no read of it faults.
    """
    path = tmp_path / "file"
    path.write_bytes(b"x" * (WHOLE - 3) + b"END")
    region = mmapguard.open(path)
    assert region[0] == ord("x")
    os.truncate(path, CUT)
    yield region, path
    region.close()


READERS: dict[str, Callable[[mmapguard.Region], Any]] = {
    "read": lambda region: (region.seek(WHOLE - 10), region.read(10)),
    "read to the end": lambda region: region.read(),
    "read from just before": lambda region: (region.seek(CUT - 5000), region.read(5001)),
    "readline": lambda region: (region.seek(WHOLE - 10), region.readline()),
    "a long line": lambda region: region.readline(),
    "read_byte": lambda region: (region.seek(WHOLE - 1), region.read_byte()),
    "read_into": lambda region: region.read_into(bytearray(10), WHOLE - 10),
    "readinto": lambda region: (region.seek(WHOLE - 10), region.readinto(bytearray(10))),
    "find": lambda region: region.find(b"END", WHOLE - 100),
    "rfind": lambda region: region.rfind(b"END", 0),
    "in": lambda region: b"END" in region,
    "slice": lambda region: region[-10:],
    "slice with a step": lambda region: region[::-7],
    "file": lambda region: region.file().read(),
    "view": lambda region: mmapguard.check(memoryview(region)),
    "view of the end": lambda region: mmapguard.check(memoryview(region)[-1:]),
}


@pytest.mark.parametrize("reader", READERS)
def test_bytes_lost_within_the_last_page_raise(
    reader: str, cut_in_its_last_page: tuple[mmapguard.Region, Path]
) -> None:
    region, path = cut_in_its_last_page
    with pytest.raises(mmapguard.TruncatedError, match=f"byte {CUT} on") as caught:
        READERS[reader](region)
    assert caught.value.offset == CUT
    assert caught.value.filename == path or caught.value.filename == str(path)


def test_bytes_before_the_cut_are_read_as_before(
    cut_in_its_last_page: tuple[mmapguard.Region, Path],
) -> None:
    region, _ = cut_in_its_last_page
    assert region[CUT - 10 : CUT] == b"x" * 10
    assert region[: 1 << 20] == b"x" * (1 << 20)
    assert region.find(b"x", 0) == 0
    assert region.read(5000) == b"x" * 5000
    mmapguard.check(memoryview(region)[:CUT])
    with pytest.raises(mmapguard.TruncatedError):
        region.check()
    assert region[CUT - 10 : CUT] == b"x" * 10
    assert region.rfind(b"x", 0, CUT) == CUT - 1


def test_zeros_of_the_file_are_no_loss(tmp_path: Path) -> None:
    """Lost bytes read as zeros, and so do zeros of the file.

    A range may start or end in such zeros, and they are no loss.
    """
    path = tmp_path / "zeros"
    path.write_bytes(bytes(300_000))
    with mmapguard.open(path, backing="map") as region:
        for start, length in ((0, 1), (4095, 2), (4096, 4096), (100, 9000), (0, 300_000), (299_999, 1)):
            assert region[start : start + length] == bytes(length)
        assert region.readline() == bytes(300_000)
        assert region.rfind(b"\0" * 10) == -1
        assert region.rfind(b"\0" * 10, 0) == 300_000 - 10


@pytest.mark.parametrize("length", [1, 100, 4096, 4097, 10_000, 100_000])
def test_a_cut_anywhere_is_found_by_a_read_that_ends_behind_it(length: int, tmp_path: Path) -> None:
    """The cut is in the middle of the file and in the middle of a page.

    The rest of that page reads as zeros without a fault.
    """
    path = tmp_path / "file"
    for cut in (200_000, 200_704, 200_705, 204_799):
        path.write_bytes(b"x" * 400_000)
        with mmapguard.open(path, backing="map") as region:
            os.truncate(path, cut)
            assert region[cut - length : cut] == b"x" * length
            region.seek(cut - length)
            assert region.read(length) == b"x" * length
            for start in range(max(cut - length + 1, 0), cut + 1, max(length // 7, 1)):
                with pytest.raises(mmapguard.TruncatedError):
                    region[start : start + length]
            region.close()


def _until_lost(path: Path, seen: list[int]) -> None:
    """Read in rounds. The file is cut in the third."""
    with mmapguard.open(path) as region, memoryview(region) as view:
        for at in range(0, len(view), 65_536):
            if region.lost:
                break
            seen.append(at)
            if len(seen) == 3:
                os.truncate(path, 4096)
            assert view[at] is not None


def test_a_loop_can_look_at_a_counter(large: Path) -> None:
    seen: list[int] = []
    with pytest.raises(mmapguard.TruncatedError):
        _until_lost(large, seen)
    assert seen == [0, 65_536, 131_072]


# ---------------------------------------------------------------------------------------------- past close() --


def test_views_can_be_asked_after_the_region_was_closed(large: Path) -> None:
    with mmapguard.open(large) as region:
        array = np.frombuffer(region, np.uint8)
        window = memoryview(region)[100:200]
    assert region.closed
    for still_true in (array, array[5:], array[::-2], window, window[3:5], region):
        mmapguard.check(still_true)
    assert region.changed() == frozenset()
    assert region.info.pins == 2
    os.truncate(large, 8192)
    assert array.sum() >= 0
    for lost in (array, array[8000:9000], array[::-2], region):
        with pytest.raises(mmapguard.TruncatedError) as caught:
            mmapguard.check(lost)
        assert caught.value.offset == 8192
    for kept in (window, array[:8192], array[:8192:3]):
        mmapguard.check(kept)
    assert "size" in region.changed()
    assert region.info.fault_offset == 8192
    with pytest.raises(ValueError, match="closed"):
        memoryview(region)
    del array, still_true, lost, kept
    window.release()
    for ask in (region.check, region.changed, lambda: region.info):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_what_is_no_view_of_a_region_is_refused(large: Path) -> None:
    with mmapguard.open(large) as region:
        region[0]
        for foreign in (b"bytes", bytearray(10), region[:10], np.zeros(10)):
            with pytest.raises(ValueError, match="no open region"):
                mmapguard.check(foreign)
        for no_buffer in (None, 7, "text"):
            with pytest.raises(TypeError):
                mmapguard.check(no_buffer)


def test_the_last_view_gives_everything_back(large: Path) -> None:
    before = mmapguard.stats()
    with mmapguard.open(large) as region:
        view = memoryview(region)
    assert mmapguard.stats().mapped_bytes > before.mapped_bytes
    view.release()
    assert mmapguard.stats().mapped_bytes == before.mapped_bytes
    assert mmapguard.stats().handles == before.handles
    assert region.closed


# ----------------------------------------------------------------------------------------------------- blocks --


class _Panic(BaseException):
    """Stands in for pyo3's PanicException, which is no Exception. Such an exception must not hide a loss either."""


def _lose_and_raise(path: Path, raised: type[BaseException]) -> None:
    with mmapguard.open(path) as region:
        os.truncate(path, 8192)
        assert region[-1] == 0
        raise raised


@pytest.mark.parametrize("raised", [_Panic, KeyError, BaseException])
def test_an_exception_of_the_block_does_not_hide_a_loss(raised: type[BaseException], large: Path) -> None:
    with pytest.raises(mmapguard.TruncatedError) as caught:
        _lose_and_raise(large, raised)
    assert type(caught.value.__context__) is raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_an_exception_that_ends_a_program_or_a_task_goes_through(
    raised: type[BaseException], large: Path
) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(raised):
            _lose_and_raise(large, raised)
    gc.collect()
    assert [(one.category, one.filename) for one in told] == [(mmapguard.MapFaultWarning, __file__)]


# --------------------------------------------------------------------------------------- the end of the interpreter --

AT_EXIT = """
import atexit, os, sys
handlers = []
atexit.register(lambda: [handler() for handler in handlers])
import mmapguard
path = sys.argv[1]
{body}
"""


def _ends(path: Path, body: str) -> tuple[int | None, str, str]:
    ended = program(AT_EXIT.format(body=body), path)
    assert ended.killed_by is None
    return ended.code, ended.value, ended.errors


@pytest.mark.parametrize(
    "body",
    [
        "view = memoryview(mmapguard.open(path)); os.truncate(path, 4096); print(view[5000])",
        "region = mmapguard.open(path); region[0]; os.truncate(path, 4096); print(region[5000])",
        "region = mmapguard.open(path); view = memoryview(region); region.close(); os.truncate(path, 4096); print(view[5000])",
        "view = memoryview(mmapguard.open(path)); os.truncate(path, 4096); print(view[5000]); sys.stderr.flush()",
        "with mmapguard.open(path) as region: os.truncate(path, 4096); print(region[5000]); sys.exit()",
        "with mmapguard.open(path) as region: print(0 * region[0]); os.truncate(path, 4096); sys.exit()",
        "region = mmapguard.open(path); atexit.register(lambda: (os.truncate(path, 4096), print(region[5000])))",
        "region = mmapguard.open(path); handlers.append(lambda: (os.truncate(path, 4096), print(region[5000])))",
    ],
    ids=[
        *("a view", "a region", "a view of a closed region", "after a flush"),
        *("a block that sys.exit() leaves", "a block that sys.exit() leaves before a fault"),
        *("an exit handler", "an exit handler that runs after the package's own"),
    ],
)
def test_a_loss_that_nobody_was_told_of_is_told_at_the_end(body: str, large: Path) -> None:
    code, printed, told = _ends(large, body)
    assert printed == "0\n"
    assert len(told.splitlines()) == 1, told
    assert "from byte 4096 on" in told and str(large) in told and "does not hold" in told
    assert code == 120


@pytest.mark.parametrize(
    "body",
    [
        "view = memoryview(mmapguard.open(path)); print(view[0])",
        "region = mmapguard.open(path); os.truncate(path, 4096)",
        (
            "region = mmapguard.open(path); os.truncate(path, 4096)\n"
            "try: region.read()\nexcept mmapguard.TruncatedError: pass"
        ),
        "view = memoryview(mmapguard.open(path, stable=True)); os.truncate(path, 4096); print(view[5000])",
        "view = memoryview(mmapguard.open(path, backing='copy')); os.truncate(path, 4096); print(view[5000])",
    ],
    ids=["nothing lost", "nothing read", "told already", "stable", "copied"],
)
def test_no_loss_and_no_news_end_as_ever(body: str, large: Path) -> None:
    code, _, told = _ends(large, body)
    assert (code, told) == (0, "")


@pytest.mark.parametrize(
    "away",
    [
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
        "os.dup2(os.open('/dev/null', os.O_RDONLY), 2)",
        "sys.stderr.close()",
        "sys.stderr = None",
        "sys.stderr = __import__('io').StringIO()",
    ],
    ids=["full", "not for writing", "closed", "None", "another"],
)
def test_a_loss_makes_the_exit_status_without_standard_error_too(away: str, large: Path) -> None:
    body = f"view = memoryview(mmapguard.open(path)); os.truncate(path, 4096); print(view[5000]); {away}"
    code, printed, _ = _ends(large, body)
    assert (code, printed) == (120, "0\n")


WORKER = """
import multiprocessing, os, sys
{imported}

def work(path, end):
    import mmapguard
    global view
    view = memoryview(mmapguard.open(path))
    os.truncate(path, 4096)
    assert view[5000] == 0
    if end == "raise":
        raise KeyError("an error of the worker")
    if end == "tell":
        try: mmapguard.check(view)
        except mmapguard.TruncatedError: pass

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1], sys.argv[3]))
    process.start()
    process.join()
    print(process.exitcode)
"""


@pytest.mark.parametrize("end", ["return", "raise", "tell"])
@pytest.mark.parametrize(
    "imported", ["import mmapguard", ""], ids=["imported before", "imported in the worker"]
)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_tells_at_its_end(
    method: str, imported: str, end: str, large: Path, tmp_path: Path
) -> None:
    """Such a process runs no exit handlers, or ends without a regard for its standard error, with some methods."""
    script = tmp_path / "worker_program.py"
    script.write_text(WORKER.format(imported=imported))
    source = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    ended = program(source, script, large, method, end)
    told = [line for line in ended.errors.splitlines() if line.startswith("mmapguard: ")]
    assert len(told) == (0 if end == "tell" else 1), ended
    assert ("an error of the worker" in ended.errors) == (end == "raise")
    assert (ended.value != "0\n") == (end != "tell"), ended
    if end == "return":
        assert ended.value == "120\n" and "from byte 4096 on" in told[0] and str(large) in told[0]


def test_a_loss_found_while_the_modules_end_is_one_line(large: Path) -> None:
    """A finalizer reads after the library has looked for losses.

    The line is still printed, though the exit status cannot change.
    """
    body = """
class Late:
    def __del__(self, truncate=os.truncate, path=path):
        truncate(path, 4096)
        self.view[5000]
late = Late()
late.view = memoryview(mmapguard.open(path))
sys.late = late
del late
"""
    _, _, told = _ends(large, body)
    assert len(told.splitlines()) == 1, told
    assert "mmapguard" in told and str(large) in told
