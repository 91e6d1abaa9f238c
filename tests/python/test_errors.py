# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bad input raises the exception that users of CPython expect, with errno and filename where there is one."""

from __future__ import annotations

import errno
import io
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from children import program

import mmapguard
from mmapguard import _mmapguard as native
from support import children, files, fuse


def both(path: Any) -> tuple[OSError, OSError]:
    """Return the exceptions of open() and of mmapguard.open()."""
    with pytest.raises(OSError) as theirs:  # noqa: PT011, the comparison is the test
        open(path, "rb").close()
    with pytest.raises(OSError) as ours:  # noqa: PT011
        mmapguard.open(path)
    return theirs.value, ours.value


def missing(folder: Path) -> Path:
    return folder / "none"


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "none")
    return folder / "link"


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def through_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "below"


def a_folder(folder: Path) -> Path:
    return folder


def a_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    return folder / "socket"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 100_000)


def undecodable(folder: Path) -> bytes:
    return os.fsencode(folder) + b"/\xff\xfe"


def surrogates(folder: Path) -> str:
    return str(folder) + "/\udcff\udcfe"


@pytest.mark.parametrize(
    "make",
    [missing, dangling, loop, through_a_file, a_folder, a_socket, too_long, undecodable, surrogates],
    ids=lambda make: make.__name__,
)
def test_what_open_cannot_open_is_the_same_error(make: Callable[[Path], Any], tmp_path: Path) -> None:
    path = make(tmp_path)
    theirs, ours = both(path)
    assert type(ours) is type(theirs)
    assert ours.errno == theirs.errno
    assert ours.strerror == theirs.strerror
    assert ours.filename == theirs.filename
    assert str(ours) == str(theirs)


def test_no_permission_is_a_permission_error(large: Path) -> None:
    def attempt(path: Path) -> tuple[int | None, Any]:
        children.become_nobody()
        try:
            mmapguard.open(path)
        except PermissionError as error:
            return error.errno, error.filename
        return None, None

    files.require_root("becomes another user for the attempt")
    with files.public_folder() as folder:
        path = files.sample(folder / "secret", 100).path
        path.chmod(0)
        assert children.in_child(attempt, path) == (errno.EACCES, str(path))


@pytest.mark.parametrize("path", ["a\0b", b"a\0b", "\0"])
def test_a_path_with_a_nul_is_a_value_error(path: Any) -> None:
    with pytest.raises(ValueError, match="null byte"):
        mmapguard.open(path)


def test_a_path_that_has_no_encoding_is_a_unicode_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        mmapguard.open("\ud800")


@pytest.mark.parametrize(
    "source", [None, 1.5, [], object(), (), {}, b"x".join, bytearray(b"/tmp"), memoryview(b"/tmp")]
)
def test_what_is_no_source_is_a_type_error(source: Any) -> None:
    for call in (mmapguard.open, mmapguard.load, mmapguard.read_fd, mmapguard.Region):
        with pytest.raises(TypeError):
            call(source)


def test_a_path_is_no_descriptor(large: Path) -> None:
    with pytest.raises(TypeError):
        mmapguard.read_fd(str(large))  # type: ignore[arg-type]


def test_a_path_object_that_raises_is_heard() -> None:
    class Broken:
        def __fspath__(self) -> str:
            raise KeyError("mine")

    class Wrong:
        def __fspath__(self) -> int:
            return 3

    with pytest.raises(KeyError, match="mine"):
        mmapguard.open(Broken())
    with pytest.raises(TypeError):
        mmapguard.open(Wrong())  # type: ignore[arg-type]


def test_closed_and_wrong_descriptors_are_os_errors(tmp_path: Path, large: Path) -> None:
    gone = os.open(large, os.O_RDONLY)
    os.close(gone)
    for call in (mmapguard.open, mmapguard.read_fd):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            call(gone)
        assert caught.value.errno == errno.EBADF
        assert caught.value.filename == gone
        with pytest.raises(ValueError, match="negative"):
            call(-1)
        with pytest.raises(OverflowError):
            call(2**40)
        with (tmp_path / "new").open("wb") as writing, pytest.raises(OSError) as refused:  # noqa: PT011
            call(writing)
        assert refused.value.errno in (errno.EACCES, errno.EBADF)
    file = large.open("rb")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        mmapguard.open(file)


def test_a_folder_by_its_descriptor_is_an_is_a_directory_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        for call in (mmapguard.open, mmapguard.read_fd):
            with pytest.raises(IsADirectoryError):
                call(fd)
    finally:
        os.close(fd)


def test_a_window_outside_the_file_is_a_value_error(either: Path) -> None:
    size = either.stat().st_size
    for options in (
        {"offset": size + 1},
        {"length": size + 1},
        {"offset": 1, "length": size},
        {"offset": 2**62},
    ):
        with pytest.raises(ValueError, match=r"outside|window") as caught:
            mmapguard.open(either, **options)  # type: ignore[arg-type]
        assert either.name in str(caught.value)


def test_a_fifo_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BlockingIOError, match="no writer has the FIFO open") as caught:
        mmapguard.open(tmp_path / "fifo")
    assert caught.value.errno == errno.EWOULDBLOCK
    assert caught.value.filename == str(tmp_path / "fifo")


def test_the_librarys_sentence_stands_beside_errno(large: Path) -> None:
    with files.held_elsewhere(large, "flock exclusive"), pytest.raises(BlockingIOError) as locked:
        mmapguard.open(large)
    assert locked.value.errno == errno.EWOULDBLOCK
    assert locked.value.strerror == "is locked elsewhere"
    assert str(locked.value) == f"[Errno {errno.EAGAIN}] is locked elsewhere: {str(large)!r}"
    source = """
import os, resource, sys, mmapguard
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
try:
    while True: taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError: pass
try: mmapguard.open(sys.argv[1])
except OSError as error: print(error.errno, error.strerror)
"""
    assert program(source, large).returned() == f"{errno.EMFILE} no descriptors left\n"


def test_a_socket_is_a_plain_os_error() -> None:
    with socket.socket() as unconnected, pytest.raises(OSError) as caught:  # noqa: PT011
        mmapguard.open(unconnected)
    assert type(caught.value) is OSError
    assert caught.value.errno == errno.ENOTCONN
    assert caught.value.filename is not None


@pytest.mark.parametrize(
    ("keyword", "word"),
    [
        *(("access", word) for word in ("dontneed", "populate", "sometimes")),
        *(("backing", word) for word in ("adopted", "heap")),
        *(("lock", word) for word in ("exclusive", "")),
        *(("on_change", word) for word in ("ignore", "")),
    ],
)
def test_the_words_in_an_error_are_those_that_are_accepted(keyword: str, word: str, large: Path) -> None:
    wrong: Any = {keyword: word}
    with pytest.raises(ValueError, match=f"{keyword} must be one of") as caught:
        mmapguard.open(large, **wrong)
    listed = str(caught.value).partition("one of ")[2].partition(", not ")[0].split(", ")
    assert word not in listed and len(listed) > 1
    for each in listed:
        right: Any = {keyword: each}
        mmapguard.open(large, **right).close()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"offset": -1}, OverflowError, "offset must not be negative"),
        ({"length": -5}, OverflowError, "length must not be negative"),
        ({"length": None}, TypeError, "length must be an integer, not NoneType"),
        ({"max_bytes": -2}, OverflowError, "max_bytes must not be negative"),
        ({"max_bytes": 1.5}, TypeError, "max_bytes must be an integer, not float"),
        ({"max_leases": "3"}, TypeError, "max_leases must be an integer, not str"),
        ({"lock_wait": "1"}, TypeError, "lock_wait must be a number or None, not str"),
        ({"timeout": b""}, TypeError, "timeout must be a number or None, not bytes"),
    ],
)
def test_a_wrong_number_is_named(options: Any, error: type[Exception], said: str, large: Path) -> None:
    with pytest.raises(error, match=f"^{said}$"):
        mmapguard.open(large, **options)


def test_a_link_is_refused_on_request(large: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(large)
    with mmapguard.open(tmp_path / "link") as region:
        assert len(region) == files.LARGE
    with pytest.raises(OSError) as caught:  # noqa: PT011
        mmapguard.open(tmp_path / "link", nofollow=True)
    assert caught.value.errno == errno.ELOOP


def test_what_cannot_be_stable_is_an_unstable_error_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "written"
    files.sample(path, files.LARGE)
    with path.open("r+b"), pytest.raises(mmapguard.UnstableError) as caught:
        mmapguard.open(path, stable=True, max_snapshot_bytes=1, lock="none")
    assert isinstance(caught.value, OSError)
    assert caught.value.errno
    assert caught.value.filename == str(path)
    assert "max_snapshot_bytes" in str(caught.value)


def test_everything_raises_value_error_on_a_closed_region(either: Path) -> None:
    region = mmapguard.open(either)
    file = region.file()
    region.close()
    assert region.exports == 0
    uses: list[Callable[[], Any]] = [
        lambda: len(region),
        lambda: region[0],
        lambda: region[:],
        lambda: region[1:2:3],
        lambda: memoryview(region),
        lambda: bytes(region),
        lambda: list(region),
        lambda: b"x" in region,
        lambda: 1 in region,
        lambda: region.find(b"x"),
        lambda: region.rfind(b"x"),
        lambda: region.read(),
        lambda: region.read_byte(),
        lambda: region.readline(),
        lambda: region.read_into(bytearray(1)),
        lambda: region.seek(0),
        lambda: region.tell(),
        lambda: region.size(),
        lambda: region.check(),
        lambda: region.changed(),
        lambda: region.madvise("normal"),
        lambda: region.prefetch(),
        lambda: region.resident(),
        lambda: region.info,
        lambda: region.file(),
        lambda: file.read(),
        lambda: region.readinto(bytearray(1)),
        lambda: region.readable(),
        lambda: region.seekable(),
        lambda: region.writable(),
        lambda: region.isatty(),
        lambda: region.flush(),
        lambda: io.BufferedReader(region),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()
    file.close()
    for ask in (file.readable, file.seekable, file.raw.readable, file.raw.seekable):
        with pytest.raises(ValueError, match="closed"):
            ask()


@pytest.mark.parametrize("name", ["find", "rfind"])
def test_needles_and_bounds_of_the_wrong_kind_are_type_errors(name: str, large: Path) -> None:
    with mmapguard.open(large) as region:
        find = getattr(region, name)
        for bad in (("x",), (None,), (7,), (b"x", "0"), (b"x", 0, 1.5), (b"x", 0, 1, 2), ()):
            with pytest.raises(TypeError):
                find(*bad)


def test_every_status_becomes_an_exception_that_can_be_pickled() -> None:
    from mmapguard import _errors

    statuses = {name: value for name, value in vars(native).items() if name.startswith("E_")}
    for status in statuses.values():
        for code in (0, errno.EIO):
            made = _errors.failure(status, code, "open", "'x': open: it failed", 7, "x")
            assert isinstance(made, Exception)
            assert str(made)
            again = pickle.loads(pickle.dumps(made))
            assert type(again) is type(made)
            assert str(again) == str(made)
            assert vars(again) == vars(made)
    lost = _errors.failure(native.E_TRUNCATED, 0, "", "", 4096, Path("x"))
    assert isinstance(lost, mmapguard.TruncatedError)
    assert (lost.offset, lost.filename, lost.status) == (4096, "x", "MMG_E_TRUNCATED")
    assert "byte 4096" in str(lost)


def test_a_device_that_fails_is_a_device_error() -> None:
    with fuse.mounted({"bad": fuse.File(bytes(1 << 20), fail_from=1 << 19)}) as folder:
        with (
            pytest.raises(mmapguard.DeviceError) as caught,
            mmapguard.open(folder / "bad", backing="map") as region,
        ):
            assert not any(region[:])
        assert caught.value.errno == errno.EIO
        assert caught.value.offset is not None and caught.value.offset >= 1 << 19
        assert caught.value.filename == str(folder / "bad")
        with mmapguard.open(folder / "bad", backing="map") as region:
            assert region.read(4096) == bytes(4096)
            for use in (
                lambda: region.read(),
                lambda: region.read_into(bytearray(9), 1 << 19),
                lambda: region.find(b"x"),
            ):
                with pytest.raises(mmapguard.DeviceError):
                    use()
            region.close()


def test_a_subinterpreter_is_refused_and_the_main_one_goes_on(large: Path) -> None:
    source = """
import sys
sys.path[:0] = {path!r}
try:
    import _interpreters as interpreters
except ModuleNotFoundError:
    import _xxsubinterpreters as interpreters
import mmapguard
code = '''
import sys
sys.path[:0] = {path!r}
try:
    import mmapguard
except ImportError as refused:
    assert "subinterpreters" in str(refused), refused
else:
    raise SystemExit("imported")
'''
for kind in ({kinds}):
    sub = interpreters.create(**kind)
    interpreters.run_string(sub, code)
    interpreters.destroy(sub)
with mmapguard.open(sys.argv[1]) as region:
    assert type(region) is mmapguard.Region and memoryview(region).obj is region
print("main goes on", len(region.__class__.__mro__))
"""
    import sys

    if sys.version_info < (3, 12):
        kinds = "{}, {'isolated': False}"
    elif sys.version_info < (3, 13):
        kinds = "{'isolated': True}, {'isolated': False}"
    else:
        kinds = "{'config': 'isolated'}, {'config': 'legacy'}"
    ended = program(source.format(path=[p for p in sys.path if p], kinds=kinds), large)
    assert ended.code == 0, ended
    assert ended.value.startswith("main goes on")
