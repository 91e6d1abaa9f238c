# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs in the guest of ./dev test vm, as root: on each file system, default options hurt no writer, and STABLE holds.

usage: guest.py ROUNDS [CASE...]
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ["MMAPGUARD_LIBRARY"] = "/test/libmmapguard.so.1"
from mmapguard import abi
from support import library as mmg
from vm.guest_devices import DEVICES
from vm.guest_places import WORK, cifs, image, nfs, ninep, overlay, sh

SIZE = 1 << 20
ROUNDS = sys.argv[1] if len(sys.argv) > 1 else "200"
NONE, HELD = abi.MMG_LOCK_NONE, abi.MMG_LOCK_SHARED
failures = 0


# ------------------------------------------------------------------------------------------------------- the checks --


def writers_go_on(where: Path, lock: int, reason: int) -> None:
    """Check that with default options an open region refuses, delays or interrupts no writer."""
    path, other = where / "file", WORK / "other"
    path.write_bytes(b"A" * SIZE)
    other.write_bytes(b"C" * SIZE)
    with mmg.opened(mmg.try_open(path)) as handle:
        found = mmg.info(handle)
        assert (found.lock, found.lock_reason) == (lock, reason), (
            found.lock,
            found.lock_reason,
            found.file_system,
        )
        begun = time.monotonic()
        sh(f"cp {other} {path}")
        assert time.monotonic() - begun < 10
        assert path.read_bytes() == b"C" * SIZE, "the copy did not arrive"
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        assert os.pwrite(fd, b"D", 0) == 1
        os.close(fd)


def outcome_of(change: Callable[[], object]) -> int:
    """Return the errno of what another process does, or 0."""
    child = os.fork()
    if child == 0:
        try:
            change()
        except OSError as failure:
            os._exit(failure.errno or 1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def names_go_as_with_a_plain_reader(where: Path) -> None:
    """Check that a file can be replaced and removed under a region wherever it can be under a plain open
    descriptor."""
    path, other = where / "file", where / "other"
    for change in (lambda: os.replace(other, path), lambda: os.unlink(path)):
        outcomes = []
        for open_it in (
            lambda: path.open("rb"),
            lambda: mmg.opened(mmg.try_open(path)),
            lambda: mmg.opened(mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE)),
        ):
            path.write_bytes(b"A" * SIZE)
            other.write_bytes(b"C" * SIZE)
            with open_it():
                outcomes.append(outcome_of(change))
        plain, contained, copied = outcomes
        assert contained in (plain, 0), outcomes
        assert copied == 0, outcomes
        print(f"    outcomes with a plain descriptor, a region, a STABLE region: {outcomes}", flush=True)


def stable_holds(where: Path, means: set[int]) -> None:
    """Check that bytes that were opened STABLE stay, whoever writes to the file in whatever way."""
    path = where / "file"

    def empty() -> None:
        with contextlib.suppress(PermissionError):  # NFS 4 refuses to cut what is opened for reading
            os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))

    for write in (lambda: path.write_bytes(b"B" * SIZE), lambda: os.truncate(path, 0), empty, path.unlink):
        path.write_bytes(b"A" * SIZE)
        with mmg.opened(
            mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE, flags=abi.MMG_FLAG_NO_LEASE)
        ) as handle:
            found = mmg.info(handle)
            assert found.means in means, found.means
            child = os.fork()
            if child == 0:
                write()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert mmg.content(handle) == b"A" * SIZE
            assert mmg.read(handle, 0, 8) == (abi.MMG_OK, b"A" * 8)
            assert mmg.check(handle) == abi.MMG_OK


def no_lease_is_taken(where: Path) -> None:
    """Check that no lease is taken, since not every writer of this file system is in this kernel."""
    path = where / "file"
    path.write_bytes(b"A" * SIZE)
    with mmg.opened(
        mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE, backing=abi.MMG_BACKING_MAP)
    ) as handle:
        assert mmg.info(handle).means == abi.MMG_MEANS_SNAPSHOT, mmg.info(handle).means


def the_host_changes_nothing(where: Path) -> None:
    """Check that STABLE bytes stay when the host writes to the shared file without the guest's kernel."""
    path = where / "file"
    path.write_bytes(b"A" * SIZE)
    with mmg.opened(mmg.try_open(path, guarantee=abi.MMG_GUARANTEE_STABLE)) as handle:
        for name in ("please", "done"):
            with contextlib.suppress(FileNotFoundError):
                (where / name).unlink()
        (where / "please").touch()
        until = time.monotonic() + 30
        while not (where / "done").exists():
            assert time.monotonic() < until, "the host does not answer"
            time.sleep(0.1)
        assert mmg.content(handle) == b"A" * SIZE
        assert mmg.check(handle) == abi.MMG_OK


def storm(where: Path, **settings: str) -> None:
    """Run the storm, which compares every byte while others write in every way."""
    place = where / "storm"
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["/test/stable_storm", ROUNDS, "root"],
        env={
            **os.environ,
            "TMPDIR": str(place),
            "LD_LIBRARY_PATH": "/test",
            "STORM_COPIES_ONLY": "1",
            "STORM_COARSE_TIMES": "1",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
    print("\n".join("    " + line.strip() for line in done.stdout.splitlines()[1:4]), flush=True)


def storm_of_named_files(where: Path) -> None:
    """Run the storm with default locks, where a removed file can no longer be written to: a round ends when the name
    is gone."""
    storm(where, STORM_NAME_GOES_LAST="1", STORM_DEFAULT_LOCK="1")


# ---------------------------------------------------------------------------------------------------------- the cases --

COPIED = {abi.MMG_MEANS_PRIVATE_COPY, abi.MMG_MEANS_SNAPSHOT}
Check = Callable[[Path], None]


def remote(reason: int, *more: Check) -> list[Check]:
    """Return the checks for a file system with writers elsewhere."""
    return [
        lambda where: writers_go_on(where, NONE, reason),
        lambda where: stable_holds(where, COPIED),
        names_go_as_with_a_plain_reader,
        no_lease_is_taken,
        *more,
    ]


def local(*more: Check) -> list[Check]:
    """Return the checks for a local file system."""
    return [
        lambda where: writers_go_on(where, HELD, abi.MMG_LOCKING_HELD),
        lambda where: stable_holds(where, COPIED),
        names_go_as_with_a_plain_reader,
        *more,
        storm,
    ]


CASES: list[tuple[str, Callable[[], contextlib.AbstractContextManager[Path]], list[Check]]] = [
    ("ext4 with coarse times", lambda: image("ext4", "mkfs.ext4 -q -F -I 128"), local()),
    ("ext4", lambda: image("ext4", "mkfs.ext4 -q -F"), local()),
    ("vfat", lambda: image("vfat", "mkfs.vfat", "loop,umask=0"), local()),
    ("exfat", lambda: image("exfat", "mkfs.exfat", "loop,umask=0"), local()),
    ("overlay", overlay, local()),
    ("NFS v3", lambda: nfs("3"), remote(abi.MMG_LOCKING_COULD_HANG, storm)),
    ("NFS v4.2", lambda: nfs("4.2"), remote(abi.MMG_LOCKING_COULD_HANG, storm)),
    ("CIFS", cifs, remote(abi.MMG_LOCKING_MANDATORY, storm_of_named_files)),
    ("9p", ninep, remote(abi.MMG_LOCKING_NOT_LOCAL, the_host_changes_nothing, storm_of_named_files)),
]


def report(name: str, work: Callable[[], None]) -> None:
    """Run one check and print its result."""
    global failures
    begun = time.monotonic()
    try:
        work()
        print(f"pass {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    except Exception:
        failures += 1
        print(f"FAIL {name}", flush=True)
        said = traceback.format_exc().splitlines()[-12:] + sh("dmesg | tail -n 8").splitlines()
        print("\n".join("    " + line for line in said), flush=True)


def try_case(
    name: str, place: Callable[[], contextlib.AbstractContextManager[Path]], checks: list[Check]
) -> None:
    """Run all checks of one file system."""
    try:
        with place() as where:
            for number, check in enumerate(checks, 1):
                title = (
                    check.__name__
                    if check.__name__ != "<lambda>"
                    else ("writers go on", "STABLE holds")[number - 1]
                )
                report(f"{name}: {title.replace('_', ' ')}", functools.partial(check, where))
    except Exception:
        report(f"{name}: mounted", lambda: (_ for _ in ()).throw(RuntimeError(traceback.format_exc()[-800:])))


def is_wanted(name: str) -> bool:
    """Return true when the arguments name this case, or when there are none."""
    return not sys.argv[2:] or any(wanted in name for wanted in sys.argv[2:])


print(flush=True)  # what the firmware printed has no end of line
for name, place, checks in CASES:
    if is_wanted(name):
        try_case(name, place, checks)
for name, work in DEVICES:
    if is_wanted(name):
        report(name, work)
print(f"verdict {min(failures, 1)}", flush=True)
