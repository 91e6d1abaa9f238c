# SPDX-License-Identifier: MIT OR Apache-2.0
"""mmg_verify() says whether a result that was computed holds, and mmg_explain() says what happened if it does not.

Each of the first tests holds one sentence of the rule in SAFETY.md.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import fresh_python, in_child
from support.files import Sample, until_stamped

PAGE = os.sysconf("SC_PAGE_SIZE")


def verify(handle: int) -> str:
    """Return the name of what mmg_verify() returns."""
    return mmg.status_name(mmg.lib.mmg_verify(handle))


def explained(handle: int) -> mmg.Details:
    """Return what mmg_explain() says. Its status must be that of mmg_verify()."""
    error = mmg.new_error()
    status = mmg.lib.mmg_explain(handle, ctypes.byref(error))
    assert mmg.status_name(status) == verify(handle)
    return mmg.details(error)


@pytest.mark.parametrize(
    ("change", "statuses"),
    [
        (files.rewrite, {"MMG_E_CHANGED"}),
        (files.cut_and_grow, {"MMG_E_CHANGED", "MMG_E_TRUNCATED"}),
        (files.cut_in_the_last_page, {"MMG_E_TRUNCATED"}),
        (files.all_at_once, {"MMG_E_TRUNCATED"}),
        (lambda path: files.append(path, b"more"), {"MMG_E_CHANGED"}),
    ],
    ids=["rewritten in place", "cut and grown again", "cut in the last page", "all at once", "appended to"],
)
def test_what_was_computed_on_a_mapping_does_not_hold_after(
    large: Sample, change: Callable[[Path], None], statuses: set[str]
) -> None:
    with mmg.opened(mmg.try_open(large.path, backing=abi.MMG_BACKING_MAP)) as handle:
        assert verify(handle) == "MMG_OK"
        until_stamped(large.path, lambda: change(large.path))
        assert verify(handle) in statuses
        found = explained(handle)
        assert mmg.status_name(found.status) in statuses
        assert (found.operation, found.os_code) == ("verify", 0)
        assert str(large.path) in found.message


@pytest.mark.parametrize("change", [files.rewrite, files.cut_and_grow, files.all_at_once])
def test_what_was_computed_on_a_copy_holds_whatever_becomes_of_the_file(
    small: Sample, change: Callable[[Path], None]
) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        until_stamped(small.path, lambda: change(small.path))
        assert verify(handle) == "MMG_OK"
        assert explained(handle) == mmg.Details(0, 0, 0, 0, "", "")
        assert mmg.content(handle) == small.data


def test_a_new_name_new_rights_and_a_successor_are_no_change_of_the_bytes(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        until_stamped(large.path, lambda: large.path.chmod(0o600))
        other = large.path.with_name("other")
        other.write_bytes(b"a successor")
        other.rename(large.path)
        assert verify(handle) == "MMG_OK"


def test_the_explanation_names_the_first_byte_that_is_gone(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, offset=3 * PAGE)) as handle:
        os.truncate(large.path, 5 * PAGE)
        found = explained(handle)
        assert (mmg.status_name(found.status), found.offset) == ("MMG_E_TRUNCATED", 5 * PAGE)
        assert f"was cut short; the bytes from offset {5 * PAGE} on read as zeros" in found.message


def test_a_stream_has_no_file_that_could_change() -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"bytes")
    os.close(outlet)
    with mmg.opened(mmg.try_read_fd(inlet)) as handle:
        assert verify(handle) == "MMG_OK"
    os.close(inlet)


def test_a_dead_handle_is_refused_with_a_sentence() -> None:
    error = mmg.new_error()
    assert mmg.status_name(mmg.lib.mmg_explain(12345, ctypes.byref(error))) == "MMG_E_HANDLE"
    assert error.message


# ------------------------------------------------------------------------------------------------------ the counter --


def counter(handle: int) -> ctypes._Pointer[ctypes.c_uint32]:
    """Return a pointer to the counter of the losses of a region."""
    place = ctypes.POINTER(ctypes.c_uint32)()
    assert mmg.lib.mmg_loss_counter(handle, ctypes.byref(place)) == abi.MMG_OK
    return place


def _watch_the_counter(path: str, size: int) -> tuple[int, int, bytes]:
    handle = mmg.accepted(mmg.try_open(path, backing=abi.MMG_BACKING_MAP))
    status, span = mmg.pin(handle)
    assert status == abi.MMG_OK
    place = counter(handle)
    before = place[0]
    os.truncate(path, 0)
    data = ctypes.string_at(mmg.address(span), size)
    after = place[0]
    assert mmg.unpin(span) == abi.MMG_E_TRUNCATED
    mmg.close(handle)
    return before, after, data


def test_the_counter_grows_when_a_zero_is_read(large: Sample) -> None:
    before, after, data = in_child(_watch_the_counter, str(large.path), large.size)
    assert (before, data) == (0, bytes(large.size))
    assert after > 0


def test_the_counter_of_a_copy_stays_at_nothing(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path)) as handle:
        place = counter(handle)
        os.truncate(small.path, 0)
        mmg.content(handle)
        assert place[0] == 0


# -------------------------------------------------------------------------------------------------- the last needle --


@pytest.mark.parametrize("needle", [b"a", b"ab", b"aab", b"", b"zz", b"b" * 70, b"a" * 300])
@pytest.mark.parametrize("backing", [abi.MMG_BACKING_COPY, abi.MMG_BACKING_MAP])
def test_the_last_occurrence_is_the_one_that_bytes_find(tmp_path: Path, needle: bytes, backing: int) -> None:
    data = (b"aab" * 50 + b"a" * 200 + b"b" * 100 + b"ab" * 300) * 20
    path = tmp_path / "file"
    path.write_bytes(data)
    with mmg.opened(mmg.try_open(path, backing=backing)) as handle:
        for offset, length in ((0, len(data)), (7, 999), (len(data) - 5, 5), (100, 0)):
            position = ctypes.c_uint64()
            status = mmg.lib.mmg_find_last(
                handle, offset, length, needle, len(needle), ctypes.byref(position)
            )
            assert status == abi.MMG_OK
            expected = data.rfind(needle, offset, offset + length)
            assert position.value == (abi.MMG_NOT_FOUND if expected < 0 else expected), (offset, length)


def _find_last_unguarded(path: str, needle: bytes) -> int:
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGBUS})
    handle = mmg.accepted(mmg.try_open(path, backing=abi.MMG_BACKING_MAP))
    position = ctypes.c_uint64()
    length = mmg.TO_END
    assert mmg.lib.mmg_find_last(handle, 0, length, needle, len(needle), ctypes.byref(position)) == 0
    mmg.close(handle)
    return position.value


def test_the_last_occurrence_is_found_by_copying_where_the_guard_cannot_watch(tmp_path: Path) -> None:
    data = b"needle" + bytes(3 << 20) + b"needle" + bytes(700_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert in_child(_find_last_unguarded, str(path), b"needle") == data.rfind(b"needle")


# ------------------------------------------------------------------------------------------ what a server may demand --


def test_a_fifo_with_a_silent_writer_cannot_hang_a_server(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    holder = os.open(path, os.O_RDWR)
    try:
        found = mmg.refused(mmg.try_open(path, flags=abi.MMG_FLAG_REGULAR_ONLY), abi.MMG_E_NOT_MAPPABLE)
        assert "not a regular file" in found.message
        found = mmg.refused(mmg.try_open(path, stream_wait_ms=20), abi.MMG_E_WOULD_BLOCK)
        assert "stream_wait_ms" in found.message
        os.write(holder, b"some bytes, and no end")
        mmg.refused(mmg.try_open(path, stream_wait_ms=20), abi.MMG_E_WOULD_BLOCK)
    finally:
        os.close(holder)


def test_a_stream_that_ends_in_time_is_read(tmp_path: Path) -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"bytes")
    os.close(outlet)
    with mmg.opened(mmg.try_read_fd(inlet, stream_wait_ms=60_000)) as handle:
        assert mmg.content(handle) == b"bytes"
    os.close(inlet)


def test_a_file_that_somebody_has_open_for_writing_is_refused_where_that_is_demanded(either: Sample) -> None:
    folder = either.path.parent
    code = abi.MMG_E_WOULD_BLOCK if watch.kernel_tells_of_writers(folder) else abi.MMG_E_UNSUPPORTED
    with open(either.path, "r+b"):
        found = mmg.refused(mmg.try_open(either.path, flags=abi.MMG_FLAG_NO_WRITERS), code)
        assert "open for writing" in found.message
        with mmg.opened(mmg.try_open(either.path)):
            pass
    attempt = mmg.try_open(either.path, flags=abi.MMG_FLAG_NO_WRITERS)
    if not watch.kernel_grants_leases(folder):
        mmg.refused(attempt, abi.MMG_E_UNSUPPORTED)
        pytest.skip(
            "the kernel grants no lease in the temporary folder, so it does not tell that there is no writer"
        )
    with (
        mmg.opened(attempt) as handle,
        open(either.path, "r+b"),
    ):  # no lease is left that would delay the write
        assert mmg.content(handle) == either.data


def test_a_file_of_which_the_kernel_does_not_tell_is_refused_where_no_writer_may_be(either: Sample) -> None:
    fd = os.open(either.path, os.O_RDONLY)
    try:
        mmg.refused(mmg.try_read_fd(fd, flags=abi.MMG_FLAG_NO_WRITERS), abi.MMG_E_UNSUPPORTED)
        with open(either.path, "r+b"):  # a file system without leases does not tell, whoever asks
            mmg.refused(
                mmg.try_open_fd(fd, flags=abi.MMG_FLAG_NO_WRITERS, lock=abi.MMG_LOCK_NONE),
                abi.MMG_E_WOULD_BLOCK
                if watch.kernel_tells_of_writers(either.path.parent)
                else abi.MMG_E_UNSUPPORTED,
            )
    finally:
        os.close(fd)


def test_a_stream_may_have_writers() -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"bytes")
    try:
        with mmg.opened(mmg.try_read_fd(inlet, length=5, flags=abi.MMG_FLAG_NO_WRITERS)) as handle:
            assert mmg.content(handle) == b"bytes"
    finally:
        os.close(inlet)
        os.close(outlet)


REQUIRE = """
import sys
from mmapguard import abi
from support import library as mmg
for guarantee in (abi.MMG_GUARANTEE_NONE, abi.MMG_GUARANTEE_STABLE):
    attempt = mmg.try_open(sys.argv[1], backing=abi.MMG_BACKING_MAP, guarantee=guarantee)
    print(mmg.status_name(attempt.status))
for members in ({}, {"guarantee": abi.MMG_GUARANTEE_STABLE}):
    attempt = mmg.try_open(sys.argv[1], flags=abi.MMG_FLAG_REQUIRE_GUARD, **members)
    print(mmg.status_name(attempt.status), mmg.info(attempt.handle).backing)
    for narrow in ({"backing": abi.MMG_BACKING_MAP}, {"max_bytes": 1, "max_snapshot_bytes": 1}):
        attempt = mmg.try_open(sys.argv[1], flags=abi.MMG_FLAG_REQUIRE_GUARD, **members, **narrow)
        print(mmg.status_name(attempt.status))
print(mmg.lib.mmg_supports(abi.MMG_FEATURE_FAULT_GUARD), mmg.lib.mmg_supports(abi.MMG_FEATURE_ARROW))
"""


def test_who_cannot_do_without_the_guard_is_not_given_an_unguarded_mapping(large: Sample) -> None:
    done = fresh_python(REQUIRE, str(large.path), environment={"MMAPGUARD_NO_SIGNAL": "1"})
    assert done.value is not None and done.value.splitlines() == [
        "MMG_OK",
        "MMG_OK",
        f"MMG_OK {abi.MMG_BACKING_COPY}",
        "MMG_E_GUARD",
        "MMG_E_TOO_BIG",
        f"MMG_OK {abi.MMG_BACKING_COPY}",
        "MMG_E_GUARD",
        "MMG_E_GUARD",
        "0 1",
    ]


def test_demanding_the_guard_and_switching_it_off_is_a_contradiction(either: Sample) -> None:
    flags = abi.MMG_FLAG_REQUIRE_GUARD | abi.MMG_FLAG_NO_FAULT_GUARD
    mmg.refused(mmg.try_open(either.path, flags=flags), abi.MMG_E_ARGUMENT)


def test_to_the_end_is_to_the_end_everywhere(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path, offset=3, length=abi.MMG_TO_END)) as handle:
        assert mmg.content(handle, 0, abi.MMG_TO_END) == either.data[3:]


def test_a_larger_guarantee_promises_more() -> None:
    assert abi.MMG_GUARANTEE_NONE < abi.MMG_GUARANTEE_CONTAINED < abi.MMG_GUARANTEE_STABLE
