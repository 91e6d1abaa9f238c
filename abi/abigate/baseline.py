# SPDX-License-Identifier: MIT OR Apache-2.0
"""The record of an ABI version in `abi/<version>/`: write it, and tell what has changed since.

A record holds the header, the exported symbols, one abidw dump for each architecture, and `status`:
`candidate` while every change may still be accepted, `release` once the version is out. The record of a release
never changes; what is added after it belongs to the record of the next minor version.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .additions import breaks, grown, suppressions, symbol_breaks
from .debuginfo import HEADER_NAME, describe_header
from .exports import Library
from .header import Header
from .model import Description, differences

CANDIDATE, RELEASE = "candidate", "release"

#: The architectures of which a record holds a dump.
MACHINES = ("x86_64", "aarch64")

_ABIDIFF_FAILED, _ABIDIFF_CHANGED, _ABIDIFF_INCOMPATIBLE = (
    3,
    4,
    8,
)  # bits of its exit status; 1 and 2 are failures

_PUBLIC_ONLY = ("--exported-interfaces-only",)
_NO_PLACES = ("--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed")


class BaselineError(Exception):
    """The record cannot be read, written or compared."""


@dataclass(frozen=True)
class Baseline:
    """One recorded version."""

    folder: Path

    @property
    def header(self) -> Path:
        """The header as recorded."""
        return self.folder / HEADER_NAME

    @property
    def symbols(self) -> Path:
        """The exported symbols as recorded."""
        return self.folder / "symbols"

    def dump(self, machine: str) -> Path:
        """The abidw dump for an architecture."""
        return self.folder / f"{machine}.abi"

    @property
    def status(self) -> str:
        """CANDIDATE, also before the first record, or RELEASE. Raises BaselineError for anything else."""
        path = self.folder / "status"
        if not path.exists():
            return CANDIDATE
        status = path.read_text(encoding="utf-8").strip()
        if status not in (CANDIDATE, RELEASE):
            raise BaselineError(f"{self._label('status')} says `{status}`, not {CANDIDATE} or {RELEASE}")
        return status

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor."""
        major, _, minor = self.folder.name.partition(".")
        return int(major), int(minor)

    def changes(
        self, header: Header, now: Description, library: Library, compiler: str, scratch: Path
    ) -> list[str]:
        """What differs from the record, one sentence each; `now` is what `header` means to `compiler`."""
        missing = [p for p in (self.header, self.symbols, self.dump(library.machine)) if not p.exists()]
        if missing:
            return [f"{self._label(path.name)} is not recorded yet" for path in missing]
        found = differences(describe_header(Header(self.header), compiler, scratch), now)
        if not found and self.header.read_text(encoding="utf-8") != header.text:
            found.append(
                f"the text of {HEADER_NAME} differs from {self._label(HEADER_NAME)}, though not its meaning"
            )
        before = self.symbols.read_text(encoding="utf-8").splitlines()
        after = library.listing().splitlines()
        found += [f"symbol {symbol} is gone from the library" for symbol in before if symbol not in after]
        found += [f"symbol {symbol} is new in the library" for symbol in after if symbol not in before]
        return found + self._abidiff(library)

    def breaks(self, now: Description, library: Library, compiler: str, scratch: Path) -> list[str]:
        """What is more than an addition to this record, one sentence each."""
        before = describe_header(Header(self.header), compiler, scratch)
        found = breaks(before, now)
        found += symbol_breaks(self.symbols.read_text(encoding="utf-8").splitlines(), library)
        if self.dump(library.machine).exists():
            may_grow = scratch / "suppressions"
            may_grow.write_text(suppressions(grown(before, now)), encoding="utf-8")
            found += self._abidiff(library, "--no-added-syms", "--suppressions", str(may_grow))
        return [f"not an addition to {self.folder.name}: {finding}" for finding in found]

    def record(self, header: Header, *libraries: Library) -> None:
        """Write the record anew, with a dump of each library. Raises BaselineError when it is declared a release."""
        if self.status != CANDIDATE:
            major, minor = self.version
            raise BaselineError(
                f"{self._label('status')} declares a release: its record does not change any more. What is added"
                f" belongs to {major}.{minor + 1}: set MMG_ABI to 0x{major << 16 | minor + 1:08x}, and give"
                f" new functions a node MMAPGUARD_{major}.{minor + 1} in the version script"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text(CANDIDATE + "\n", encoding="utf-8")
        self.header.write_text(header.text, encoding="utf-8")
        self.symbols.write_text(libraries[0].listing(), encoding="utf-8")
        for library in libraries:
            self._record_dump(library)

    def _record_dump(self, library: Library) -> None:
        done = _run("abidw", *_PUBLIC_ONLY, *_NO_PLACES, str(library.path))
        if done.returncode != 0:
            raise BaselineError(f"abidw failed: {done.stderr.strip()}")
        dump = re.sub(r" path='[^']*/([^/']+)'", r" path='\1'", done.stdout)  # of the source files
        self.dump(library.machine).write_text(dump, encoding="utf-8")

    def _abidiff(self, library: Library, *options: str) -> list[str]:
        pair = (str(self.dump(library.machine)), str(library.path))
        done = _run("abidiff", *_PUBLIC_ONLY, "--no-show-locs", *options, *pair)
        if done.returncode & _ABIDIFF_FAILED:
            raise BaselineError(f"abidiff failed: {(done.stderr or done.stdout).strip()}")
        if not done.returncode & _ABIDIFF_CHANGED:
            return []
        kind = "an incompatible change" if done.returncode & _ABIDIFF_INCOMPATIBLE else "a change"
        report = "".join(f"\n      {line}" for line in done.stdout.splitlines() if line.strip())
        return [f"abidiff reports {kind} since {self._label(self.dump(library.machine).name)}:{report}"]

    def _label(self, name: str) -> str:
        return f"abi/{self.folder.name}/{name}"


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        raise BaselineError(f"{tool} is not installed; it comes with libabigail (Debian: abigail-tools)")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
