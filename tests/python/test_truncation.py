# SPDX-License-Identifier: MIT OR Apache-2.0
"""A file is cut short under a reader: the interpreter lives, and the end of the block says from which byte on.

Each reader runs in a child. A twin in another child does the same with the standard library's mmap, and dies of
SIGBUS. Readers run in the main thread and in worker threads, with faulthandler off, with it on before mmapguard is
imported, and with it on after the first file was opened.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from children import program

from support import files

#: Expressions over `region`, for after the file was cut to two pages. Each must touch the lost part.
READERS = {
    "numpy sum": "import numpy as np; result = int(np.frombuffer(region, np.uint8).sum())",
    "numpy compare": "import numpy as np; result = int((np.frombuffer(region, '<u4', count=len(region) // 4) == 7).sum())",
    "hashlib": "import hashlib; result = hashlib.sha256(region).hexdigest()",
    "zlib": "import zlib; result = zlib.crc32(region)",
    "re search": "import re; result = re.search(rb'needle that is not there', region)",
    "memoryview compare": "result = memoryview(region) == memoryview(before)",
    "memoryview index": "result = memoryview(region)[-1]",
    "memoryview tobytes": "result = memoryview(region)[::512].tobytes()",
    "pyarrow": "import pyarrow as pa; result = pa.py_buffer(region).to_pybytes()",
    "pyarrow compute": (
        "import pyarrow as pa, pyarrow.compute as pc; "
        "a = pa.Array.from_buffers(pa.uint8(), len(region), [None, pa.py_buffer(region)]); result = pc.sum(a)"
    ),
    "bytes": "result = bytes(region)",
    "bytearray": "result = bytearray(region)",
    "index": "result = region[len(region) - 1]",
    "iteration": "result = [byte for byte in region][-1]",
    "struct": "import struct; result = struct.unpack_from('<16I', region, len(region) - 64)",
    "write to a file": "result = sum(map(len, [bytes(memoryview(region)[at:at + 4096]) for at in range(0, len(region), 4096)]))",
}

#: Expressions that raise at once, before the end of the block. With mmap the process dies as well.
PROMPT_READERS = {
    "slice": "result = region[:]",
    "slice with a step": "result = region[::1000]",
    "find": "result = region.find(b'needle that is not there')",
    "rfind": "result = region.rfind(b'needle that is not there')",
    "read": "result = region.read()",
    "read_byte": "region.seek(-1, 2); result = region.read_byte()",
    "readline": "region.seek(-9, 2); result = region.readline()",
}

PREAMBLE = """
import faulthandler, mmap, os, sys, threading
path, mode, thread, plain = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "plain"
if mode == "before":
    faulthandler.enable(open(os.devnull, "w"))
import mmapguard
with open(path, "rb") as whole:
    before = whole.read()

def use(region):
    {reader}
    return result

def opened():
    if plain:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return mmapguard.open(path)

def body():
    try:
        with opened() as region:
            if mode == "after":
                faulthandler.enable(open(os.devnull, "w"))
            region[0], region[-1]
            os.truncate(path, 8192)
            prompt = "none"
            try:
                use(region)
            except mmapguard.TruncatedError as error:
                prompt = error.offset
                raise
            print("survived", flush=True)
    except mmapguard.TruncatedError as error:
        print("TruncatedError", error.offset, error.filename == path, prompt, flush=True)

if thread == "main":
    body()
else:
    threads = [threading.Thread(target=body) for _ in range(1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
with mmapguard.open(path) as region:
    assert len(region) == 8192 and not mmapguard.stats().regions > 1
print("goes on", flush=True)
"""

MODES = ("off", "before", "after")


@pytest.mark.parametrize("reader", READERS | PROMPT_READERS)
def test_the_interpreter_lives_and_the_block_says_where(reader: str, large: Path) -> None:
    code = (READERS | PROMPT_READERS)[reader]
    source = PREAMBLE.replace("{reader}", code)
    # Every reader in one combination of thread and faulthandler, chosen so that each combination has several readers.
    number = list(READERS | PROMPT_READERS).index(reader)
    mode, thread = MODES[number % 3], ("main", "worker")[number // 3 % 2]
    told = _lives(source, large, mode, thread)
    assert told[0] == ("survived" if reader in READERS else told[0])
    last = told[-2].split()
    assert last[:3] == ["TruncatedError", "8192", "True"]
    assert last[3] == ("none" if reader in READERS else "8192")
    files.sample(large, files.LARGE, seed=2)
    program(source, large, mode, thread, "plain").died_of(signal.SIGBUS)


def _lives(source: str, path: Path, mode: str, thread: str) -> list[str]:
    told = program(source, path, mode, thread, "guarded", options=("-W", "error")).returned().splitlines()
    assert told[-1] == "goes on"
    return list(told)


@pytest.mark.parametrize("thread", ["main", "worker"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reader", ["hashlib", "numpy sum", "read"])
def test_whatever_faulthandler_does(reader: str, mode: str, thread: str, large: Path) -> None:
    source = PREAMBLE.replace("{reader}", (READERS | PROMPT_READERS)[reader])
    assert _lives(source, large, mode, thread)[-2].startswith("TruncatedError 8192 True")
    if mode != "off":
        files.sample(large, files.LARGE, seed=2)
        program(source, large, mode, thread, "plain").died_of(signal.SIGBUS)


def test_faulthandler_still_tells_of_faults_that_are_not_ours(tmp_path: Path, large: Path) -> None:
    source = """
import faulthandler, mmap, os, sys
faulthandler.enable()
import mmapguard
region = mmapguard.open(sys.argv[1])
region[0]
os.truncate(sys.argv[1], 8192)
assert sum(region) >= 0
with open(sys.argv[2], "rb") as file:
    plain = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[2], 0)
plain[-1]
"""
    other = files.sample(tmp_path / "other", files.LARGE).path
    ended = program(source, large, other)
    ended.died_of(signal.SIGBUS)
    assert "Fatal Python error: Bus error" in ended.errors


def test_an_error_in_the_block_becomes_the_context_of_the_loss(large: Path) -> None:
    """A parser fails on the zeros of a loss. Its error is not the cause."""
    source = """
import os, sys, mmapguard
try:
    with mmapguard.open(sys.argv[1]) as region:
        os.truncate(sys.argv[1], 8192)
        if region[-1] == 0:
            raise ValueError("bad magic number")
except mmapguard.TruncatedError as error:
    print(repr(error.__context__))
try:
    with mmapguard.open(sys.argv[1]) as region:
        os.truncate(sys.argv[1], 0)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
"""
    assert program(source, large).returned() == "ValueError('bad magic number')\ninterrupted\n"


def test_truncation_inside_the_last_page_is_noticed_although_nothing_faults(large: Path) -> None:
    source = """
import os, sys, mmapguard
size = os.stat(sys.argv[1]).st_size
try:
    with mmapguard.open(sys.argv[1]) as region:
        os.truncate(sys.argv[1], size - 5)
        assert region[-5:] == bytes(5)
except mmapguard.TruncatedError as error:
    print(error.offset - size, mmapguard.stats().faults)
"""
    assert program(source, large).returned() == "-5 0\n"


def test_what_was_not_lost_can_still_be_read(large: Path) -> None:
    source = """
import os, sys, mmapguard
region = mmapguard.open(sys.argv[1])
start = region.read(8192)
os.truncate(sys.argv[1], 8192)
for use in (lambda: region.read(1), region.check, lambda: region.prefetch(), lambda: region.read_into(bytearray(9), 8192)):
    try:
        use()
    except mmapguard.TruncatedError as error:
        assert error.offset == 8192, error
    else:
        raise SystemExit(f"{use} did not raise")
region.seek(0)
assert region.read(8192) == start == region[:8192]
assert region.find(start[-10:], 0, 8192) == 8182
assert region.read_into(bytearray(8192)) == 8192
assert region.info.fault_offset == 8192 and region.info.fault_cause == "MMG_E_TRUNCATED"
try:
    memoryview(region)
except mmapguard.TruncatedError:
    print("a view of everything is refused")
region.close()
"""
    assert program(source, large, options=("-W", "error")).returned() == "a view of everything is refused\n"


def test_without_the_guard_it_dies_as_mmap_does(large: Path) -> None:
    source = """
import os, sys, mmapguard
region = mmapguard.open(sys.argv[1], no_fault_guard=True, backing="map")
assert region.info.guarantee == "none"
os.truncate(sys.argv[1], 8192)
region[-1]
"""
    program(source, large).died_of(signal.SIGBUS)


STORM = """
import gc, hashlib, os, random, re, sys, warnings
import numpy as np, mmapguard
sys.path[:0] = [sys.argv[3]]
from support import watch
path, rounds = sys.argv[1], int(sys.argv[2])
size = 1 << 18
data = os.urandom(size)
warnings.simplefilter("ignore", mmapguard.FileChangedWarning)
readers = [
    lambda r: int(np.frombuffer(r, np.uint8).sum()),
    lambda r: hashlib.md5(r).digest(),
    lambda r: re.search(rb"not in there", r),
    lambda r: memoryview(r)[:-1] == memoryview(data)[:-1],
    lambda r: bytes(r),
    lambda r: r[::997],
    lambda r: sum(memoryview(r)[::512]),
    lambda r: r.find(b"not in there"),
    lambda r: r.rfind(b"not in there"),
    lambda r: r.read(),
]

def objects():
    return sum(type(one).__module__.startswith("mmapguard") for one in gc.get_objects())

def turn(number, chance):
    with open(path, "wb") as file:
        file.write(data)
    cut = chance.randrange(size)
    kept = None
    try:
        with mmapguard.open(path, backing="map") as region:
            use = readers[number % len(readers)]
            if chance.random() < 0.3:
                use(region)
            if chance.random() < 0.2:
                kept = memoryview(region)
            os.truncate(path, cut)
            use(region)
    except mmapguard.TruncatedError as error:
        assert error.offset == cut, (error.offset, cut)
        return 1
    finally:
        if kept is not None:
            assert kept[:cut] == memoryview(data)[:cut] and not any(kept[cut:])
            kept.release()
    return 0

chance = random.Random(5)
for number in range(50):
    turn(number, chance)
gc.collect()
before, held = watch.picture(), objects()
told = sum(turn(number, chance) for number in range(rounds))
gc.collect()
left = watch.difference(before, watch.picture())
assert not left, left
assert objects() == held, (objects(), held)
print(told, mmapguard.stats().faults > rounds // 4)
"""


def _storm(path: Path, rounds: int) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    told, faulted = program(STORM, path, str(rounds), tests).returned().split()
    assert int(told) == rounds, "every round must end with TruncatedError"
    assert faulted == "True"


def test_a_storm_of_truncations_leaves_nothing_behind(tmp_path: Path) -> None:
    _storm(tmp_path / "file", 300)


@pytest.mark.storm
def test_ten_thousand_rounds_leave_nothing_behind(tmp_path: Path) -> None:
    _storm(tmp_path / "file", 10_000)
