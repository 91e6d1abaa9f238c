# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes and mounts the file systems of the guest, each for a `with` block."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

WORK = Path("/mnt")


def sh(command: str) -> str:
    """Run a command of the shell. Return what it prints."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def mounted(what: str, kind: str, options: str) -> Iterator[Path]:
    """Mount a file system for a `with` block."""
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
    """Mount a file system in a new image."""
    path = WORK / "image"
    sh(f"rm -f {path}; truncate -s 200M {path}; {make} {path}")
    with mounted(str(path), kind, options) as where:
        yield where


@contextlib.contextmanager
def nfs(version: str) -> Iterator[Path]:
    """Mount a folder of the guest's own NFS server, over loopback."""
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
    """Mount a folder of the guest's own Samba, over loopback."""
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
    """Mount a folder of the host. 9p passes on the number of its file system."""
    with mounted("shared", "9p", "trans=virtio,version=9p2000.L,msize=262144") as where:
        yield where


@contextlib.contextmanager
def overlay() -> Iterator[Path]:
    """Mount an overlay of two folders."""
    base = WORK / "layers"
    for name in ("lower", "upper", "work"):
        (base / name).mkdir(parents=True, exist_ok=True)
    with mounted(
        "overlay", "overlay", f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    ) as where:
        yield where
