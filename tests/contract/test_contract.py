# SPDX-License-Identifier: MIT OR Apache-2.0
"""The safety contract holds: read-only maps, an owned descriptor, no use after unmap, no mutable alias, a lock.

The tests also show what loading and opening do to the host, and that switches keep this from happening.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import Ended, fresh_python, in_child, run_child, sanitizers
from support.files import LARGE, PAGE, Sample

SOURCES = mmg.ROOT / "src"
MAPPING_FILE = SOURCES / "os" / "linux" / "map.c"


# ----------------------------------------------------------------------------------------------- opened read-only --


def flags_of(fd: int) -> int:
    """Return the open flags of a descriptor, as the kernel shows them."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    raise AssertionError("no flags in fdinfo")


@pytest.mark.parametrize("lock", [abi.MMG_LOCK_SHARED, abi.MMG_LOCK_OFD, abi.MMG_LOCK_NONE])
def test_the_file_is_opened_read_only_and_closed_on_exec(large: Sample, lock: int) -> None:
    before = set(watch.descriptors())
    with mmg.opened(mmg.try_open(large.path, lock=lock)):
        fresh = set(watch.descriptors()) - before
        assert fresh
        for fd in fresh:
            assert flags_of(fd) & os.O_ACCMODE == os.O_RDONLY
            assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


@pytest.mark.parametrize("lock", [abi.MMG_LOCK_SHARED, abi.MMG_LOCK_OFD, abi.MMG_LOCK_NONE])
def test_what_is_opened_from_a_descriptor_is_closed_on_exec_whatever_the_descriptor_is(
    large: Sample, lock: int
) -> None:
    """Without a lock the library duplicates the descriptor, with one it opens the file again."""
    fd = os.open(large.path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        before = set(watch.descriptors())
        with mmg.opened(mmg.try_open_fd(fd, lock=lock)):
            fresh = set(watch.descriptors()) - before
            assert fresh
            assert all(fcntl.fcntl(one, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for one in fresh)
            assert not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    finally:
        os.close(fd)


def test_a_file_that_may_only_be_read_opens() -> None:
    files.require_root("acts as another user")
    with files.public_folder() as folder:
        file = files.sample(folder / "file", LARGE)
        os.chmod(file.path, 0o444)

        def within() -> bool:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with mmg.opened(mmg.try_open(file.path)) as handle:
                return mmg.content(handle) == file.data and mmg.info(handle).lock == abi.MMG_LOCK_SHARED

        assert in_child(within)


def test_reading_does_not_touch_the_file(either: Sample) -> None:
    before = os.stat(either.path)
    with mmg.opened(mmg.try_open(either.path)) as handle:
        mmg.content(handle)
    after = os.stat(either.path)
    assert (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


# ------------------------------------------------------------------------------------- the descriptor stays alive --


def test_a_mapping_owns_a_descriptor_of_its_file_and_a_closed_one_owns_none(large: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(large.path))
    assert len(watch.descriptors_of(large.path)) == 1
    _, span = mmg.pin(handle)
    assert mmg.close(handle) == abi.MMG_OK
    assert len(watch.descriptors_of(large.path)) == 1, "the pinned bytes still need it"
    assert mmg.unpin(span) == abi.MMG_OK
    assert watch.descriptors_of(large.path) == []


# ------------------------------------------------------------------------------------------- no use after unmap --


def test_nothing_is_unmapped_under_a_pin_and_everything_after_the_last(large: Sample) -> None:
    handle = mmg.accepted(mmg.try_open(large.path))
    _, span = mmg.pin(handle, 4000, 10_000)
    where = mmg.address(span)
    assert mmg.close(handle) == abi.MMG_OK
    mapping = watch.mapping_at(where)
    assert mapping is not None and mapping.end >= where + 10_000
    assert mmg.span_bytes(span) == large.data[4000:14_000]
    assert mmg.unpin(span) == abi.MMG_OK
    assert watch.mappings_of(large.path) == []


def test_a_span_stays_where_it_is_for_its_whole_life(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        _, first = mmg.pin(handle, 0, 100)
        spans = [mmg.pin(handle, index, 50)[1] for index in range(50)]
        assert all(mmg.address(span) == mmg.address(first) + index for index, span in enumerate(spans))
        assert mmg.span_bytes(first) == either.data[:100]
        for span in [first, *spans]:
            assert mmg.unpin(span) == abi.MMG_OK


# ------------------------------------------------------------------------------------------- no mutable aliasing --


def test_a_mapping_is_readable_and_nothing_else(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle, mmg.pinned(handle) as span:
        for mapping in watch.mappings_of(large.path):
            assert mapping.permissions == "r--s"
        mapping_here = watch.mapping_at(mmg.address(span))
        assert mapping_here is not None and mapping_here.permissions == "r--s"


def test_a_mapping_cannot_be_made_writable_afterwards(large: Sample) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    with mmg.opened(mmg.try_open(large.path)) as handle, mmg.pinned(handle) as span:
        page = mmg.address(span) & ~(PAGE - 1)
        assert libc.mprotect(page, PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == -1
        assert ctypes.get_errno() == 13


def write_through(file: Sample, members: dict[str, int]) -> Ended:
    """Return how a process ends that writes to a span."""

    def within() -> None:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        handle = mmg.accepted(mmg.try_open(file.path, **members))
        _, span = mmg.pin(handle)
        ctypes.memset(mmg.address(span), 0, 1)

    return run_child(within)


def test_writing_to_the_bytes_of_a_mapping_is_an_access_violation(large: Sample) -> None:
    write_through(large, {}).died_of(signal.SIGSEGV)
    assert large.path.read_bytes() == large.data


def test_writing_to_the_bytes_of_a_copy_never_reaches_the_file(small: Sample) -> None:
    ended = write_through(small, {})
    assert ended.killed_by in (None, signal.SIGSEGV), str(ended)
    assert small.path.read_bytes() == small.data


# --------------------------------------------------------------------------------------------- one place that maps --

#: Calls by a function of the C library, by the platform's own functions, or by a number of the kernel. A definition starts
#: its line.
MAPPING_NAMES = "mmap|mmap2|mmap64|munmap|mremap|madvise|mprotect|remap_file_pages"
MAPPING_CALLS = re.compile(
    rf"\b({MAPPING_NAMES})\s*\(|(?<=.)\b(mmgi_(?:map|unmap|protect|remap)_directly)\(|\bsyscall\(SYS_({MAPPING_NAMES})\b"
)


def code_of(path: Path) -> str:
    """Return a C file with comments and strings blanked, line by line."""
    text = path.read_text(encoding="utf-8")

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', blank, text, flags=re.S)


def calls_in(path: Path) -> list[tuple[int, str]]:
    """Return line and name of each mapping call in a C file."""
    return [
        (number, found[found.lastindex or 0])
        for number, line in enumerate(code_of(path).splitlines(), 1)
        for found in MAPPING_CALLS.finditer(line)
    ]


def test_every_mapping_call_is_in_one_file() -> None:
    declarations = MAPPING_FILE.with_name("map_directly.h")
    sources = sorted({*SOURCES.rglob("*.[ch]")} - {MAPPING_FILE, declarations})
    assert len(sources) > 10
    assert {path.name: calls_in(path) for path in sources if calls_in(path)} == {}
    assert {name for _, name in calls_in(MAPPING_FILE)} >= {"mmap", "munmap"}


def test_every_mapping_call_has_a_comment_that_says_why_it_is_sound() -> None:
    lines = MAPPING_FILE.read_text(encoding="utf-8").splitlines()
    sites = calls_in(MAPPING_FILE)
    # Each new mapping call needs a reason why it is sound: give the reason there, and raise the number here.
    assert len(sites) <= 28
    for number, name in sites:
        above = "\n".join(lines[max(0, number - 12) : number])
        assert "SAFETY:" in above, f"map.c:{number}: {name} without a SAFETY comment"


# ------------------------------------------------------------------------------------------ what the host notices --

CAUGHT = """
def caught():
    for line in open("/proc/self/status"):
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> 6 & 1)
"""


def lines_of(ended: Ended) -> list[str]:
    """Return what a fresh interpreter printed."""
    return str(ended.returned()).split()


def test_the_handler_comes_with_the_first_mapping_and_not_before(small: Sample, large: Sample) -> None:
    if sanitizers():
        pytest.skip("sanitizers and valgrind have handlers of their own")
    told = fresh_python(
        CAUGHT
        + """
print(caught(), mmg.lib.mmg_guard_state() == abi.MMG_GUARD_NONE)
with mmg.opened(mmg.try_open(sys.argv[1])) as handle:
    print(caught(), mmg.stats().guard_state == abi.MMG_GUARD_NONE)
with mmg.opened(mmg.try_open(sys.argv[2], flags=abi.MMG_FLAG_NO_FAULT_GUARD)) as handle:
    print(caught(), mmg.lib.mmg_guard_state() == abi.MMG_GUARD_NONE)
with mmg.opened(mmg.try_open(sys.argv[2])) as handle:
    print(caught(), mmg.lib.mmg_guard_state() == abi.MMG_GUARD_TOP)
print(caught(), mmg.stats().guard_state == abi.MMG_GUARD_TOP)
""",
        small.path,
        large.path,
    )
    assert lines_of(told) == ["False", "True"] * 3 + ["True", "True"] * 2


def test_a_region_without_the_guard_says_that_it_has_none(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, flags=abi.MMG_FLAG_NO_FAULT_GUARD)) as handle:
        found = mmg.info(handle)
        assert found.backing == abi.MMG_BACKING_MAP
        assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_NONE, abi.MMG_MEANS_NONE)
        assert found.shortfall == abi.MMG_SHORT_GUARD_OFF
        assert mmg.content(handle) == large.data


def test_a_copy_needs_no_guard_and_is_stable_without_one(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path, flags=abi.MMG_FLAG_NO_FAULT_GUARD)) as handle:
        found = mmg.info(handle)
        assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
        assert found.shortfall == abi.MMG_SHORT_NONE


SWITCHED_OFF = (
    CAUGHT
    + """
small, large = sys.argv[1:]
with mmg.opened(mmg.try_open(large)) as handle:
    found = mmg.info(handle)
    print(found.guarantee == abi.MMG_GUARANTEE_NONE, found.means == abi.MMG_MEANS_NONE)
    print(found.shortfall == abi.MMG_SHORT_ENVIRONMENT, found.backing == abi.MMG_BACKING_MAP)
    print(mmg.content(handle) == open(large, "rb").read())
with mmg.opened(mmg.try_open(small)) as handle:
    print(mmg.info(handle).guarantee == abi.MMG_GUARANTEE_STABLE)
with mmg.opened(mmg.try_open(large, guarantee=abi.MMG_GUARANTEE_STABLE)) as handle:
    print(mmg.info(handle).guarantee == abi.MMG_GUARANTEE_STABLE)
print(mmg.lib.mmg_guard_state() == abi.MMG_GUARD_DISABLED, mmg.stats().guard_state == abi.MMG_GUARD_DISABLED)
print(mmg.lib.mmg_guard_install() == abi.MMG_E_GUARD, mmg.lib.mmg_guard_state() == abi.MMG_GUARD_DISABLED)
print(not caught())
"""
)


def test_the_environment_keeps_the_library_away_from_signals(small: Sample, large: Sample) -> None:
    if sanitizers():
        pytest.skip("sanitizers and valgrind have handlers of their own")
    ended = fresh_python(SWITCHED_OFF, small.path, large.path, environment={"MMAPGUARD_NO_SIGNAL": "1"})
    told = lines_of(ended)
    assert len(told) == 12
    assert set(told) == {"True"}, told


def test_loading_makes_no_thread_no_descriptor_and_no_handler() -> None:
    if sanitizers():
        pytest.skip("sanitizers and valgrind have handlers and threads of their own")
    source = """
import os
held = lambda: (sorted(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), [
    line for line in open("/proc/self/status") if line.startswith(("SigCgt", "SigIgn", "SigBlk"))])
import ctypes
before = held()
ctypes.CDLL(sys.argv[1])
print(held() == before)
"""
    # The program has no preamble, since the usual one would load the library before.
    import sys

    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + source, str(mmg.library_path())],
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.split() == [b"True"], done.stderr.decode()


def test_the_library_writes_nothing_to_the_standard_streams(either: Sample) -> None:
    def within() -> None:
        os.dup2(2, 1)  # the test gets both streams
        for path in (either.path, "/nonexistent", either.path.parent):
            attempt = mmg.try_open(path)
            if attempt.status == abi.MMG_OK:
                mmg.content(attempt.handle)
                mmg.close(attempt.handle)

    ended = run_child(within)
    ended.returned()
    assert ended.errors == ""


def test_an_exit_with_open_regions_is_an_ordinary_exit(small: Sample, large: Sample) -> None:
    def within() -> int:
        for path in (small.path, large.path):
            handle = mmg.accepted(mmg.try_open(path))
            mmg.pin(handle)
        return 7

    assert in_child(within, leaves_open=True) == 7
    assert files.obtainable(large.path, "flock exclusive"), "the lock outlived the process"


def test_a_region_survives_exec_of_another_program_elsewhere(large: Sample) -> None:
    # The descriptor and the lock do not leak into programs that the host starts.
    fd = os.open(large.path, os.O_RDONLY)
    try:
        for duplicates in (False, True):
            call = mmg.try_open_fd(fd, lock=abi.MMG_LOCK_NONE) if duplicates else mmg.try_open(large.path)
            with mmg.opened(call) as handle:
                assert set(watch.descriptors_of(large.path)) > {fd}
                # subprocess closes descriptors by itself unless it is told not to.
                shown = subprocess.run(
                    ["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True
                ).stdout
                assert "/proc/" in shown and str(large.path) not in shown
                assert mmg.content(handle, 0, 10) == large.data[:10]
    finally:
        os.close(fd)


def test_the_sample_is_larger_than_any_copy_threshold() -> None:
    # The whole suite needs this: the file that is called large here is mapped by default.
    assert LARGE > 8 * 128 * 1024
