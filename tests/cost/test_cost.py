# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls cost no more instructions and system calls than before. A busy machine does not change these numbers.

Each number is the difference of two runs that repeat one operation. The bounds are what was measured with GCC 12 on
x86-64. Another compiler has other numbers and gets a margin; another processor is not judged.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapguard import abi
from support import files, watch
from support import library as mmg

FOLDER = mmg.library_path().parent
PROGRAM = FOLDER / "tests" / "cost" / "cost"

#: Each operation, the size of the file, and the highest number of instructions.
INSTRUCTIONS = [
    ("open", 4 << 10, 1520),
    ("open", 256 << 10, 1964),
    ("pin", 256 << 10, 120),
    ("find", 4 << 10, 145),
    ("find", 256 << 10, 200),
]

#: The code of another compiler may take so many times the instructions.
MARGIN_OF_OTHERS = 1.03

#: The system calls of opening a file, copying it, finding out whether it changed meanwhile, and closing it.
COPIED = {"openat": 1, "flock": 1, "statx": 1, "pread64": 1, "fstat": 1, "close": 1}

#: Each operation, the size of the file, and the system calls of one round.
SYSTEM_CALLS = [
    *(("open", size, COPIED) for size in (1, 4 << 10, 16 << 10, 64 << 10)),
    (
        "open",
        256 << 10,
        {
            "openat": 1,
            "flock": 1,
            "statx": 1,
            "fstat": 2,
            "rt_sigaction": 1,
            "mmap": 1,
            "munmap": 1,
            "close": 1,
        },
    ),
    (
        # open(2), flock(2), fstat(2) and mmap(2) as by hand, one call to look at the SIGBUS handler, and one before
        # the close to see that the descriptor is still of this file
        "locked",
        4 << 10,
        {
            "openat": 1,
            "flock": 1,
            "statx": 1,
            "fstat": 1,
            "rt_sigaction": 1,
            "mmap": 1,
            "munmap": 1,
            "close": 1,
        },
    ),
    (
        "stable",  # the means is a lease: nine calls open the file, and five close it
        1 << 20,
        {
            "openat": 1,
            "statx": 1,
            "flock": 1,
            "fcntl": 4,
            "fstat": 3,
            "rt_sigaction": 1,
            "mmap": 1,
            "munmap": 1,
            "close": 1,
        },
    ),
    ("pin", 256 << 10, {}),
    ("find", 4 << 10, {}),
    ("find", 256 << 10, {}),  # none, except for a look at the guard and the file every 10 ms
]

#: On a loaded machine a thread that has to wait for another makes more of these.
WAITS = {"futex", "rt_sigprocmask", "sched_yield", "clock_nanosleep"}

#: The bytes between two hits, and how many times the instructions of memmem(3) a search may take.
GAPS = [4, 16, 58, 250]
MOST_TIMES_MEMMEM = 1.5

#: The highest number of instructions from one newline to the next.
MOST_A_LINE = 182


def needs(tool: str) -> str:
    """Return the path of a tool. Skip the test where the tool is missing, and name its package."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"counts with {tool}, which is not installed")
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM.name} is not built beside this library")
    return path


def run(command: list[str]) -> str:
    """Return what a counting tool prints on standard error."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(FOLDER)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


#: How often a count is made, at most, that is larger than it should be.
ATTEMPTS = 5
#: Any count is small enough.
ANY = float("inf")


def instructions(operation: str, path: Path, enough: float) -> float:
    """Return the instructions of one round of an operation: the fewest of some attempts, the last of which finds `enough`.

    The library asks for the state of a file at most once in a tick of the clock, so a run on a busy machine, in which more
    ticks pass, takes some instructions more.
    """
    counts: list[float] = []
    while not counts or (counts[-1] > enough and len(counts) < ATTEMPTS):
        counts.append(count_instructions(operation, path))
    return min(counts)


def count_instructions(operation: str, path: Path) -> float:
    """Return the instructions of one round of an operation, in one attempt."""
    tool = needs("valgrind")

    def total(times: int) -> int:
        command = [tool, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        found = re.search(
            r"Collected : (\d+)", run([*command, str(PROGRAM), operation, str(path), str(times)])
        )
        assert found
        return int(found[1])

    return (total(600) - total(100)) / 500


def is_built_by_gcc_12() -> bool:
    """Return true when the C library under test says in its comment section that GCC 12 compiled it."""
    command = ["readelf", "--string-dump=.comment", str(mmg.library_path())]
    comments = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"GCC: .*\) 12\.", comments) is not None


def system_calls(operation: str, path: Path, rounds: int = 200) -> dict[str, float]:
    """Return the system calls of one round of an operation, by name."""
    tool = needs("strace")

    def total(times: int) -> Counter[str]:
        report = run(
            [
                tool,
                "-f",
                "-qq",
                "-c",
                "-U",
                "name,calls",
                str(PROGRAM),
                operation,
                str(path),
                str(times),
            ]
        )
        return Counter({name: int(count) for name, count in re.findall(r"^ *(\w+) +(\d+)$", report, re.M)})

    few, many = total(100), total(100 + rounds)
    # The number is rounded, since the thread that keeps the leases looks at a lease now and then.
    differences = {name: round((many[name] - few[name]) / rounds, 1) for name in many if name != "total"}
    return {name: count for name, count in differences.items() if count >= 0.1}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bounds are those of x86-64")
@pytest.mark.parametrize(("operation", "size", "most"), INSTRUCTIONS)
def test_a_call_takes_at_most_so_many_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, size: int, most: int
) -> None:
    if FOLDER.name != "release":
        pytest.skip("the bounds are those of the release build")
    allowed = most if is_built_by_gcc_12() else most * MARGIN_OF_OTHERS
    files.sample(tmp_path / "file", size)
    monkeypatch.chdir(tmp_path)  # a region keeps its path, whose copy costs the more the longer it is
    assert instructions(operation, Path("file"), allowed) <= allowed


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bounds are those of x86-64")
@pytest.mark.parametrize("gap", GAPS)
def test_a_walk_from_hit_to_hit_costs_at_most_one_and_a_half_times_memmem(tmp_path: Path, gap: int) -> None:
    path = tmp_path / "hits"
    path.write_bytes((b"needle" + b"x" * gap) * (1 << 15))
    allowed = MOST_TIMES_MEMMEM * instructions("memmem", path, ANY)
    assert instructions("walk", path, allowed) <= allowed


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bounds are those of x86-64")
def test_a_walk_from_line_to_line_takes_at_most_so_many_instructions(tmp_path: Path) -> None:
    """The file is mapped, and a line has 64 bytes. The search itself, memchr(3), is a third of the count."""
    if FOLDER.name != "release":
        pytest.skip("the bounds are those of the release build")
    path = tmp_path / "lines"
    path.write_bytes((b"x" * 63 + b"\n") * (1 << 14))
    allowed = MOST_A_LINE if is_built_by_gcc_12() else MOST_A_LINE * MARGIN_OF_OTHERS
    assert instructions("lines", path, allowed) <= allowed


def page_faults(operation: str, path: Path, times: int) -> int:
    """Return the page faults of a whole run that repeats an operation so often."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM.name} is not built beside this library")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    run([str(PROGRAM), operation, str(path), str(times)])
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before


@pytest.mark.parametrize("size", [4 << 10, 16 << 10, 64 << 10])
def test_a_copy_that_is_closed_leaves_its_memory_to_the_next(tmp_path: Path, size: int) -> None:
    path = files.sample(tmp_path / "file", size).path
    assert page_faults("open", path, 1100) - page_faults("open", path, 100) < 100


def test_a_scan_faults_once_for_sixteen_pages_at_most(tmp_path: Path) -> None:
    """A plain mapping faults as rarely: the kernel also maps cached pages around the one that is touched."""
    path, mib = tmp_path / "hits", 1 << 20
    path.write_bytes((b"needle" + b"x" * 58) * (9 * mib // 64))
    faults = page_faults("walk", path, 9 * mib // 64) - page_faults("walk", path, mib // 64)
    assert faults <= 8 * mib / (16 * os.sysconf("SC_PAGE_SIZE")) * 1.1


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Provide a folder beside the library, since the temporary folder may be on tmpfs, which has no leases."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        yield Path(folder)


def has_leases(folder: Path) -> bool:
    """Return true when the library can hold a new file of this folder still by a lease."""
    path = files.sample(folder / "asked", 1 << 20).path
    with mmg.opened(mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE)) as handle:
        has = bool(mmg.info(handle).means == abi.MMG_MEANS_LEASE)
    assert has == watch.library_may_lease(folder)
    return has


def usual(found: dict[str, float], expected: dict[str, float]) -> dict[str, float]:
    """Return what was counted, without the calls that are made only now and then."""
    # The library remembers in one word where to map. Now and then it reserves new room, which takes two calls.
    for name in ("mmap", "munmap"):
        if name in expected:
            found[name] = min(found.get(name, 0), expected[name]) if found.get(name, 0) < 1.2 else found[name]
    for name in WAITS - expected.keys():
        if found.get(name, 0) < 0.5:
            found.pop(name, None)
    return found


def plain(folder: Path, scratch: Path) -> Path:
    """Return the folder, or the one beside the build where the folder is on overlay."""
    if watch.file_system_of(folder) != "overlay":
        return folder
    watch.need_plain_files(scratch)
    return scratch


@pytest.mark.parametrize(("operation", "size", "expected"), SYSTEM_CALLS)
def test_a_call_makes_these_system_calls(
    tmp_path: Path, scratch: Path, operation: str, size: int, expected: dict[str, float]
) -> None:
    folder = plain(tmp_path, scratch) if operation != "stable" or has_leases(tmp_path) else scratch
    if operation == "stable" and not has_leases(folder):
        pytest.skip("neither the temporary folder nor the build folder is on a file system with leases")
    # On a busy machine the thread of the leases may have to be woken, or even started, in the midst of the rounds that are
    # counted. Calls that are always made are in every count.
    for _ in range(10):
        found = usual(system_calls(operation, files.sample(folder / "file", size).path), expected)
        if found == expected:
            break
    assert found == expected


def test_a_break_makes_as_many_system_calls_beside_ten_leases_as_beside_ten_thousand(tmp_path: Path) -> None:
    """One round is opening, a writer that breaks the lease, and closing.

    The number varies a little: a thread that has to wait for another asks the kernel more often.
    """
    one = files.sample(tmp_path / "file", 200 << 10)
    if not has_leases(tmp_path):
        pytest.skip("the file system of the temporary folder gives no lease")
    many = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 300)
    for number in range(many):
        files.sparse(tmp_path / f"file.{number}", 100_000)
    few, all_of_them = (
        sum(calls for name, calls in system_calls(f"break-{count}", one.path).items() if name not in WAITS)
        for count in (10, many)
    )
    assert 20 < few < 60
    assert abs(few - all_of_them) < 5  # a call for each lease would be thousands more


#: Few and many regions of a process. If a loss took a search through all regions, it would cost ten times more among
#: many.
MOST_REGIONS = 7000
FEW, MANY = "lose-700", f"lose-{MOST_REGIONS}"
MOST_A_LOSS = 1600.0

LOSS_CALLS = {"rt_sigprocmask": 1, "fstat": 1, "mmap": 1, "gettid": 1, "rt_sigreturn": 1}
"""Signals blocked, the size of the file, the zeros, the thread for the ledger, and the end of the handler."""


@pytest.fixture
def descriptors() -> Iterator[int]:
    """As many descriptors as this user may have: valgrind lets no program raise the limit that valgrind starts with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bounds are those of x86-64")
def test_a_loss_costs_the_same_however_many_regions_there_are(tmp_path: Path, descriptors: int) -> None:
    if descriptors < MOST_REGIONS + 100:
        pytest.skip(f"this user may have {descriptors} descriptors only, and each region has one")
    path = tmp_path / "file"
    path.touch()
    allowed = min(instructions(FEW, path, MOST_A_LOSS) * 1.1, MOST_A_LOSS)
    assert instructions(MANY, path, allowed) <= allowed


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bounds are those of x86-64")
def test_a_loss_slows_pins_only_while_its_region_lives(tmp_path: Path) -> None:
    path = files.sample(tmp_path / "file", 256 << 10).path
    usual = instructions("pin", path, ANY)
    assert instructions("pin-beside-loss", path, ANY) > usual + 10, (
        "nothing was counted, so the test shows nothing"
    )
    assert abs(instructions("pin-after-loss", path, usual + 1) - usual) <= 1


def test_a_loss_takes_these_system_calls(tmp_path: Path, scratch: Path) -> None:
    path = plain(tmp_path, scratch) / "file"
    path.touch()
    assert system_calls(MANY, path) == LOSS_CALLS
