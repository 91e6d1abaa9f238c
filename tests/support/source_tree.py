# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the source tree and its object files: who includes whom, who calls whom, and who needs the kernel."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: The floor of each room. An include or a call may stay in its room or go down to a room with a higher number; `guard`
#: and `handle` are on one floor, and neither knows the other.
FLOORS = {"api": 0, "stable": 1, "region": 2, "guard": 3, "handle": 3, "base": 4, "os": 5}

#: Headers of the C library that do not depend on a kernel. Any other header in angle brackets belongs to
#: src/os/<platform>/.
PLAIN_HEADERS = {
    "errno.h",
    "limits.h",
    "stdalign.h",
    "stdarg.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
}

#: Functions of the C library that make no system call of their own, or only to get memory.
PLAIN_FUNCTIONS = {
    *("malloc", "calloc", "realloc", "free"),
    *(
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "memchr",
        "memmem",
        "memrchr",
        "strlen",
        "strcmp",
        "strncmp",
        "strchr",
    ),
    *("strrchr", "strncpy", "snprintf", "vsnprintf", "strerror_r", "__xpg_strerror_r", "__errno_location"),
    *(
        "__memcpy_chk",
        "__memmove_chk",
        "__memset_chk",
        "__snprintf_chk",
        "__vsnprintf_chk",
        "__stack_chk_fail",
    ),
    *("_GLOBAL_OFFSET_TABLE_", "__tls_get_addr", "__cpu_model"),
}

#: The headers in include/, which programs include as well.
PUBLIC_HEADERS = {"mmapguard.h", "mmapguard_arrow.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def room_of(path: str) -> str:
    """Return the room of a path below src/: its first folder."""
    return path.split("/", 1)[0]


def is_platform(path: str) -> bool:
    """Returns true when a path below src/ belongs to one platform, and so may know its kernel."""
    return re.fullmatch(r"os/[a-z]+/.+", path) is not None


def points_down(source: str, target: str) -> bool:
    """Returns true when one room may use another: itself, or a room on a lower floor."""
    return source == target or FLOORS[source] < FLOORS[target]


def code_of(text: str) -> str:
    """Return the text of a C file with its comments blanked, line by line."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda found: re.sub(r"[^\n]", " ", found.group()), text, flags=re.S)


@dataclass
class Tree:
    """A source tree, with the object files that were compiled from it."""

    root: Path
    objects: Path | None = None
    texts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = {
            str(path.relative_to(self.root)): path.read_text(encoding="utf-8")
            for path in sorted(self.root.rglob("*.[ch]"))
        }

    def includes(self) -> Iterator[tuple[str, str, bool]]:
        """Provide each include: the file, what it names, and whether it stands in quotes."""
        for name, text in self.texts.items():
            for found in INCLUDE.finditer(code_of(text)):
                yield name, found[2], found[1] == '"'

    def wrong_includes(self) -> list[str]:
        """Return includes that go up, sideways, or name no room."""
        wrong = []
        for name, target, quoted in self.includes():
            if not quoted or target in PUBLIC_HEADERS:
                continue
            if room_of(target) not in FLOORS or "/" not in target:
                wrong.append(f'{name} includes "{target}", which names no room')
            elif not points_down(room_of(name), room_of(target)):
                wrong.append(f'{name} includes "{target}"')
            elif is_platform(target) and not is_platform(name):
                wrong.append(f'{name} includes "{target}", which belongs to one platform')
        return wrong

    def circles(self) -> list[str]:
        """Return headers that include themselves by way of others."""
        arrows: dict[str, set[str]] = {}
        for name, target, quoted in self.includes():
            if quoted and target in self.texts:
                arrows.setdefault(name, set()).add(target)

        def reach(start: str) -> set[str]:
            seen: set[str] = set()
            waiting = [start]
            while waiting:
                for target in arrows.get(waiting.pop(), ()):
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)
            return seen

        return sorted(name for name in self.texts if name in reach(name))

    def kernel_words(self) -> list[str]:
        """Return places outside src/os/<platform>/ that include a header of the kernel or name /proc."""
        wrong = []
        for name, target, quoted in self.includes():
            # Types of threads; and the macros of probes, which call nothing.
            known = (name, target) in {("os/thread.h", "pthread.h"), ("base/probes.h", "sys/sdt.h")}
            if not quoted and target not in PLAIN_HEADERS and not is_platform(name) and not known:
                wrong.append(f"{name} includes <{target}>")
        for name, text in self.texts.items():
            if not is_platform(name) and re.search(r'"/proc["/]', code_of(text)):
                wrong.append(f"{name} names /proc")
        return wrong

    # ------------------------------------------------------------------------------------------- what was compiled --

    def symbols(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Return where each global symbol is defined, and what each object needs from outside itself."""
        assert self.objects is not None
        defined: dict[str, str] = {}
        needed: list[tuple[str, str]] = []
        names = [
            name
            for path in sorted(self.objects.rglob("*.o"))
            # The source of an object may be gone: the object is of an earlier build.
            if (name := str(path.relative_to(self.objects)).removesuffix(".o")) in self.texts
        ]
        command = ["nm", "-g", "-A", *(f"{name}.o" for name in names)]
        listing = subprocess.run(command, cwd=self.objects, capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            path, symbols = line.split(":", 1)
            *_, kind, symbol = symbols.split()
            name = path.removesuffix(".o")
            if kind in "Uw":
                needed.append((name, symbol))
            else:
                defined[symbol] = name
        return defined, needed

    def wrong_calls(self) -> list[str]:
        """Return references between object files that go up or sideways."""
        defined, needed = self.symbols()
        return [
            f"{name} uses {symbol} of {defined[symbol]}"
            for name, symbol in needed
            if symbol in defined and not points_down(room_of(name), room_of(defined[symbol]))
        ]

    def system_calls(self) -> list[str]:
        """Return functions outside the library that a file outside src/os/<platform>/ uses, and that may ask the kernel."""
        defined, needed = self.symbols()
        return [
            f"{name} uses {symbol}()"
            for name, symbol in needed
            if not is_platform(name)
            and symbol not in defined
            and symbol not in PLAIN_FUNCTIONS
            and not symbol.startswith(
                "mmgi_"
            )  # an object of the platform that only one of the two libraries has
        ]

    def foreign_names(self) -> list[str]:
        """Return global symbols that could collide with those of a program.

        A name with a full stop in it is none that a program can have: the place to which the notes of probes refer.
        """
        defined, _ = self.symbols()
        return sorted(symbol for symbol in defined if not re.match(r"mmgi?_|_\.stapsdt", symbol))
