# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes a slow disk for the work "cold": a loop device with ext4, and a group of processes that may read only so much of it.

The limits are those of the kernel for groups of processes (cgroups, `io.max`, or `blkio` in the first version of them). A
limit of the reads in a second acts as the latency of a network or of a disk with heads: who asks for more at once is
faster. The device reads ahead by 128 KiB, as most disks do. Making it needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIMITS = {"200 MB a second": ("bps", 200_000_000), "300 reads a second": ("iops", 300)}
IMAGE = 96 << 20
NAME = "mmapguard-bench"


class NotHere(Exception):
    """There can be no slow disk here; the text says why."""


@dataclass
class SlowDisk:
    """A folder on the disk, and how to limit who reads there."""

    folder: Path
    device: str
    group: Path
    is_second: bool
    """The second version of cgroups."""

    def limit(self, kind: str, value: int) -> None:
        """Allow this group so many bytes ("bps") or reads ("iops") a second, and any number of the others."""
        if self.is_second:
            both = {"bps": "max", "iops": "max"} | {kind: str(value)}
            (self.group / "io.max").write_text(f"{self.device} rbps={both['bps']} riops={both['iops']}")
            return
        for one in ("bps", "iops"):
            file = self.group / f"blkio.throttle.read_{one}_device"
            file.write_text(f"{self.device} {value if one == kind else 0}")

    def join(self) -> None:
        """Put the process that calls this into the group."""
        (self.group / "cgroup.procs").write_text(str(os.getpid()))


def group_folder() -> tuple[Path, bool]:
    """Return where groups with limits for disks are made, and whether it is the second version of cgroups."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup" and "blkio" in options.split(","):
            return Path(mount), False
        if kind == "cgroup2" and "io" in (Path(mount) / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                (Path(mount) / "cgroup.subtree_control").write_text("+io")
            if "io" in (Path(mount) / "cgroup.subtree_control").read_text().split():
                return Path(mount), True
    raise NotHere("the kernel has no limits for disks (cgroups with io or blkio)")


def run(*command: str) -> str:
    """Run a command of the system. Return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


@contextlib.contextmanager
def slow_disk(folder: Path) -> Iterator[SlowDisk]:
    """Make the disk, and remove everything afterwards. Raises NotHere with the reason when that is not possible."""
    if os.geteuid() != 0:
        raise NotHere("a slow disk is made by root")
    if missing := [tool for tool in ("losetup", "mkfs.ext4", "mount") if shutil.which(tool) is None]:
        raise NotHere(f"{missing[0]} is not installed")
    root, is_second = group_folder()
    with contextlib.ExitStack() as stack:
        image, mount = folder / "slow.img", folder / "slow"
        with image.open("wb") as file:
            file.truncate(IMAGE)
        stack.callback(image.unlink)
        run("mkfs.ext4", "-q", "-F", str(image))
        loop = run("losetup", "--find", "--show", "--direct-io=on", str(image))
        stack.callback(run, "losetup", "--detach", loop)
        about = Path("/sys/block") / Path(loop).name
        window = about / "queue" / "read_ahead_kb"
        stack.callback(window.write_text, window.read_text())
        window.write_text("128")
        mount.mkdir()
        stack.callback(mount.rmdir)
        run("mount", "-o", "noatime", loop, str(mount))
        stack.callback(run, "umount", str(mount))
        group = root / f"{NAME}-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as failure:
            raise NotHere(f"no group can be made: {failure}") from failure
        stack.callback(group.rmdir)
        yield SlowDisk(mount, (about / "dev").read_text().strip(), group, is_second)
