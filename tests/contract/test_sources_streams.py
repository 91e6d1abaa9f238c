# SPDX-License-Identifier: MIT OR Apache-2.0
"""FIFOs, pipes, sockets, terminals and standard input are read to their end into memory, within the cap."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg
from support.children import fresh_python, in_child, run_child
from support.files import Sample
from support.small_room import in_small_room


@contextlib.contextmanager
def pipe_with(data: bytes, *, keep_open: bool = False) -> Iterator[int]:
    """Provide the reading end of a pipe into which a thread writes `data` and then hangs up, or does not."""
    inlet, outlet = os.pipe()

    def feed() -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(outlet, view) :]
        except BrokenPipeError:
            pass
        finally:
            if not keep_open:
                os.close(outlet)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield inlet
    finally:
        os.close(inlet)
        feeder.join()
        if keep_open:
            os.close(outlet)


def expect_stream(handle: int, data: bytes) -> None:
    """Check that the region holds these bytes and knows where they came from."""
    assert mmg.content(handle) == data
    found = mmg.info(handle)
    assert (found.backing, found.backing_reason) == (abi.MMG_BACKING_COPY, abi.MMG_REASON_STREAM)
    assert (found.guarantee, found.means) == (abi.MMG_GUARANTEE_STABLE, abi.MMG_MEANS_PRIVATE_COPY)
    assert found.size == len(data)
    assert found.file_size == len(data)
    assert found.lock == abi.MMG_LOCK_NONE
    status, _ = mmg.changed(handle)
    assert status == abi.MMG_E_UNSUPPORTED
    assert mmg.check(handle) == abi.MMG_OK


# ------------------------------------------------------------------------------------------------------- pipes --


@pytest.mark.parametrize("call", [mmg.try_read_fd, mmg.try_open_fd])
@pytest.mark.parametrize("size", [1, 4095, 4096, 65_536, 65_537, 3 << 20])
def test_a_pipe_is_read_to_its_end(call: mmg.Opener, size: int) -> None:
    data = mmg.pattern(size)
    with pipe_with(data) as inlet, mmg.opened(call(inlet)) as handle:
        expect_stream(handle, data)
        os.fstat(inlet)


@pytest.mark.parametrize("call", [mmg.try_read_fd, mmg.try_open_fd])
def test_a_pipe_without_bytes_is_an_empty_region(call: mmg.Opener) -> None:
    with pipe_with(b"") as inlet, mmg.opened(call(inlet)) as handle, mmg.pinned(handle) as span:
        assert mmg.address(span) != 0
        assert span.size == 0
    with pipe_with(b"") as inlet:
        mmg.refused(call(inlet, flags=abi.MMG_FLAG_REJECT_EMPTY), abi.MMG_E_EMPTY)


def test_a_stream_is_read_from_where_it_stands() -> None:
    data = mmg.pattern(10_000)
    for call in (mmg.try_read_fd, mmg.try_open_fd):
        with pipe_with(data) as inlet:
            first = os.read(inlet, 100)
            with mmg.opened(call(inlet)) as handle:
                assert first + mmg.content(handle) == data


def test_a_non_blocking_pipe_is_waited_for() -> None:
    def slowly(outlet: int) -> None:
        for part in range(20):
            time.sleep(0.002)
            os.write(outlet, bytes([part]) * 10)
        os.close(outlet)

    for call in (mmg.try_read_fd, mmg.try_open_fd):
        inlet, outlet = os.pipe()
        os.set_blocking(inlet, False)
        writer = threading.Thread(target=slowly, args=(outlet,))
        writer.start()
        try:
            with mmg.opened(call(inlet)) as handle:
                assert mmg.content(handle) == b"".join(bytes([part]) * 10 for part in range(20))
            assert not os.get_blocking(inlet), "the caller's descriptor was made blocking"
        finally:
            writer.join()
            os.close(inlet)


def bytes_in(pipe: int) -> int:
    """Return the number of bytes in a pipe."""
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return count


def wait_for_bytes(pipe: int, least: int) -> None:
    """Wait until a pipe has so many bytes."""
    until = time.monotonic() + 60
    while bytes_in(pipe) < least:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_slow_writer_is_waited_for_through_a_storm_of_signals() -> None:
    """Every read is interrupted (EINTR), and none of it is lost."""

    def within() -> tuple[bytes, int]:
        data = mmg.pattern(50_000)
        wakes, wake = os.pipe()
        os.set_blocking(wake, False)
        fcntl.fcntl(wake, fcntl.F_SETPIPE_SZ, 1 << 20)
        inlet, outlet = os.pipe()
        writer = os.fork()
        if writer == 0:
            os.close(inlet)
            for number, start in enumerate(range(0, len(data), 1000)):
                wait_for_bytes(wakes, number)
                os.write(outlet, data[start : start + 1000])
            os._exit(0)
        os.close(outlet)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)  # the C handler writes one byte for each signal
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        attempt = mmg.try_read_fd(inlet)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        count = bytes_in(wakes)
        os.waitpid(writer, 0)
        with mmg.opened(attempt) as handle:
            assert mmg.content(handle) == data
        return data[:1], count

    _, count = in_child(within)
    assert count >= 49, "no storm: the test shows nothing"


# -------------------------------------------------------------------------------------------------- caps, windows --


@pytest.mark.parametrize("size", [1, 100, 4096, 65_536, 1 << 20])
def test_exactly_the_cap_fits_and_one_byte_over_does_not(size: int) -> None:
    data = mmg.pattern(size + 1)
    for call in (mmg.try_read_fd, mmg.try_open_fd):
        with pipe_with(data[:size]) as inlet, mmg.opened(call(inlet, max_bytes=size)) as handle:
            expect_stream(handle, data[:size])
        with pipe_with(data) as inlet:
            mmg.refused(call(inlet, max_bytes=size), abi.MMG_E_TOO_BIG)


def test_over_the_cap_is_noticed_without_waiting_for_the_end() -> None:
    with pipe_with(b"x" * 101, keep_open=True) as inlet:
        mmg.refused(mmg.try_read_fd(inlet, max_bytes=100), abi.MMG_E_TOO_BIG)


def test_a_cap_of_zero_is_the_default_and_lets_megabytes_through() -> None:
    data = mmg.pattern(5 << 20)
    for cap in (0, mmg.NO_LIMIT):
        with pipe_with(data) as inlet, mmg.opened(mmg.try_read_fd(inlet, max_bytes=cap)) as handle:
            assert mmg.content(handle) == data


def test_the_default_cap_is_a_gibibyte() -> None:
    def endless() -> int:
        fd = os.open("/dev/zero", os.O_RDONLY)
        return mmg.try_read_fd(fd).status

    # An endless stream stops at the cap, before it uses up all memory.
    assert in_child(endless) == abi.MMG_E_TOO_BIG
    with open("/dev/zero", "rb", buffering=0) as zeros:
        mmg.refused(mmg.try_read_fd(zeros.fileno(), length=(1 << 30) + 1), abi.MMG_E_TOO_BIG)
        status, _ = in_small_room(mmg.try_read_fd, zeros.fileno(), length=1 << 30)
        assert status == abi.MMG_E_NO_MEMORY


def test_a_window_of_a_stream_skips_and_stops() -> None:
    data = mmg.pattern(200_000)
    for offset, length in ((0, 10), (1, 1), (4096, 4096), (70_000, 100_000), (199_999, 1), (0, 200_000)):
        with (
            pipe_with(data) as inlet,
            mmg.opened(mmg.try_read_fd(inlet, offset=offset, length=length)) as handle,
        ):
            assert mmg.content(handle) == data[offset : offset + length]
            assert mmg.info(handle).offset == offset


def test_reading_ends_after_the_window_and_leaves_the_rest_in_the_stream() -> None:
    with pipe_with(b"headbody-rest", keep_open=True) as inlet:
        with mmg.opened(mmg.try_read_fd(inlet, offset=4, length=4)) as handle:
            assert mmg.content(handle) == b"body"
        assert os.read(inlet, 100) == b"-rest"


def test_a_window_to_the_end_of_a_stream() -> None:
    data = mmg.pattern(100_000)
    for offset in (1, 4096, 99_999):
        with pipe_with(data) as inlet, mmg.opened(mmg.try_read_fd(inlet, offset=offset)) as handle:
            assert mmg.content(handle) == data[offset:]
    with pipe_with(data) as inlet, mmg.opened(mmg.try_read_fd(inlet, offset=100_000)) as handle:
        assert mmg.info(handle).size == 0


@pytest.mark.parametrize(("offset", "length"), [(0, 101), (50, 51), (100, 1), (101, 1), (10**9, 1)])
def test_a_stream_that_ends_before_the_window_is_a_range_error(offset: int, length: int) -> None:
    with pipe_with(mmg.pattern(100)) as inlet:
        mmg.refused(mmg.try_read_fd(inlet, offset=offset, length=length), abi.MMG_E_RANGE)


def test_what_is_skipped_does_not_count_against_the_cap() -> None:
    data = mmg.pattern(1 << 20)
    with (
        pipe_with(data) as inlet,
        mmg.opened(mmg.try_read_fd(inlet, offset=(1 << 20) - 10, max_bytes=10)) as handle,
    ):
        assert mmg.content(handle) == data[-10:]
    with pipe_with(data) as inlet:
        mmg.refused(mmg.try_read_fd(inlet, length=11, max_bytes=10), abi.MMG_E_TOO_BIG)


def test_a_window_whose_end_overflows_is_a_range_error() -> None:
    with pipe_with(mmg.pattern(100)) as inlet:
        mmg.refused(mmg.try_read_fd(inlet, offset=2**64 - 5, length=10), abi.MMG_E_RANGE)


def test_a_mapping_of_a_stream_cannot_be_had() -> None:
    with pipe_with(b"bytes") as inlet:
        attempt = mmg.try_open_fd(inlet, backing=abi.MMG_BACKING_MAP)
        mmg.refused(attempt, abi.MMG_E_NOT_MAPPABLE)


# ------------------------------------------------------------------------------------- read_fd on what is no stream --


def test_read_fd_reads_a_regular_file_from_where_it_stands(either: Sample) -> None:
    fd = os.open(either.path, os.O_RDONLY)
    try:
        for start in (0, 1, 1000, either.size):
            os.lseek(fd, start, os.SEEK_SET)
            with mmg.opened(mmg.try_read_fd(fd)) as handle:
                assert mmg.content(handle) == either.data[start:]
                assert mmg.info(handle).backing == abi.MMG_BACKING_COPY
                assert watch.mappings_of(either.path) == []
    finally:
        os.close(fd)


def test_read_fd_of_a_regular_file_respects_the_cap_exactly(either: Sample) -> None:
    fd = os.open(either.path, os.O_RDONLY)
    try:
        with mmg.opened(mmg.try_read_fd(fd, max_bytes=either.size)) as handle:
            assert mmg.content(handle) == either.data
        os.lseek(fd, 0, os.SEEK_SET)
        mmg.refused(mmg.try_read_fd(fd, max_bytes=either.size - 1), abi.MMG_E_TOO_BIG)
        os.lseek(fd, 1, os.SEEK_SET)
        with mmg.opened(mmg.try_read_fd(fd, max_bytes=either.size - 1)) as handle:
            assert mmg.content(handle) == either.data[1:]
    finally:
        os.close(fd)


def test_read_fd_of_the_null_and_zero_devices() -> None:
    null, zero = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
    try:
        with mmg.opened(mmg.try_read_fd(null)) as handle:
            assert mmg.info(handle).size == 0
        with mmg.opened(mmg.try_read_fd(zero, length=10_000)) as handle:
            assert mmg.content(handle) == bytes(10_000)
        mmg.refused(mmg.try_read_fd(zero, max_bytes=10_000), abi.MMG_E_TOO_BIG)
    finally:
        os.close(null)
        os.close(zero)


# ------------------------------------------------------------------------------------------------------- FIFOs --


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Return a FIFO that nobody has open."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_without_a_writer_does_not_hang(fifo: Path) -> None:
    def within() -> tuple[int, str]:
        attempt = mmg.try_open(fifo)
        return attempt.status, attempt.details.message

    status, message = in_child(within, deadline=30)
    assert status == abi.MMG_E_WOULD_BLOCK
    assert str(fifo) in message


def writer_of(fifo: Path, data: bytes) -> None:
    """Wait until somebody reads the FIFO, then write and hang up. This proves that a reader waited for a writer."""
    until = time.monotonic() + 60
    while True:
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as failure:
            if failure.errno != errno.ENXIO or time.monotonic() > until:
                raise
            time.sleep(0.001)
    os.set_blocking(fd, True)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.close(fd)


@pytest.mark.parametrize("call", [mmg.try_open, mmg.try_load])
def test_with_fifo_wait_a_writer_is_waited_for(fifo: Path, call: mmg.Opener) -> None:
    data = mmg.pattern(300_000)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(call, fifo, flags=abi.MMG_FLAG_FIFO_WAIT)
        # This writer opens only once a reader is there, so the reader was there first and waited.
        writer_of(fifo, data)
        with mmg.opened(reader.result(60)) as handle:
            expect_stream(handle, data)


def test_waiting_for_a_writer_survives_a_storm_of_signals(fifo: Path) -> None:
    def within() -> tuple[bytes, int]:
        wakes, wake = os.pipe()
        os.set_blocking(wake, False)
        writer = os.fork()
        if writer == 0:
            wait_for_bytes(wakes, 20)
            writer_of(fifo, b"at last")
            os._exit(0)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        attempt = mmg.try_open(fifo, flags=abi.MMG_FLAG_FIFO_WAIT)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        count = bytes_in(wakes)
        os.waitpid(writer, 0)
        with mmg.opened(attempt) as handle:
            return mmg.content(handle), count

    data, count = in_child(within)
    assert data == b"at last"
    assert count >= 20, "no storm: the test shows nothing"


def test_a_fifo_with_a_writer_is_read_to_its_end(fifo: Path) -> None:
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(fifo, os.O_WRONLY)
    os.write(writing, b"first ")
    os.close(reading)
    with ThreadPoolExecutor(1) as pool:
        try:
            reader = pool.submit(mmg.try_open, fifo)
            until = time.monotonic() + 60
            while bytes_in(writing):
                assert time.monotonic() < until and not reader.done()
                time.sleep(0.001)
            os.write(writing, b"second")  # the library has taken the first part, and waits for the end
        finally:
            os.close(writing)
        with mmg.opened(reader.result(60)) as handle:
            expect_stream(handle, b"first second")


def test_a_fifo_is_capped_like_any_stream(fifo: Path) -> None:
    for size, status in ((100, abi.MMG_OK), (101, abi.MMG_E_TOO_BIG)):
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(mmg.try_open, fifo, flags=abi.MMG_FLAG_FIFO_WAIT, max_bytes=100)
            with contextlib.suppress(BrokenPipeError):
                writer_of(fifo, b"x" * size)
            attempt = reader.result(60)
        assert attempt.status == status, str(attempt)
        if status == abi.MMG_OK:
            assert mmg.close(attempt.handle) == abi.MMG_OK


def test_a_fifo_whose_writer_says_nothing_is_empty(fifo: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(mmg.try_open, fifo, flags=abi.MMG_FLAG_FIFO_WAIT)
        writer_of(fifo, b"")
        with mmg.opened(reader.result(60)) as handle:
            assert mmg.info(handle).size == 0


def test_fifo_wait_changes_nothing_for_a_regular_file(either: Sample) -> None:
    with mmg.opened(mmg.try_open(either.path, flags=abi.MMG_FLAG_FIFO_WAIT)) as handle:
        assert mmg.content(handle) == either.data


# ------------------------------------------------------------------------------------------- sockets and terminals --


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
@pytest.mark.parametrize("call", [mmg.try_read_fd, mmg.try_open_fd])
def test_a_connected_socket_is_read_to_its_end(call: mmg.Opener, kind: socket.SocketKind) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours, theirs:
        ours.send(b"hello ")
        ours.send(b"world")
        ours.shutdown(socket.SHUT_WR)
        with mmg.opened(call(theirs.fileno())) as handle:
            expect_stream(handle, b"hello world")
        # The socket still belongs to the caller, and is still connected in the other direction.
        theirs.send(b"back")
        assert ours.recv(10) == b"back"


def test_a_network_connection_is_read_to_its_end() -> None:
    data = mmg.pattern(400_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:

            def feed() -> None:
                ours.sendall(data)
                ours.shutdown(socket.SHUT_WR)

            feeder = threading.Thread(target=feed)
            feeder.start()
            with mmg.opened(mmg.try_read_fd(theirs.fileno())) as handle:
                expect_stream(handle, data)
            feeder.join()


def test_a_connection_reset_in_the_middle_is_an_error_and_no_partial_data() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            ours.sendall(b"half of it")
            theirs.recv(4)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ours.close()  # with unread data and no lingering: a reset
            told = mmg.refused(mmg.try_read_fd(theirs.fileno()), abi.MMG_E_SYSTEM)
            assert told.os_code == errno.ECONNRESET


@pytest.mark.parametrize("by", ["descriptor", "path", "read_fd"])
def test_a_terminal_is_read_to_its_end(by: str) -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, b"typed\nlines\n\x04")
        if by == "path":
            attempt = mmg.try_open(os.ttyname(slave))
        elif by == "descriptor":
            attempt = mmg.try_open_fd(slave)
        else:
            attempt = mmg.try_read_fd(slave)
        with mmg.opened(attempt) as handle:
            expect_stream(handle, b"typed\nlines\n")
    finally:
        os.close(slave)
        os.close(master)


def test_opening_a_terminal_does_not_make_it_the_controlling_one() -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)

    def within() -> bool:
        os.setsid()
        with mmg.opened(mmg.try_open(name)) as handle:
            assert mmg.content(handle) == b"x\n"
        try:
            os.close(os.open("/dev/tty", os.O_RDONLY))
        except OSError as failure:
            return failure.errno != errno.ENXIO
        return True

    try:
        os.write(master, b"x\n\x04")
        assert not in_child(within)
    finally:
        os.close(slave)
        os.close(master)


# ----------------------------------------------------------------------------------------------- standard input --

LOAD = """
import hashlib
handle = mmg.accepted(mmg.try_load("-", **eval(sys.argv[1])))
print(mmg.info(handle).backing_reason, hashlib.sha256(mmg.content(handle)).hexdigest())
assert mmg.close(handle) == abi.MMG_OK
"""


def test_load_of_dash_is_standard_input() -> None:
    import hashlib

    data = mmg.pattern(300_000)
    digest = hashlib.sha256(data).hexdigest()
    told = fresh_python(LOAD, "{}", feed=data).returned().split()
    assert told == [str(abi.MMG_REASON_STREAM), digest]


def test_load_of_dash_reads_a_redirected_file_from_where_it_stands(either: Sample) -> None:
    import hashlib

    with open(either.path, "rb", buffering=0) as stream:
        stream.seek(10)
        told = fresh_python(LOAD, "{}", stdin=stream).returned().split()
    assert told[1] == hashlib.sha256(either.data[10:]).hexdigest()


def test_load_of_dash_is_capped() -> None:
    source = "print(mmg.try_load('-', max_bytes=100).name)"
    assert fresh_python(source, feed=b"x" * 101).returned().strip() == "MMG_E_TOO_BIG"
    assert fresh_python(LOAD, "{'max_bytes': 100}", feed=b"x" * 100).returned()


def test_load_of_dash_from_nothing_is_empty() -> None:
    source = "print(mmg.info(mmg.accepted(mmg.try_load('-'))).size)"
    assert fresh_python(source).returned().strip() == "0"


def test_load_of_dash_with_standard_input_closed_is_an_argument_error() -> None:
    def within() -> int:
        os.close(0)
        return mmg.refused(mmg.try_load("-"), abi.MMG_E_ARGUMENT).status

    assert in_child(within) == abi.MMG_E_ARGUMENT


# ------------------------------------------------------------------------------------------------------- the rest --


def test_a_socket_in_the_file_system_is_not_mappable(tmp_path: Path) -> None:
    with files.public_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "socket"
        listener.bind(str(path))
        listener.listen()
        told = mmg.refused(mmg.try_open(path), abi.MMG_E_NOT_MAPPABLE)
        assert str(path) in told.message


def test_an_endless_device_never_ends_in_a_region() -> None:
    for path in ("/dev/zero", "/dev/urandom"):
        mmg.refused(mmg.try_open(path, max_bytes=10_000), abi.MMG_E_TOO_BIG)
        mmg.refused(mmg.try_open(path, max_bytes=10_000, backing=abi.MMG_BACKING_MAP), abi.MMG_E_NOT_MAPPABLE)


def test_the_null_device_is_empty() -> None:
    with mmg.opened(mmg.try_open("/dev/null")) as handle:
        assert mmg.info(handle).size == 0


def test_a_reader_that_waits_for_a_stream_dies_of_an_ordinary_signal(fifo: Path) -> None:
    """The wait blocks no signal of the host: Ctrl-C ends it.

    The child has one thread, since the kernel gives a signal for the process to any thread that does not block it.
    """

    def within() -> None:
        assert len(os.listdir("/proc/self/task")) == 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        mmg.try_open(fifo, flags=abi.MMG_FLAG_FIFO_WAIT)

    run_child(within).died_of(signal.SIGALRM)
