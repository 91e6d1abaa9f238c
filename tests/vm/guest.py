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
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["MMAPGUARD_LIBRARY"] = "/test/libmmapguard.so.1"
from mmapguard import abi
from support import library as mmg
from support import readers
from support.children import in_child
from support.readers import Failing

WORK = Path("/mnt")
SIZE = 1 << 20
ROUNDS = sys.argv[1] if len(sys.argv) > 1 else "200"
NONE, HELD = abi.MMG_LOCK_NONE, abi.MMG_LOCK_SHARED
failures = 0


def sh(command: str) -> str:
    """Run a command of the shell. Return what it prints."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def mounted(what: str, kind: str, options: str) -> Iterator[Path]:
    """Provide a file system, mounted for a `with` block."""
    where = WORK / "mounted"
    where.mkdir(exist_ok=True)
    sh(f"mount -t {kind} -o {options} {what} {where}")
    try:
        where.chmod(0o777) if kind not in ("vfat", "exfat", "cifs") else None
        yield where
    finally:
        sh(f"umount -i -l {where}")


@contextlib.contextmanager
def image(kind: str, make: str, options: str = "loop") -> Iterator[Path]:
    """Provide a file system in a fresh image, mounted."""
    path = WORK / "image"
    sh(f"rm -f {path}; truncate -s 200M {path}; {make} {path}")
    with mounted(str(path), kind, options) as where:
        yield where


@contextlib.contextmanager
def nfs(version: str) -> Iterator[Path]:
    """Provide the guest's own server, over loopback."""
    export = WORK / "export"
    export.mkdir(exist_ok=True)
    if not any("nfsd" in line for line in Path("/proc/mounts").read_text().splitlines()):
        sh(
            f"mount -t tmpfs export {export}; mount -t nfsd nfsd /proc/fs/nfsd; mkdir -p /run/rpc_pipefs /var/lib/nfs/sm"
        )
        Path("/etc/exports").write_text(f"{export} *(rw,no_root_squash,fsid=1,no_subtree_check,insecure)\n")
        sh("rpcbind -w; rpc.mountd; exportfs -a; rpc.nfsd 4")
    with mounted(f"127.0.0.1:{export}", "nfs", f"vers={version},nolock,soft,timeo=50") as where:
        yield where


@contextlib.contextmanager
def cifs() -> Iterator[Path]:
    """Provide the guest's own Samba, over loopback."""
    export = WORK / "smb"
    export.mkdir(exist_ok=True)
    export.chmod(0o777)
    Path("/etc/samba/smb.conf").write_text(
        f"[global]\nmap to guest = Bad User\nlog level = 0\n[share]\npath = {export}\nwritable = yes\nguest ok = yes\nforce user = root\n"
    )
    sh("mkdir -p /run/samba /var/lib/samba/private /var/log/samba /var/cache/samba; smbd -D; sleep 2")
    try:
        with mounted("//127.0.0.1/share", "cifs", "guest,vers=3.1.1,uid=0") as where:
            yield where
    finally:
        sh("pkill smbd || kill $(cat /run/samba/smbd.pid) || true")


@contextlib.contextmanager
def ninep() -> Iterator[Path]:
    """Provide a folder of the host, whose file system number 9p passes on as its own."""
    with mounted("shared", "9p", "trans=virtio,version=9p2000.L,msize=262144") as where:
        yield where


@contextlib.contextmanager
def overlay() -> Iterator[Path]:
    """Provide an overlay of two folders, mounted."""
    base = WORK / "layers"
    for name in ("lower", "upper", "work"):
        (base / name).mkdir(parents=True, exist_ok=True)
    with mounted(
        "overlay", "overlay", f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    ) as where:
        yield where


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


# ------------------------------------------------------------------------------------------------- failing devices --


@contextlib.contextmanager
def device(target: str) -> Iterator[Failing]:
    """Provide a file on a mapped device whose sectors under the second half of the file become a target of the device mapper."""
    disk, size = WORK / "disk", 12 << 20
    sh(
        f"rm -f {disk}; truncate -s 200M {disk}; mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 {disk}"
    )
    loop = sh(f"losetup --show -f {disk}").strip()
    sectors = (200 << 20) // 512
    sh(f"dmsetup create bad --table '0 {sectors} linear {loop} 0'; dmsetup mknodes")
    try:
        with mounted("/dev/dm-0", "ext4", "noatime") as where:
            path, data = where / "file", mmg.pattern(size)
            path.write_bytes(data)
            sh("sync")
            first = readers.place_on_device(path, size // 2) // 512
            count = (size // 2) // 512

            def fail() -> None:
                named = target.format(device=f"{loop} {first}")
                table = (
                    f"0 {first} linear {loop} 0\\n{first} {count} {named}\\n"
                    f"{first + count} {sectors - first - count} linear {loop} {first + count}"
                )
                sh(
                    f"dmsetup suspend --noflush --nolockfs bad; printf '{table}' | dmsetup load bad; dmsetup resume bad"
                )
                readers.drop_from_cache(path)

            readers.drop_from_cache(path)
            try:
                yield Failing(path, data, size // 2, fail)
            finally:
                sh(
                    f"dmsetup suspend --noflush --nolockfs bad; dmsetup load bad --table '0 {sectors} linear {loop} 0'"
                )
                sh("dmsetup resume bad")
    finally:
        sh("dmsetup remove --force --retry bad || true; losetup -D")


def each_way_of_reading_tells(target: str) -> None:
    """Try each way of reading in a child, so that a signal would be noticed."""
    for name, way in readers.WAYS.items():
        with device(target) as failing:
            try:
                in_child(way, failing)
            except AssertionError as failure:
                raise AssertionError(f"{name}: {failure}") from failure


def read_a_slow_device(failing: Failing) -> None:
    """Check that a slow read is no loss in any way of reading."""
    with mmg.opened(mmg.try_open(failing.path, backing=abi.MMG_BACKING_MAP)) as handle:
        failing.fail()
        middle = slice(failing.lost, failing.lost + 4096)
        assert mmg.read(handle, middle.start, 4096) == (abi.MMG_OK, failing.data[middle])
        readers.drop_from_cache(failing.path)
        assert mmg.find(handle, failing.data[middle.start + 7 : middle.start + 39])[0] == abi.MMG_OK
        with mmg.pinned(handle, failing.lost, 4096) as span:
            assert mmg.span_bytes(span) == failing.data[middle]
        assert mmg.check(handle) == abi.MMG_OK


def break_on_a_slow_device(failing: Failing) -> None:
    """Check that no changed byte is called good when the kernel's time runs out while the bytes are copied."""
    Path("/proc/sys/fs/lease-break-time").write_text("1")
    members = {"guarantee": abi.MMG_GUARANTEE_STABLE, "backing": abi.MMG_BACKING_MAP}
    try:
        with mmg.opened(mmg.try_open(failing.path, **members)) as handle:
            assert mmg.info(handle).means == abi.MMG_MEANS_LEASE
            failing.fail()
            writer = os.fork()
            if writer == 0:
                fd = os.open(failing.path, os.O_WRONLY)
                os.pwrite(fd, b"B" * 4096, 0)
                os._exit(0)
            ended = False
            while not ended:
                ended = os.waitpid(writer, os.WNOHANG) != (0, 0)
                status, span = mmg.pin(handle, 0, 4096)
                if status == abi.MMG_OK:
                    seen = mmg.span_bytes(span)
                    status = mmg.unpin(span)
                    assert status != abi.MMG_OK or seen == failing.data[:4096], (
                        "the region calls a changed byte good"
                    )
                assert status in (abi.MMG_OK, abi.MMG_E_UNSTABLE), status
            assert mmg.check(handle) == abi.MMG_E_UNSTABLE
            assert mmg.info(handle).shortfall == abi.MMG_SHORT_TIME
    finally:
        Path("/proc/sys/fs/lease-break-time").write_text("45")


def a_slow_device_is_waited_for_within_limits() -> None:
    """dm-delay: half a second for each request."""
    for work in (read_a_slow_device, break_on_a_slow_device):
        with device("delay {device} 500") as failing:
            in_child(work, failing)


DEVICES: list[tuple[str, Callable[[], None]]] = [
    ("device: dm-error", lambda: each_way_of_reading_tells("error")),
    ("device: dm-flakey", lambda: each_way_of_reading_tells("flakey {device} 0 3600")),
    ("device: dm-delay", a_slow_device_is_waited_for_within_limits),
]

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
