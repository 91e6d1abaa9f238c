# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pickling passes a reference to the file and not its bytes.

The reference opens the file at its first use, and only the same file.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from children import program

import mmapguard
from support import files


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_reference_is_small_and_opens_the_same_file(protocol: int, large: Path) -> None:
    with mmapguard.open(large, offset=100, length=1 << 20) as region:
        passed = pickle.dumps(region, protocol)
        assert len(passed) < 1000
        with pickle.loads(passed) as again:
            assert again[:] == region[:]
            assert again.info.offset == 100
            assert (again.info.inode, again.info.device) == (region.info.inode, region.info.device)
            assert pickle.dumps(again, protocol) == passed


def test_options_and_type_are_kept(large: Path) -> None:
    with _Named(large, stable=True, lock="ofd") as region, pickle.loads(pickle.dumps(region)) as again:
        assert type(again) is _Named
        assert again.info.guarantee == "stable"
        assert again.info.lock == region.info.lock


def test_attributes_of_a_subclass_are_kept(large: Path) -> None:
    with _Named(large) as region:
        region.title = "a title"
        with pickle.loads(pickle.dumps(region)) as again:
            assert again.title == "a title"


class _Named(mmapguard.Region):
    title: str


# ---------------------------------------------------------------------------------------- the file is not touched --


def test_pickling_and_unpickling_touch_no_file(large: Path) -> None:
    """The file is away, and an audit hook of the interpreter sees every opening."""
    source = """
import os, pickle, sys, mmapguard
path, opened = sys.argv[1], []
region = mmapguard.open(path)
os.rename(path, path + ".away")
def listen(event, arguments):
    if event in ("open", "mmapguard.open", "os.listdir", "os.scandir"):
        opened.append((event, arguments))
sys.addaudithook(listen)
passed = pickle.dumps(region)
arrived = pickle.loads(passed)
assert pickle.dumps(arrived) == passed
assert not opened, opened
assert not arrived.closed and "not opened yet" in repr(arrived) and arrived.path == path
again = pickle.loads(pickle.dumps(pickle.loads(passed)))
for use in (len, bytes, memoryview, lambda r: r[0], lambda r: r.info, lambda r: r.read(), lambda r: r.__enter__(), list):
    try:
        use(again)
    except mmapguard.StaleError as error:
        assert error.filename == path
    else:
        raise SystemExit("opened")
os.rename(path + ".away", path)
print(len(again) == len(region), again[:100] == region[:100])
"""
    assert program(source, large).returned() == "True True\n"


def test_what_a_reference_holds_is_nothing(large: Path) -> None:
    with mmapguard.open(large) as region:
        before = mmapguard.stats()
        kept = [region.reference() for _ in range(100)] + [
            pickle.loads(pickle.dumps(region)) for _ in range(100)
        ]
        assert mmapguard.stats() == before
        for one in kept:
            one.close()
            assert one.closed
            with pytest.raises(ValueError, match="closed"):
                one[0]


def test_a_closed_region_still_passes_a_reference(large: Path) -> None:
    region = mmapguard.open(large)
    expected = region[:]
    region.close()
    with pickle.loads(pickle.dumps(region)) as again, region.reference() as other:
        assert again[:] == other[:] == expected


def test_a_relative_path_means_what_it_meant_when_the_file_was_opened(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(large.parent)
    with mmapguard.open(large.name) as region, mmapguard.open(os.fsencode(large.name)) as by_bytes:
        monkeypatch.chdir("/")
        assert region.path == str(large)
        assert region.name == large.name
        assert by_bytes.path == os.fsencode(large)
        for one in (region, by_bytes):
            with pickle.loads(pickle.dumps(one)) as again:
                assert again[:] == region[:]


def test_the_parent_of_a_linked_folder_is_that_of_the_folder_itself(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `link/../file`, the kernel follows the link first, so the path cannot be shortened to `file`."""
    folder = large.parent / "elsewhere" / "folder"
    folder.mkdir(parents=True)
    wanted = folder.parent / "file"
    large.rename(wanted)
    (large.parent / "file").write_bytes(b"a different file" * 10_000)
    (large.parent / "link").symlink_to(folder)
    monkeypatch.chdir(large.parent)
    for name in ("link/../file", b"./link/../file"):
        with mmapguard.open(name) as region:
            assert os.path.samefile(region.path or "", wanted)
            with pickle.loads(pickle.dumps(region)) as again:
                assert again[:] == region[:] == wanted.read_bytes()
    with mmapguard.open("elsewhere/./folder//..//file") as region, region.reference() as again:
        assert again[:] == region[:]
    with mmapguard.open("./elsewhere//file") as region:
        assert region.path == str(wanted)


# -------------------------------------------------------------------------------------------------- first use only --


def test_threads_that_use_one_reference_at_once_open_one_region(large: Path) -> None:
    expected = large.read_bytes()
    with mmapguard.open(large) as region:
        for _ in range(50):
            reference, start = region.reference(), threading.Barrier(4)
            seen: list[bytes] = []

            def use(
                reference: mmapguard.Region = reference,
                start: threading.Barrier = start,
                seen: list[bytes] = seen,
            ) -> None:
                start.wait()
                seen.append(reference[-100:])

            threads = [threading.Thread(target=use) for _ in range(4)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            assert seen == [expected[-100:]] * 4
            reference.close()
        assert mmapguard.stats().regions == 1


def test_a_use_that_failed_for_a_lock_succeeds_later(large: Path) -> None:
    with mmapguard.open(large) as region:
        reference = region.reference()
    with files.held_elsewhere(large, "flock exclusive"):
        with pytest.raises(BlockingIOError):
            len(reference)
    assert len(reference) == files.LARGE
    reference.close()


def test_every_first_use_opens(either: Path) -> None:
    data = either.read_bytes()
    uses: list[Callable[[mmapguard.Region], Any]] = [
        lambda region: len(region) == len(data),
        lambda region: region[-1] == data[-1],
        lambda region: region[3:9] == data[3:9],
        lambda region: bytes(memoryview(region)) == data,
        lambda region: next(iter(region)) == data[0],
        lambda region: region.find(data[50:60], 0) == data.find(data[50:60]),
        lambda region: region.rfind(data[50:60]) == data.rfind(data[50:60]),
        lambda region: data[50:60] in region,
        lambda region: region.read(5) == data[:5],
        lambda region: region.readline() == data[: data.find(b"\n") + 1],
        lambda region: region.read_byte() == data[0],
        lambda region: region.read_into(bytearray(5), 5) == 5,
        lambda region: region.readinto(bytearray(5)) == 5,
        lambda region: region.seek(-1, 2) == len(data) - 1,
        lambda region: region.tell() == 0,
        lambda region: region.size() == len(data),
        lambda region: region.check() is None,  # type: ignore[func-returns-value]
        lambda region: region.changed() == frozenset(),
        lambda region: region.info.size == len(data),
        lambda region: region.resident() >= 0,
        lambda region: region.prefetch() is None,  # type: ignore[func-returns-value]
        lambda region: region.madvise("random") is None,  # type: ignore[func-returns-value]
        lambda region: region.file().read() == data,
        lambda region: zlib.crc32(region) == zlib.crc32(data),
    ]
    with mmapguard.open(either) as region:
        for use in uses:
            with region.reference() as entered:
                assert use(entered)
            plain = region.reference()
            assert use(plain)
            plain.close()


# --------------------------------------------------------------------------------------------------------- windows --


def test_windows_of_a_reference_are_ranges_of_the_region(large: Path) -> None:
    data = large.read_bytes()
    with mmapguard.open(large, offset=1000, length=100_000) as region:
        window = region.reference(10, 20)
        assert window[:] == data[1010:1030]
        assert window.reference(5, 3)[:] == data[1015:1018]
        assert region.reference(99_990)[:] == data[100_990:101_000]
        assert region.reference()[:] == region[:]
        for bad in ((-1, None), (0, 100_001), (5, 0), (5, -1), (100_001, None), (99_999, 2)):
            with pytest.raises(ValueError, match="range"):
                region.reference(*bad)
        for kind in (1.5, "1"):
            with pytest.raises(TypeError, match="integer"):
                region.reference(kind)  # type: ignore[arg-type]
    with mmapguard.open(large, offset=7) as region:
        assert region.reference(3)[:] == data[10:]
        assert region.reference(3, 4)[:] == data[10:14]


def test_all_windows_of_a_region_mean_one_file(large: Path) -> None:
    """When the file is replaced half-way, the other windows raise an error. They never read the new version."""
    with mmapguard.open(large) as region:
        first, second = region.reference(0, 70_000), region.reference(70_000)
    assert len(first) == 70_000
    shutil.copy2(large, large.with_name("copy"))
    large.with_name("copy").rename(large)
    with pytest.raises(mmapguard.StaleError, match="inode"):
        len(second)
    first.close()


# ------------------------------------------------------------------------------------------------------ other files --


def _replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.rename(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("inode", _replace),
        ("mtime", lambda path: os.utime(path, ns=(1, 1))),
        ("size", lambda path: files.append(path, b"more")),
        ("size", lambda path: os.truncate(path, 10)),
        ("no file", lambda path: path.rename(path.with_name("away"))),
        ("no file", lambda path: path.unlink()),
        ("no file", _loop),
        ("size", _fifo),
    ],
    ids=["replaced", "touched", "grown", "cut", "renamed", "removed", "a loop of links", "a FIFO"],
)
def test_another_file_is_stale_at_the_first_use(
    what: str, change: Callable[[Path], None], large: Path
) -> None:
    """This also holds for a window behind the end of a cut file: the identity is compared before the window."""
    with mmapguard.open(large, backing="copy") as region:
        window = pickle.loads(pickle.dumps(region.reference(100_000)))
        passed = pickle.dumps(region)
    change(large)
    for reference in (window, pickle.loads(passed)):
        with pytest.raises(mmapguard.StaleError, match=what) as caught:
            reference[0]
        assert caught.value.errno == errno.ESTALE
        assert caught.value.filename == str(large)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (mmapguard.StaleError, str(caught.value))


def test_what_has_no_path_cannot_be_pickled(large: Path, tmp_path: Path) -> None:
    inlet, outlet = os.pipe()
    os.close(outlet)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR)
    os.write(writer, b"x" * 10)
    with (
        large.open("rb") as file,
        mmapguard.open(file) as by_descriptor,
        mmapguard.open(inlet) as stream,
        mmapguard.read_fd(file) as read,
        mmapguard.open(fifo, length=10) as by_path,
    ):
        assert by_descriptor.path is None
        for region, why in (
            (by_descriptor, "by its path"),
            (stream, "from a stream"),
            (read, "from a stream"),
            (by_path, "from a stream"),
        ):
            for attempt in (lambda region=region: pickle.dumps(region), region.reference):
                with pytest.raises(TypeError, match=why):
                    attempt()
    os.close(inlet)
    os.close(writer)


# ------------------------------------------------------------------------------------------------------- processes --


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_worker_processes_map_the_same_file(method: str, large: Path) -> None:
    """This runs in a program of its own, since multiprocessing leaves helpers running until the end of the
    process."""
    source = """
import concurrent.futures, multiprocessing, sys, zlib
import mmapguard
path, method = sys.argv[1:]
context = multiprocessing.get_context(method)
with mmapguard.open(path) as whole:
    regions = [whole.reference(at, 300_000) for at in range(0, 900_000, 300_000)]
with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
    print(list(pool.map(zlib.crc32, regions)))
"""
    data = large.read_bytes()
    expected = [zlib.crc32(data[at : at + 300_000]) for at in range(0, 900_000, 300_000)]
    assert program(source, large, method).returned() == f"{expected}\n"


def test_a_forked_child_reads_and_closes_what_it_inherited(large: Path) -> None:
    from support.children import in_child

    def child() -> tuple[bytes, bytes]:
        view = memoryview(region)
        region.close()
        result = bytes(view[:10]), bytes(kept[-10:])
        view.release()
        return result

    with mmapguard.open(large) as region, memoryview(region) as kept:
        data = large.read_bytes()
        assert in_child(child) == (data[:10], data[-10:])
        assert region[:] == data
