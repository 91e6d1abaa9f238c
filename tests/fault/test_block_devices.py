# SPDX-License-Identifier: MIT OR Apache-2.0
"""A block device that ends early under a mounted file system: each way of reading tells what is lost, and nobody dies."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from support import files
from support import library as mmg
from support.children import in_child, run_child
from support.readers import WAYS, Failing, drop_from_cache, place_on_device

MIB = 1 << 20
SIZE = 12 * MIB


@pytest.fixture(params=mounts.QUIET)
def failing(request: pytest.FixtureRequest) -> Iterator[Failing]:
    """Provide a file on a loop device whose image will be cut in the middle of the file."""
    try:
        with mounts.image(request.param, quiet=True) as (where, image):
            one = files.sample(where / "file", SIZE)
            mounts.leave_room(where, SIZE)
            os.sync()
            place = place_on_device(one.path, SIZE // 2)
            size = image.stat().st_size

            def fail() -> None:
                os.truncate(image, place)
                drop_from_cache(one.path)

            drop_from_cache(one.path)
            try:
                yield Failing(one.path, one.data, SIZE // 2, fail)
            finally:
                found = image.stat().st_size
                os.truncate(image, size)
            assert found in (place, size), f"the image of {place} bytes has grown to {found}"
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("way", WAYS)
def test_a_device_that_ends_early_is_told_whoever_reads(failing: Failing, way: str) -> None:
    in_child(WAYS[way], failing)


def _read_plain(failing: Failing) -> None:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    with open(failing.path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        failing.fail()
        assert mapped[failing.lost] == 0


def test_a_plain_mapping_of_such_a_device_kills(failing: Failing) -> None:
    run_child(_read_plain, failing).died_of(signal.SIGBUS)


# ------------------------------------------------------------------------------------ mappings that others made --


def _read_guarded(failing: Failing) -> None:
    mark = mmg.losses(0)[1]  # a child inherits the records of its parent
    assert mmg.lib.mmg_guard_process(abi.MMG_SCOPE_FILES, 0) == abi.MMG_OK
    with open(failing.path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        failing.fail()
        place = failing.lost + 5 * mmap.PAGESIZE
        assert mapped[place] == 0
        lost = (abi.MMG_E_IO, abi.MMG_ORIGIN_FOREIGN, place, mmap.PAGESIZE, str(failing.path))
        assert mmg.losses(mark)[0] == [lost]
        assert mapped[: mmap.PAGESIZE] == failing.data[: mmap.PAGESIZE]


def test_a_foreign_mapping_on_such_a_device_loses_a_page(failing: Failing) -> None:
    in_child(_read_guarded, failing)


def _read_device(device: str, image: Path, guards: bool) -> None:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    if guards:
        flags = abi.MMG_PROCESS_SHARED_WRITABLE
        assert mmg.lib.mmg_guard_process(abi.MMG_SCOPE_FILES, flags) == abi.MMG_OK
    with open(device, "rb") as stream, mmap.mmap(stream.fileno(), SIZE, access=mmap.ACCESS_READ) as mapped:
        os.truncate(image, SIZE // 2)
        assert mapped[SIZE - 1] == 0


@contextlib.contextmanager
def _loop_device(image: Path) -> Iterator[str]:
    done = subprocess.run(
        [mounts.tool("losetup"), "--find", "--show", image], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise mounts.Unavailable(f"no loop device is to be had: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run([mounts.tool("losetup"), "--detach", device], check=True)


@pytest.mark.parametrize("guards", [False, True], ids=["alone", "guarded"])
def test_a_mapping_of_the_device_itself_is_passed_on(guards: bool, tmp_path: Path) -> None:
    try:
        mounts.need_root()
        image = files.sparse(tmp_path / "image", SIZE)
        with _loop_device(image) as device:
            run_child(_read_device, device, image, guards).died_of(signal.SIGBUS)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))
