# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cheapest means that holds is taken, the next where it does not, and none is claimed falsely."""

from __future__ import annotations

import array
import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from stable.others import (
    FILE_MEANS,
    MAPPED,
    NOBODY,
    STABLE,
    STRANGER,
    Places,
    as_user,
    beside,
    is_still,
    leases_on,
    mapped_for_writing,
    means,
    overwritten_elsewhere,
    stable,
    writing,
)
from support import files, fuse, lease_settings, watch
from support import library as mmg
from support.children import in_child
from support.small_room import in_small_room

CHUNK = 200_000
"""Above the copy threshold."""


# -------------------------------------------------------------------------------------------------- leases --


def test_an_owned_file_that_nobody_writes_is_held_by_a_lease(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path) as handle:
        found = mmg.info(handle)
        assert (found.guarantee, found.means) == (STABLE, abi.MMG_MEANS_LEASE)
        assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_MAP, abi.MMG_REASON_STABLE)
        assert (found.shortfall, found.lock) == (abi.MMG_SHORT_NONE, abi.MMG_LOCK_SHARED)
        assert leases_on(one.path) == 1
        assert mmg.changed(handle) == (abi.MMG_OK, 0)
        is_still(handle, one.data)
    assert leases_on(one.path) == 0


def _means_of(path: Path) -> int:
    with stable(path) as handle:
        return means(handle)


def test_the_owner_needs_no_privileges_for_a_lease(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    os.chown(one.path, NOBODY, NOBODY)
    assert as_user(NOBODY, _means_of, one.path) == abi.MMG_MEANS_LEASE


def _stranger_keeps_its_bytes(path: Path, data: bytes, expected: int) -> None:
    with stable(path, **MAPPED) as handle, mmg.pinned(handle) as span:
        assert means(handle) == expected, mmg.info(handle).means
        assert leases_on(path) == 0
        is_still(handle, data)
        assert mmg.span_bytes(span) == data


@pytest.mark.parametrize("room", ["may write there", "may not write there"])
def test_a_stranger_gets_a_snapshot_and_never_a_lease(folder: Path, room: str) -> None:
    one = files.sample(folder / "file", files.LARGE)
    expected = beside(one.path)
    if room == "may not write there":
        folder.chmod(0o755)
        expected = abi.MMG_MEANS_SNAPSHOT
    as_user(STRANGER, _stranger_keeps_its_bytes, one.path, one.data, expected)


def test_a_file_that_somebody_has_open_for_writing_takes_the_next_means(folder: Path) -> None:
    one = files.sample(folder / "file", files.LARGE)
    with writing(one.path) as writer:
        with stable(one.path, **MAPPED) as handle, mmg.pinned(handle) as span:
            assert means(handle) == beside(one.path)
            assert mmg.info(handle).backing_reason == abi.MMG_REASON_STABLE
            assert leases_on(one.path) == 0
            writer.overwrite()
            assert mmg.span_bytes(span) == one.data
            writer.cut()
            assert mmg.span_bytes(span) == one.data
            is_still(handle, one.data)
            bits = mmg.changed(handle)[1]
            assert bits & abi.MMG_CHANGED_SIZE
            assert bits & abi.MMG_CHANGED_MTIME


def test_a_writable_mapping_without_a_descriptor_is_a_writer_too(folder: Path) -> None:
    one = files.sample(folder / "file", files.LARGE)
    with mapped_for_writing(one.path) as page, stable(one.path) as handle:
        assert means(handle) != abi.MMG_MEANS_LEASE
        page[:5] = [0xFF] * 5
        is_still(handle, one.data)


def test_no_lease_is_taken_on_an_overlay_whose_lower_file_is_copied_up_under_it() -> None:
    with mounts.overlay() as (where, lower):
        data = mmg.pattern(files.LARGE)
        (lower / "file").write_bytes(data)
        with stable(where / "file", **MAPPED) as handle:
            assert means(handle) == abi.MMG_MEANS_SNAPSHOT
            assert mmg.stats().leases == 0
            overwritten_elsewhere(where / "file")
            is_still(handle, data)
            assert (where / "file").read_bytes() != data
            assert mmg.changed(handle)[1] & abi.MMG_CHANGED_MTIME


@pytest.mark.alone
def test_leases_that_are_switched_off_are_done_without(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with mounts.setting(lease_settings.ENABLE, 0):
        with stable(one.path, **MAPPED) as handle:
            assert means(handle) == abi.MMG_MEANS_SNAPSHOT
            overwritten_elsewhere(one.path)
            is_still(handle, one.data)


@pytest.mark.usefixtures("leases")
@pytest.mark.alone
def test_switching_leases_off_does_not_end_those_that_are_held(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with stable(one.path, **MAPPED) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        with mounts.setting(lease_settings.ENABLE, 0):
            overwritten_elsewhere(one.path)
            is_still(handle, one.data)
            assert means(handle) in FILE_MEANS


# --------------------------------------------------------------------------------------------------- media --


@pytest.mark.parametrize("kind", mounts.READ_ONLY)
def test_a_read_only_medium_is_mapped_as_it_is_for_everybody(kind: str) -> None:
    data = mmg.pattern(files.LARGE)
    with mounts.packed(kind, {"file": data}) as where:
        path = where / "file"

        def judge() -> None:
            with stable(path) as handle:
                assert means(handle) == abi.MMG_MEANS_READ_ONLY_MEDIUM
                assert leases_on(path) == 0
                is_still(handle, data)
                for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
                    with pytest.raises(OSError, match=r"Read-only file system|Permission denied"):
                        os.open(path, flags)
                with pytest.raises(OSError, match=r"Read-only file system|Permission denied"):
                    os.truncate(path, 0)
                with pytest.raises(OSError, match=r"Read-only file system|Permission denied"):
                    path.unlink()
                is_still(handle, data)
                assert mmg.changed(handle) == (abi.MMG_OK, 0)

        judge()
        as_user(STRANGER, judge)
        with stable(path, offset=4097, length=CHUNK) as handle:
            is_still(handle, data[4097 : 4097 + CHUNK])


def test_iso_9660_is_a_read_only_medium() -> None:
    maker = shutil.which("genisoimage") or shutil.which("xorrisofs") or shutil.which("mkisofs")
    if maker is None:
        raise mounts.Unavailable("no genisoimage, mkisofs or xorrisofs is installed")
    mounts.need_root()
    mounts.need_kernel("iso9660")
    data = mmg.pattern(files.LARGE)
    with mounts.folder() as place:
        for name in ("source", "mounted"):
            (place / name).mkdir()
        (place / "source" / "FILE").write_bytes(data)
        mounts.run(maker, "-quiet", "-R", "-o", place / "image", place / "source")
        with mounts.mount(place / "image", place / "mounted", "iso9660", "loop,ro"):
            with stable(place / "mounted" / "FILE") as handle:
                assert means(handle) == abi.MMG_MEANS_READ_ONLY_MEDIUM
                is_still(handle, data)


_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
_IMMUTABLE = 0x10


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make a file immutable for a `with` block."""
    flags = array.array("l", [0])
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.ioctl(fd, _GETFLAGS, flags)
            fcntl.ioctl(fd, _SETFLAGS, array.array("l", [flags[0] | _IMMUTABLE]))
        except OSError as failure:
            raise mounts.Unavailable(f"cannot make a file immutable: {failure}") from failure
        try:
            yield
        finally:
            fcntl.ioctl(fd, _SETFLAGS, flags)
    finally:
        os.close(fd)


def _immutable_file_of_another(path: Path, data: bytes) -> None:
    with stable(path, **MAPPED) as handle:
        assert means(handle) in FILE_MEANS
        is_still(handle, data)


@pytest.mark.usefixtures("leases")
def test_an_immutable_file_is_no_read_only_medium(places: Places) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with contextlib.ExitStack() as stack:
        with immutable(one.path):
            handle = stack.enter_context(stable(one.path, **MAPPED))
            assert means(handle) == abi.MMG_MEANS_LEASE
            as_user(STRANGER, _immutable_file_of_another, one.path, one.data)
        overwritten_elsewhere(one.path)  # root has removed the attribute
        is_still(handle, one.data)


def _means_in(path: Path, data: bytes) -> int:
    with stable(path, **MAPPED) as handle:
        is_still(handle, data)
        return means(handle)


@pytest.mark.usefixtures("leases")
def test_a_read_only_mount_is_no_read_only_medium(places: Places) -> None:
    where = places("ext4")
    one = files.sample(where / "file", files.LARGE)
    with mounts.folder() as other:
        mounts.run("mount", "--bind", where, other)
        try:
            mounts.run("mount", "-o", "remount,bind,ro", other)
            with stable(other / "file", **MAPPED) as handle:
                assert means(handle) == abi.MMG_MEANS_LEASE
                assert as_user(STRANGER, _means_in, other / "file", one.data) == abi.MMG_MEANS_SNAPSHOT
                overwritten_elsewhere(one.path)  # through the mount that can be written
                is_still(handle, one.data)
                assert means(handle) == abi.MMG_MEANS_SNAPSHOT
        finally:
            mounts.run("umount", other)


def test_a_file_with_verity_is_a_read_only_medium_for_strangers() -> None:
    tool = mounts.tool("fsverity")
    features = ["-q", "-F", "-b", str(files.PAGE), "-O", "verity"]
    with mounts.small_image("ext4", features) as where:
        if not Path("/sys/fs/ext4/features/verity").exists():
            raise mounts.Unavailable("this kernel has no fs-verity (CONFIG_FS_VERITY)")
        one = files.sample(where / "file", files.LARGE)
        assert as_user(STRANGER, _means_in, one.path, one.data) == abi.MMG_MEANS_SNAPSHOT
        mounts.run(tool, "enable", f"--block-size={files.PAGE}", one.path)
        assert as_user(STRANGER, _means_in, one.path, one.data) == abi.MMG_MEANS_READ_ONLY_MEDIUM


# --------------------------------------------------------------------------------------------------- memfd --

SEALS = {
    "SHRINK": fcntl.F_SEAL_SHRINK,
    "GROW": fcntl.F_SEAL_GROW,
    "WRITE": fcntl.F_SEAL_WRITE,
    "FUTURE_WRITE": getattr(fcntl, "F_SEAL_FUTURE_WRITE", 0x10),
    "SEAL": fcntl.F_SEAL_SEAL,
}
COMBINATIONS = [names for count in range(len(SEALS) + 1) for names in itertools.combinations(SEALS, count)]


@contextlib.contextmanager
def memory_file(data: bytes, seals: tuple[str, ...] = ()) -> Iterator[int]:
    """Provide a memfd with these seals."""
    fd = os.memfd_create("mmapguard-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, sum(SEALS[name] for name in seals))
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("seals", COMBINATIONS, ids=lambda seals: "+".join(seals) or "none")
def test_only_the_seals_against_shrinking_and_writing_together_are_enough(seals: tuple[str, ...]) -> None:
    data = mmg.pattern(files.LARGE)
    with memory_file(data, seals) as fd:
        with mmg.opened(mmg.try_open_fd(fd, guarantee=STABLE)) as handle:
            enough = {"SHRINK", "WRITE"} <= set(seals)
            assert (means(handle) == abi.MMG_MEANS_SEALED) == enough
            if not enough:
                assert means(handle) != abi.MMG_MEANS_LEASE, "the descriptor can write"
            with contextlib.suppress(PermissionError):
                os.pwrite(fd, b"\0" * 5000, 0)
            with contextlib.suppress(PermissionError):
                os.ftruncate(fd, 10)
            with contextlib.suppress(PermissionError):
                os.ftruncate(fd, 2 * len(data))
            is_still(handle, data)


def test_a_sealed_file_is_not_believed_to_be_larger_than_it_is() -> None:
    data = mmg.pattern(CHUNK)
    with memory_file(data, ("SHRINK", "WRITE")) as fd:
        told = mmg.refused(mmg.try_open_fd(fd, guarantee=STABLE, length=CHUNK + 1), abi.MMG_E_RANGE)
        assert told.offset == CHUNK
        mmg.refused(mmg.try_open_fd(fd, guarantee=STABLE, offset=CHUNK + 1), abi.MMG_E_RANGE)
        mmg.refused(mmg.try_open_fd(fd, guarantee=STABLE, offset=CHUNK - 1, length=2), abi.MMG_E_RANGE)
        with mmg.opened(mmg.try_open_fd(fd, guarantee=STABLE, offset=1, length=CHUNK - 1)) as handle:
            assert means(handle) == abi.MMG_MEANS_SEALED
            is_still(handle, data[1:])


def test_the_snapshot_of_a_memory_file_goes_where_temporary_files_go(tmp_path: Path) -> None:
    def judge() -> None:
        os.environ["TMPDIR"] = str(tmp_path)
        with memory_file(mmg.pattern(files.LARGE)) as fd:
            members = {"guarantee": STABLE, "backing": abi.MMG_BACKING_MAP}
            with mmg.opened(mmg.try_open_fd(fd, **members)) as handle:
                assert means(handle) == abi.MMG_MEANS_SNAPSHOT
                homes = {path for path, _ in watch.file_mappings()}
                unlinked = [home for home in homes if home.endswith("(deleted)") and "memfd:" not in home]
                assert any(home.startswith(f"{tmp_path}/") for home in unlinked), unlinked

    in_child(judge)


# ---------------------------------------------------------------------------------- file systems elsewhere --


def test_a_file_of_a_server_in_user_space_is_copied() -> None:
    data = mmg.pattern(files.LARGE)
    with fuse.mounted({"file": fuse.File(data), "direct": fuse.File(data, direct_io=True)}) as where:
        for name in ("file", "direct"):
            with stable(where / name) as handle:
                assert means(handle) == abi.MMG_MEANS_PRIVATE_COPY
                assert leases_on(where / name) == 0
                is_still(handle, data)


def test_a_file_of_a_server_that_cannot_read_it_is_an_error() -> None:
    data = mmg.pattern(files.LARGE)
    with fuse.mounted({"file": fuse.File(data, fail_from=500_000)}) as where:
        mmg.refused(mmg.try_open(where / "file", guarantee=STABLE), abi.MMG_E_IO)
        with stable(where / "file", length=400_000) as handle:
            is_still(handle, data[:400_000])


class _Liar(fuse._Server):
    """A server that says that its file has fs-verity (FS_IOC_GETFLAGS), and serves other bytes each time."""

    reads = 0

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int | None:
        if opcode == 39:  # FUSE_IOCTL: result, flags, two counts, then what the caller gets
            return (0).to_bytes(16, "little") + (0x00100000).to_bytes(4, "little")
        return super().answer(opcode, node, body)


def test_a_server_in_user_space_is_not_believed_that_nobody_can_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fuse, "_Server", _Liar)
    data = mmg.pattern(files.LARGE)
    with fuse.mounted({"file": fuse.File(data)}) as where:
        flags = array.array("l", [0])
        fd = os.open(where / "file", os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _GETFLAGS, flags)
        except OSError as failure:
            raise mounts.Unavailable(f"the kernel does not ask the server for flags: {failure}") from failure
        finally:
            os.close(fd)
        assert flags[0] & 0x00100000, "the library did not get the false answer"
        with stable(where / "file") as handle:
            assert means(handle) != abi.MMG_MEANS_READ_ONLY_MEDIUM


# ------------------------------------------------------------------------------------------------ refusals --


def _refused(path: Path, members: dict[str, int]) -> mmg.Details:
    return mmg.refused(mmg.try_open(path, guarantee=STABLE, **members), abi.MMG_E_UNSTABLE)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("reader", "lease"),
    [("stranger", "not the owner"), ("writer", "open for writing"), ("switch", "switched off")],
)
def test_a_refusal_gives_the_reason_for_each_means(places: Places, reader: str, lease: str) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    members = {"max_snapshot_bytes": one.size - 1}
    if reader == "stranger":
        told = as_user(STRANGER, _refused, one.path, members)
    elif reader == "writer":
        with writing(one.path):
            told = _refused(one.path, members)
    else:
        with mounts.setting(lease_settings.ENABLE, 0):
            told = _refused(one.path, members)
    for part in (
        str(one.path),
        "seal",
        "read-only medium",
        f"lease: {lease}",
        "reflink: ",
        "snapshot: ",
        "max_snapshot_bytes",
    ):
        assert part in told.message, told.message


@pytest.mark.usefixtures("leases")
def test_the_cap_does_not_count_against_means_that_copy_nothing(places: Places) -> None:
    one = files.sample(places("xfs") / "file", files.LARGE)
    with stable(one.path, max_snapshot_bytes=1) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
    with writing(one.path) as writer, stable(one.path, max_snapshot_bytes=1) as handle:
        assert means(handle) == abi.MMG_MEANS_REFLINK
        writer.cut()
        is_still(handle, one.data)


def test_the_default_cap_is_a_gibibyte(tmp_path: Path) -> None:
    for size, is_refused_by_the_cap in ((1 << 30, False), ((1 << 30) + 1, True)):
        path = files.sparse(tmp_path / "sparse", size)
        with writing(path):
            status, message = in_small_room(mmg.try_open, path, guarantee=STABLE)
        assert status in (abi.MMG_E_NO_MEMORY, abi.MMG_E_UNSTABLE), message
        assert ("max_snapshot_bytes" in message) == is_refused_by_the_cap, message


# --------------------------------------------------------------------------------- the caller's own wishes --


def test_a_demanded_mapping_is_had_by_a_lease_however_small(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", 100)
    with stable(one.path, backing=abi.MMG_BACKING_MAP) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.means) == (abi.MMG_BACKING_MAP, abi.MMG_MEANS_LEASE)
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)


def test_a_demanded_copy_is_a_private_copy(folder: Path) -> None:
    one = files.sample(folder / "file", files.LARGE)
    with stable(one.path, backing=abi.MMG_BACKING_COPY) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.means) == (abi.MMG_BACKING_COPY, abi.MMG_MEANS_PRIVATE_COPY)
        assert leases_on(one.path) == 0
        overwritten_elsewhere(one.path)
        is_still(handle, one.data)


WINDOWS = [
    (0, CHUNK),
    (1, CHUNK),
    (4095, CHUNK + 1),
    (4096, CHUNK),
    (files.LARGE - CHUNK, 0),
    (123_457, CHUNK + 4095),
]


@pytest.mark.parametrize(("offset", "length"), WINDOWS)
@pytest.mark.parametrize("written", [False, True], ids=["lease", "snapshot"])
def test_a_window_shows_its_own_bytes_before_and_after(
    folder: Path, offset: int, length: int, written: bool
) -> None:
    one = files.sample(folder / "file", files.LARGE)
    expected = one.data[offset : offset + length if length else None]
    with contextlib.ExitStack() as stack:
        if written:
            stack.enter_context(writing(one.path))
        handle = stack.enter_context(stable(one.path, offset=offset, length=length, **MAPPED))
        if written:
            assert means(handle) == beside(one.path)
        is_still(handle, expected)
        overwritten_elsewhere(one.path)
        is_still(handle, expected)
        assert means(handle) == beside(one.path)


@pytest.mark.parametrize("offset", [0, 1, 4095, 8192])
@pytest.mark.parametrize("written", [False, True], ids=["lease", "snapshot"])
def test_a_window_needs_room_for_its_own_bytes_only(places: Places, offset: int, written: bool) -> None:
    one = files.sample(places("ext4") / "file", files.LARGE)
    with contextlib.ExitStack() as stack:
        if written:
            stack.enter_context(writing(one.path))
        members = {
            "offset": offset,
            "length": CHUNK,
            "max_snapshot_bytes": CHUNK,
            "backing": abi.MMG_BACKING_MAP,
        }
        handle = stack.enter_context(stable(one.path, **members))
        overwritten_elsewhere(one.path)
        is_still(handle, one.data[offset : offset + CHUNK])
        assert means(handle) == abi.MMG_MEANS_SNAPSHOT


def test_without_the_guard_stable_still_holds(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with stable(one.path, flags=abi.MMG_FLAG_NO_FAULT_GUARD) as handle:
        assert means(handle) == abi.MMG_MEANS_LEASE
        overwritten_elsewhere(one.path)
        os.truncate(one.path, 0)
        is_still(handle, one.data)


@pytest.mark.parametrize("lock", [abi.MMG_LOCK_AUTO, abi.MMG_LOCK_NONE], ids=["locked", "without a lock"])
def test_a_descriptor_is_leased_through_a_description_of_the_regions_own(
    leasing_folder: Path, lock: int
) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    fd = os.open(one.path, os.O_RDONLY)
    try:
        with mmg.opened(mmg.try_open_fd(fd, guarantee=STABLE, lock=lock)) as handle:
            assert means(handle) == abi.MMG_MEANS_LEASE
            assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK
            overwritten_elsewhere(one.path)
            is_still(handle, one.data)
    finally:
        os.close(fd)


def test_a_descriptor_that_can_write_is_a_writer(folder: Path) -> None:
    one = files.sample(folder / "file", files.LARGE)
    fd = os.open(one.path, os.O_RDWR)
    try:
        with mmg.opened(mmg.try_open_fd(fd, guarantee=STABLE, **MAPPED)) as handle:
            assert means(handle) in FILE_MEANS
            os.ftruncate(fd, 5)
            is_still(handle, one.data)
    finally:
        os.close(fd)


def test_a_snapshot_holds_no_lock_since_the_file_may_go_its_way(folder: Path) -> None:
    one = files.sample(folder / "file", files.LARGE)
    with writing(one.path), stable(one.path, **MAPPED) as handle:
        assert means(handle) == beside(one.path)
        assert mmg.info(handle).lock == abi.MMG_LOCK_NONE
        assert files.obtainable(one.path, "flock exclusive")


def test_an_exclusive_lock_of_somebody_else_is_met_whatever_the_means(leasing_folder: Path) -> None:
    one = files.sample(leasing_folder / "file", files.LARGE)
    with files.held_elsewhere(one.path, "flock exclusive"):
        mmg.refused(mmg.try_open(one.path, guarantee=STABLE), abi.MMG_E_WOULD_BLOCK)
        with stable(one.path, lock=abi.MMG_LOCK_NONE) as handle:
            is_still(handle, one.data)


def test_a_relative_temporary_folder_that_is_not_there_is_done_without(places: Places) -> None:
    """The stranger may make no file beside this one, and for its size a snapshot comes before a copy in memory."""
    one = files.sample(places("ext4") / "file", (32 << 20) + 1)
    temporary = places("tmpfs")

    def judge(relative: str) -> int:
        os.chdir(temporary.parent)
        os.environ["TMPDIR"] = relative
        with stable(one.path) as handle:
            is_still(handle, one.data)
            return means(handle)

    one.path.parent.chmod(0o755)
    assert as_user(STRANGER, judge, temporary.name) == abi.MMG_MEANS_SNAPSHOT
    assert as_user(STRANGER, judge, "not/there") == abi.MMG_MEANS_PRIVATE_COPY


def test_the_library_says_that_it_knows_leases_and_reflinks() -> None:
    assert mmg.lib.mmg_supports(abi.MMG_FEATURE_STABLE_LEASE) == 1
    assert mmg.lib.mmg_supports(abi.MMG_FEATURE_STABLE_REFLINK) == 1
    assert mmg.lib.mmg_supports(abi.MMG_FEATURE_STABLE_COPY) == 1
