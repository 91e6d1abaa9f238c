# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the storm on every file system that can be made and mounted here, as the owner of the file and as a stranger.

    storm.py PROGRAM [ROUNDS [FILE_SYSTEM...]]

PROGRAM is stable_storm of the build; stable_media beside it is used for read-only media. CTest runs this at length.
Without root, the storm runs only in the temporary folder, as the own user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stable import mounts

READERS = ("root", "owner", "stranger")
OWNER = 65534
"""Who the programs become as "owner"."""
SKIPPED = 77
"""What the program exits with when it could not be run."""


NONE: Mapping[str, str] = {}
SETTINGS: dict[str, Mapping[str, str]] = {
    "ext4 with coarse times": {"STORM_COARSE_TIMES": "1"},
    "vfat": {"STORM_COARSE_TIMES": "1"},
    "fuse": {"STORM_COPIES_ONLY": "1"},
}
"""What the program is told about a file system."""
KINDS = mounts.WRITABLE + mounts.LAYERED + mounts.MORE + mounts.READ_ONLY


def blow(
    program: Path, where: Path, rounds: int, reader: str, *more: Path, settings: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    """Run the storm in a folder."""
    return subprocess.run(
        [program, str(rounds), reader, *more],
        env={**os.environ, "TMPDIR": str(where), **settings},
        capture_output=True,
        text=True,
        timeout=3600,
    )


def blow_at_medium(
    program: Path, kind: str, rounds: int, reader: str, size: int = 1 << 20
) -> subprocess.CompletedProcess[str]:
    """Run the storm of read-only media, with two versions of one medium."""
    versions = [os.urandom(size) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        media = [stack.enter_context(mounts.packed(kind, {"file": data}, OWNER)) for data in versions]
        place = stack.enter_context(mounts.folder())
        original = place / "original"
        original.write_bytes(versions[0])
        return blow(program.with_name("stable_media"), place, rounds, reader, *media, original)


def blow_at_layers(program: Path, kind: str, rounds: int, reader: str) -> subprocess.CompletedProcess[str]:
    """Run the storm on files of the lower layer of an overlay, one for each round."""

    def fill(lower: Path) -> None:
        files = lower / "files"
        files.mkdir()
        subprocess.run([program, "original", files / "0"], check=True)
        for number in range(1, rounds):  # no hard links: the copy of one in the upper layer has another inode
            shutil.copy(files / "0", files / str(number))
        for path in (files, *files.iterdir()):
            os.chown(path, OWNER if reader == "owner" else 0, -1)

    with mounts.layered(fill, 3 << 30) as where:
        settings = {"STORM_FOLDER": str(where / "files")}
        if kind == "overlay, copied up":
            settings["STORM_COPY_UP"] = "1"
        return blow(program, where, rounds, reader, settings=settings)


def _report(kind: str, reader: str, done: subprocess.CompletedProcess[str]) -> bool:
    print(f"{kind}, {reader}: {done.stdout.strip()}\n{done.stderr}", flush=True)
    return done.returncode in (0, SKIPPED)


def main() -> int:
    """Return 0 when the guarantee held everywhere, 1 when it did not, 77 when there was no place to try it."""
    program = Path(sys.argv[1]).resolve()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    good, tried = True, 0
    if os.geteuid() != 0:
        print("without root: only the temporary folder, only as oneself")
        return 0 if _report("here", "root", blow(program, Path(tempfile.gettempdir()), rounds, "root")) else 1
    for kind in sys.argv[3:] or KINDS:
        try:
            makes_its_own = kind in mounts.READ_ONLY + mounts.LAYERED
            with contextlib.nullcontext() if makes_its_own else mounts.writable(kind) as where:
                for reader in READERS:
                    if kind in mounts.LAYERED:
                        done = blow_at_layers(program, kind, rounds, reader)
                    elif where is None:
                        done = blow_at_medium(program, kind, rounds, reader)
                    else:
                        done = blow(program, where, rounds, reader, settings=SETTINGS.get(kind, NONE))
                    good &= _report(kind, reader, done)
                    tried += 1
        except mounts.Unavailable as reason:
            print(f"{kind}: skipped: {reason}", flush=True)
    return (0 if good else 1) if tried else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
