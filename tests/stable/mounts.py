# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes file systems for the tests: small images, made with the tools of each, and mounted for a `with` block.

This module knows nothing of pytest, since storm.py uses it as well. `Unavailable` says what this system does not
have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from support import lease_settings
from support.unavailable import Unavailable as Unavailable

WRITABLE = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")
LEASING = ("ext4", "xfs", "btrfs")
READ_ONLY = ("squashfs", "erofs")
LAYERED = ("overlay, lower", "overlay, copied up")
"""A file on the lower layer of an overlay: untouched, and copied up before it is opened."""
MORE = ("ext4 with coarse times", "vfat", "fuse")
"""Where the storm is run at length as well."""
REFLINKING = ("xfs", "btrfs")

_PACKAGES = {
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "mkfs.erofs": "erofs-utils",
    "bindfs": "bindfs",
}
_SIZES = {"ext4": 96 << 20, "xfs": 320 << 20, "btrfs": 256 << 20}


def need_root() -> None:
    """Raise Unavailable unless this is root: only root may mount."""
    if os.geteuid() != 0:
        raise Unavailable("needs root: mounts a file system")


def need_kernel(kind: str) -> None:
    """Raise Unavailable unless the kernel knows the file system. A module for it is loaded."""
    for attempt in (True, False):
        with open("/proc/filesystems") as known:
            if kind in known.read().split():
                return
        if attempt and shutil.which("modprobe"):
            subprocess.run(["modprobe", kind], capture_output=True)
    raise Unavailable(f"this kernel has no {kind}")


def tool(name: str) -> str:
    """Return the path of a program, also for users whose PATH has no sbin."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed (Debian: {_PACKAGES.get(name, name)})")
    return found


def run(*command: str | os.PathLike[str]) -> None:
    """Run a command that must succeed."""
    done = subprocess.run([os.fspath(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def mount(what: str | os.PathLike[str], where: Path, kind: str, options: str) -> Iterator[None]:
    """Mount something for a `with` block. A mount that cannot be removed at the end is an error."""
    try:
        run("mount", "-t", kind, "-o", options, what, where)
    except RuntimeError as failure:
        raise Unavailable(f"{kind} cannot be mounted here: {failure}") from failure
    try:
        yield
    finally:
        gone = subprocess.run(["umount", os.fspath(where)], capture_output=True, text=True)
        if gone.returncode != 0:
            subprocess.run(["umount", "--lazy", os.fspath(where)], capture_output=True)
    assert gone.returncode == 0, f"something still uses {where}: {gone.stderr}"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Provide a folder that everybody can look into."""
    made = Path(tempfile.mkdtemp(prefix="mmapguard-mounts-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def _image(path: Path, kind: str, size: int, features: Sequence[str] = ()) -> None:
    flags = {"ext4": ["-q", "-F"], "xfs": ["-q"], "btrfs": ["-q"]}[kind] + list(features)
    program = tool(f"mkfs.{kind}")
    with open(path, "wb") as stream:
        os.ftruncate(stream.fileno(), size)
    run(program, *flags, path)


def _packed(path: Path, kind: str, source: Path) -> None:
    if kind == "squashfs":
        run(tool("mksquashfs"), source, path, "-noappend", "-quiet", "-no-progress")
    else:
        run(tool("mkfs.erofs"), "--quiet", path, source)


#: Features and options for an image that a test will cut. A file system that writes behind the end of its device makes the
#: image longer again, and then there are zeroes to be read. With these it writes no time of a read, no table of inodes, and
#: ext4 no journal. The log of xfs is at the start.
QUIET = {
    "ext4": (["-O", "^has_journal"], "loop,noatime,noinit_itable"),
    "xfs": (["-l", "agnum=0"], "loop,noatime"),
}


@contextlib.contextmanager
def image(kind: str, size: int | None = None, quiet: bool = False) -> Iterator[tuple[Path, Path]]:
    """Provide a file system on a loop device that everybody may write to: where it is mounted, and its image.

    One that is quiet may be cut: it writes by itself as little as it can.
    """
    features, options = QUIET[kind] if quiet else ([], "loop")
    need_root()
    need_kernel(kind)
    with folder() as place:
        path, where = place / "image", place / "mounted"
        where.mkdir()
        _image(path, kind, size or _SIZES[kind], features)
        with mount(path, where, kind, options):
            where.chmod(0o1777)
            yield where, path


def leave_room(folder: Path, size: int) -> None:
    """Fill a file system, except for so many bytes.

    The library then puts no snapshot there that is larger than half of them. On a device that a test has cut, such a
    snapshot would make the image longer again, so that what was lost reads as zeros.
    """
    room = os.statvfs(folder)
    with open(folder / "rest", "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, room.f_bavail * room.f_frsize - size)


@contextlib.contextmanager
def small_image(kind: str, arguments: list[str]) -> Iterator[Path]:
    """Provide the folder of a file system of 64 MiB that everybody may write to, made with these arguments."""
    need_root()
    need_kernel(kind)
    with folder() as place:
        path, where = place / "image", place / "mounted"
        where.mkdir()
        with open(path, "wb") as stream:
            os.ftruncate(stream.fileno(), 64 << 20)
        run(tool(f"mkfs.{kind}"), *arguments, path)
        with mount(path, where, kind, "loop,umask=0" if kind == "vfat" else "loop"):
            if kind != "vfat":
                where.chmod(0o1777)
            yield where


@contextlib.contextmanager
def _memory(size: int) -> Iterator[Path]:
    need_root()
    with folder() as place, mount("mmapguard-test", place, "tmpfs", f"size={size},mode=1777"):
        yield place


@contextlib.contextmanager
def overlay() -> Iterator[tuple[Path, Path]]:
    """Provide an overlay as containers have it: its folder, and its lower layer, which is empty so far."""
    need_kernel("overlay")
    with image("ext4") as (base, _), folder() as where:
        layers = [base / name for name in ("lower", "upper", "work")]
        for layer in layers:
            layer.mkdir(mode=0o755)
        layers[1].chmod(0o1777)
        settings = ",".join(f"{layer.name}dir={layer}" for layer in layers)
        with mount("mmapguard-test", where, "overlay", settings):
            where.chmod(0o1777)
            yield where, layers[0]


@contextlib.contextmanager
def layered(fill: Callable[[Path], None], size: int) -> Iterator[Path]:
    """Provide an overlay whose lower layer was filled before it was mounted; where everybody may make files."""
    need_kernel("overlay")
    with image("ext4", size) as (base, _), folder() as where:
        for name in ("lower", "upper", "work"):
            (base / name).mkdir(mode=0o755)
        fill(base / "lower")
        settings = ",".join(f"{name}dir={base / name}" for name in ("lower", "upper", "work"))
        with mount("mmapguard-test", where, "overlay", settings):
            where.chmod(0o1777)
            yield where


@contextlib.contextmanager
def fuse() -> Iterator[Path]:
    """Provide a folder of an ext4 file system, served by a process."""
    need_kernel("fuse")
    program = tool("bindfs")
    with image("ext4") as (base, _), folder() as where:
        run(program, "-o", "allow_other,nonempty", base, where)
        try:
            yield where
        finally:
            run("umount", where)


@contextlib.contextmanager
def packed(kind: str, files: Mapping[str, bytes], owner: int = 0) -> Iterator[Path]:
    """Provide a read-only medium with these files, which everybody may read."""
    need_root()
    need_kernel(kind)
    with folder() as place:
        source, path, where = place / "source", place / "image", place / "mounted"
        source.mkdir()
        where.mkdir()
        for name, data in files.items():
            (source / name).write_bytes(data)
            (source / name).chmod(0o644)
            os.chown(source / name, owner, -1)
        _packed(path, kind, source)
        with mount(path, where, kind, "loop,ro"):
            yield where


@contextlib.contextmanager
def writable(kind: str, size: int | None = None) -> Iterator[Path]:
    """Provide one of WRITABLE or MORE, where everybody may make files."""
    if kind == "tmpfs":
        with _memory(size or 256 << 20) as where:
            yield where
    elif kind == "overlay":
        with overlay() as (where, _):
            yield where
    elif kind == "fuse":
        with fuse() as where:
            yield where
    elif kind in MORE:
        with small_image(
            "vfat" if kind == "vfat" else "ext4", [] if kind == "vfat" else ["-q", "-F", "-I", "128"]
        ) as where:
            yield where
    else:
        with image(kind, size) as (where, _):
            yield where


@contextlib.contextmanager
def setting(path: str, value: int) -> Iterator[None]:
    """Change a setting of leases for a `with` block, and put the old value back whatever happens."""
    if os.geteuid() != 0:
        raise Unavailable(f"needs root: sets {path}")
    with lease_settings.changed(path, value):
        yield


_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h


@contextlib.contextmanager
def frozen(where: Path) -> Iterator[None]:
    """Hold up everything that would change a file system for a `with` block. Opening, reading and leases go on."""
    fd = os.open(where, os.O_RDONLY)
    try:
        try:
            fcntl.ioctl(fd, _FREEZE, 0)
        except OSError as failure:
            raise Unavailable(f"cannot freeze a file system: {failure}") from failure
        try:
            yield
        finally:
            fcntl.ioctl(fd, _THAW, 0)
    finally:
        os.close(fd)


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Provide a control group with a limit of memory: the file to which a process writes 0 to join it."""
    if os.geteuid() != 0:
        raise Unavailable("needs root: makes a control group")
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    if (first / "memory.limit_in_bytes").exists():
        group, setting_of_limit = first / f"mmapguard-{os.getpid()}", "memory.limit_in_bytes"
    elif _words(second / "cgroup.subtree_control").count("memory") > 0:
        group, setting_of_limit = second / f"mmapguard-{os.getpid()}", "memory.max"
    else:
        raise Unavailable("no control group here limits memory")
    try:
        group.mkdir()
    except OSError as failure:
        raise Unavailable(f"no control group can be made: {failure}") from failure
    try:
        (group / setting_of_limit).write_text(str(limit))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def free_blocks(where: Path) -> int:
    """Return the number of free blocks of a file system, after everything that may change it is written back."""
    os.sync()
    return os.statvfs(where).f_bfree
