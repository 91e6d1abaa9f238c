# SPDX-License-Identifier: MIT OR Apache-2.0
"""STABLE costs other processes as little as possible.

Leases can be switched off and counted, a writer waits for one snapshot only, and disks and control groups
keep what they need.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import (
    FILE_MEANS,
    Places,
    is_still,
    leases_on,
    means,
    need_time,
    overwritten_elsewhere,
    stable,
    until,
)
from support import files, lease_settings
from support import library as mmg
from support.children import Helper, Line, in_child

pytestmark = pytest.mark.usefixtures("leases")


def test_without_leases_no_writer_is_refused_or_kept_waiting(places: Places) -> None:
    """coreutils' truncate opens with O_NONBLOCK, which a lease answers with EAGAIN."""
    one = files.sample(places("ext4") / "file", files.LARGE)
    with stable(one.path) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        with pytest.raises(BlockingIOError):
            os.open(one.path, os.O_WRONLY | os.O_NONBLOCK)
    with stable(one.path, flags=abi.MMG_FLAG_NO_LEASE) as handle:
        assert leases_on(one.path) == 0
        os.close(os.open(one.path, os.O_WRONLY | os.O_NONBLOCK))
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)


def _by_environment(path: Path, value: str) -> int:
    os.environ["MMAPGUARD_NO_LEASE"] = value
    with stable(path) as handle:
        return means(handle)


def test_the_environment_keeps_leases_out(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    assert in_child(_by_environment, one.path, "1") != abi.MMG_MEANS_LEASE
    for value in ("", "0"):
        assert in_child(_by_environment, one.path, value) == abi.MMG_MEANS_LEASE


def test_the_number_of_leases_has_a_limit(places: Places) -> None:
    where = places("ext4")
    with contextlib.ExitStack() as stack:
        refused = mmg.stats().lease_refusals
        for number in range(3):
            one = files.sample(where / f"file {number}", files.LARGE)
            stack.enter_context(stable(one.path, max_leases=3))
        assert mmg.stats().leases == 3
        last = files.sample(where / "one more", files.LARGE)
        handle = stack.enter_context(stable(last.path, max_leases=3))
        assert means(handle) != abi.MMG_MEANS_LEASE
        assert mmg.stats().lease_refusals == refused + 1


def test_twenty_regions_of_a_file_share_one_snapshot(places: Places) -> None:
    one = files.sample(places("ext4") / "file", 4 << 20)
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(stable(one.path)) for _ in range(20)]
        before = mmg.stats()
        overwritten_elsewhere(one.path)
        until(lambda: mmg.stats().leases_breaking == 0, "the keeper is done, a moment after the writer")
        after = mmg.stats()
        for handle in handles:
            is_still(handle, one.data)
            assert means(handle) in FILE_MEANS
    assert after.snapshots == before.snapshots + 1
    assert after.snapshot_bytes == before.snapshot_bytes + len(one.data)
    assert after.lease_breaks == before.lease_breaks + 1
    assert after.writer_wait_ns > before.writer_wait_ns
    assert after.writer_wait_max_ns >= after.writer_wait_ns - before.writer_wait_ns


def test_the_wait_of_a_writer_has_a_limit_if_one_is_set(places: Places) -> None:
    """No machine copies 40 MiB in a millisecond. The writer goes on, and the region says what is no longer STABLE."""
    one = files.sample(places("ext4") / "file", 40 << 20)
    before = mmg.stats().fallbacks_time
    with stable(one.path, max_lease_wait_ms=1) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        overwritten_elsewhere(one.path)
        assert mmg.check(handle) == abi.MMG_E_UNSTABLE
        found = mmg.info(handle)
        assert (found.guarantee, found.shortfall) == (abi.MMG_GUARANTEE_CONTAINED, abi.MMG_SHORT_TIME)
        place = int(found.fault_offset)
        assert place % (4 << 20) == 0, "the copy ends between two pieces"
        assert place < one.size
        assert place == 0 or mmg.content(handle, 0, place) == one.data[:place]
        if mmg.stats().fallbacks_time == before + 2:  # the kernel's time was over as well
            lease_settings.need_long_breaks()
        assert mmg.stats().fallbacks_time == before + 1


def test_a_snapshot_leaves_the_disk_to_its_writers() -> None:
    """A snapshot takes at most half of the free room beside the file. A larger one is made elsewhere."""
    try:
        with mounts.image("ext4", 100 << 20) as (where, _):
            one = files.sample(where / "file", 40 << 20)
            with stable(one.path) as handle:
                free = os.statvfs(where).f_bavail
                in_child(lambda: os.close(os.open(one.path, os.O_WRONLY)))
                need_time(handle)
                assert means(handle) == abi.MMG_MEANS_SNAPSHOT
                assert os.statvfs(where).f_bavail >= free / 2
                is_still(handle, one.data)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


def _reader_in_a_group(line: Line, path: Path, procs: Path, tmpdir: Path) -> None:
    """Join a control group, open the file, and say what the region is after the lease broke."""
    procs.write_text("0")
    os.environ["TMPDIR"] = str(tmpdir)
    handle = mmg.accepted(mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE))
    line.say(str(means(handle)))
    line.hear()
    line.say(f"{mmg.check(handle)} {mmg.info(handle).shortfall} {mmg.stats().fallbacks_space}")
    line.hear()
    assert mmg.close(handle) == abi.MMG_OK


@pytest.mark.parametrize("where_temporary", ["on the full disk", "in memory"])
def test_a_full_disk_and_a_limit_of_memory_cost_the_guarantee_and_not_the_reader(
    where_temporary: str,
) -> None:
    """The file is larger than what disk and group have left.

    With a copy in memory, the kernel would kill the reader.
    """
    try:
        with contextlib.ExitStack() as stack:
            where, _ = stack.enter_context(mounts.image("ext4", 230 << 20))
            one = files.sample(where / "file", 160 << 20)
            with contextlib.suppress(OSError), open(where / "rest", "wb", buffering=0) as rest:
                while True:
                    rest.write(bytes(1 << 16))
            os.sync()
            procs = stack.enter_context(mounts.memory_group(64 << 20))
            memory = stack.enter_context(mounts.writable("tmpfs"))
            tmpdir = memory if where_temporary == "in memory" else where
            with Helper(_reader_in_a_group, one.path, procs, tmpdir) as line:
                assert line.hear() == str(abi.MMG_MEANS_LEASE)
                in_child(lambda: os.close(os.open(one.path, os.O_WRONLY)))
                line.say("it was written to")
                told = line.hear()
                line.say("enough")
                if told.startswith(f"{abi.MMG_E_UNSTABLE} {abi.MMG_SHORT_TIME} "):
                    lease_settings.need_long_breaks()
                assert told == f"{abi.MMG_E_UNSTABLE} {abi.MMG_SHORT_SPACE} 1"
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


def _copies_in_a_group(path: Path, procs: Path) -> None:
    """Join a control group, and ask for a copy that the group has no memory for."""
    procs.write_text("0")
    asked = {"guarantee": abi.MMG_GUARANTEE_STABLE, "backing": abi.MMG_BACKING_COPY}
    refused = mmg.try_open(path, **asked)
    assert refused.status == abi.MMG_E_NO_MEMORY, str(refused)
    assert "no memory to spare" in refused.details.message
    with mmg.opened(mmg.try_open(path, length=files.LARGE, **asked)) as handle:
        assert means(handle) == abi.MMG_MEANS_PRIVATE_COPY
    with stable(path, copy_threshold=1 << 30) as handle:  # although the caller calls the file small
        assert means(handle) == abi.MMG_MEANS_LEASE


def test_a_copy_that_the_group_has_no_memory_for_is_refused_and_kills_nobody() -> None:
    try:
        with mounts.image("ext4", 230 << 20) as (where, _), mounts.memory_group(64 << 20) as procs:
            in_child(_copies_in_a_group, files.sample(where / "file", 160 << 20).path, procs)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


def test_a_fork_does_nothing_for_each_lease(places: Places) -> None:
    """A child that uses none of the regions makes no system call for them."""
    one = files.sample(places("ext4") / "file", files.LARGE)

    def fork_with(count: int) -> float:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(stable(one.path, lock=abi.MMG_LOCK_NONE))
            child = os.fork()
            if child == 0:
                # The descriptors are still the parent's own: the kernel lists its leases for each of them.
                os._exit(0 if leases_on(one.path) == count else 1)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert fork_with(200) == 0


def _is_small_served_first(where: Path) -> bool:
    """Returns true when the writer of a small file was let in while that of a large one still waited."""
    large, small = where / "large", where / "small"
    large.write_bytes(os.urandom(1 << 20) * 192)
    small.write_bytes(os.urandom(200_000))
    with stable(large) as one, stable(small) as other:
        assert {means(one), means(other)} == {abi.MMG_MEANS_LEASE}
        slow = os.fork()
        if slow == 0:
            os.close(os.open(large, os.O_WRONLY))
            os._exit(0)
        while mmg.stats().leases_breaking == 0 and means(one) == abi.MMG_MEANS_LEASE:
            time.sleep(0.001)
        in_child(lambda: os.close(os.open(small, os.O_WRONLY)))
        is_first = os.waitpid(slow, os.WNOHANG) == (0, 0) and means(one) == abi.MMG_MEANS_LEASE
        if is_first or means(one) == abi.MMG_MEANS_LEASE:
            os.waitpid(slow, 0)
        else:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(slow, 0)
        if not is_first:
            need_time(one)
        return is_first


def test_the_writer_of_a_small_file_does_not_wait_for_the_copy_of_a_large_one() -> None:
    """The copy of the large file may end before the writer of the small one comes, but not each time."""
    try:
        with mounts.image("ext4", 900 << 20) as (where, _):
            until(lambda: _is_small_served_first(where), "the writer of the small file was let in first")
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))
