# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bytes that are read as STABLE are right, or the region says that they may not be.

The cases: a stopped process, a lease that the kernel takes by force, coarse file times, a layer that was
copied up, and a child of _Fork(3).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import (
    FILE_MEANS,
    STABLE,
    Places,
    is_still,
    means,
    need_time,
    overwrite,
    overwritten_elsewhere,
    stable,
)
from support import files, lease_settings
from support import library as mmg
from support.children import DEADLINE, Helper, Line, in_child


def mounted_or_skip(places: Places, kind: str) -> Path:
    """Return a folder on a file system with leases, or a skip that says why there is none."""
    try:
        lease_settings.need_leases()
        return places(kind)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


# ------------------------------------------------------------------------------------ a lease that was taken by force --


def _read_for_ever(line: Line, path: Path) -> None:
    """Read the first byte until the region no longer says that it is right. Send what was read before."""
    handle = mmg.accepted(mmg.try_open(path, guarantee=STABLE))
    first = path.read_bytes()[:1]
    line.say(str(means(handle)))
    lies = 0
    while True:
        status, span = mmg.pin(handle, 0, 4096)
        if status != abi.MMG_OK:
            break
        seen = mmg.span_bytes(span)[:1]
        status = mmg.unpin(span)
        lies += seen != first and status == abi.MMG_OK
        if status != abi.MMG_OK or lies > 1000:
            break
    line.say(f"{lies} {status}")
    line.hear()
    assert mmg.close(handle) == abi.MMG_OK


@pytest.mark.alone
@pytest.mark.parametrize("kind", mounts.LEASING)
def test_a_process_that_was_stopped_never_shows_changed_bytes_as_true(places: Places, kind: str) -> None:
    """The kernel takes the lease of a stopped process by force, and the writer writes. Then the process goes on."""
    one = files.sample(mounted_or_skip(places, kind) / "file", 16 << 20)
    with mounts.setting(lease_settings.BREAK_TIME, 1), Helper(_read_for_ever, one.path) as line:
        assert line.hear() == str(abi.MMG_MEANS_LEASE)
        process = line.pid
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        waited = overwritten_elsewhere(one.path)
        os.kill(process, signal.SIGCONT)
        lies, status = line.hear().split()
        line.say("done")
    assert waited > 0.5, "the writer was let in before the lease was taken by force"
    assert (int(lies), int(status)) == (0, abi.MMG_E_UNSTABLE)


def test_a_truncation_that_no_lease_holds_back_is_never_forgotten(places: Places) -> None:
    """open(O_RDONLY|O_TRUNC) empties a leased file. New bytes in the file are not the bytes that were opened."""
    one = files.sample(mounted_or_skip(places, "ext4") / "file", files.LARGE)

    def empty() -> None:
        os.close(os.open(one.path, os.O_RDONLY | os.O_TRUNC))

    with stable(one.path) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        assert mmg.info(handle).exceptions & abi.MMG_EXCEPT_READ_ONLY_TRUNCATION
        in_child(empty)
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
        in_child(one.path.write_bytes, b"B" * files.LARGE)
        assert mmg.read(handle, 100, 8)[0] == abi.MMG_E_TRUNCATED
        assert mmg.find(handle, b"BBBB")[0] == abi.MMG_E_TRUNCATED
        assert mmg.check(handle) == abi.MMG_E_TRUNCATED
    with stable(one.path, flags=abi.MMG_FLAG_NO_LEASE) as handle:
        in_child(empty)
        is_still(handle, b"B" * files.LARGE)
        assert mmg.info(handle).exceptions == 0


def test_a_touch_and_a_writer_that_writes_nothing_are_no_change(places: Places) -> None:
    one = files.sample(mounted_or_skip(places, "ext4") / "file", 24 << 20)
    with stable(one.path) as handle:
        os.utime(one.path, (1000, 1000))
        assert mmg.check(handle) == abi.MMG_OK
        seen = set()
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                seen.add(mmg.check(handle))

        looking = threading.Thread(target=look)
        looking.start()
        in_child(lambda: os.close(os.open(one.path, os.O_WRONLY)))
        ended.set()
        looking.join()
        need_time(handle)
        assert seen <= {abi.MMG_OK}
        is_still(handle, one.data)
        assert means(handle) in FILE_MEANS


# ------------------------------------------------------------------------------------------------------- torn copies --


def _count_up(path: Path, size: int, parent: int) -> None:
    """Write a number to the last page, then to the first, again and again: the two never differ by more than one.

    The writer ends with its parent.
    """
    fd = os.open(path, os.O_RDWR)
    number = 0
    while os.getppid() == parent:
        number += 1
        os.pwrite(fd, struct.pack("<I", number), size - 4096)
        os.pwrite(fd, struct.pack("<I", number), 0)


HAS_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


@pytest.mark.parametrize("kind", ["ext4 with coarse times", "vfat"])
def test_no_copy_mixes_two_versions_where_times_are_coarse(kind: str) -> None:
    options = {"ext4 with coarse times": ("ext4", ["-I", "128"]), "vfat": ("vfat", [])}[kind]
    size = 16 * 4096
    try:
        with mounts.small_image(*options) as where:
            path = where / "file"
            path.write_bytes(bytes(size))
            parent = os.getpid()
            writer = os.fork()
            if writer == 0:
                try:
                    _count_up(path, size, parent)
                finally:
                    os._exit(1)
            try:
                seen: set[int] = set()
                begun = time.monotonic()
                while time.monotonic() < begun + 4 or len(seen) < 2:
                    assert time.monotonic() < begun + DEADLINE, f"no copy of a later version: {seen}"
                    assert os.waitid(os.P_PID, writer, HAS_ENDED) is None, "the writer has ended by itself"
                    opened = mmg.try_open(path, guarantee=STABLE, copy_threshold=1)
                    if opened.status == abi.MMG_E_UNSTABLE:
                        continue
                    with mmg.opened(opened) as handle:
                        data = mmg.content(handle)
                        first, last = (struct.unpack_from("<I", data, at)[0] for at in (0, size - 4096))
                        assert 0 <= last - first <= 1
                        seen.add(first)
            finally:
                os.kill(writer, signal.SIGKILL)
                os.waitpid(writer, 0)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


# ----------------------------------------------------------------------------------------------------------- overlay --


def test_a_layer_that_is_copied_up_is_no_loss_and_every_way_of_reading_agrees() -> None:
    """A container does this to a file of its image. The mapping goes on showing the lower file."""
    data = mmg.pattern(files.LARGE)
    try:
        with mounts.overlay() as (where, lower):
            (lower / "file").write_bytes(data)
            path = where / "file"
            members = {"backing": abi.MMG_BACKING_MAP}
            with mmg.opened(mmg.try_open(path, **members)) as handle, mmg.pinned(handle) as span:
                assert mmg.info(handle).file_system == b"overlay"
                overwritten_elsewhere(path)
                assert mmg.span_bytes(span) == data
                assert mmg.read(handle, 0, 64) == (abi.MMG_OK, data[:64])
                assert mmg.find(handle, data[-24:]) == (abi.MMG_OK, data.index(data[-24:]))
                os.truncate(path, 0)
                assert mmg.span_bytes(span) == data
                assert mmg.check(handle) == abi.MMG_OK
                assert mmg.read(handle, 0, 64) == (abi.MMG_OK, data[:64])
            path.write_bytes(data)  # the file is on the upper layer now, where a cut loses bytes
            with mmg.opened(mmg.try_open(path, **members)) as handle:
                os.truncate(path, 4096)
                assert mmg.check(handle) == abi.MMG_E_TRUNCATED
                assert mmg.read(handle, 0, 8192)[0] == abi.MMG_E_TRUNCATED
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


# ---------------------------------------------------------------------------------------------------------- children --


def _in_unannounced_child(path: Path, data: bytes) -> None:
    """_Fork(3) calls no fork handlers.

    The parent gives its lease up, and the child must not take changed bytes for right.
    """
    libc = ctypes.CDLL(None)
    handle = mmg.accepted(mmg.try_open(path, guarantee=STABLE))
    assert means(handle) == abi.MMG_MEANS_LEASE
    inlet, outlet = os.pipe()
    child = libc._Fork()
    if child == 0:
        os.read(inlet, 1)
        code = 0 if mmg.pin(handle, 0, 4096)[0] == abi.MMG_E_UNSTABLE else 1
        code += 0 if mmg.info(handle).guarantee == abi.MMG_GUARANTEE_CONTAINED else 2
        with stable(path) as own:  # the child has a thread of its own for leases
            code += 0 if means(own) == abi.MMG_MEANS_LEASE else 4
            overwrite_in = os.fork()
            if overwrite_in == 0:
                overwrite(path)
                os._exit(0)
            os.waitpid(overwrite_in, 0)
            if mmg.info(own).shortfall == abi.MMG_SHORT_TIME:
                code += 16
            elif mmg.check(own) != abi.MMG_OK or means(own) not in FILE_MEANS:
                code += 8
        os._exit(code)
    mmg.close(handle)
    path.write_bytes(b"B" * len(data))
    os.write(outlet, b"x")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 16:
        lease_settings.need_long_breaks()
    assert code == 0


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "_Fork"), reason="the C library has no _Fork(3)")
def test_a_child_that_nobody_announced_finds_out_at_its_first_use(places: Places) -> None:
    one = files.sample(mounted_or_skip(places, "ext4") / "file", files.LARGE)
    in_child(_in_unannounced_child, one.path, one.data)


def _adopt_and_ask(path: Path) -> None:
    """Adopt a mapping with a lease. Ask about it in a child, which asks the kernel at once, and then here."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    size = path.stat().st_size
    with open(path, "rb") as stream:
        place = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, stream.fileno(), 0)
    handle, options = ctypes.c_uint64(), mmg.options(guarantee=STABLE)
    assert mmg.lib.mmg_adopt(place, size, -1, ctypes.byref(options), ctypes.byref(handle), None) == abi.MMG_OK
    assert means(handle.value) == abi.MMG_MEANS_LEASE
    child = os.fork()
    if child == 0:
        os._exit(0 if mmg.check(handle.value) == abi.MMG_OK else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    time.sleep(1)  # this process asks again after 0.9 s
    assert mmg.check(handle.value) == abi.MMG_OK
    assert means(handle.value) == abi.MMG_MEANS_LEASE
    mmg.close(handle.value)
    libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(size))


@pytest.mark.parametrize("kind", mounts.LEASING)
def test_the_lease_of_an_adopted_mapping_is_known_again(places: Places, kind: str) -> None:
    """On btrfs, the list of mappings has another number for the device than the file."""
    one = files.sample(mounted_or_skip(places, kind) / "file", files.LARGE)
    in_child(_adopt_and_ask, one.path)


# ----------------------------------------------------------------------------------------------------------- secrets --


def test_no_descriptor_leads_another_process_to_a_snapshot(places: Places) -> None:
    """Through /proc/PID/fd, every process of the same user could write to the snapshot."""
    one = files.sample(mounted_or_skip(places, "ext4") / "file", files.LARGE)
    with stable(one.path) as handle:
        overwritten_elsewhere(one.path)
        need_time(handle)
        assert means(handle) == abi.MMG_MEANS_SNAPSHOT
        for name in os.listdir("/proc/self/fd"):
            try:
                place = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:
                continue
            assert not (place.startswith(f"{one.path.parent}/") and place.endswith("(deleted)")), place
        is_still(handle, one.data)
