# SPDX-License-Identifier: MIT OR Apache-2.0
"""A block device is mapped, with the size that the device itself gives. The tests need root and loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import become_nobody, in_child

SIZE = 3 << 20


@dataclass(frozen=True)
class Device:
    """A loop device and its contents."""

    path: Path
    data: bytes


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Provide a loop device over a file."""
    files.require_root("sets up a loop device")
    command = shutil.which("losetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if command is None:
        pytest.skip("losetup(8) of util-linux is not installed")
    file = files.sample(tmp_path_factory.mktemp("device") / "disk", SIZE)
    done = subprocess.run([command, "--find", "--show", str(file.path)], capture_output=True, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"this system gives no loop device: {done.stderr.decode().strip()}")
    path = Path(done.stdout.decode().strip())
    yield Device(path, file.data)
    subprocess.run([command, "--detach", str(path)], check=True, timeout=60)


def test_a_block_device_is_mapped_with_the_size_that_it_gives(device: Device) -> None:
    assert os.stat(device.path).st_size == 0
    with mmg.opened(mmg.try_open(device.path)) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_MAP, abi.MMG_REASON_BLOCK_DEVICE)
        assert (found.size, found.file_size) == (SIZE, SIZE)
        assert found.guarantee == abi.MMG_GUARANTEE_CONTAINED
        assert mmg.content(handle) == device.data
        assert mmg.check(handle) == abi.MMG_OK
        assert mmg.read(handle, SIZE - 10, 100) == (abi.MMG_OK, device.data[-10:])


def test_the_kernel_does_not_tell_who_writes_to_a_device(device: Device) -> None:
    mmg.refused(mmg.try_open(device.path, flags=abi.MMG_FLAG_NO_WRITERS), abi.MMG_E_UNSUPPORTED)


def test_a_block_device_opens_from_a_descriptor(device: Device) -> None:
    fd = os.open(device.path, os.O_RDONLY)
    try:
        os.lseek(fd, 500, os.SEEK_SET)
        with mmg.opened(mmg.try_open_fd(fd)) as handle:
            assert mmg.content(handle) == device.data
        assert os.lseek(fd, 0, os.SEEK_CUR) == 500
    finally:
        os.close(fd)


@pytest.mark.parametrize(("offset", "length"), [(1, 1), (4095, 8194), (SIZE - 1, 1), (100_000, 0)])
def test_a_window_of_a_block_device(device: Device, offset: int, length: int) -> None:
    with mmg.opened(mmg.try_open(device.path, offset=offset, length=length)) as handle:
        assert mmg.content(handle) == device.data[offset : offset + length if length else None]


def test_a_window_past_the_end_of_a_block_device_is_a_range_error(device: Device) -> None:
    mmg.refused(mmg.try_open(device.path, offset=SIZE, length=1), abi.MMG_E_RANGE)
    mmg.refused(mmg.try_open(device.path, length=SIZE + 1), abi.MMG_E_RANGE)


def test_a_copy_of_a_block_device_is_capped(device: Device) -> None:
    with mmg.opened(mmg.try_open(device.path, backing=abi.MMG_BACKING_COPY, max_bytes=SIZE)) as handle:
        assert mmg.content(handle) == device.data
        assert watch.descriptors_of(device.path) == []
    mmg.refused(
        mmg.try_open(device.path, backing=abi.MMG_BACKING_COPY, max_bytes=SIZE - 1), abi.MMG_E_TOO_BIG
    )


def test_a_block_device_is_stable_by_a_copy_of_some_kind(device: Device) -> None:
    with mmg.opened(mmg.try_open(device.path, guarantee=abi.MMG_GUARANTEE_STABLE)) as handle:
        assert mmg.info(handle).means == abi.MMG_MEANS_PRIVATE_COPY
        assert mmg.content(handle) == device.data


def test_a_block_device_meets_the_locks_of_others(device: Device) -> None:
    with files.held_elsewhere(device.path, "flock exclusive"):
        mmg.refused(mmg.try_open(device.path), abi.MMG_E_WOULD_BLOCK)
    with mmg.opened(mmg.try_open(device.path)) as handle:
        assert mmg.info(handle).lock == abi.MMG_LOCK_SHARED
        assert not files.obtainable(device.path, "flock exclusive")
    assert files.obtainable(device.path, "flock exclusive")


def test_a_block_device_that_may_not_be_read_is_a_permission_error(device: Device) -> None:
    if os.stat(device.path).st_mode & 0o004:
        pytest.skip("every user may read loop devices here")

    def within() -> int:
        become_nobody()
        return mmg.try_open(device.path).status

    assert in_child(within) == abi.MMG_E_PERMISSION
