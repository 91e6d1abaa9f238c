# SPDX-License-Identifier: MIT OR Apache-2.0
"""What mmapguard is for, shown on a real file.

    demo.py [--build DIR] [--picture SVG] [FILE]

Maps FILE (without one: a large file of this machine), prints what the library can say about it, hashes it through
spans and compares with sha256sum. Then readers go through a temporary copy while another process cuts that copy
short: the readers on plain mmap die of SIGBUS, and the readers on mmapguard learn what is lost. Then the copy is
rewritten in place, which a reader that demanded STABLE does not see. At last a program that knows nothing of the
library reads a file that is cut, alone and under `mmapguard run`. FILE itself is only read. --picture writes the
lines of the scene in which the copy is cut to an SVG as well.

Exit code: 0 when everything went as promised, 1 when a promise was broken, 2 when FILE does not suit the demo or the
programs of the demo are missing, 130 after an interrupt.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from console import Console, amount, duration, plural

try:
    import launched
    import mmapguard
    from mmapguard.abi import MMG_ABI
    from picture import svg
    from readers import LOST
except ImportError as missing:  # ./dev demo builds the package and sets PYTHONPATH, also for the readers
    print(f"demo: {missing} (./dev demo builds what is missing)", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
SEARCHED = ("/usr/lib", "/usr/bin", "/usr/libexec", "/var/log")
HASHED_AT_MOST = 256 << 20
COPIED_AT_MOST = 256 << 20
ROUND_MS = 900
"""How long a reader takes for one round through the copy, so that an eye can follow."""
PATIENCE_S = 60
"""A reader that says nothing for so long is stuck, which is a broken promise of its own."""
REWRITE = """
import os, sys, time
started = time.perf_counter()
file = os.open(sys.argv[1], os.O_RDWR)
print(time.perf_counter() - started)
inverse, offset = bytes(range(255, -1, -1)), 0
while block := os.pread(file, 1 << 20, offset):
    offset += os.pwrite(file, block.translate(inverse), offset)
"""
"""A program that inverts every bit of a file in place, and prints how many seconds open(2) took."""


class Refused(Exception):
    """The demo cannot use this file; the message says why. The exit code is 2."""


class Broken(Exception):
    """The library broke a promise. The exit code is 1."""


# ------------------------------------------------------------------------------------------------------------ screen


class Screen(Console):
    """The console, with the rows, paragraphs and bars of the demo."""

    LABEL, VALUE = 22, 29

    def __init__(self) -> None:
        super().__init__()
        self.bar_width = max(12, min(32, self.width - self.LABEL - 44))

    def text(self, text: str) -> None:
        """Print a paragraph, wrapped at words."""
        line = ""
        for word in text.split():
            if line and len(line) + 1 + len(word) > self.width - 6:
                self.line("    " + line)
                line = ""
            line += (" " if line else "") + word
        self.line("    " + line)

    def row(self, label: str, value: str, remark: str = "") -> None:
        """Print `label  value  remark`. The remark gets a line of its own where it has no room beside the value."""
        start = "    " + self.dim(label.ljust(self.LABEL))
        beside = len(value) <= self.VALUE and 6 + self.LABEL + self.VALUE + len(remark) <= self.width
        if remark and not beside:
            self.line(start + value)
            self.line(" " * (4 + self.LABEL) + self.dim(remark))
        else:
            self.line(start + value.ljust(self.VALUE + 2) + self.dim(remark))

    def bar(self, part: float, end: float = 1.0) -> str:
        """Return a bar that is filled up to `part`. The file ends at `end` of its old size."""
        last = min(round(end * self.bar_width), self.bar_width - (end < 1))
        done = min(round(part * self.bar_width), last)
        track = "━" * done + self.dim("─" * (last - done))
        if end < 1:
            track += self.bad("╳") + " " * (self.bar_width - last - 1)
        return track

    def progress(self, label: str, bar: str, remark: str = "") -> str:
        return "    " + label.ljust(self.LABEL) + bar + "  " + remark


def shown(path: str) -> str:
    """Return a path that people can read: bytes that are no text appear escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:,.0f} ms"


# ----------------------------------------------------------------------------------------------------------- library


def check_build(build: Path) -> None:
    """Raise Refused unless everything exists that the scenes need."""
    for program in ("demo/plain-reader", "demo/guarded-reader", "launcher/mmapguard"):
        if not (build / program).exists():
            raise Refused(f"{build / program} is missing (./dev demo builds it)")
    if mmapguard.guard_state() == "disabled":
        raise Refused("MMAPGUARD_NO_SIGNAL is set, and without the fault guard there is nothing to show")


def open_region(path: str) -> mmapguard.Region:
    """Open the file as a region. Raise Refused with the message of the exception when this fails."""
    try:
        return mmapguard.open(path, reject_empty=True)
    except (OSError, ValueError) as error:
        raise Refused(str(error)) from error


# ----------------------------------------------------------------------------------------------------------- readers


@dataclass
class Reader:
    """One reader: a child process that goes through a file and says where it is."""

    label: str
    command: list[str]
    size: int
    digests: list[str] = field(default_factory=list)
    lost: tuple[str, int, int] | None = None
    """Name of the status, first lost byte, signals contained."""
    means: list[str] = field(default_factory=list)
    """By what the bytes are kept: at open, and after each round."""
    changed: list[str] = field(default_factory=list)
    """What Region.changed() gave the last time."""
    at: int = 0
    exit_code: int = 0
    errors: str = ""

    def run(self, listener: Callable[[Reader], bool]) -> None:
        """Run the reader to its end. `listener` is called for every step, and stops the reader by returning False."""
        child = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None and child.stderr is not None
        signal.alarm(PATIENCE_S)
        try:
            for line in child.stdout:
                signal.alarm(PATIENCE_S)
                word, *rest = line.split()
                if word == "at":
                    self.at = int(rest[0])
                elif word == "digest":
                    self.digests.append(rest[0])
                elif word == "lost":
                    self.lost = (rest[0], int(rest[1]), int(rest[2]))
                elif word == "means":
                    self.means.append(" ".join(rest))
                elif word == "changed":
                    self.changed = rest
                if not listener(self):
                    break
            else:
                self.exit_code = child.wait()
        finally:
            signal.alarm(0)
            if child.poll() is None:
                child.kill()
            self.errors = child.stderr.read().strip()
            child.wait()
            child.stdout.close()
            child.stderr.close()

    def ending(self) -> str:
        """Return how the process ended, in words."""
        if self.exit_code < 0:
            return "killed by " + signal.Signals(-self.exit_code).name
        said = self.errors.splitlines()[-1] if self.errors else "and said nothing"
        return f"exit code {self.exit_code}: {said}" if self.exit_code not in (0, LOST) else "ended by itself"


@dataclass
class Demo:
    """The data that the scenes share."""

    screen: Screen
    build: Path
    path: str
    region: mmapguard.Region
    length: int
    """How much of the file is hashed."""

    def reader(
        self,
        kind: str,
        language: str,
        path: str | Path,
        size: int,
        *numbers: int,
        force_map: bool = False,
        stable: bool = False,
    ) -> Reader:
        """Return a reader of `kind` ("plain" or "guarded"), not yet started.

        Only the one in Python takes `stable`.
        """
        if language == "C":
            command = [str(self.build / "demo" / f"{kind}-reader")]
        else:
            command = [sys.executable, str(HERE / "readers.py"), kind]
        command += (
            ["--map"] * force_map + ["--stable"] * stable + [str(path)] + [str(number) for number in numbers]
        )
        label = "plain mmap" if kind == "plain" else "mmapguard"
        return Reader(f"{label}, {language}", command, size)


# ------------------------------------------------------------------------------------------------------------ scenes


def largest_file(screen: Screen) -> str:
    """Return the largest regular file that can be read under SEARCHED."""
    best, best_size, looked = "", 0, 0
    pending = [path for path in SEARCHED if os.path.isdir(path)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                looked += 1
                if looked % 2000 == 0:
                    screen.passing(f"    Looking for a large file … {looked:,} seen")
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        size = entry.stat(follow_symlinks=False).st_size
                        if size > best_size and os.access(entry.path, os.R_OK):
                            best, best_size = entry.path, size
    if not best:
        raise Refused(
            "no file to show anything on under " + ", ".join(SEARCHED) + "; name one: ./dev demo FILE"
        )
    return best


def require_regular(path: str) -> None:
    """Refuse a file that cannot be cut, before the library opens it: the library would read a pipe to its end."""
    with contextlib.suppress(OSError):
        mode = os.stat(path).st_mode
        kinds: tuple[tuple[Callable[[int], bool], str], ...] = (
            (stat.S_ISFIFO, "a FIFO"),
            (stat.S_ISCHR, "a character device"),
            (stat.S_ISBLK, "a block device"),
        )
        for test, name in kinds:
            if test(mode):
                raise Refused(
                    f"'{shown(path)}' is {name}; the demo needs a regular file, to cut a copy of it short"
                )


def scene_file(screen: Screen, build: Path, path: str, found: bool) -> Demo:
    """Open the file and print everything that the library knows about it."""
    begin = time.perf_counter()
    region = open_region(path)
    opened = time.perf_counter() - begin
    info = region.info
    copied = info.backing == "copy"
    stable = info.guarantee == "stable"

    screen.heading("The file")
    screen.line("    " + shown(path))
    if found:
        screen.line("    " + screen.dim("the largest that was found in " + ", ".join(SEARCHED)))

    screen.heading("What the library says about it")
    screen.row("size", f"{info.size:,} bytes", amount(info.size) if info.size >= 1024 else "")
    screen.row("modified", moment(info.mtime_ns // 10**9), f"inode {info.inode}")
    kept = "private memory" if copied else "the page cache itself"
    screen.row("backing", f"{info.backing}: {info.backing_reason}", kept)
    kept = "nobody can change them" if stable else "losses are reported"
    screen.row("guarantee", f"{info.guarantee}, by {info.means}", kept)
    if not stable:
        screen.row("not stable because", info.shortfall)
    no_lock = "a copy needs none" if copied else ""
    screen.row("lock", info.lock, f"errno {info.lock_error}" if info.lock_error else no_lock)
    screen.row("fault guard", mmapguard.guard_state(), "nothing is mapped" if copied else "")
    resident = region.resident()
    screen.row("in memory", amount(resident), f"{resident / info.size:.0%} of it" if info.size else "")
    screen.row(
        "held for it", f"{amount(info.mapped_bytes)} of addresses", f"{amount(info.heap_bytes)} of heap"
    )
    screen.row("opened in", duration(opened * 1e9))
    return Demo(screen, build, path, region, min(info.size, HASHED_AT_MOST))


def moment(timestamp: int) -> str:
    """Return a file time for people, or a number where no calendar has the date."""
    try:
        return f"{datetime.fromtimestamp(timestamp):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return f"{timestamp} s since 1970"


def sha256sum(path: str, length: int) -> tuple[str, float]:
    """Return the digest of the first `length` bytes by the system's own sha256sum, and its time.

    A log may have grown meanwhile.
    """
    begin = time.perf_counter()
    with (
        open(path, "rb") as file,
        subprocess.Popen(["head", "-c", str(length)], stdin=file, stdout=subprocess.PIPE) as head,
    ):
        output = subprocess.run(["sha256sum"], stdin=head.stdout, capture_output=True, check=True).stdout
    return output.split()[0].decode(), time.perf_counter() - begin


def scene_hash(demo: Demo) -> None:
    """Hash the file in place, in C and in Python, and compare with sha256sum."""
    screen, size = demo.screen, len(demo.region)
    screen.heading("SHA-256 of it, read through spans without a copy")
    if demo.length < size:
        screen.text(
            f"The first {amount(demo.length)} only, as a window: hashing all of it would take a while."
        )
    screen.passing(screen.progress("sha256sum", screen.bar(0)))
    expected, spent = sha256sum(demo.path, demo.length)
    screen.line(screen.progress("sha256sum", screen.bar(1), duration(spent * 1e9).rjust(7)))
    for language in ("C", "Python"):
        reader = demo.reader("guarded", language, demo.path, demo.length, demo.length)

        def listen(reader: Reader) -> bool:
            screen.passing(screen.progress(reader.label, screen.bar(reader.at / reader.size)))
            return True

        begin = time.perf_counter()
        reader.run(listen)
        spent = time.perf_counter() - begin
        agrees = reader.digests == [expected]
        word = (
            screen.good("the same") if agrees else screen.bad("another: " + (reader.digests or ["none"])[0])
        )
        screen.line(screen.progress(reader.label, screen.bar(1), f"{duration(spent * 1e9):>7}  {word}"))
        if agrees:
            continue
        if changed := demo.region.changed():
            screen.text(f"The file changed meanwhile ({', '.join(changed)}), so there is nothing to compare.")
            return
        raise Broken(f"{reader.label} hashed something else than sha256sum; {reader.ending()}")
    screen.line("    " + screen.dim(expected))


def copy(source: str, target: Path, length: int, start: int = 0) -> None:
    """Copy bytes `start` to `length`, in the kernel and by reflink where the file systems can, else by read and
    write."""
    with (
        open(source, "rb", buffering=0) as reader,
        open(target, "r+b" if target.exists() else "xb", 0) as writer,
    ):
        done = start
        with contextlib.suppress(OSError):
            while done < length:
                count = os.copy_file_range(reader.fileno(), writer.fileno(), length - done, done, done)
                if count == 0:
                    break
                done += count
        while done < length:
            block = os.pread(reader.fileno(), min(length - done, 1 << 20), done)
            if not block:
                raise Refused(f"'{shown(source)}' became shorter while it was copied")
            os.pwrite(writer.fileno(), block, done)
            done += len(block)


@contextlib.contextmanager
def working_copy(demo: Demo) -> Iterator[tuple[Path, int]]:
    """Provide a copy that may be cut, and its size. The copy is deleted afterwards."""
    screen = demo.screen
    size = len(demo.region)
    folder = Path(tempfile.mkdtemp(prefix="mmapguard-demo-"))
    try:
        room = shutil.disk_usage(folder).free // 2
        length = min(size, COPIED_AT_MOST, room)
        if length == 0:
            raise Refused(f"no room for a copy in {shown(str(folder.parent))}; point TMPDIR elsewhere")
        target = folder / "copy"
        screen.passing(f"    Copying {amount(length)} …")
        try:
            copy(demo.path, target, length)
        except OSError as error:
            raise Refused(f"cannot make a copy in {shown(str(folder.parent))}: {error.strerror}") from error
        where = shown(str(target))
        if length < size:
            why = "there is no room for more" if length == room else "enough to see it"
            screen.text(f"On a copy of the first {amount(length)} of it, {where}: {why}.")
        else:
            screen.text(f"On a copy, {where}.")
        yield target, length
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cut_point(size: int, page: int) -> int:
    """Return where to cut the file.

    The place is in the middle of a page, somewhat behind the middle of the file, and at least a page is lost.
    A small file loses everything.
    """
    cut = size * 5 // 8 // page * page + page // 3
    return cut if cut + page < size else 0


def cut_short(path: Path, size: int) -> None:
    """Cut the file from another process, by truncate(1) where the system has it."""
    truncate = shutil.which("truncate")
    script = "import os, sys; os.truncate(sys.argv[1], int(sys.argv[2]))"
    if truncate:
        subprocess.run([truncate, f"--size={size}", str(path)], check=True)
    else:
        subprocess.run([sys.executable, "-c", script, str(path), str(size)], check=True)


def watch(demo: Demo, reader: Reader, path: Path, cut: int) -> None:
    """Run a reader and cut the file under it after a few steps. Stop the reader three rounds later."""
    screen = demo.screen
    rounds: int | None = None  # the rounds that the reader had done at the cut

    def listen(reader: Reader) -> bool:
        nonlocal rounds
        if rounds is None and reader.at >= reader.size * 0.3:
            cut_short(path, cut)
            rounds = len(reader.digests)
        end = 1.0 if rounds is None else cut / reader.size
        screen.passing(screen.progress(reader.label, screen.bar(reader.at / reader.size, end)))
        return rounds is None or len(reader.digests) < rounds + 3

    reader.run(listen)


def scene_cut(demo: Demo) -> None:
    """Cut the file under one reader after the other, and show which of them live."""
    screen, info = demo.screen, demo.region.info
    copied = info.backing == "copy"
    screen.heading("Now another process cuts the file short, while it is being read")
    with working_copy(demo) as (path, size):
        cut = cut_point(size, os.sysconf("SC_PAGE_SIZE"))
        screen.text(
            f"truncate(1) asks nobody for a lock: of {size:,} bytes it leaves {cut:,} as soon as a reader is on its way."
        )
        if copied:
            screen.text(
                "mmapguard copies a file as small as this one, and so does not notice. For there to be something to "
                "see, all readers but the last map it."
            )
        screen.line()
        as_map = copied or size < info.size  # the library may copy a file that is so short
        readers: list[tuple[Reader, Judge]] = [
            (demo.reader("plain", "C", path, size, ROUND_MS), died),
            (demo.reader("plain", "Python", path, size, ROUND_MS), died),
            (demo.reader("guarded", "C", path, size, 0, ROUND_MS, force_map=as_map), was_told),
            (demo.reader("guarded", "Python", path, size, 0, ROUND_MS, force_map=as_map), was_told),
        ]
        if copied:
            readers.append((demo.reader("guarded", "C", path, size, 0, ROUND_MS // 2), did_not_notice))
            readers[-1][0].label = "mmapguard, C, copied"
        for reader, judge in readers:
            watch(demo, reader, path, cut)
            text, ok = judge(reader, cut)
            bar = (
                screen.bar(1.0)
                if judge is did_not_notice
                else screen.bar(min(reader.at, cut) / size, cut / size)
            )
            paint = screen.good if ok and judge is not died else screen.bad
            screen.line(screen.progress(reader.label, bar, paint(text)))
            if not ok:
                raise Broken(f"{reader.label}: {text}; the file was cut at {cut:,}")
            copy(demo.path, path, size, cut)
    screen.line()
    screen.text(
        "The readers on plain mmap are dead. Those on mmapguard live, and know which bytes they may trust."
    )


Judge = Callable[[Reader, int], tuple[str, bool]]
"""Says how a reader ended when the file was cut at an offset, and whether that is as it must be."""


def died(reader: Reader, cut: int) -> tuple[str, bool]:
    """Check and print that a reader without the library died of SIGBUS."""
    return reader.ending(), reader.exit_code == -signal.SIGBUS


def was_told(reader: Reader, cut: int) -> tuple[str, bool]:
    """Check and print that a reader with the library got a status, and the first byte that is gone."""
    if reader.exit_code != LOST or reader.lost is None:
        return reader.ending(), False
    name, offset, signals = reader.lost
    text = f"{name.removeprefix('MMG_E_')} at byte {offset:,}, {plural(signals, 'signal')}"
    return text, name == "MMG_E_TRUNCATED" and offset == cut


def did_not_notice(reader: Reader, cut: int) -> tuple[str, bool]:
    """Check and print that a reader with a copy got the same bytes in every round."""
    same = len(reader.digests) >= 3 and len(set(reader.digests)) == 1
    return ("reads on, the same hash each time", True) if same else (reader.ending(), False)


def rewrite_under(demo: Demo, reader: Reader, path: Path) -> float:
    """Run a reader and rewrite the file under it after its first round.

    Return the time that open(2) of the writer took.

    Two more rounds follow, and some more where the reader has not yet noticed the change, since its lines may come
    late.
    """
    screen = demo.screen
    writer: subprocess.Popen[str] | None = None
    started = 0.0
    rounds: int | None = None  # the rounds that the reader had done when the writer was ready

    def listen(reader: Reader) -> bool:
        nonlocal writer, started, rounds
        if writer is None and reader.digests:
            command = [sys.executable, "-c", REWRITE, str(path)]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            started = time.monotonic()
        if writer is not None and rounds is None:
            if writer.poll() is not None:
                rounds = len(reader.digests)
            elif time.monotonic() - started > PATIENCE_S:
                raise Broken(f"{reader.label}: the writer was not through after {PATIENCE_S} s")
        remark = "" if writer is None else "being rewritten" if rounds is None else "rewritten"
        screen.passing(screen.progress(reader.label, screen.bar(reader.at / reader.size), remark))
        noticed = len(set(reader.digests)) > 1 or reader.changed
        return rounds is None or len(reader.digests) < rounds + (2 if noticed else 12)

    try:
        reader.run(listen)
    finally:
        if writer is not None:
            if rounds is None:
                writer.kill()
            output, errors = writer.communicate()
    if writer is None or rounds is None:
        return 0.0  # the reader ended by itself, and the caller says so
    if writer.returncode:
        raise Refused(f"the copy could not be rewritten: {(errors.splitlines() or ['no reason given'])[-1]}")
    return float(output)


def scene_stable(demo: Demo) -> None:
    """Rewrite the file under a plain reader and under one that demanded STABLE, and see whose hash changes."""
    screen = demo.screen
    screen.heading("Now another process rewrites the file in place, while it is being read")
    with working_copy(demo) as (path, size):
        screen.text(
            "It opens the copy for writing and inverts every bit. Its size stays, so nothing faults; only the hash tells."
        )
        screen.line()
        plain = demo.reader("plain", "Python", path, size, ROUND_MS // 2)
        stable = demo.reader("guarded", "Python", path, size, 0, ROUND_MS // 2, stable=True)
        stable.label = "mmapguard, STABLE"
        waits = []
        for reader, as_it_must in ((plain, False), (stable, True)):
            waits.append(rewrite_under(demo, reader, path))
            if reader is stable and reader.exit_code == 2:
                raise Refused(f"STABLE cannot be had for the copy: {reader.ending()}")
            if reader.exit_code or reader.lost or len(reader.digests) < 3:
                raise Broken(f"{reader.label}: {reader.lost[0] if reader.lost else reader.ending()}")
            same = len(set(reader.digests)) == 1
            text = "the same hash each time" if same else "another hash than before"
            paint = screen.good if same else screen.bad
            screen.line(screen.progress(reader.label, screen.bar(1), paint(text)))
            if same != as_it_must:
                raise Broken(f"{reader.label}: {text}, although the file was rewritten")

    before, after = stable.means[0], stable.means[-1]
    leased = before == "lease"
    screen.line()
    if leased:
        screen.row("stable by", f"{before}, then {after}", "the bytes were secured as the writer came")
    else:
        screen.row("stable by", before, "made at open, so that no writer need wait")
    remark = f"on plain mmap {milliseconds(waits[0])}"
    screen.row("writer waited", f"{milliseconds(waits[1])} in open(2)", remark)
    screen.row("changed on disk", ", ".join(stable.changed) or "nothing", "as the STABLE reader was told")
    if not stable.changed:
        raise Broken("Region.changed() did not report that the file was rewritten")
    if leased and after == before:
        raise Broken("the file was rewritten, and its lease is said to hold")
    screen.line()
    screen.text(
        "The plain reader hashes what happens to be there. The STABLE one keeps the version that it opened."
    )


CUT_WHILE_RUNNING = """
local hooks = 0
debug.sethook(function()
  hooks = hooks + 1
  if hooks == 10 then debug.sethook() assert(os.execute(os.getenv("CUT"))) end
end, "", 100000)
"""
"""For `lua -e`: a command to be run when the script has done a million steps."""


def run_script(
    build: Path, *arguments: str, before: str = "", cut: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the example in Lua, with the module that was just built."""
    lua = shutil.which("lua5.4")
    if lua is None:
        raise Refused("there is no Lua 5.4 (./dev demo installs it)")
    script = HERE.parent / "examples" / "lua" / "slow_requests.lua"
    return subprocess.run(
        [lua, "-e", before, script.name, *arguments],
        cwd=script.parent,
        env=os.environ | {"LUA_CPATH_5_4": f"{build}/bindings/lua/lib/5.4/?.so;;", "CUT": cut},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def scene_script(screen: Screen, build: Path) -> None:
    """Run a script in Lua over a web log, and show what it finds, and what it says when the log is cut."""
    screen.heading("A script in Lua finds the slowest requests of a web log")
    folder = Path(tempfile.mkdtemp(prefix="mmapguard-demo-"))
    try:
        log = folder / "access.log"
        screen.passing("    Writing a log …")
        for done in (
            run_script(build, "--make", str(log), "20"),
            whole := run_script(build, str(log), "3"),
        ):
            if done.returncode:
                raise Broken(f"the script ended with {done.returncode}: {done.stderr.strip()}")
        for line in whole.stdout.splitlines():
            screen.line("    " + line.replace(f"{folder}/", "")[: screen.width - 4])
        cut = run_script(build, str(log), "3", before=CUT_WHILE_RUNNING, cut=f"truncate --size=16M '{log}'")
        if cut.returncode != 1 or "MMG_E_TRUNCATED" not in cut.stderr:
            raise Broken(f"the script ended with {cut.returncode}, although its log was cut: {cut.stderr}")
        screen.line()
        screen.text("The same again, and truncate(1) cuts the log to 16 MiB when the script is on its way:")
        screen.text(screen.good(cut.stderr.strip().partition(": ")[2].replace(f"{folder}/", "")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scene_program(screen: Screen, build: Path) -> None:
    """Cut the file of an unmodified program, alone and in the launcher, and show how the program ends."""
    folder = Path(tempfile.mkdtemp(prefix="mmapguard-demo-"))
    try:
        path = folder / "big.log"
        command = launched.command_for(path)
        name = Path(command[0]).name
        screen.heading(f"A program that nobody has changed: {name} on a file that truncate(1) cuts")
        kept, size = amount(launched.KEPT), amount(launched.SIZE)
        screen.text(f"The file has {size}. As soon as {name} has mapped it, {kept} are left.")
        screen.line()
        screen.passing(f"    Running {name} …")
        alone = launched.run_and_cut(command, path)
        if alone.code != -signal.SIGBUS:
            raise Broken(f"{name} alone ended with {alone.code}, although its file was cut: {alone.errors}")
        screen.row(name, screen.bad("killed by SIGBUS"))
        run = [str(build / "launcher" / "mmapguard"), "run", "--"]
        guarded = launched.run_and_cut([*run, *command], path)
        if guarded.code != 75 or f"{path}: " not in guarded.errors:
            raise Broken(f"{name} in the launcher ended with {guarded.code}: {guarded.errors}")
        screen.row("mmapguard run", screen.good("ended by itself, exit status 75"))
        screen.line()
        for line in guarded.errors.splitlines():
            screen.line("    " + line.replace(f"{folder}/", ""))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -------------------------------------------------------------------------------------------------------------- main


def picture_of(screen: Screen, scene: Callable[[Demo], None], demo: Demo, picture: Path) -> None:
    """Run a scene and write what it shows to an SVG file."""
    screen.kept = []
    scene(demo)
    kept, screen.kept = screen.kept, None
    picture.write_text(
        svg(kept[1:], "plain mmap is killed, mmapguard is told what is lost"), encoding="utf-8"
    )
    screen.line()
    screen.text(f"The picture of this is in {shown(str(picture))}.")


def show(screen: Screen, build: Path, path: str, picture: Path | None) -> None:
    """Show all scenes in order."""
    check_build(build)
    found = not path
    number = MMG_ABI
    screen.line()
    screen.line(
        f"  {screen.bold('mmapguard')} {mmapguard.__version__} · ABI {number >> 16}.{number & 0xFFFF} · "
        f"{platform.system()} {platform.release()} {platform.machine()} · Python {platform.python_version()}"
    )
    if found:
        path = largest_file(screen)
    elif path.startswith("-"):
        path = "./" + path
    require_regular(path)
    demo = scene_file(screen, build, path, found)
    with demo.region:
        if demo.region.info.backing_reason == "virtual file":
            screen.line()
            screen.text(
                "The file system makes these bytes up while they are read: there is nothing to cut short or rewrite."
            )
        else:
            scene_hash(demo)
            if picture is None:
                scene_cut(demo)
            else:
                picture_of(screen, scene_cut, demo, picture)
            scene_stable(demo)
    scene_script(screen, build)
    scene_program(screen, build)
    screen.line()


def on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """Turn a signal into an exception, so that the temporary copy and the reader are removed as well."""
    if number == signal.SIGALRM:
        raise Broken(f"a reader said nothing for {PATIENCE_S} s")
    raise KeyboardInterrupt


def main() -> int:
    """Parse the command line, run the scenes, and turn an error into a sentence and an exit code."""
    parser = argparse.ArgumentParser(
        prog="./dev demo", description="What mmapguard is for, shown on a real file."
    )
    parser.add_argument("--build", type=Path, default=HERE.parent / "build" / "demo", help=argparse.SUPPRESS)
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="", help="a file to show it on; it is only read"
    )
    parser.add_argument(
        "--picture", metavar="SVG", type=Path, help="write the scene in which the file is cut to this file"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    screen = Screen()
    try:
        if len(sys.argv) > 1 and arguments.file == "" and sys.argv[-1] == "":
            raise Refused("the name of the file is empty")
        show(screen, arguments.build.resolve(), arguments.file, arguments.picture)
        return 0
    except Refused as refusal:
        code, message = 2, str(refusal)
    except Broken as failure:
        code, message = 1, f"a promise was broken: {failure}"
    except KeyboardInterrupt:
        code, message = 130, "stopped"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:  # the file went away, a program that the demo runs is missing, ...
        code, message = 2, str(error)
    screen.erase()
    sys.stdout.flush()
    print(f"demo: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
