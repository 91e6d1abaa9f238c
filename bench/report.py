# SPDX-License-Identifier: MIT OR Apache-2.0
"""Run the benchmarks and print what came out: medians, ratios, targets.

    report.py [--quick] [--only WORK,...] [--directory DIR] [--build DIR] [--json FILE]

mmapguard-bench does the measuring, all contenders of a figure in turn in one process; this program runs it once for each
work, compares, and writes the same as JSON beside it. A ratio is the median over the rounds of our time divided by
theirs in the same round. A target that the ratio misses by less than the spread of the rounds allows to tell (95 %,
bootstrapped) is called close. No time decides about the exit code: it is 0 unless something did not run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from console import Console, duration  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
OURS, MMAP, READ = "mmapguard", "by hand, mmap", "by hand, read"
BLOCKS = "read, 1 MiB blocks"
PEERS = {"GMappedFile": "libglib2.0-dev", "Boost mapped_file": "libboost-iostreams-dev and a C++ compiler"}
NOT_YET = ("the mmap-guard crate", "memmap2 + fs4", "mio")


# ----------------------------------------------------------------------------------------------------------- figures


@dataclass
class Series:
    """The times of one contender, one for each round; nanoseconds for one operation unless the task says otherwise."""

    work: str
    task: str
    bytes: int
    threads: int
    name: str
    samples: list[float]

    @property
    def median(self) -> float:
        """What is reported of a contender."""
        return statistics.median(self.samples)


@dataclass
class Ratio:
    """Ours divided by theirs, and the interval in which its median lies with 95 %."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Series, theirs: Series) -> Ratio:
        """Compare round by round."""
        ratios = [a / b for a, b in zip(ours.samples, theirs.samples, strict=True)]
        chance = random.Random(len(ratios))
        medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(400))
        return cls(statistics.median(ratios), medians[10], medians[-11])


@dataclass
class Verdict:
    """A target and what became of it."""

    what: str
    value: float
    limit: float
    outcome: str

    @classmethod
    def of(cls, what: str, value: float, limit: float, low: float | None = None) -> Verdict:
        """Judge a value, and with `low`, what the value may be with some luck."""
        if value <= limit:
            return cls(what, value, limit, "met")
        return cls(what, value, limit, "close" if low is not None and low <= limit else "missed")


@dataclass
class Results:
    """Everything that one run found out."""

    series: list[Series] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def figures(self, work: str, task: str | None = None) -> Iterable[dict[str, Series]]:
        """The series of each figure of a work, by contender, in the order of their measurement."""
        figures: dict[tuple[str, int, int], dict[str, Series]] = {}
        for one in self.series:
            if one.work == work and task in (None, one.task):
                figures.setdefault((one.task, one.bytes, one.threads), {})[one.name] = one
        return figures.values()

    def judge(self, what: str, ratio: Ratio, limit: float) -> Verdict:
        """Judge a ratio, and remember the verdict."""
        return self.note(Verdict.of(what, ratio.value, limit, ratio.low))

    def note(self, verdict: Verdict) -> Verdict:
        """Remember a verdict."""
        self.verdicts.append(verdict)
        return verdict


# ------------------------------------------------------------------------------------------------------------ output


class Screen(Console):
    """The console, with the words for what became of a target."""

    def verdict(self, verdict: Verdict) -> str:
        """Return the word for an outcome, in its colour."""
        colour = {"met": "32", "close": "33", "missed": "31"}[verdict.outcome]
        return self.paint(colour, verdict.outcome)


def size(count: int) -> str:
    """A size in the largest unit that it reaches, e.g. "64 KiB"."""
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count >= scale:
            return f"{count / scale:g} {unit}"
    return f"{count} B"


# --------------------------------------------------------------------------------------------------------------- run


@dataclass
class Run:
    """How to run the measuring program, and where its lines go."""

    screen: Screen
    results: Results
    build: Path
    directory: Path
    budget_ms: int
    most_bytes: int

    def measure(self, work: str, share: float = 1.0) -> None:
        """Measure one work with `share` of the time for each of its figures."""
        command = [
            str(self.build / "bench" / "mmapguard-bench"),
            *(work, str(self.directory), str(round(self.budget_ms * share)), str(self.most_bytes)),
        ]
        self.screen.passing(f"{work} …")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                self.take(json.loads(line))
        self.screen.erase()
        if child.returncode:
            self.results.failures.append(f"{work}: mmapguard-bench ended with {child.returncode}")

    def take(self, line: dict[str, Any]) -> None:
        """Keep one line of the measuring program."""
        where = f"{line['work']} {line['task']}" + (f", {size(line['bytes'])}" if line["bytes"] else "")
        self.screen.passing(f"{where} …")
        if failure := line.pop("failure", None):
            self.results.failures.append(f"{where}: {line['name']}: {failure}")
        else:
            self.results.series.append(Series(**line))


# ------------------------------------------------------------------------------------------------------------- works


def compare(
    run: Run,
    work: str,
    task: str | None,
    label: Callable[[Series], str],
    limits: Callable[[Series], dict[str, float]],
) -> None:
    """A table of mmapguard against every peer: times, ratios, and the verdict on each that has a target."""
    figures = [figure for figure in run.results.figures(work, task) if OURS in figure]
    peers = list(dict.fromkeys(name for figure in figures for name in figure if name != OURS))
    rows = []
    for figure in figures:
        ours = figure[OURS]
        row, notes = [label(ours), duration(ours.median)], []
        for peer in peers:
            if peer not in figure:
                row += ["", ""]
                continue
            ratio, limit = Ratio.of(ours, figure[peer]), limits(ours).get(peer)
            row += [duration(figure[peer].median), f"{ratio.value:.2f}"]
            if limit is not None:
                verdict = run.results.judge(f"{work} {label(ours)} / {peer}", ratio, limit)
                row[-1] = f"{ratio.value:.{2 if limit >= 1.04 or limit < 0.99 else 3}f}"
                notes.append(f"≤ {limit:.2f} {run.screen.verdict(verdict)}")
        rows.append([*row, ", ".join(notes)])
    head = ["", OURS]
    for peer in peers:
        head += [peer, "ratio"]
    run.screen.table([*head, "target"], rows)


def report_open(run: Run) -> None:
    """W1: open, touch all, close."""
    run.measure("open")

    def limits(ours: Series) -> dict[str, float]:
        if ours.bytes <= 16 * KIB:
            return {MMAP: 0.60, READ: 1.10}
        return {MMAP: 0.75, READ: 1.10} if ours.bytes <= 64 * KIB else {MMAP: 1.03}

    run.screen.heading("W1  open, touch all, close", "every byte up to 64 KiB, one byte of each page above")
    compare(run, "W1", None, lambda ours: size(ours.bytes), limits)


def report_threshold(run: Run) -> None:
    """The sweep behind the default copy threshold."""
    run.measure("threshold", share=0.5)
    run.screen.heading("Copy threshold", "mmapguard with a copy, divided by mmapguard with a mapping")
    tasks = ("touch every byte", "touch every byte, 64 held open", "touch one byte")
    limits = dict.fromkeys(tasks, 0)
    rows: dict[int, list[str]] = {}
    for task in tasks:
        still = True
        for figure in run.results.figures("threshold", task):
            if len(figure) < 2:
                continue
            copied, mapped = figure["mmapguard, copy"], figure["mmapguard, map"]
            ratio = Ratio.of(copied, mapped).value
            still = still and ratio <= 1
            limits[task] = copied.bytes if still else limits[task]
            row = rows.setdefault(copied.bytes, [size(copied.bytes)])
            row += [duration(copied.median), duration(mapped.median)] if task == tasks[0] else []
            row.append(f"{ratio:.2f}")
    run.screen.table(["", "copy", "map", "ratio", "64 held open", "one byte read"], list(rows.values()))
    reached = ", ".join(f"{size(limit)} ({task})" for task, limit in limits.items() if limit)
    run.screen.line(f"  The copy is the faster one up to {reached}.")


def report_scan(run: Run) -> None:
    """W3: sequential scans."""
    run.measure("scan", share=3.0)
    tasks = ("open, read every byte, close", "read every byte, mapped already")
    run.screen.heading("W3  sequential scan, warm", "by hand and read with the flock that mmapguard takes")
    for task in tasks:
        run.screen.line(f"  {task}")
        compare(run, "W3", task, lambda ours: size(ours.bytes), lambda ours: {MMAP: 1.01, BLOCKS: 1.00})


def report_guard(run: Run) -> None:
    """Containment armed against containment off."""
    run.measure("guard", share=2.0)
    run.screen.heading("Containment", "the same scan with the fault guard armed and off; nothing faults")
    rows = []
    for figure in run.results.figures("guard"):
        if len(figure) < 2:
            continue
        armed, off = figure["mmapguard, map"], figure["mmapguard, guard off"]
        ratio = Ratio.of(armed, off)
        verdict = run.results.judge(f"guard armed / off, {armed.task}", ratio, 1.01)
        row = [f"{size(armed.bytes)}, {armed.task}", duration(armed.median), duration(off.median)]
        rows.append([*row, f"{ratio.value:.3f}", f"≤ 1.01 {run.screen.verdict(verdict)}"])
    run.screen.table(["", "armed", "off", "ratio", "target"], rows)


def report_storm(run: Run) -> None:
    """W7: open and close from several threads."""
    run.measure("storm")
    run.screen.heading(
        "W7  open/close storm", f"wall time per file over all threads; {os.cpu_count()} processors"
    )

    def limits(ours: Series) -> dict[str, float]:
        return {MMAP: 1.05}

    compare(
        run,
        "W7",
        None,
        lambda ours: f"{size(ours.bytes)}, {ours.threads} thread{'s' * (ours.threads > 1)}",
        limits,
    )


def report_pin(run: Run) -> None:
    """pin + unpin, in time and in instructions."""
    run.measure("pin")
    run.screen.heading("pin + unpin", "a pair, against an atomic add and sub")
    rows = []
    for figure in run.results.figures("pin"):
        if len(figure) < 2:
            continue
        pair, atomic = figure["pin + unpin"], figure["atomic add + sub"]
        row = [
            pair.task,
            duration(pair.median),
            duration(atomic.median),
            f"{Ratio.of(pair, atomic).value:.1f}",
            "",
        ]
        if pair.threads == 0:
            verdict = run.results.note(Verdict.of("pin + unpin, ns", pair.median, 25))
            row[-1] = f"≤ 25 ns {run.screen.verdict(verdict)}"
        rows.append(row)
    instructions = count_instructions(run)
    if instructions is not None:
        verdict = run.results.note(Verdict.of("pin + unpin, instructions", instructions, 120))
        rows.append(["instructions", f"{instructions:.0f}", "", "", f"≤ 120 {run.screen.verdict(verdict)}"])
    run.screen.table(["", "pin + unpin", "atomic", "ratio", "target"], rows)


def count_instructions(run: Run) -> float | None:
    """Instructions of one pair, its loop included, counted by callgrind as the difference of two runs."""
    if shutil.which("valgrind") is None:
        run.screen.line("  Instructions are not counted: valgrind is not installed.")
        return None
    target = run.directory / "pairs"
    target.write_bytes(b"x" * MIB)
    counts = []
    for pairs in (1_000, 11_000):
        run.screen.passing(f"callgrind, {pairs} pairs …")
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        command += [str(run.build / "bench" / "mmapguard-pin-pairs"), str(target), str(pairs)]
        output = subprocess.run(command, capture_output=True, text=True, check=False)
        match = re.search(r"Collected : (\d+)", output.stderr)
        if output.returncode or match is None:
            run.results.failures.append(f"callgrind: ended with {output.returncode}")
            return None
        counts.append(int(match[1]))
    run.screen.erase()
    target.unlink()
    return round((counts[1] - counts[0]) / 10_000, 1)  # the two starts differ by a few, which are nobody's


def report_truncation(run: Run) -> None:
    """A 100 GB sparse map, cut to nothing."""
    run.measure("truncation")
    run.screen.heading("Truncation to 0 of a sparse map of 100 GB")
    rows = []
    pages = 100_000_000_000 // os.sysconf("SC_PAGE_SIZE")
    for figure in run.results.figures("truncation"):
        if OURS not in figure:
            continue
        ours = figure[OURS]
        if "signals" in ours.task:
            worst = max(ours.samples)
            verdict = run.results.note(Verdict.of("truncation, signals", worst, 1))
            rows.append([ours.task, f"{worst:.0f}", "1", f"{pages:,}", f"1 {run.screen.verdict(verdict)}"])
        elif "by hand, page by page" in figure:
            least, page = figure["by hand, in one go"].median, figure["by hand, page by page"].median
            verdict = run.results.note(Verdict.of("truncation, touch to recovery, ns", ours.median, 10_000))
            row = [ours.task, duration(ours.median), duration(least), f"{duration(page)} for each page"]
            rows.append([*row, f"≤ 10 µs {run.screen.verdict(verdict)}"])
            rows.append(
                ["until all pages are replaced", *row[1:3], f"{duration(page * pages)}, reckoned", ""]
            )
    run.screen.table(["", OURS, "by hand, in one go", "by hand, page by page", "target"], rows)


def report_losses(run: Run) -> None:
    """One of many mappings is lost, against a handler with a binary search by hand."""
    run.measure("losses")
    run.screen.heading("A loss among up to 60 000 mappings", "from the touch to the recovery")
    compare(run, "losses", None, lambda ours: ours.task, lambda ours: {"by hand, binary search": 1.5})


def report_find(run: Run) -> None:
    """A walk from hit to hit, in time and in instructions."""
    run.measure("find")
    run.screen.heading("find", "a walk from hit to hit through 1 MiB, for one hit")
    compare(run, "find", None, lambda ours: ours.task, lambda ours: {"memmem": 2.0})
    counts = {kind: count_walk(run, kind) for kind in ("walk", "memmem")}
    if None not in counts.values():
        ours, theirs = counts["walk"] or 0, counts["memmem"] or 1
        verdict = run.results.note(Verdict.of("find / memmem, instructions", ours / theirs, 2))
        row = ["a hit every 10 bytes, instructions", f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}"]
        run.screen.table(
            ["", OURS, "memmem", "ratio", "target"], [[*row, f"≤ 2 {run.screen.verdict(verdict)}"]]
        )


def count_walk(run: Run, kind: str) -> float | None:
    """Instructions of one hit, as tests/cost counts them."""
    program = run.build / "tests" / "cost" / "cost"
    if shutil.which("valgrind") is None or not program.exists():
        run.screen.line("  Instructions are not counted: valgrind or tests/cost is missing.")
        return None
    target = run.directory / "hits"
    target.write_bytes(b"needlexxxx" * (MIB // 10))
    counts = []
    for times in (1_000, 11_000):
        run.screen.passing(f"callgrind, {kind} {times} …")
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program)]
        done = subprocess.run(
            [*command, kind, str(target), str(times)], capture_output=True, text=True, check=False
        )
        match = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or match is None:
            run.results.failures.append(f"callgrind: ended with {done.returncode}")
            return None
        counts.append(int(match[1]))
    run.screen.erase()
    target.unlink()
    return (counts[1] - counts[0]) / 10_000


WORKS: dict[str, Callable[[Run], None]] = {
    "open": report_open,
    "threshold": report_threshold,
    "scan": report_scan,
    "storm": report_storm,
    "pin": report_pin,
    "guard": report_guard,
    "truncation": report_truncation,
    "losses": report_losses,
    "find": report_find,
}


# -------------------------------------------------------------------------------------------------------------- main


def file_system(path: Path) -> str:
    """The type of the file system that `path` is on, from the longest mount point that leads to it."""
    best, kind = "", "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, type_, *_ = line.split()
            mount = mount.encode().decode("unicode_escape")
            if path.is_relative_to(mount) and len(mount) >= len(best):
                best, kind = mount, type_
    return kind


def available_memory() -> int:
    """Bytes that are free for page cache and copies."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(match[1]) * KIB if match else GIB


def processor() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError):
        if match := re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
            return match[1]
    return platform.machine()


def versions(build: Path) -> dict[str, str]:
    """Who is being compared, as the measuring program was built, and the system."""
    program = [str(build / "bench" / "mmapguard-bench"), "versions"]
    found: dict[str, str] = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    found["kernel"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    found["processor"] = f"{processor()}, {os.cpu_count()} available"
    if valgrind := shutil.which("valgrind"):
        output = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=True).stdout
        found["valgrind"] = output.strip().removeprefix("valgrind-")
    return found


def write_json(path: Path, results: Results, about: dict[str, Any]) -> None:
    """The medians and quartiles of every series, and the verdicts, for machines."""
    series = []
    for one in results.series:
        quartiles = statistics.quantiles(one.samples, n=4) if len(one.samples) > 1 else [one.median] * 3
        entry = {
            "work": one.work,
            "task": one.task,
            "bytes": one.bytes,
            "threads": one.threads,
            "name": one.name,
        }
        series.append(
            entry | {"rounds": len(one.samples), "quartiles": [float(f"{q:.6g}") for q in quartiles]}
        )
    document = about | {"figures": series, "verdicts": [vars(verdict) for verdict in results.verdicts]}
    document["failures"] = results.failures
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure mmapguard beside its peers.")
    parser.add_argument(
        "--quick", action="store_true", help="a short run: less time for each figure, smaller files"
    )
    parser.add_argument(
        "--only", metavar="WORK,...", default="", help="of these works only: " + ", ".join(WORKS)
    )
    parser.add_argument("--directory", type=Path, help="where the files go (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="where the figures go (default: bench/results/TIME.json)")
    parser.add_argument(
        "--build", type=Path, default=HERE.parent / "build" / "release", help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    arguments.works = arguments.only.split(",") if arguments.only else list(WORKS)
    if unknown := [work for work in arguments.works if work not in WORKS]:
        parser.error(f"no work is called '{unknown[0]}'; there are {', '.join(WORKS)}")
    return arguments


def main() -> int:
    """Run the works that the command line names, print their tables, and write the JSON."""
    arguments = parse()
    screen, results, started = Screen(), Results(), datetime.datetime.now().astimezone()
    if not (arguments.build / "bench" / "mmapguard-bench").exists():
        print("bench: the measuring program is not built; ./dev bench does that", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mmapguard-bench-", dir=arguments.directory) as folder:
        room = min(shutil.disk_usage(folder).free // 2, available_memory() // 3)
        wanted = 64 * MIB if arguments.quick else GIB
        about: dict[str, Any] = {"started": started.isoformat(timespec="seconds"), "quick": arguments.quick}
        about |= {"versions": versions(arguments.build), "file_system": file_system(Path(folder).resolve())}
        about["missing"] = [peer for peer in PEERS if peer not in about["versions"]]
        screen.heading("mmapguard beside its peers", f"{started:%Y-%m-%d %H:%M}")
        for name, version in about["versions"].items():
            screen.line(f"  {name:18} {version}")
        screen.line(f"  {'files on':18} {about['file_system']}, in {Path(folder).parent}")
        for peer in about["missing"]:
            screen.line(f"  {peer:18} missing: needs {PEERS[peer]}")
        screen.line(f"  {'not measured here':18} {', '.join(NOT_YET)}")
        if room < wanted:
            screen.line(f"  {'file sizes':18} up to {size(room)}: disk or memory has no room for more")
        run = Run(
            screen,
            results,
            arguments.build,
            Path(folder),
            120 if arguments.quick else 2000,
            min(room, wanted),
        )
        for work in arguments.works:
            WORKS[work](run)

    screen.heading("Targets")
    outcomes = [verdict.outcome for verdict in results.verdicts]
    screen.line("  " + ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("met", "close", "missed")))
    for verdict in results.verdicts:
        if verdict.outcome != "met":
            screen.line(
                f"  {screen.verdict(verdict):8} {verdict.what}: {verdict.value:.3g}, target {verdict.limit:g}"
            )
    target = arguments.json or HERE / "results" / f"{started:%Y%m%d-%H%M%S}.json"
    write_json(target, results, about)
    screen.line(f"  {screen.paint('2', 'written to ' + os.path.relpath(target))}")
    for failure in results.failures:
        print(f"bench: did not run: {failure}", file=sys.stderr)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
