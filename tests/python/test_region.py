# SPDX-License-Identifier: MIT OR Apache-2.0
"""Regions: opening, options, information, blocks, and no region that is half built."""

from __future__ import annotations

import copy
import dataclasses
import errno
import gc
import inspect
import io
import mmap
import os
import pickle
import re
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmapguard
from mmapguard import _mmapguard as native
from mmapguard import _options, abi
from support import files

# ------------------------------------------------------------------------------------------------------ opening --


@pytest.mark.parametrize("give", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
def test_any_kind_of_path_opens(give: Any, either: Path) -> None:
    with mmapguard.open(give(either)) as region:
        assert region[:] == either.read_bytes()


def test_a_descriptor_stays_the_callers(either: Path) -> None:
    with either.open("rb") as file:
        file.seek(7)
        with mmapguard.open(file) as by_object, mmapguard.open(file.fileno()) as by_number:
            assert by_object[:] == by_number[:] == either.read_bytes()
        assert file.tell() == 7
        assert file.read(3) == either.read_bytes()[7:10]


def test_load_reads_standard_input_for_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(b"a file of that name")
    inlet, outlet = os.pipe()
    os.write(outlet, b"from the pipe")
    os.close(outlet)
    kept = os.dup(0)
    os.dup2(inlet, 0)
    try:
        with mmapguard.load("-") as region:
            assert region[:] == b"from the pipe"
            assert region.info.backing == "copy"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(inlet)
    with mmapguard.open("-") as region, mmapguard.load("./-") as other:
        assert region[:] == other[:] == b"a file of that name"


def test_a_pipe_is_read_to_its_end_within_the_cap() -> None:
    def pipe(content: bytes) -> int:
        inlet, outlet = os.pipe()
        os.write(outlet, content)
        os.close(outlet)
        return inlet

    for call in (mmapguard.open, mmapguard.read_fd):
        inlet = pipe(b"x" * 1000)
        with call(inlet, max_bytes=1000) as region:
            assert region[:] == b"x" * 1000
        os.close(inlet)
    inlet = pipe(b"x" * 1001)
    with pytest.raises(OSError, match="max_bytes") as caught:
        mmapguard.read_fd(inlet, max_bytes=1000)
    assert caught.value.errno == errno.EFBIG
    os.close(inlet)


def test_read_fd_reads_from_where_the_descriptor_stands(large: Path) -> None:
    with large.open("rb", buffering=0) as file:
        file.seek(1000)
        with mmapguard.read_fd(file) as region:
            assert region[:] == large.read_bytes()[1000:]


# ------------------------------------------------------------------------------------------------------ options --


def test_a_window_is_any_range_of_bytes(large: Path) -> None:
    data = large.read_bytes()
    for offset, length in ((0, 5), (4097, 70_000), (files.LARGE - 1, 1), (files.LARGE, 0), (1, 0)):
        with mmapguard.open(
            large, offset=offset, length=length, backing="map" if length != 1 else "auto"
        ) as region:
            assert region[:] == data[offset : offset + length if length else None]
            assert region.info.offset == offset
            assert region.size() == files.LARGE


def test_stable_bytes_stay_while_the_file_changes(either: Path) -> None:
    before = either.read_bytes()
    with mmapguard.open(either, stable=True) as region:
        view = memoryview(region)
        assert region.info.guarantee == "stable"
        assert region.info.shortfall == "none"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            from support.children import in_child

            in_child(_overwrite, either)
        assert region[:] == bytes(view) == before
        view.release()
    assert either.read_bytes() != before


def _overwrite(path: Path) -> None:
    path.write_bytes(b"\xff" * 100)


def test_means_and_reasons_are_the_librarys_words(large: Path, small: Path) -> None:
    words = {
        kind: {native.term(number, value) for value in range(64)} - {"unknown"}
        for kind, number in _options.numbers("TERM_").items()
    }
    for options in (
        {},
        {"stable": True},
        {"backing": "copy"},
        {"lock": "none"},
        {"lock": "ofd"},
        {"no_fault_guard": True},
    ):
        with mmapguard.open(large, **options) as region:
            info = region.info
        assert info.backing in words["backing"]
        assert info.backing_reason in words["reason"]
        assert info.guarantee in words["guarantee"]
        assert info.means in words["means"]
        assert info.shortfall in words["shortfall"]
        assert info.lock in words["lock"]
    assert mmapguard.guard_state() in words["guard"]
    assert mmapguard.stats().guard_state in words["guard"]


def test_every_option_of_the_library_has_its_keyword() -> None:
    keywords = set(mmapguard.Options.__annotations__)
    assert {name.lower() for name in _options.numbers("FLAG_")} <= keywords
    members = {name for name, *_ in abi.mmg_options._fields_} - {
        "struct_size",
        "flags",
        "guarantee",
        "lock_wait_ms",
        "max_lease_wait_ms",
        "stream_wait_ms",  # in Python the option is `timeout`
        "reserved",
    }
    assert members <= keywords
    assert keywords - members - set(_options.FLAGS) == {
        *("stable", "lock_wait", "max_lease_wait", "timeout", "on_change")
    }
    documented = inspect.getdoc(mmapguard.Options) or ""
    assert all(f"\n{name} " in documented for name in keywords)


def test_the_extension_tells_every_member_of_info_and_stats(large: Path) -> None:
    with mmapguard.open(large) as region:
        assert list(region._describe()) == [
            name for name, *_ in abi.mmg_info._fields_ if name != "struct_size"
        ]
    assert list(native.stats()) == [name for name, *_ in abi.mmg_stats._fields_ if name != "struct_size"]
    assert {field.name for field in dataclasses.fields(mmapguard.Stats)} == set(native.stats())


def test_the_extension_has_every_constant_of_the_header() -> None:
    declared = {name[4:]: value for name, value in vars(abi).items() if name.startswith("MMG_")}
    macros = {name for name in declared if name.startswith("VERSION_")}
    macros |= {"ABI", "ABI_VERSION", "TO_END", "NO_LIMIT", "NOT_FOUND", "WAIT_FOREVER"}
    for name, value in declared.items():
        assert name in macros or getattr(native, name) == value
    assert mmapguard.__version__ == native.version()
    assert native.abi_version() == abi.MMG_ABI


def test_a_lock_elsewhere_is_a_blocking_io_error(large: Path) -> None:
    with files.held_elsewhere(large, "flock exclusive"):
        with pytest.raises(BlockingIOError) as caught:
            mmapguard.open(large)
        assert caught.value.filename == str(large)
        with pytest.raises(BlockingIOError):
            mmapguard.open(large, lock_wait=0.02)
        with mmapguard.open(large, lock="none") as region:
            assert region.info.lock == "none"
    with mmapguard.open(large, lock_wait=None) as region:
        assert region.info.lock == "shared"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backing": "maps"}, ValueError),
        ({"backing": 1}, TypeError),
        ({"lock": "exclusive"}, ValueError),
        ({"access": "dontneed"}, ValueError),
        ({"lock_wait": -1}, ValueError),
        ({"lock_wait": "1"}, TypeError),
        ({"lock_wait": float("nan")}, ValueError),
        ({"offset": -1}, OverflowError),
        ({"offset": 2**64}, OverflowError),
        ({"offset": 2**63}, ValueError),
        ({"offset": 1.5}, TypeError),
        ({"offset": None}, TypeError),
        ({"length": -1}, OverflowError),
        ({"length": 2**63}, ValueError),
        ({"max_bytes": 0}, ValueError),
        ({"max_bytes": -2}, OverflowError),
        ({"copy_threshold": "1"}, TypeError),
        ({"populated": True}, TypeError),
        ({"reject_empty": True, "spelt": 1}, TypeError),
    ],
)
def test_options_that_are_none_are_refused(options: Any, error: type[Exception], large: Path) -> None:
    with pytest.raises(error):
        mmapguard.open(large, **options)


def test_numbers_may_be_any_index(large: Path) -> None:
    class Ten:
        def __index__(self) -> int:
            return 10

    with mmapguard.open(large, offset=Ten(), length=Ten()) as region:  # type: ignore[arg-type]
        assert region[:] == large.read_bytes()[10:20]
        assert region[Ten() if False else 9] == region[:][9]


# ------------------------------------------------------------------------------------------------------- blocks --


def test_a_block_gives_everything_back(either: Path) -> None:
    with mmapguard.open(either) as region:
        assert not region.closed
        assert mmapguard.stats().handles >= 1
    assert region.closed
    with pytest.raises(ValueError, match="closed"), region:
        pass


def test_an_exception_of_the_block_goes_through(large: Path) -> None:
    with pytest.raises(KeyError, match="mine"), mmapguard.open(large) as region:
        raise KeyError("mine")
    assert region.closed


def test_a_region_closed_inside_its_block_is_no_error(large: Path) -> None:
    with mmapguard.open(large) as region:
        region.close()
        region.close()
    assert region.closed


def test_a_file_that_is_written_to_under_the_block_is_a_warning(large: Path) -> None:
    region = mmapguard.open(large)
    os.utime(large, ns=(1, 1))
    assert "mtime" in region.changed()
    with pytest.warns(mmapguard.FileChangedWarning, match="mtime"):
        region.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (files.rewrite, (mmapguard.FileChangedError,)),
        (files.cut_and_grow, (mmapguard.FileChangedError, mmapguard.TruncatedError)),
        (files.cut_in_the_last_page, (mmapguard.TruncatedError,)),
        (files.all_at_once, (mmapguard.TruncatedError,)),
    ],
)
def test_a_block_on_a_file_that_is_no_longer_what_it_was_ends_in_an_error(
    change: Callable[[Path], None], kinds: tuple[type[OSError], ...], large: Path
) -> None:
    region = mmapguard.open(large, on_change="raise")
    region.verify()
    files.until_stamped(large, lambda: change(large))
    with pytest.raises(kinds) as caught:
        region.__exit__(None, None, None)
    assert region.closed
    assert caught.value.filename == str(large)
    assert isinstance(caught.value, mmapguard.TruncatedError) or caught.value.errno == errno.ESTALE


def test_a_change_is_a_warning_each_time_and_not_once_for_a_line(large: Path) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.resetwarnings()  # the default filter shows a warning only once for each line
        warnings.simplefilter("default")
        for _ in range(3):
            with mmapguard.open(large):
                files.until_stamped(large, lambda: files.rewrite(large))
        region = mmapguard.open(large)
        files.until_stamped(large, lambda: files.rewrite(large))
        region.verify()
        region.close()
    assert [one.category for one in seen] == 4 * [mmapguard.FileChangedWarning]
    assert {one.filename for one in seen} == {__file__}


def test_on_change_is_one_of_two_words_and_goes_with_a_reference(large: Path) -> None:
    with pytest.raises(ValueError, match="on_change must be one of warn, raise, not 'ignore'"):
        mmapguard.open(large, on_change="ignore")  # type: ignore[arg-type]
    reference = pickle.loads(pickle.dumps(mmapguard.open(large, on_change="raise")))
    with pytest.raises(mmapguard.FileChangedError), reference:
        files.until_stamped(large, lambda: files.rewrite(large))


def test_a_new_name_for_the_file_is_no_warning(large: Path) -> None:
    with mmapguard.open(large) as region:
        large.rename(large.with_name("other"))
        assert "path" in region.changed()


def test_a_copy_or_stable_bytes_need_no_warning(small: Path, large: Path) -> None:
    for path, stable in ((small, False), (large, True)):
        with mmapguard.open(path, stable=stable):
            os.utime(path, ns=(1, 1))


def test_a_stream_cannot_have_changed() -> None:
    inlet, outlet = os.pipe()
    os.close(outlet)
    with mmapguard.open(inlet) as region:
        assert region.changed() == frozenset()
    os.close(inlet)


# ---------------------------------------------------------------------------------------------------- the object --


def test_no_half_built_region_can_be_made(large: Path) -> None:
    for kind in (mmapguard.Region, native.RegionBase):
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            kind.__new__(kind)  # type: ignore[call-arg,type-var]
        with pytest.raises(TypeError):
            object.__new__(kind)

    class Eager(mmapguard.Region):
        def __init__(self, path: Path, **options: Any) -> None:
            self.first = self[0]

    class Careless(mmapguard.Region):
        def __init__(self, path: Path) -> None:
            pass

    with Eager(large, offset=5) as eager, Careless(large) as careless:
        assert eager.first == large.read_bytes()[5]
        assert len(careless) == files.LARGE
    with pytest.raises(TypeError):
        native.RegionBase.__new__(mmapguard.Region, large)  # type: ignore[call-arg]
    bare = native.RegionBase.__new__(mmapguard.Region, large, 0)
    assert bare[0] == large.read_bytes()[0]
    bare.close()


def test_regions_can_be_referred_to_weakly_and_hashed(large: Path) -> None:
    region = mmapguard.open(large)
    seen = weakref.ref(region)
    assert {region: 1}[region] == 1
    assert seen() is region
    del region
    gc.collect()
    assert seen() is None


def test_cycles_through_views_are_collected(large: Path) -> None:
    class Holder(mmapguard.Region):
        view: memoryview
        itself: object

    gc.collect()
    before = mmapguard.stats().regions
    seen = []
    for _ in range(20):
        region = Holder(large)
        region.view = memoryview(region)
        region.itself = region
        seen.append(weakref.ref(region))
    del region
    assert mmapguard.stats().regions == before + 20
    gc.collect()
    assert mmapguard.stats().regions == before
    assert not any(one() for one in seen)


def test_copying_is_refused(large: Path) -> None:
    with mmapguard.open(large) as region:
        for how in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot copy"):
                how(region)


def test_repr_names_the_file_and_the_state(large: Path) -> None:
    with mmapguard.open(large) as region:
        assert repr(region).startswith(f"<mmapguard.Region {large!r} bytes={files.LARGE} ")
        assert "contained" in repr(region)
    assert repr(region) == f"<mmapguard.Region {large!r} closed>"


def test_everything_public_is_documented_and_known_by_its_public_name() -> None:
    for name in mmapguard.__all__:
        thing = getattr(mmapguard, name)
        if callable(thing) and name != "Source":
            assert inspect.getdoc(thing), name
            assert thing.__module__ == "mmapguard", name
    for name, member in inspect.getmembers(mmapguard.Region):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name
    # help() shows no text that stands behind a field, so the text of the class has a line for each.
    for kind in (mmapguard.Info, mmapguard.Stats, mmapguard.Loss, mmapguard.Losses, mmapguard.Options):
        for field in kind.__annotations__:
            assert re.search(rf"(?m)^{field}  +\S", inspect.getdoc(kind) or ""), (kind, field)


def test_attributes_cannot_be_invented(large: Path) -> None:
    with mmapguard.open(large) as region, pytest.raises(AttributeError):
        region.typo = 1  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------- paging and files --


def test_prefetched_bytes_are_resident(large: Path) -> None:
    with mmapguard.open(large) as region:
        region.prefetch()
        assert region.resident() == files.LARGE
        region.prefetch(4096, 4096)
        assert region.resident(4096, 4096) == 4096
        for bad in ((files.LARGE + 1, None), (0, files.LARGE + 1)):
            with pytest.raises(ValueError, match="out of range"):
                region.prefetch(*bad)
            with pytest.raises(ValueError, match="out of range"):
                region.resident(*bad)


def test_advice_is_a_word_or_a_number_of_mmap(either: Path) -> None:
    with mmapguard.open(either) as region:
        for word in _options.ADVICE:
            region.madvise(word)  # type: ignore[arg-type]
        for number in (
            mmap.MADV_NORMAL,
            mmap.MADV_RANDOM,
            mmap.MADV_SEQUENTIAL,
            mmap.MADV_WILLNEED,
            mmap.MADV_DONTNEED,
        ):
            region.madvise(number)
        for number in (mmap.MADV_DONTFORK, mmap.MADV_DOFORK, mmap.MADV_DONTDUMP, mmap.MADV_DODUMP):
            region.madvise(number)
            region.madvise(number, 500, 100_000)
        assert region[:] == either.read_bytes()
        for bad in ("sometimes", mmap.MADV_REMOVE, mmap.MADV_FREE):
            with pytest.raises(ValueError, match="not"):
                region.madvise(bad)  # type: ignore[arg-type]


def test_read_into_copies_what_is_there(either: Path) -> None:
    data = either.read_bytes()
    with mmapguard.open(either) as region:
        buffer = bytearray(1000)
        assert region.read_into(buffer, 10) == 1000
        assert buffer == data[10:1010]
        assert region.read_into(buffer, len(data) - 3) == 3
        assert buffer[:3] == data[-3:]
        assert region.read_into(buffer, len(data)) == 0
        assert region.tell() == 0
        with pytest.raises(ValueError, match="beyond"):
            region.read_into(buffer, len(data) + 1)
        with pytest.raises(TypeError):
            region.read_into(b"constant")
        with pytest.raises(OverflowError):
            region.read_into(buffer, -1)


def test_a_file_over_a_region_is_like_the_file(either: Path) -> None:
    with mmapguard.open(either) as region, either.open("rb") as plain, region.file() as file:
        assert isinstance(file, io.BufferedReader)
        assert file.name == either
        assert file.readline() == plain.readline()
        assert file.read(77) == plain.read(77)
        assert file.seek(-10, os.SEEK_END) == plain.seek(-10, os.SEEK_END)
        assert file.read() == plain.read()
        assert file.seek(10**9) == 10**9 and file.read() == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
        for whence in (-1, 3):
            with pytest.raises(ValueError, match="whence"):
                file.raw.seek(0, whence)
        assert region.tell() == 0
    assert file.closed
    raw: Any = file.raw
    for use in (raw.tell, lambda: raw.seek(0), lambda: raw.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    lines = [b"x" * n + b"\n" for n in (0, 1, 255, 256, 257, 5000, 300_000)] + [b"no newline"]
    path = tmp_path / "lines"
    path.write_bytes(b"".join(lines))
    with mmapguard.open(path) as region:
        assert list(iter(region.readline, b"")) == lines


# ------------------------------------------------------------------------------------------- like a file, and like mmap --


def test_buffered_and_text_readers_work_on_a_region(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("erste Zeile\nzweite Zeile mit ä\n".encode() * 20_000)
    data = path.read_bytes()
    with mmapguard.open(path) as region:
        buffered = io.BufferedReader(region)
        assert buffered.read(5) == data[:5]
        assert buffered.seek(-10, os.SEEK_END) == len(data) - 10
        assert buffered.read() == data[-10:]
        assert buffered.name == path and buffered.mode == "rb"
        buffered.detach()
        region.seek(0)
        text = io.TextIOWrapper(io.BufferedReader(region), encoding="utf-8")
        assert text.read() == data.decode()
        text.detach().detach()
        region.flush()
        region.flush(0, 4096)  # as mmap has it
        assert not region.isatty()
        for refused in (region.fileno, region.truncate):
            with pytest.raises(io.UnsupportedOperation):
                refused()
        assert not region.closed
    with pytest.raises(ValueError, match="closed"):
        region.flush()


def test_large_buffers_are_filled_in_pieces(tmp_path: Path) -> None:
    """The edges are at multiples of 16 MiB, between which Python handles its signals."""
    piece = 16 << 20
    path = tmp_path / "file"
    data = os.urandom(997) * (2 * piece // 997 + 2)
    path.write_bytes(data[: 2 * piece + 5])
    with mmapguard.open(path, length=2 * piece) as region:
        for size in (piece - 1, piece, piece + 1, 2 * piece, 2 * piece + 1):
            buffer = bytearray(size)
            wanted = min(size, 2 * piece)
            region.seek(0)
            assert region.readinto(buffer) == region.tell() == wanted
            assert buffer[:wanted] == data[:wanted] and not any(buffer[wanted:])
            assert region.read_into(buffer, piece) == min(size, piece)
        assert region.read_into(bytearray(5), 2 * piece) == 0
        step = region[:: 2 * piece - 1]
        assert step == data[: 2 * piece : 2 * piece - 1] and len(region[::-1]) == 2 * piece
    with mmapguard.open(path) as region:
        os.truncate(path, piece + 4096)
        with pytest.raises(mmapguard.TruncatedError) as caught:
            region.readinto(bytearray(2 * piece))
        assert caught.value.offset == piece + 4096 and region.tell() == 0
        assert region.read_into(bytearray(piece + 4096)) == piece + 4096
        region.close()


def test_readinto_moves_the_position(either: Path) -> None:
    data = either.read_bytes()
    with mmapguard.open(either) as region:
        buffer = bytearray(1000)
        assert region.readinto(buffer) == 1000 and buffer == data[:1000] and region.tell() == 1000
        region.seek(-3, os.SEEK_END)
        assert region.readinto(buffer) == 3 and buffer[:3] == data[-3:]
        assert region.readinto(buffer) == 0 and region.tell() == len(data)
        with pytest.raises((TypeError, BufferError)):
            region.readinto(b"constant")


def test_name_is_what_was_given_and_path_is_absolute(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(large.parent)
    with large.open("rb") as file:
        for source, path in (
            (large, str(large)),
            (str(large), str(large)),
            (large.name, str(large)),
            (os.fsencode(large), os.fsencode(large)),
            (file, None),
            (file.fileno(), None),
        ):
            with mmapguard.open(source) as region:
                assert region.name == source
                assert region.path == path


def test_iteration_gives_integers_and_follows_the_region(either: Path) -> None:
    data = either.read_bytes()
    region = mmapguard.open(either)
    assert list(region) == list(data)
    iterator = iter(region)
    assert iterator.__length_hint__() == len(data)  # type: ignore[attr-defined]
    assert next(iterator) == data[0] and iter(iterator) is iterator
    region.close()
    with pytest.raises(ValueError, match="closed"):
        next(iterator)
    with mmapguard.open(either) as region:
        iterator = iter(region)
        assert sum(1 for _ in iterator) == len(data)
        assert next(iterator, None) is None
    assert next(iterator, None) is None


def test_help_lists_the_keywords_and_their_defaults() -> None:
    for call in (mmapguard.open, mmapguard.load, mmapguard.read_fd):
        parameters = inspect.signature(call).parameters
        assert list(parameters)[1:] == list(mmapguard.Options.__annotations__)
        assert parameters["lock"].default == "auto" and parameters["stable"].default is False
        assert all(f"\n{name} " in (inspect.getdoc(call) or "") for name in list(parameters)[1:])


def test_pages_can_be_left_out_of_core_dumps(large: Path) -> None:
    def flags() -> set[str]:
        smaps = Path("/proc/self/smaps").read_text().split(str(large))[1]
        return set(smaps.partition("VmFlags:")[2].partition("\n")[0].split())

    with large.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plain:
        plain.madvise(mmap.MADV_DONTDUMP)
        if "dd" not in flags():
            pytest.skip("this kernel does not show which pages are left out of core dumps: qemu-user")
    with mmapguard.open(large) as region:
        assert "dd" not in flags()
        region.madvise(mmap.MADV_DONTDUMP)
        assert "dd" in flags()
        region.madvise(mmap.MADV_DODUMP)
        assert "dd" not in flags()
