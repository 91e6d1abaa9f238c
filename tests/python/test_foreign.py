# SPDX-License-Identifier: MIT OR Apache-2.0
"""A guarded process lives on when a mapping of another library loses bytes.

The block, the ledger and the log report the loss.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from children import program

import mmapguard
from support import files
from support.children import DEADLINE

PAGES = 64
SIZE = PAGES * mmap.PAGESIZE


def mapped(path: Path, size: int = SIZE) -> mmap.mmap:
    """Return a mapping of the standard library, which knows nothing of mmapguard, of a new file."""
    files.sample(path, size)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def lose(view: mmap.mmap, path: Path, left: int = 0) -> None:
    """Cut the file below its mapping, and read what is gone."""
    os.truncate(path, left)
    assert view[len(view) - 1] == 0


def guarded(work: Callable[[], object]) -> None:
    """Run a function in a block of guard_process()."""
    with mmapguard.guard_process():
        work()


def test_the_block_raises_with_path_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    with pytest.raises(mmapguard.TruncatedError) as caught, mmapguard.guard_process():
        lose(view, path, 3 * mmap.PAGESIZE)
    assert caught.value.filename == str(path)
    assert caught.value.offset == 3 * mmap.PAGESIZE
    assert str(path) in str(caught.value)


def test_what_is_left_reads_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    before = path.read_bytes()

    def read() -> None:
        lose(view, path, mmap.PAGESIZE)
        assert view[: mmap.PAGESIZE] == before[: mmap.PAGESIZE]
        assert not any(view[mmap.PAGESIZE :])

    with pytest.raises(mmapguard.TruncatedError):
        guarded(read)


def test_several_files_make_a_group(tmp_path: Path) -> None:
    views = {tmp_path / name: mapped(tmp_path / name) for name in ("a", "b", "c")}

    def work() -> None:
        for name in ("a", "c"):
            lose(views[tmp_path / name], tmp_path / name)

    with pytest.raises(ExceptionGroup) as caught:
        guarded(work)
    named = {error.filename for error in caught.value.exceptions if isinstance(error, OSError)}
    assert named == {str(tmp_path / "a"), str(tmp_path / "c")}


def test_nothing_lost_raises_nothing(tmp_path: Path) -> None:
    view = mapped(tmp_path / "file")
    with mmapguard.guard_process() as guard:
        assert guard.active
        assert view[-1] == (tmp_path / "file").read_bytes()[-1]
    assert not guard.active


def test_an_exception_of_the_block_becomes_the_context(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)

    def work() -> None:
        lose(view, path)
        raise KeyError("what zeros led to")

    with pytest.raises(mmapguard.TruncatedError) as caught:
        guarded(work)
    assert isinstance(caught.value.__context__, KeyError)


def test_an_exception_that_ends_the_program_goes_through(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)

    def work() -> None:
        lose(view, path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(work)


def test_a_loss_in_another_thread_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)

    def work() -> None:
        thread = threading.Thread(target=lose, args=(view, path))
        thread.start()
        thread.join()

    with pytest.raises(mmapguard.TruncatedError):
        guarded(work)


def test_a_region_tells_of_its_own_losses(tmp_path: Path) -> None:
    """The outer block does not raise a loss again that the block of the region has raised."""
    sample = files.sample(tmp_path / "file", files.LARGE)
    with mmapguard.guard_process(), mmapguard.open(sample.path) as region:
        os.truncate(sample.path, 0)
        with pytest.raises(mmapguard.TruncatedError):
            region.read()
        region.close()
    assert [loss.origin for loss in mmapguard.losses()][-1] == "own"


def test_guards_nest_and_end_each_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    outer, inner = mmapguard.guard_process().start(), mmapguard.guard_process().start()
    inner.stop()
    inner.stop()
    lose(view, path)
    for _ in range(2):  # as with a region, a loss is raised every time
        with pytest.raises(mmapguard.TruncatedError):
            outer.check()
    with pytest.raises(RuntimeError, match="started already"):
        outer.start()
    outer.stop()
    with pytest.raises(RuntimeError, match="not been started"):
        outer.check()


UNGUARDED = """
import mmap, os, sys, mmapguard
view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
with mmapguard.guard_process():
    pass
os.truncate(sys.argv[1], 0)
view[-1]
"""


def test_behind_the_block_the_process_is_as_it_was(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", SIZE).path
    program(UNGUARDED, path).died_of(signal.SIGBUS)


def test_the_ledger_tells_where_and_when(tmp_path: Path) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    mark, before = mmapguard.losses().mark, time.monotonic_ns()
    guard = mmapguard.guard_process().start()
    try:
        lose(view, path, mmap.PAGESIZE)
    finally:
        guard.stop()
    (loss,) = mmapguard.losses(mark)
    status = path.stat()
    assert (loss.cause, loss.origin, loss.path) == ("MMG_E_TRUNCATED", "foreign", str(path))
    assert (loss.offset, loss.length) == (mmap.PAGESIZE, SIZE - mmap.PAGESIZE)
    assert (loss.device, loss.inode) == (status.st_dev, status.st_ino)
    assert loss.thread == threading.get_native_id()
    assert before <= loss.time_ns <= time.monotonic_ns()
    assert loss.sequence == mark + 1
    address = np.frombuffer(view, "u1").ctypes.data
    assert loss.address == address + mmap.PAGESIZE


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    view = mapped(path)
    with pytest.raises(mmapguard.TruncatedError) as caught, mmapguard.guard_process():
        lose(view, path)
    assert caught.value.filename == str(path)


def test_records_that_were_overwritten_are_counted(tmp_path: Path) -> None:
    """The ledger keeps the newest 1024 records. Each file that is cut makes one record here."""
    mark, many = mmapguard.losses().mark, 1100
    guard = mmapguard.guard_process().start()
    try:
        for number in range(many):
            path = tmp_path / str(number)
            view = mapped(path, 2 * mmap.PAGESIZE)
            lose(view, path)
            view.close()
            path.unlink()
        found = mmapguard.losses(mark)
        assert (len(found), found.overwritten, found.mark) == (1024, many - 1024, mark + many)
        with pytest.raises(ExceptionGroup) as caught:
            guard.check()
        assert f"{many - 1024} more losses" in caught.value.__notes__[0]
    finally:
        guard.stop()


def test_a_mark_of_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match=r"range|mark"):
        mmapguard.losses(mmapguard.losses().mark + 1)
    assert mmapguard.losses(mmapguard.losses().mark) == ()


SERVICE = """
import mmap, os, sys, mmapguard
mmapguard.guard_process().start()
view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[1], 0)
print(view[-1], flush=True)
"""


#: The same in a block. The guard is over when the interpreter ends.
LEFT = """
import mmap, os, sys, mmapguard
with mmapguard.guard_process():
    view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
    os.truncate(sys.argv[1], 0)
    print(view[-1], flush=True)
    sys.exit(0)
"""


@pytest.mark.parametrize("source", [SERVICE, LEFT], ids=["started", "a block that sys.exit() leaves"])
def test_a_loss_that_nobody_asked_for_is_told_at_exit(source: str, tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", SIZE).path
    ended = program(source, path)
    assert (ended.code, ended.value) == (120, "0\n")
    assert str(path) in ended.errors and "mmapguard" in ended.errors


CHECKED = """
import mmap, os, sys, mmapguard
guard = mmapguard.guard_process().start()
for path in sys.argv[1:]:
    view = mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_READ)
    os.truncate(path, 0)
    view[-1]
    if path == sys.argv[1]:
        try:
            guard.check()
        except mmapguard.TruncatedError as error:
            print(error.filename)
"""


def test_a_loss_that_was_told_hides_no_later_one(tmp_path: Path) -> None:
    paths = [files.sample(tmp_path / name, SIZE).path for name in ("first", "second")]
    ended = program(CHECKED, *paths)
    assert (ended.code, ended.value) == (120, f"{paths[0]}\n")
    assert str(paths[1]) in ended.errors and str(paths[0]) not in ended.errors


FAULT_HANDLER = """
import faulthandler, mmap, os, sys, mmapguard
view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
guard = mmapguard.guard_process() if sys.argv[2] == "guarded" else None
if guard:
    guard.start()
faulthandler.enable()
os.truncate(sys.argv[1], 0)
print(view[-1], flush=True)
try:
    guard.check()
except mmapguard.TruncatedError as error:
    print(error.filename)
"""


def reads_itself() -> bool:
    """Return true when process_vm_readv(2) reads the memory of this process; qemu-user does not have the call."""
    libc = ctypes.CDLL(None, use_errno=True)
    source, target = ctypes.create_string_buffer(b"x"), ctypes.create_string_buffer(1)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(target), 1)
    there = (ctypes.c_size_t * 2)(ctypes.addressof(source), 1)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    return bool(libc.process_vm_readv(os.getpid(), here, one, there, one, none) == 1)


needs_question = pytest.mark.skipif(
    "not reads_itself()",
    reason="below a fault handler the guard finds the mapping by process_vm_readv(2), which is not to be had here",
)


@needs_question
def test_a_fault_handler_on_top_prints_its_traceback(tmp_path: Path) -> None:
    """It raises the signal anew, without the address; the guard finds the mapping all the same."""
    path = files.sample(tmp_path / "plain", SIZE).path
    program(FAULT_HANDLER, path, "plain").died_of(signal.SIGBUS)
    path = files.sample(tmp_path / "guarded", SIZE).path
    ended = program(FAULT_HANDLER, path, "guarded")
    assert (ended.code, ended.value) == (0, f"0\n{path}\n"), ended
    assert "Bus error" in ended.errors


def test_an_adopted_part_hears_of_a_loss_beside_it(tmp_path: Path) -> None:
    """The guard replaces the whole tail, so the region has lost bytes, whatever becomes of the file later."""
    path = tmp_path / "file"
    view = mapped(path)
    whole = path.read_bytes()
    part = np.frombuffer(view, "u1")[10 * mmap.PAGESIZE : 20 * mmap.PAGESIZE]
    region = mmapguard.adopt(part)
    with pytest.raises(mmapguard.TruncatedError), mmapguard.guard_process():
        lose(view, path, mmap.PAGESIZE)
    path.write_bytes(whole)
    assert not part.any()
    with pytest.raises(mmapguard.TruncatedError):
        region.check()
    region.close()


def test_losses_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    view = mapped(path)
    watching = mmapguard.log_losses(every=3600)
    try:
        with pytest.raises(mmapguard.TruncatedError), mmapguard.guard_process():
            lose(view, path, mmap.PAGESIZE)
        watching.look()
        watching.look()
    finally:
        watching.stop()
    (record,) = [record for record in caplog.records if record.name == "mmapguard"]
    assert record.levelno == logging.ERROR
    assert repr(str(path)) in record.message and f"byte {mmap.PAGESIZE} on" in record.message
    assert record.loss.offset == mmap.PAGESIZE  # type: ignore[attr-defined]


def test_a_log_that_fails_once_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failed, passed = threading.Event(), threading.Event()

    def fail_once(record: logging.LogRecord) -> bool:
        (passed if failed.is_set() else failed).set()
        if not passed.is_set():
            raise RuntimeError("no room is left for the log")
        return True

    logger = logging.getLogger("mmapguard.test")
    logger.addFilter(fail_once)
    views = {name: mapped(tmp_path / name) for name in ("first", "second")}
    watching = mmapguard.log_losses(logger, every=0.01)
    guard = mmapguard.guard_process().start()
    try:
        lose(views["first"], tmp_path / "first")
        assert failed.wait(DEADLINE)
        lose(views["second"], tmp_path / "second")
        assert passed.wait(DEADLINE)
    finally:
        guard.stop()
        watching.stop()
        logger.removeFilter(fail_once)
    (record,) = [record for record in caplog.records if record.name == logger.name]
    assert repr(str(tmp_path / "second")) in record.message


LOGGING = """
import logging, mmap, os, sys, mmapguard
logging.basicConfig(format="%(levelname)s %(message)s")
watching = mmapguard.log_losses(every=3600)
mmapguard.guard_process().start()
view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
child = os.fork()
if child == 0:
    os.truncate(sys.argv[1], 0)
    view[-1]
    watching.look()
    os._exit(0)
os.waitpid(child, 0)
view[-1]
"""


def test_losses_are_logged_in_forked_children_and_at_exit(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", SIZE).path
    ended = program(LOGGING, path)
    assert ended.errors.count(f"ERROR {str(path)!r}") == 2, ended


LOSS_AND_FORK = """
import logging, mmap, os, sys, mmapguard
logging.basicConfig(format="%(levelname)s %(message)s")
watching = mmapguard.log_losses(every=3600)
mmapguard.guard_process().start()
view = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[1], 0)
view[-1]
child = os.fork()
if child == 0:
    watching.look()
    os._exit(0)
os.waitpid(child, 0)
watching.look()
os._exit(0)
"""


def test_a_loss_before_a_fork_is_logged_by_the_parent_alone(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", SIZE).path
    ended = program(LOSS_AND_FORK, path)
    assert ended.errors.count(f"ERROR {str(path)!r}") == 1, ended


PLUGIN = """
import mmap, os, pytest

def lose(path):
    path.write_bytes(bytes(8192))
    with open(path, "rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    os.truncate(path, 0)
    assert view[-1] == 0

def test_loses(tmp_path):
    lose(tmp_path / "file")

@pytest.mark.loses_bytes
def test_may_lose(tmp_path):
    lose(tmp_path / "file")

def test_after(tmp_path):
    pass
"""


FIXTURES = """
import pathlib, tempfile
from test_it import lose
import pytest

lose(pathlib.Path(tempfile.mkdtemp(dir=pathlib.Path(__file__).parent)) / "imported")

@pytest.fixture
def lost(tmp_path):
    lose(tmp_path / "file")

@pytest.fixture
def lost_at_the_end(tmp_path):
    yield
    lose(tmp_path / "file")

@pytest.mark.loses_bytes
def test_may_lose(lost, lost_at_the_end):
    pass

def test_set_up(lost):
    pass

def test_torn_down(lost_at_the_end):
    pass
"""


def run_with_plugin(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin on the files of a folder."""
    (tmp_path / "test_it.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p mmapguard.pytest_plugin --strict-markers\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_the_plugin_fails_the_test_that_loses_bytes(tmp_path: Path) -> None:
    done = run_with_plugin(tmp_path)
    assert done.returncode == 1, done
    assert "1 failed, 2 passed" in done.stdout and "TruncatedError" in done.stdout
    assert "outside of the tests" not in done.stdout


@needs_question  # pytest's own fault handler is on top while the files are imported
def test_the_plugin_tells_of_losses_in_fixtures_and_outside_of_tests(tmp_path: Path) -> None:
    (tmp_path / "test_more.py").write_text(FIXTURES)
    done = run_with_plugin(tmp_path, "-k", "set_up or torn_down or may_lose")
    assert done.returncode == 1, done
    assert "3 passed" in done.stdout and "2 errors" in done.stdout, done.stdout
    assert (
        "ERROR at setup of test_set_up" in done.stdout
        and "ERROR at teardown of test_torn_down" in done.stdout
    )
    assert done.stdout.count("/imported'") == 1, done.stdout
    done = run_with_plugin(tmp_path, "-k", "may_lose")
    assert done.returncode == 1, done
    assert "2 passed" in done.stdout and "lost outside of the tests" in done.stdout, done.stdout
