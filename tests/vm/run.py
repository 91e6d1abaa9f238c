# SPDX-License-Identifier: MIT OR Apache-2.0
"""./dev test vm: tests file systems that need a kernel of their own: NFS, CIFS, 9p, vfat, exfat, overlay, failing
devices.

A small Debian with Debian's kernel is made once and kept in build/vm. It boots under qemu with KVM where that works,
and with emulation elsewhere; the guest runs tests/vm/guest.py, which exports and mounts over its own loopback. The
host is the other side of 9p: it writes to a shared file when the guest asks for it.

usage: run.py FOLDER_OF_THE_BUILD CACHE [ROUNDS [CASE...]]

A CASE is part of the name of a file system in guest.py, such as CIFS; without one, each is tried.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = "python3,nfs-kernel-server,samba,cifs-utils,e2fsprogs,dosfstools,exfatprogs,kmod,iproute2,dmsetup"
#: The kernel modules that the guest needs. Modules that these depend on are copied as well.
MODULES = (
    "9p 9pnet_virtio virtio_pci nfs nfsv3 nfsv4 nfsd cifs vfat nls_ascii nls_cp437 nls_utf8 exfat ext4 overlay loop "
    "dm-mod dm-delay dm-flakey fuse xfs btrfs cmac hmac md5 sha256_generic sha512_generic aes_generic ecb ctr ccm gcm ghash_generic"
)
DEADLINE = 5400.0


def run(*command: str | os.PathLike[str], **rest: object) -> None:
    """Run a command, and show what it said if it fails."""
    done = subprocess.run(
        [os.fspath(part) for part in command], capture_output=True, text=True, check=False, **rest
    )  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def missing() -> list[str]:
    """Return the tools that are not here."""
    return [tool for tool in ("debootstrap", "qemu-system-x86_64", "cpio") if shutil.which(tool) is None]


def base_system(cache: Path) -> Path:
    """Return the folder of a minimal Debian with its kernel unpacked. It is made once."""
    root = cache / "root"
    complete = cache / f"complete-{zlib.crc32((PACKAGES + MODULES).encode())}"
    if complete.exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    print("making a small Debian, once; this takes some minutes", flush=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
    with tempfile.TemporaryDirectory() as place:
        run(
            "sh",
            "-c",
            "apt-get download $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -1)",
            cwd=place,
        )
        for package in Path(place).glob("*.deb"):
            run("dpkg-deb", "-x", package, Path(place) / "kernel")
        adopt_kernel(Path(place) / "kernel", root, cache)
    complete.touch()
    return root


def adopt_kernel(unpacked: Path, root: Path, cache: Path) -> None:
    """Move the modules below /usr, since /lib is a link to it in the system."""
    release = next((unpacked / "lib/modules").iterdir()).name
    shutil.rmtree(root / "usr/lib/modules", ignore_errors=True)
    shutil.move(unpacked / "lib/modules", root / "usr/lib/modules")
    shutil.move(unpacked / "boot" / f"vmlinuz-{release}", cache / "vmlinuz")
    run("chroot", root, "depmod", release)
    prune(root, release)


def prune(root: Path, release: str) -> None:
    """Delete documentation and the modules that are not needed, since the whole system is loaded into memory."""
    wanted = set()
    for module in MODULES.split():
        found = subprocess.run(
            ["chroot", root, "modprobe", "--set-version", release, "--show-depends", module],
            capture_output=True,
            text=True,
        )
        wanted |= {
            Path(line.split()[1]).name for line in found.stdout.splitlines() if line.startswith("insmod")
        }
    for path in (root / "usr/lib/modules").rglob("*.ko"):
        if path.name not in wanted:
            path.unlink()
    for name in (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "var/cache/apt",
        "var/lib/apt/lists",
        "boot",
    ):
        shutil.rmtree(root / name, ignore_errors=True)
    run("chroot", root, "depmod", release)


def install(root: Path, build: Path, arguments: list[str]) -> None:
    """Install into the guest what is tested: the library, the storm, the Python tests, and the arguments of
    guest.py."""
    target = root / "test"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    shutil.copy(build / "libmmapguard.so.1", target, follow_symlinks=True)
    shutil.copy(build / "tests/stable/stable_storm", target)
    shutil.copytree(ROOT / "tests/vm", target / "vm", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "arguments").write_text(shlex.join(arguments))
    shutil.copytree(ROOT / "tests/support", target / "support")
    shutil.copytree(
        ROOT / "bindings/python/mmapguard",
        target / "mmapguard",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    # The tests need only the ctypes declarations. The package itself would need its extension.
    (target / "mmapguard/__init__.py").write_text("")
    init = root / "init"
    init.write_text(
        "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n"
        "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mkdir -p /dev/shm /run\n"
        "mount -t tmpfs run /run; mount -t tmpfs shm /dev/shm; mount -t tmpfs -o size=70% work /mnt\n"
        f"for m in {MODULES}; do modprobe -q $m; done\n"
        "ip link set lo up; cd /test; xargs python3 -m vm.guest < arguments 2>&1\n"
        "echo o > /proc/sysrq-trigger; sleep 100\n"
    )
    init.chmod(0o755)


def has_kvm(kernel: Path) -> bool:
    """Returns true when a guest really boots with KVM, which a nested machine may only pretend to have."""
    command = [
        "qemu-system-x86_64",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "512",
        "-kernel",
        str(kernel),
        "-nographic",
    ]
    try:
        probe = subprocess.run(
            [*command, "-append", "console=ttyS0 panic=-1", "-no-reboot", "-nic", "none"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=15,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"Linux version" in probe.stdout


def play_host(shared: Path, ended: threading.Event) -> None:
    """Overwrite a file of the 9p folder in place whenever the guest asks for it.

    The guest removes the file by which it asks. The host could remove it while the guest's kernel still creates it.
    """
    wish, done = shared / "please", shared / "done"
    while not ended.is_set():
        if wish.exists() and not done.exists():
            path = shared / "file"
            with open(path, "r+b") as stream:
                stream.write(b"B" * path.stat().st_size)
            done.touch()
        time.sleep(0.05)


def boot(cache: Path) -> int:
    """Run the guest, show what it prints, and return its verdict."""
    shared = Path(tempfile.mkdtemp(prefix="mmapguard-vm-"))
    ended = threading.Event()
    host = threading.Thread(target=play_host, args=(shared, ended))
    host.start()
    kvm = has_kvm(cache / "vmlinuz")
    print("booting", "with KVM" if kvm else "with emulation, which is slow", flush=True)
    command = [
        "qemu-system-x86_64",
        "-accel",
        "kvm" if kvm else "tcg",
        "-cpu",
        "host" if kvm else "max",
        "-m",
        "3072",
        "-smp",
        "2",
        "-kernel",
        cache / "vmlinuz",
        "-initrd",
        cache / "system.cpio",
        "-append",
        "console=ttyS0 quiet panic=-1 rdinit=/init",
        "-nographic",
        "-no-reboot",
        "-nic",
        "none",
        "-virtfs",
        f"local,path={shared},mount_tag=shared,security_model=none",
    ]
    verdict = 1
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace"
    ) as guest:
        watchdog = threading.Timer(DEADLINE, guest.kill)
        watchdog.start()
        assert guest.stdout is not None
        for line in guest.stdout:
            line = line.rstrip()
            if line.startswith(("pass ", "FAIL ", "skip ", "    ")):
                print(line, flush=True)
            if line.startswith("verdict "):
                verdict = int(line.split()[1])
        watchdog.cancel()
    ended.set()
    host.join()
    shutil.rmtree(shared)
    return verdict


def main() -> int:
    """Make what is missing, boot the guest, and return its verdict."""
    build, cache = Path(sys.argv[1]), Path(sys.argv[2])
    lacking = missing()
    if lacking or os.geteuid() != 0:
        print("not run:", "needs root" if not lacking else "there is no " + ", no ".join(lacking))
        print("    so NFS, CIFS, 9p, vfat, exfat and failing devices were not tried on this machine")
        return 0
    cache.mkdir(parents=True, exist_ok=True)
    root = base_system(cache)
    install(root, build, sys.argv[3:] or ["200"])
    with open(cache / "system.cpio", "wb") as stream:
        subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=root, stdout=stream, check=True)
    return boot(cache)


if __name__ == "__main__":
    sys.exit(main())
