# SPDX-License-Identifier: MIT OR Apache-2.0
"""A regular file opens where the kernel, a sandbox or the file system refuses mapping, lock or signal handler."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile

import pytest

from mmapguard import abi
from support import files, seccomp, watch
from support import library as mmg
from support.children import fresh_python, in_child, sanitizers
from support.files import Sample
from support.seccomp import When

# Of mmap(2): argument 3 is the flags, argument 4 the descriptor, -1 when there is none.
SHARED = When(argument=3, mask=mmap.MAP_SHARED, value=mmap.MAP_SHARED)
OF_A_FILE = When(argument=4, mask=0xFFFFFFFF, value=0xFFFFFFFF, differs=True)

REFUSALS = [errno.ENODEV, errno.EINVAL, errno.EACCES, errno.EOPNOTSUPP]


@pytest.fixture(autouse=True)
def filters_can_be_written() -> None:
    """Skip the tests where no filter can make system calls fail."""
    seccomp.require()
    if sanitizers():
        pytest.skip("sanitizers and valgrind make these system calls for themselves")


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP])
def test_where_map_shared_is_refused_the_mapping_is_private(large: Sample, code: int, backing: int) -> None:
    def within() -> tuple[int, int, str, bool]:
        seccomp.refuse("mmap", code, SHARED)
        with mmg.opened(mmg.try_open(large.path, backing=backing)) as handle:
            found = mmg.info(handle)
            (mapping,) = watch.mappings_of(large.path)
            return found.backing, found.backing_reason, mapping.permissions, mmg.content(handle) == large.data

    assert in_child(within) == (abi.MMG_BACKING_MAP, abi.MMG_REASON_MAP_PRIVATE, "r--p", True)


@pytest.mark.parametrize("code", REFUSALS)
def test_where_both_kinds_are_refused_the_file_is_copied_within_the_cap(large: Sample, code: int) -> None:
    def within() -> None:
        seccomp.refuse("mmap", code, OF_A_FILE)
        with mmg.opened(mmg.try_open(large.path)) as handle:
            found = mmg.info(handle)
            assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_COPY, abi.MMG_REASON_MAP_REFUSED)
            assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
            assert found.lock == abi.MMG_LOCK_NONE
            assert mmg.content(handle) == large.data
            assert watch.descriptors_of(large.path) == []
        with mmg.opened(mmg.try_open(large.path, max_bytes=large.size)) as handle:
            assert mmg.content(handle) == large.data
        mmg.refused(mmg.try_open(large.path, max_bytes=large.size - 1), abi.MMG_E_TOO_BIG)

    in_child(within)


@pytest.mark.parametrize("code", REFUSALS)
def test_where_both_kinds_are_refused_a_mapping_cannot_be_had(large: Sample, code: int) -> None:
    def within() -> mmg.Details:
        before, held = watch.counters(), watch.descriptors()
        seccomp.refuse("mmap", code, OF_A_FILE)
        told = mmg.refused(mmg.try_open(large.path, backing=abi.MMG_BACKING_MAP), abi.MMG_E_NOT_MAPPABLE)
        assert (watch.counters(), watch.descriptors()) == (before, held)
        return told

    told = in_child(within)
    assert (told.operation, told.os_code) == ("mmap", code)
    assert str(large.path) in told.message
    assert files.obtainable(large.path, "flock exclusive")


def test_a_window_is_copied_alone_where_mappings_are_refused(large: Sample) -> None:
    def within() -> bytes:
        seccomp.refuse("mmap", errno.ENODEV, OF_A_FILE)
        members = {"offset": 12_345, "length": 500_000}
        with mmg.opened(mmg.try_open(large.path, max_bytes=500_000, **members)) as handle:
            assert mmg.info(handle).backing_reason == abi.MMG_REASON_MAP_REFUSED
            return mmg.content(handle)

    assert in_child(within) == large.data[12_345:512_345]


# The test needs a new interpreter: this one has the guard already, and nothing removes the guard.
NO_HANDLER = """
from support import seccomp, watch
path, code = sys.argv[1], int(sys.argv[2])
size = len(open(path, "rb").read())
held = watch.descriptors()
seccomp.refuse("rt_sigaction", code, seccomp.When(argument=1, mask=0xFFFFFFFF, value=0, differs=True))
"""

COPIED_INSTEAD = """
assert mmg.lib.mmg_guard_state() == abi.MMG_GUARD_NONE
assert code == 0 or not mmg.lib.mmg_supports(abi.MMG_FEATURE_FAULT_GUARD), "nothing has been refused yet"
with mmg.opened(mmg.try_open(path)) as handle:
    found = mmg.info(handle)
    assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_COPY, abi.MMG_REASON_NO_GUARD)
    assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
    assert mmg.content(handle) == open(path, "rb").read()
assert mmg.lib.mmg_guard_state() == abi.MMG_GUARD_REFUSED
assert mmg.lib.mmg_guard_install() == abi.MMG_E_GUARD
mmg.refused(mmg.try_open(path, max_bytes=size - 1), abi.MMG_E_TOO_BIG)
assert watch.descriptors() == held
"""

NO_MAPPING = """
told = mmg.refused(mmg.try_open(path, backing=abi.MMG_BACKING_MAP), abi.MMG_E_GUARD)
assert path in told.message
assert watch.descriptors() == held
unguarded = {"backing": abi.MMG_BACKING_MAP, "flags": abi.MMG_FLAG_NO_FAULT_GUARD}
with mmg.opened(mmg.try_open(path, **unguarded)) as handle:
    assert mmg.info(handle).guarantee == abi.MMG_GUARANTEE_NONE
    assert mmg.content(handle) == open(path, "rb").read()
"""


# With code 0 the call reports success and does nothing, as sanitizers and libjsig do.
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, 0])
def test_where_the_guard_is_refused_a_large_file_is_copied_and_says_so(large: Sample, code: int) -> None:
    fresh_python(NO_HANDLER + COPIED_INSTEAD, large.path, str(code)).returned()


@pytest.mark.parametrize("code", [errno.EPERM, 0])
def test_where_the_guard_is_refused_a_mapping_must_be_asked_for_without_it(large: Sample, code: int) -> None:
    fresh_python(NO_HANDLER + NO_MAPPING, large.path, str(code)).returned()


ENOTSUPP = 524
"""What some file systems answer by mistake: a number of the kernel's own, which no header of the C library names."""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, ENOTSUPP])
def test_where_locks_are_refused_the_file_opens_unlocked_unless_a_lock_was_demanded(
    either: Sample, code: int
) -> None:
    def within() -> None:
        seccomp.refuse("flock", code)
        with mmg.opened(mmg.try_open(either.path)) as handle:
            found = mmg.info(handle)
            assert found.lock == abi.MMG_LOCK_NONE
            if found.backing == abi.MMG_BACKING_MAP:
                assert found.lock_error == code
            assert mmg.content(handle) == either.data
        told = mmg.refused(mmg.try_open(either.path, flags=abi.MMG_FLAG_REQUIRE_LOCK), abi.MMG_E_UNSUPPORTED)
        assert (told.operation, told.os_code) == ("flock", code)

    in_child(within)


# In a new interpreter, since this one may know the file systems already. A statx(2) that asks for the number of the mount
# fails: with that number the name stands in the mount table.
NO_MOUNT_TABLE = """
import errno
from support import seccomp
path = sys.argv[1]
seccomp.refuse("statx", errno.EINVAL, seccomp.When(argument=3, mask=0x1000, value=0x1000))
seccomp.refuse("statmount", errno.ENOSYS)
"""

OF_THE_KERNEL = """
locked = {"flags": abi.MMG_FLAG_REQUIRE_LOCK, "backing": abi.MMG_BACKING_COPY}
mmg.refused(mmg.try_open(path, **locked), abi.MMG_E_UNSUPPORTED)
with mmg.opened(mmg.try_open(path)) as handle:
    assert mmg.info(handle).file_system == b""
    assert mmg.content(handle) == open(path, "rb").read()
"""


@pytest.mark.parametrize("path", ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_without_a_mount_table_a_required_lock_still_reads_no_bytes_that_the_kernel_makes_up(
    path: str,
) -> None:
    if not os.access(path, os.R_OK):
        pytest.skip(f"this system has no readable {path}")
    fresh_python(NO_MOUNT_TABLE + OF_THE_KERNEL, path).returned()


IN_MEMORY = """
import fcntl, os
with mmg.opened(mmg.try_open(path, backing=abi.MMG_BACKING_MAP)) as handle:
    found = mmg.info(handle)
    assert (found.file_system, found.lock) == (b"", abi.MMG_LOCK_SHARED)
memory = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
os.write(memory, bytes(100_000))
fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
stable = {"backing": abi.MMG_BACKING_MAP, "guarantee": abi.MMG_GUARANTEE_STABLE}
with mmg.opened(mmg.try_open_fd(memory, **stable)) as handle:
    assert mmg.info(handle).means == abi.MMG_MEANS_SEALED
"""


def test_without_a_mount_table_files_in_memory_are_locked_and_known_to_be_sealed() -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("this system has no file system in memory that this user may write to")
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(100_000))
        file.flush()
        fresh_python(NO_MOUNT_TABLE + IN_MEMORY, file.name).returned()
