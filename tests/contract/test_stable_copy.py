# SPDX-License-Identifier: MIT OR Apache-2.0
"""STABLE bytes neither change nor vanish, by a copy where nothing cheaper holds; else the demand is refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.children import Helper, Line
from support.files import Sample

STABLE = abi.MMG_GUARANTEE_STABLE

# The means that uphold STABLE for a mapped file. The file system decides which of them works.
MAPPED_MEANS = {
    abi.MMG_MEANS_SEALED,
    abi.MMG_MEANS_READ_ONLY_MEDIUM,
    abi.MMG_MEANS_LEASE,
    abi.MMG_MEANS_REFLINK,
    abi.MMG_MEANS_SNAPSHOT,
}


@contextlib.contextmanager
def writer_of(path: Path) -> Iterator[int]:
    """Open the file for writing, so that no lease can be taken. Only a copy of some kind is left."""
    fd = os.open(path, os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_large_file_demanded_stable_is_stable_and_says_by_what(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path, guarantee=STABLE)) as handle:
        found = mmg.info(handle)
        assert found.guarantee == STABLE
        assert found.shortfall == abi.MMG_SHORT_NONE
        assert found.backing_reason == abi.MMG_REASON_STABLE
        if found.backing == abi.MMG_BACKING_COPY:
            assert found.means == abi.MMG_MEANS_PRIVATE_COPY
        else:
            assert found.means in MAPPED_MEANS
        assert mmg.content(handle) == large.data


def test_a_large_file_demanded_stable_and_copied_is_a_private_copy(large: Sample) -> None:
    members = {"guarantee": STABLE, "backing": abi.MMG_BACKING_COPY}
    with mmg.opened(mmg.try_open(large.path, **members)) as handle:
        found = mmg.info(handle)
        assert (found.guarantee, found.means) == (STABLE, abi.MMG_MEANS_PRIVATE_COPY)
        assert found.backing == abi.MMG_BACKING_COPY
        assert found.shortfall == abi.MMG_SHORT_NONE
        assert found.lock == abi.MMG_LOCK_NONE
        assert found.heap_bytes >= large.size
        assert mmg.content(handle) == large.data
    mmg.refused(mmg.try_open(large.path, **members, max_bytes=1), abi.MMG_E_TOO_BIG)


def test_the_bytes_stay_through_whatever_happens_to_the_file(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path, guarantee=STABLE)) as handle, mmg.pinned(handle) as span:

        def rewrite() -> None:
            with open(either.path, "r+b") as stream:
                stream.write(b"\0" * either.size)

        events: list[Callable[[], object]] = [
            rewrite,
            lambda: os.truncate(either.path, 0),
            lambda: os.truncate(either.path, 2 * either.size),
            lambda: either.path.write_bytes(b"new"),
            lambda: os.replace(files.sample(either.path.with_name("other"), 99).path, either.path),
            lambda: either.path.unlink(),
        ]
        for event in events:
            event()
            assert mmg.span_bytes(span) == either.data
            assert mmg.read(handle, 0, either.size) == (abi.MMG_OK, either.data)
            assert mmg.find(handle, either.data[-16:])[1] == either.size - 16
            assert mmg.check(handle) == abi.MMG_OK


def refused_or_cloned(attempt: mmg.Attempt) -> str | None:
    """Return the message of a refusal; None where the file system clones files, which needs no cap."""
    if attempt.status == abi.MMG_OK:
        with mmg.opened(attempt) as handle:
            assert mmg.info(handle).means == abi.MMG_MEANS_REFLINK
        return None
    return mmg.refused(attempt, abi.MMG_E_UNSTABLE).message


@pytest.mark.parametrize("call", [mmg.try_open, mmg.try_load])
def test_beyond_the_cap_stable_is_refused_with_the_reason(large: Sample, call: mmg.Opener) -> None:
    with writer_of(large.path):
        message = refused_or_cloned(call(large.path, guarantee=STABLE, max_snapshot_bytes=large.size - 1))
        if message is not None:
            assert str(large.path) in message
            assert "max_snapshot_bytes" in message
        for cap in (large.size, large.size + 1, 0, mmg.NO_LIMIT):
            with mmg.opened(call(large.path, guarantee=STABLE, max_snapshot_bytes=cap)) as handle:
                assert mmg.content(handle) == large.data


def test_the_cap_counts_the_window_and_not_the_file(large: Sample) -> None:
    members = {"guarantee": STABLE, "offset": 5000, "length": 500_000}
    with writer_of(large.path):
        with mmg.opened(mmg.try_open(large.path, **members, max_snapshot_bytes=500_000)) as handle:
            assert mmg.content(handle) == large.data[5000:505_000]
        refused_or_cloned(mmg.try_open(large.path, **members, max_snapshot_bytes=499_999))


def test_a_file_that_somebody_may_write_to_is_stable_all_the_same(either: Sample) -> None:
    with writer_of(either.path) as fd, mmg.opened(mmg.try_open(either.path, guarantee=STABLE)) as handle:
        found = mmg.info(handle)
        assert found.guarantee == STABLE
        assert found.means != abi.MMG_MEANS_LEASE, "a lease although a writer has the file open"
        with mmg.pinned(handle) as span:
            os.pwrite(fd, b"X" * either.size, 0)
            assert mmg.span_bytes(span) == either.data
            os.ftruncate(fd, 0)
            assert mmg.span_bytes(span) == either.data
        assert mmg.check(handle) == abi.MMG_OK


def test_a_file_that_is_copied_anyway_is_stable_without_the_snapshot_cap_being_asked(small: Sample) -> None:
    with mmg.opened(mmg.try_open(small.path, guarantee=STABLE)) as handle:
        found = mmg.info(handle)
        assert (found.guarantee, found.means) == (STABLE, abi.MMG_MEANS_PRIVATE_COPY)
        assert mmg.content(handle) == small.data


def test_a_mapping_that_is_demanded_stable_is_stable_or_refused(large: Sample) -> None:
    attempt = mmg.try_open(large.path, guarantee=STABLE, backing=abi.MMG_BACKING_MAP)
    if attempt.status != abi.MMG_OK:
        assert str(large.path) in mmg.refused(attempt, abi.MMG_E_UNSTABLE).message
        return
    with mmg.opened(attempt) as handle:
        found = mmg.info(handle)
        assert (found.backing, found.guarantee) == (abi.MMG_BACKING_MAP, STABLE)
        assert found.means in MAPPED_MEANS
        files.overwrite(large.path, b"X" * large.size)
        assert mmg.content(handle) == large.data


def test_a_copy_is_stable_whether_that_was_demanded_or_not(either: Sample) -> None:
    for members in (
        {"backing": abi.MMG_BACKING_COPY},
        {"backing": abi.MMG_BACKING_COPY, "guarantee": STABLE},
    ):
        with mmg.opened(mmg.try_open(either.path, **members)) as handle:
            found = mmg.info(handle)
            assert (found.guarantee, found.means) == (STABLE, abi.MMG_MEANS_PRIVATE_COPY)


def test_streams_and_virtual_files_are_stable(small: Sample) -> None:
    inlet, outlet = os.pipe()
    os.write(outlet, b"stream")
    os.close(outlet)
    try:
        with mmg.opened(mmg.try_read_fd(inlet, guarantee=STABLE)) as handle:
            assert mmg.info(handle).guarantee == STABLE
            assert mmg.content(handle) == b"stream"
    finally:
        os.close(inlet)
    with mmg.opened(mmg.try_open("/proc/version", guarantee=STABLE)) as handle:
        assert mmg.info(handle).guarantee == STABLE


def test_a_mapping_that_was_not_demanded_stable_does_not_claim_to_be(large: Sample) -> None:
    with mmg.opened(mmg.try_open(large.path)) as handle:
        assert mmg.info(handle).guarantee == abi.MMG_GUARANTEE_CONTAINED
        assert mmg.info(handle).shortfall == abi.MMG_SHORT_NOT_ASKED


def test_stable_does_not_wait_for_a_writer_that_holds_the_lock(either: Sample) -> None:
    with files.held_elsewhere(either.path, "flock exclusive"):
        mmg.refused(mmg.try_open(either.path, guarantee=STABLE), abi.MMG_E_WOULD_BLOCK)


STEP = 512


def in_order(size: int) -> list[int]:
    """Return the places of a file in the order in which they are written: from both ends to the middle.

    A copy is read from the start to the end. So one write in its midst is enough to mix two moments.
    """
    places = range(0, size, STEP)
    pairs = zip(places[: len(places) // 2], reversed(places), strict=False)
    return [place for pair in pairs for place in pair]


def _counter_writer(line: Line, path: Path, size: int) -> None:
    """Count up the places of a file one after the other, round after round, ignoring every lock.

    At any one moment the places, in their order, hold the number of this round up to some place, and that of the round
    before after it.
    The writer stands still from one message of the test to the next, in the middle of a round.
    """
    fd = os.open(path, os.O_RDWR)
    line.say("writing")
    turn = 0
    while True:
        turn += 1
        number = turn.to_bytes(8, "little")
        for place in in_order(size):
            os.pwrite(fd, number, place)
            if not line.silent():
                if line.hear() == "":
                    os.close(fd)
                    return
                line.say("still")
                line.hear()
                line.say("writing")


def one_moment(data: bytes) -> bool:
    """Return true when the file could have held these bytes at one moment."""
    numbers = [int.from_bytes(data[place : place + 8], "little") for place in in_order(len(data))]
    return numbers == sorted(numbers, reverse=True) and numbers[0] - numbers[-1] <= 1


@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_COPY])
@pytest.mark.parametrize("size", [64 * STEP, 2048 * STEP])
def test_a_copy_taken_while_the_file_is_written_to_is_of_one_moment_or_refused(
    tmp_path: Path, size: int, backing: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    outcomes = {abi.MMG_OK: 0, abi.MMG_E_UNSTABLE: 0}

    def copied() -> bool:
        attempt = mmg.try_open(path, guarantee=STABLE, backing=backing)
        assert attempt.status in outcomes, str(attempt)
        outcomes[attempt.status] += 1
        if attempt.status == abi.MMG_OK:
            with mmg.opened(attempt) as handle:
                assert one_moment(mmg.content(handle)), f"a copy mixes moments, after {outcomes}"
        return attempt.status == abi.MMG_OK

    with Helper(_counter_writer, path, size) as line:
        assert line.hear() == "writing"
        for turn in range(150):
            copied()
            if turn % 5 == 0:
                line.say("stand still")
                assert line.hear() == "still"
                assert copied(), "the copy of a file that stands still in the middle of a round is refused"
                line.say("go on")
                assert line.hear() == "writing"
    assert sum(outcomes.values()) == 180
    assert outcomes[abi.MMG_OK] >= 30


def test_a_copy_of_a_file_that_stands_still_again_is_taken(either: Sample) -> None:
    # The file was written a moment ago, which is no reason to refuse.
    for turn in range(20):
        data = mmg.pattern(either.size, turn)
        either.path.write_bytes(data)
        with mmg.opened(mmg.try_open(either.path, guarantee=STABLE)) as handle:
            assert mmg.content(handle) == data
