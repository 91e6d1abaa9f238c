# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_open_fd() leaves the descriptor to its caller in every respect."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import become_nobody, in_child
from support.files import LARGE, PAGE, Sample


@pytest.fixture
def descriptor(either: Sample) -> Iterator[int]:
    """Provide a descriptor of `either`, open for reading."""
    fd = os.open(either.path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_the_whole_file_opens_wherever_the_descriptor_stands(either: Sample, descriptor: int) -> None:
    os.lseek(descriptor, 1000, os.SEEK_SET)
    with mmg.opened(mmg.try_open_fd(descriptor)) as handle:
        assert mmg.content(handle) == either.data
        assert mmg.info(handle).file_size == either.size


def test_the_descriptor_is_not_moved(either: Sample, descriptor: int) -> None:
    os.lseek(descriptor, 1234, os.SEEK_SET)
    for members in ({}, {"backing": abi.MMG_BACKING_COPY}, {"backing": abi.MMG_BACKING_MAP}, {"offset": 7}):
        with mmg.opened(mmg.try_open_fd(descriptor, **members)) as handle:
            mmg.content(handle)
            mmg.read(handle, 0, 100)
            assert os.lseek(descriptor, 0, os.SEEK_CUR) == 1234


def test_the_descriptor_is_not_closed_and_not_needed_afterwards(either: Sample) -> None:
    fd = os.open(either.path, os.O_RDONLY)
    handle = mmg.accepted(mmg.try_open_fd(fd))
    os.fstat(fd)
    os.close(fd)
    assert mmg.content(handle) == either.data
    assert mmg.read(handle, 5, 5) == (abi.MMG_OK, either.data[5:10])
    assert mmg.check(handle) == abi.MMG_OK
    assert mmg.close(handle) == abi.MMG_OK


def test_the_descriptor_is_not_locked(large: Sample) -> None:
    fd = os.open(large.path, os.O_RDONLY)
    try:
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            assert mmg.info(handle).lock == abi.MMG_LOCK_SHARED
            assert not files.obtainable(large.path, "flock exclusive")
        # A lock on the caller's open file would outlive the region.
        assert files.obtainable(large.path, "flock exclusive")
    finally:
        os.close(fd)


def test_a_shared_lock_of_the_callers_own_is_no_hindrance(either: Sample, descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with mmg.opened(mmg.try_open_fd(descriptor)) as handle:
        assert mmg.content(handle) == either.data
    # The descriptor still belongs to the caller.
    assert not files.obtainable(either.path, "flock exclusive")


def test_an_exclusive_lock_of_the_callers_own_is_a_lock_held_elsewhere(
    either: Sample, descriptor: int
) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    mmg.refused(mmg.try_open_fd(descriptor), abi.MMG_E_WOULD_BLOCK)
    with mmg.opened(mmg.try_open_fd(descriptor, lock=abi.MMG_LOCK_NONE)) as handle:
        assert mmg.content(handle) == either.data
    assert not files.obtainable(either.path, "flock shared")


def test_an_unlinked_file_opens(either: Sample, descriptor: int) -> None:
    either.path.unlink()
    with mmg.opened(mmg.try_open_fd(descriptor)) as handle:
        assert mmg.content(handle) == either.data
        assert mmg.check(handle) == abi.MMG_OK


@pytest.mark.parametrize("size", [1, PAGE, LARGE])
@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY])
def test_a_memfd_opens(size: int, backing: int) -> None:
    data = mmg.pattern(size)
    fd = os.memfd_create("mmapguard-test", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        with mmg.opened(mmg.try_open_fd(fd, backing=backing)) as handle:
            assert mmg.content(handle) == data
            assert mmg.info(handle).inode == os.fstat(fd).st_ino
        assert os.lseek(fd, 0, os.SEEK_CUR) == size
    finally:
        os.close(fd)


def test_a_sealed_memfd_opens() -> None:
    data = mmg.pattern(LARGE)
    fd = os.memfd_create("mmapguard-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        fcntl.fcntl(
            fd,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
        )
        for members in ({}, {"guarantee": abi.MMG_GUARANTEE_STABLE}, {"backing": abi.MMG_BACKING_COPY}):
            with mmg.opened(mmg.try_open_fd(fd, **members)) as handle:
                assert mmg.content(handle) == data
    finally:
        os.close(fd)


def test_an_anonymous_temporary_file_opens(tmp_path: Path) -> None:
    try:
        fd = os.open(tmp_path, os.O_RDWR | os.O_TMPFILE)
    except OSError as failure:
        if failure.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            pytest.skip("the file system of the temporary folder has no O_TMPFILE")
        raise
    try:
        data = mmg.pattern(LARGE)
        os.write(fd, data)
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            assert mmg.content(handle) == data
    finally:
        os.close(fd)


def test_a_descriptor_open_for_both_is_read_only_in_the_region(large: Sample) -> None:
    fd = os.open(large.path, os.O_RDWR)
    try:
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            (mapping,) = watch.mappings_of(large.path)
            assert mapping.permissions.startswith("r--")
            assert mmg.content(handle) == large.data
    finally:
        os.close(fd)


def test_the_region_has_an_open_file_of_its_own(large: Sample) -> None:
    fd = os.open(large.path, os.O_RDONLY)
    before = set(watch.descriptors_of(large.path))
    try:
        with mmg.opened(mmg.try_open_fd(fd)):
            (own,) = set(watch.descriptors_of(large.path)) - before
            os.lseek(fd, 77, os.SEEK_SET)
            assert os.lseek(own, 0, os.SEEK_CUR) != 77, "the descriptor was duplicated, not opened anew"
    finally:
        os.close(fd)


def _files_after_exec(path: Path) -> list[int]:
    """Return the descriptors of a file that a program finds open when it takes the place of a child."""
    told = subprocess.run(
        ["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True
    ).stdout
    lines = [line.split(" -> ") for line in told.splitlines()]
    return [int(line[0].split()[-1]) for line in lines if line[-1] == str(path)]


def test_where_the_file_cannot_be_opened_anew_the_duplicate_serves_without_a_flock() -> None:
    files.require_root("opens a file as root and goes on as nobody")
    with files.public_folder() as folder:
        for name, size in (("small", files.SMALL), ("large", LARGE)):
            file = files.sample(folder / name, size)
            os.chmod(file.path, 0o600)

            def within(file: Sample = file) -> tuple[int, bytes, int]:
                fd = os.open(file.path, os.O_RDONLY)
                os.lseek(fd, 99, os.SEEK_SET)
                become_nobody()
                mmg.refused(mmg.try_open(file.path), abi.MMG_E_PERMISSION)
                mmg.refused(mmg.try_open_fd(fd, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_UNSUPPORTED)
                before = set(watch.descriptors())
                with mmg.opened(mmg.try_open_fd(fd, backing=abi.MMG_BACKING_MAP)) as handle:
                    (fresh,) = (
                        one for one in watch.descriptors_of(f"/proc/self/fd/{fd}") if one not in before
                    )
                    assert fcntl.fcntl(fresh, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
                    # A program that takes the place of a child has no descriptor of the file but that of the test.
                    os.set_inheritable(fd, True)
                    assert _files_after_exec(file.path) == [fd]
                    os.set_inheritable(fd, False)
                    assert _files_after_exec(file.path) == []
                    found = mmg.content(handle)
                    lock = mmg.info(handle).lock
                with mmg.opened(mmg.try_open_fd(fd)) as handle:
                    assert mmg.content(handle) == found
                    assert os.lseek(fd, 0, os.SEEK_CUR) == 99
                os.fstat(fd)
                return lock, found, os.lseek(fd, 0, os.SEEK_CUR)

            assert in_child(within) == (abi.MMG_LOCK_NONE, file.data, 99)


# ---------------------------------------------------------------------------------------------- bad descriptors --


@pytest.mark.parametrize("call", [mmg.try_open_fd, mmg.try_read_fd])
@pytest.mark.parametrize("fd", [-1, -2, -100, -(2**31), 2**31 - 1, 1_000_000])
def test_a_number_that_is_no_descriptor_is_an_argument_error(call: mmg.Opener, fd: int) -> None:
    told = mmg.refused(call(fd), abi.MMG_E_ARGUMENT)
    assert str(fd) in told.message, "the message does not name the descriptor"


@pytest.mark.parametrize("call", [mmg.try_open_fd, mmg.try_read_fd])
def test_a_closed_descriptor_is_an_argument_error(call: mmg.Opener, either: Sample) -> None:
    fd = os.open(either.path, os.O_RDONLY)
    os.close(fd)
    mmg.refused(call(fd), abi.MMG_E_ARGUMENT)


@pytest.mark.parametrize("call", [mmg.try_open_fd, mmg.try_read_fd])
def test_a_write_only_descriptor_is_a_permission_error_though_the_path_could_be_read(
    call: mmg.Opener, either: Sample
) -> None:
    fd = os.open(either.path, os.O_WRONLY)
    try:
        mmg.refused(call(fd), abi.MMG_E_PERMISSION)
    finally:
        os.close(fd)


@pytest.mark.parametrize("call", [mmg.try_open_fd, mmg.try_read_fd])
def test_the_writing_end_of_a_pipe_is_a_permission_error(call: mmg.Opener) -> None:
    inlet, outlet = os.pipe()
    try:
        mmg.refused(call(outlet), abi.MMG_E_PERMISSION)
    finally:
        os.close(inlet)
        os.close(outlet)


@pytest.mark.parametrize("call", [mmg.try_open_fd, mmg.try_read_fd])
def test_a_directory_descriptor_is_not_mappable(call: mmg.Opener, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        mmg.refused(call(fd), abi.MMG_E_NOT_MAPPABLE)
    finally:
        os.close(fd)


def test_an_o_path_descriptor_is_refused_as_an_argument(either: Sample) -> None:
    fd = os.open(either.path, os.O_PATH)
    try:
        mmg.refused(mmg.try_open_fd(fd), abi.MMG_E_ARGUMENT)
        mmg.refused(mmg.try_read_fd(fd), abi.MMG_E_ARGUMENT)
    finally:
        os.close(fd)


def test_an_o_path_descriptor_of_a_directory_or_a_link_is_refused(either: Sample, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(either.path)
    for path in (tmp_path, link):
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            mmg.refused(mmg.try_open_fd(fd), abi.MMG_E_ARGUMENT)
        finally:
            os.close(fd)


def test_nofollow_has_no_meaning_for_a_descriptor_and_is_refused(descriptor: int) -> None:
    mmg.refused(mmg.try_open_fd(descriptor, flags=abi.MMG_FLAG_NOFOLLOW), abi.MMG_E_ARGUMENT)


def test_anonymous_kernel_objects_are_refused() -> None:
    import select
    import socket

    poll = select.epoll()
    listener = socket.socket()
    try:
        for fd in (
            poll.fileno(),
            os.eventfd(0, os.EFD_NONBLOCK) if hasattr(os, "eventfd") else poll.fileno(),
        ):
            attempt = mmg.try_open_fd(fd, max_bytes=64, backing=abi.MMG_BACKING_MAP)
            mmg.refused(attempt, abi.MMG_E_NOT_MAPPABLE)
            if fd != poll.fileno():
                os.close(fd)
        # A socket that is not connected has no bytes.
        mmg.refused(mmg.try_read_fd(listener.fileno()), abi.MMG_E_IO)
    finally:
        poll.close()
        listener.close()


def test_a_mapping_of_a_descriptor_shows_later_writes_through_it(large: Sample) -> None:
    # CONTAINED promises no more, and the library made no copy without a request.
    fd = os.open(large.path, os.O_RDWR)
    try:
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            os.pwrite(fd, b"WRITTEN", PAGE)
            assert mmg.content(handle, PAGE, 7) == b"WRITTEN"
            assert mmg.info(handle).page_size == mmap.PAGESIZE
    finally:
        os.close(fd)
