# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes bare Debian systems in folders by debootstrap, and runs commands in them by chroot(2), in namespaces of their
own.

The mounts for a command, and every process that the command starts, end with the command.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIRROR = os.environ.get("MMAPGUARD_DEBIAN_MIRROR", "http://deb.debian.org/debian")
SCRIPTS = Path("/usr/share/debootstrap/scripts")
USER = "visitor"

# The files by which this machine reaches the network. The new system needs the same.
NETWORK = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "GOPROXY")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# The arguments are the folder, and then the command with its words.
ENTER = """
mount -t proc proc "$0/proc"
mount -t sysfs sysfs "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"
exec chroot "$0" "$@"
"""


class BareDebian:
    """A minimal Debian in a folder, with a user and a copy of this checkout in that user's home."""

    def __init__(self, folder: Path, suite: str, *options: str) -> None:
        """Make the system with these options of debootstrap. This takes a minute and needs the network."""
        self.folder = folder
        script = (
            [] if (SCRIPTS / suite).exists() else [SCRIPTS / "sid"]
        )  # an older debootstrap knows no new names
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", *options, suite, folder, MIRROR, *script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout[-6000:]
        for name in ("hosts", "resolv.conf"):
            shutil.copy(Path("/etc") / name, folder / "etc" / name)
        if CERTIFICATES.exists():
            (folder / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            shutil.copy(CERTIFICATES, folder / "etc/ssl/certs/of-the-host.crt")
        self.checked("root", f"useradd --create-home --shell /bin/bash {USER}")

    def bring(self, name: str, files: list[str]) -> None:
        """Copy these files of the checkout into a new folder of the user's home."""
        for file in files:
            target = self.folder / "home" / USER / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, target, follow_symlinks=False)
        self.checked("root", f"chown -R {USER}: /home/{USER}/{name}")

    def allow_sudo(self) -> None:
        """Install sudo, and let the user use it without a password."""
        self.checked("root", "apt-get update -q && apt-get install -qy --no-install-recommends sudo")
        (self.folder / "etc/sudoers.d/visitor").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")

    def run(self, user: str, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands as a user would type them into a new login shell."""
        settings = {name: os.environ[name] for name in NETWORK if name in os.environ}
        if (self.folder / "etc/ssl/certs/of-the-host.crt").exists():
            for name in ("PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"):
                settings[name] = "/etc/ssl/certs/of-the-host.crt"
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
        login = ["su", "--login", user, "--command", exports + "set -e\n" + commands]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*namespaces, "sh", "-euc", ENTER, str(self.folder), *login],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def checked(self, user: str, commands: str) -> str:
        """Run commands that must succeed; return what they print."""
        done = self.run(user, commands)
        assert done.returncode == 0, f"{commands}\n{done.stdout[-6000:]}"
        return done.stdout
