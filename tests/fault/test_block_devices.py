# SPDX-License-Identifier: MIT OR Apache-2.0
"""A block device that ends early under a mounted file system: each way of reading tells what is lost, and nobody dies."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Iterator

import pytest

from stable import mounts
from support import files
from support.children import in_child, run_child
from support.readers import WAYS, Failing, drop_from_cache, place_on_device

MIB = 1 << 20
SIZE = 12 * MIB


@pytest.fixture(params=["ext4", "xfs"])
def failing(request: pytest.FixtureRequest) -> Iterator[Failing]:
    """A file on a loop device whose image will be cut in the middle of the file."""
    try:
        with mounts.image(request.param) as (where, image):
            one = files.sample(where / "file", SIZE)
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
                os.truncate(image, size)
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
