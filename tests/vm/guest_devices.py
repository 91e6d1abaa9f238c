# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads files in the guest whose device fails or is slow, by targets of the device mapper."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mmapguard import abi
from support import library as mmg
from support import readers
from support.children import in_child
from support.readers import Failing
from vm.guest_places import WORK, mounted, sh


@contextlib.contextmanager
def device(target: str) -> Iterator[Failing]:
    """Provide a file on a device of the device mapper. On failure, its second half is moved to the given target."""
    disk, size = WORK / "disk", 12 << 20
    sh(
        f"rm -f {disk}; truncate -s 200M {disk}; mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 {disk}"
    )
    loop = sh(f"losetup --show -f {disk}").strip()
    sectors = (200 << 20) // 512
    sh(f"dmsetup create bad --table '0 {sectors} linear {loop} 0'; dmsetup mknodes")
    try:
        with mounted("/dev/dm-0", "ext4", "noatime") as where:
            path, data = where / "file", mmg.pattern(size)
            path.write_bytes(data)
            sh("sync")
            first = readers.place_on_device(path, size // 2) // 512
            count = (size // 2) // 512

            def fail() -> None:
                named = target.format(device=f"{loop} {first}")
                table = (
                    f"0 {first} linear {loop} 0\\n{first} {count} {named}\\n"
                    f"{first + count} {sectors - first - count} linear {loop} {first + count}"
                )
                sh(
                    f"dmsetup suspend --noflush --nolockfs bad; printf '{table}' | dmsetup load bad; dmsetup resume bad"
                )
                readers.drop_from_cache(path)

            readers.drop_from_cache(path)
            try:
                yield Failing(path, data, size // 2, fail)
            finally:
                sh(
                    f"dmsetup suspend --noflush --nolockfs bad; dmsetup load bad --table '0 {sectors} linear {loop} 0'"
                )
                sh("dmsetup resume bad")
    finally:
        sh("dmsetup remove --force --retry bad || true; losetup -D")


def each_way_of_reading_tells(target: str) -> None:
    """Try each way of reading in a child, so that a signal would be noticed."""
    for name, way in readers.WAYS.items():
        with device(target) as failing:
            try:
                in_child(way, failing)
            except AssertionError as failure:
                raise AssertionError(f"{name}: {failure}") from failure


def read_a_slow_device(failing: Failing) -> None:
    """Check that a slow read is no loss in any way of reading."""
    with mmg.opened(mmg.try_open(failing.path, backing=abi.MMG_BACKING_MAP)) as handle:
        failing.fail()
        middle = slice(failing.lost, failing.lost + 4096)
        assert mmg.read(handle, middle.start, 4096) == (abi.MMG_OK, failing.data[middle])
        readers.drop_from_cache(failing.path)
        assert mmg.find(handle, failing.data[middle.start + 7 : middle.start + 39])[0] == abi.MMG_OK
        with mmg.pinned(handle, failing.lost, 4096) as span:
            assert mmg.span_bytes(span) == failing.data[middle]
        assert mmg.check(handle) == abi.MMG_OK


def break_on_a_slow_device(failing: Failing) -> None:
    """Check that no changed byte is called good when the kernel's time runs out while the bytes are copied."""
    Path("/proc/sys/fs/lease-break-time").write_text("1")
    members = {"guarantee": abi.MMG_GUARANTEE_STABLE, "backing": abi.MMG_BACKING_MAP}
    try:
        with mmg.opened(mmg.try_open(failing.path, **members)) as handle:
            assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
            failing.fail()
            writer = os.fork()
            if writer == 0:
                fd = os.open(failing.path, os.O_WRONLY)
                os.pwrite(fd, b"B" * 4096, 0)
                os._exit(0)
            ended = False
            while not ended:
                ended = os.waitpid(writer, os.WNOHANG) != (0, 0)
                status, span = mmg.pin(handle, 0, 4096)
                if status == abi.MMG_OK:
                    seen = mmg.span_bytes(span)
                    status = mmg.unpin(span)
                    assert status != abi.MMG_OK or seen == failing.data[:4096], (
                        "the region calls a changed byte good"
                    )
                assert status in (abi.MMG_OK, abi.MMG_E_UNSTABLE), status
            assert mmg.check(handle) == abi.MMG_E_UNSTABLE
            assert mmg.info(handle).shortfall == abi.MMG_SHORT_TIME
    finally:
        Path("/proc/sys/fs/lease-break-time").write_text("45")


def a_slow_device_is_waited_for_within_limits() -> None:
    """With dm-delay, each request takes half a second."""
    for work in (read_a_slow_device, break_on_a_slow_device):
        with device("delay {device} 500") as failing:
            in_child(work, failing)


DEVICES: list[tuple[str, Callable[[], None]]] = [
    ("device: dm-error", lambda: each_way_of_reading_tells("error")),
    ("device: dm-flakey", lambda: each_way_of_reading_tells("flakey {device} 0 3600")),
    ("device: dm-delay", a_slow_device_is_waited_for_within_limits),
]
