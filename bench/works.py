# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures the works, and prints the table of each.

Most tables are alike: a row for each contender, a column for each size, and in the cells the time of mmapguard divided by
that of the contender.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import other_languages as languages
from console import Console, duration
from counting import count
from figures import MIB, OURS, Figure, Ratio, Results, Series, Verdict, size
from slow_disk import LIMITS, NotHere, SlowDisk, slow_disk

COUNTED_UP_TO = MIB
"""Larger files are not counted: what they cost is the same for every page."""


class Screen(Console):
    """The console, with a word for the outcome of each target."""

    def verdict(self, verdict: Verdict) -> str:
        """Return the word for an outcome, in its colour."""
        colour = {"met": "32", "close": "33", "missed": "31"}[verdict.outcome]
        return self.paint(colour, verdict.outcome)


@dataclass
class Run:
    """How to run the measuring program, and where its lines go."""

    screen: Screen
    results: Results
    build: Path
    directory: Path
    budget_ms: int
    most_bytes: int
    counts: bool
    """Count system calls, faults and instructions too, in runs of their own."""
    environment: dict[str, str] | None = None
    """The environment of the measuring program; None: that of this process."""

    @property
    def program(self) -> Path:
        """Return the path of the measuring program."""
        return self.build / "bench" / "mmapguard-bench"

    def measure(self, work: str, share: float = 1.0, on: SlowDisk | None = None, suffix: str = "") -> None:
        """Measure one work with `share` of the time for each of its figures.

        `on`: measure on this disk and under its limit. `suffix`: what to add to the names of the tasks.
        """
        command = [
            str(self.program),
            *(work, str(on.folder if on else self.directory), str(round(self.budget_ms * share))),
            str(self.most_bytes),
        ]
        self.screen.passing(f"{work}{suffix} …")
        join = on.join if on else None
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=join, env=self.environment
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                found = json.loads(line)
                self.take(found | {"task": found["task"] + suffix})
        self.screen.erase()
        if child.returncode:
            self.results.failures.append(f"{work}: mmapguard-bench ended with {child.returncode}")

    def count(self, work: str) -> None:
        """Count a work that was measured."""
        if not self.counts:
            return
        self.screen.passing(f"{work}, counted …")
        most = min(self.most_bytes, COUNTED_UP_TO)
        for tool in count(self.program, work, self.directory, most, self.results):
            self.screen.line(f"  {tool} is not installed, so not everything is counted.")
        self.screen.erase()

    def take(self, line: dict[str, Any]) -> None:
        """Keep one line of the measuring program."""
        where = f"{line['work']} {line['task']}" + (f", {size(line['bytes'])}" if line["bytes"] else "")
        self.screen.passing(f"{where} …")
        if failure := line.pop("failure", None):
            is_limit = "ends at" in failure or "limit of descriptors" in failure
            known = self.results.absent if is_limit else self.results.failures
            known.append(f"{where}: {line['name']}: {failure}")
        elif outcome := line.pop("outcome", None):
            self.results.outcomes.setdefault(line["task"], {})[line["name"]] = outcome
        else:
            self.results.series.append(Series(**line))


# ---------------------------------------------------------------------------------------------------- tables alike


def short_ratio(ratio: Ratio) -> str:
    """Return a ratio as a cell has it."""
    return f"{ratio.value:.2f}"


def matrix(figures: list[Figure], label: Callable[[Series], str]) -> tuple[list[str], list[list[str]]]:
    """Return a table of ratios: the head, and a row for each contender; the first row has our times."""
    figures = [figure for figure in figures if OURS in figure]
    peers = list(dict.fromkeys(name for figure in figures for name in figure if name != OURS))
    head = ["", *(label(figure[OURS]) for figure in figures)]
    rows = [[f"{OURS}, time", *(duration(figure[OURS].median) for figure in figures)]]
    rows += [
        [
            f"/ {peer}",
            *(
                short_ratio(Ratio.of(figure[OURS], figure[peer])) if peer in figure else ""
                for figure in figures
            ),
        ]
        for peer in peers
    ]
    return head, rows


def by_size(one: Series) -> str:
    """Name a figure by its size."""
    return size(one.bytes)


def by_threads(one: Series) -> str:
    """Name a figure by its size and its threads."""
    return f"{size(one.bytes)}×{one.threads}"


def by_task(one: Series) -> str:
    """Name a figure by what is done."""
    return one.task


def show(run: Run, figures: list[Figure], label: Callable[[Series], str], turned: bool = False) -> None:
    """Print the table of these figures, and their targets below it."""
    if not figures:
        return
    head, rows = matrix(figures, label)
    if turned:
        head, *rows = [list(row) for row in zip(head, *rows, strict=True)]
    run.screen.table(head, rows)
    missed = [
        verdict for figure in figures for verdict in run.results.judge(figure) if verdict.outcome != "met"
    ]
    for verdict in missed:
        run.screen.line(
            f"  {run.screen.verdict(verdict)}: {verdict.what}: {verdict.value:.2f}, target {verdict.limit:g}"
        )


def report_open(run: Run) -> None:
    """Report W1: open, touch every page, close."""
    run.measure("open")
    run.count("open")
    run.screen.heading("W1  open, touch all, close", "every byte up to 1 MiB, one byte of each page above")
    show(run, list(run.results.figures("W1")), by_size)


def report_held(run: Run) -> None:
    """Report W1 with 200 files open."""
    run.measure("held")
    run.count("held")
    run.screen.heading("Held  200 files open at once", "open, touch every byte, close; for each file")
    show(run, list(run.results.figures("held")), by_size)


def report_page(run: Run) -> None:
    """Report the touch of one page."""
    run.measure("page")
    run.count("page")
    run.screen.heading("Page  open, touch one page, close")
    show(run, list(run.results.figures("page")), by_size)


def report_find(run: Run) -> None:
    """Report the searches."""
    run.measure("find")
    run.count("find")
    run.screen.heading("Find  mmg_find", "in 4 MiB of text; the others search a span")
    show(run, list(run.results.figures("find")), by_task, turned=True)


def report_scan(run: Run) -> None:
    """Report W3: sequential scans."""
    run.measure("scan", share=2.0)
    run.screen.heading("W3  sequential scan, warm", "by hand and read with the flock that mmapguard takes")
    show(run, list(run.results.figures("W3")), by_task)


def report_storm(run: Run) -> None:
    """Report W7: open and close from several threads."""
    run.measure("storm", share=0.5)
    run.screen.heading(
        "W7  open/close storm", f"size × threads, wall time for a file; {os.cpu_count()} processors"
    )
    show(run, list(run.results.figures("W7")), by_threads)


def report_contain(run: Run) -> None:
    """Report the containment of a loss among many mappings."""
    run.measure("contain")
    run.screen.heading("Containment", "from the touch of a lost page to its result")
    show(run, list(run.results.figures("contain")), by_task, turned=True)


def report_losses(run: Run) -> None:
    """Report the loss of one of many mappings, and then of a thousand files in turn."""
    run.measure("losses")
    run.screen.heading("Losses", "from the touch to the recovery, among 60 000 mappings")
    show(run, list(run.results.figures("losses")), by_task, turned=True)


def report_foreign(run: Run) -> None:
    """Report the cut of a mapping that other code has made, against that of a region."""
    run.measure("foreign")
    run.screen.heading("Foreign", "100 GB cut to nothing under a mapping of other code, from touch to result")
    show(run, list(run.results.figures("foreign")), by_task, turned=True)


def report_memory(run: Run) -> None:
    """Report W6: what a live handle costs."""
    run.measure("memory")
    run.screen.heading("W6  live handles", "beside the data itself")
    for kind in ("small copies", "mappings"):
        figures = [f for f in run.results.figures("W6") if kind in next(iter(f.values())).task]
        if not figures:
            continue
        tasks = [next(iter(figure.values())).task.split(", ")[1] for figure in figures]
        names = list(dict.fromkeys(name for figure in figures for name in figure))
        rows = [[n, *(f"{f[n].median:.0f}" if n in f else "" for f in figures)] for n in names]
        run.screen.table([next(iter(figures[0].values())).task.split(", ")[0], *tasks], rows)
        for figure, task in zip(figures, tasks, strict=True):
            limit = {"bytes of heap a handle": 400.0, "bytes of page tables a handle": 160.0}.get(task)
            limit = 100.0 if kind == "small copies" and task == "ns to close one" else limit
            if limit is not None and OURS in figure:
                run.results.note(Verdict.of(f"W6 {kind}, {task}", figure[OURS].median, limit))


def report_survival(run: Run) -> None:
    """Report W14: which contender survives which loss."""
    run.measure("survival")
    if run.counts:  # a short run has no time for them
        add_languages_to_survival(run)
    run.screen.heading("W14  who dies of what", "a reader of 1 MiB, and what happens to its file")
    names = list(next(iter(run.results.outcomes.values()), {}))
    rows = [[name, *(found[name] for found in run.results.outcomes.values())] for name in names]
    run.screen.table(["", *run.results.outcomes], rows)
    for event, found in run.results.outcomes.items():
        for name, outcome in found.items():
            if name.startswith("mmapguard") and "dies" in outcome:
                run.results.failures.append(f"W14: {event}: {name} {outcome}")


def installed_languages(run: Run) -> list[languages.Language]:
    """Return the languages that are installed. Keep their versions, and say why each other language is left out."""
    found, missing = languages.installed(run.build)
    languages.hello(found)
    run.results.versions |= {one.name: one.version for one in found if one.name != "C"}
    run.results.missing |= missing
    for name, why in missing.items():
        run.screen.line(f"  {name} is left out: {why}")
    return found


def add_languages_to_survival(run: Run) -> None:
    """Let the programs of other languages read while the same events happen."""
    run.screen.passing("W14, other languages …")
    languages.survival(installed_languages(run), run.build, run.directory, run.results)
    run.screen.erase()


def report_languages(run: Run) -> None:
    """Report how other languages read a file, beside the ways of C."""
    run.screen.heading("Languages", "mmapguard in C divided by each; the processor time of the whole process")
    found = installed_languages(run)
    run.screen.passing("languages …")
    languages.measure(found, run.directory, run.budget_ms * 2, run.results)
    if run.counts:
        run.screen.passing("languages, counted …")
        languages.count(found, run.directory, run.results)
    run.screen.erase()
    show(run, list(run.results.figures("languages")), by_size)
    run.screen.line(
        "  The last column reads every byte of a file that stands open; the others open, touch each page, close."
    )


def report_cold(run: Run) -> None:
    """Report scans of a file that is not in the page cache, from a disk that is slow."""
    run.screen.heading(
        "Cold scan", "from a disk with a limit, by the clock; mmapguard with access=sequential"
    )
    try:
        with slow_disk(run.directory) as disk:
            for words, limit in LIMITS.items():
                disk.limit(*limit)
                run.measure("cold", on=disk, suffix=f", {words}")
    except NotHere as reason:
        run.results.missing["a slow disk"] = str(reason)
        run.screen.line(f"  Not measured: {reason}")
    show(run, list(run.results.figures("cold")), by_task, turned=True)


# ------------------------------------------------------------------------------------------------- tables of their own


def report_threshold(run: Run) -> None:
    """Report the times from which the default copy threshold was chosen."""
    run.measure("threshold", share=0.5)
    run.screen.heading("Copy threshold", "mmapguard with a copy, divided by mmapguard with a mapping")
    tasks = ("touch every byte", "touch every byte, 200 held open", "touch one byte")
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
    run.screen.table(["", "copy", "map", "ratio", "200 held open", "one byte read"], list(rows.values()))
    reached = ", ".join(f"{size(limit)} ({task})" for task, limit in limits.items() if limit)
    run.screen.line(f"  The copy is the faster one up to {reached}.")


def report_guard(run: Run) -> None:
    """Compare times with containment on and off."""
    run.measure("guard", share=2.0)
    run.screen.heading("Containment", "the same scan with the fault guard armed and off; nothing faults")
    rows = []
    for figure in run.results.figures("guard"):
        if len(figure) < 2:
            continue
        armed, off = figure["mmapguard, map"], figure["mmapguard, guard off"]
        ratio = Ratio.of(armed, off)
        verdict = run.results.note(
            Verdict.of(f"guard armed / off, {armed.task}", ratio.value, 1.01, ratio.low)
        )
        row = [f"{size(armed.bytes)}, {armed.task}", duration(armed.median), duration(off.median)]
        rows.append([*row, f"{ratio.value:.3f}", f"≤ 1.01 {run.screen.verdict(verdict)}"])
    run.screen.table(["", "armed", "off", "ratio", "target"], rows)


def report_pin(run: Run) -> None:
    """Report pin and unpin, in time and in instructions."""
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
    """Return the instructions of one pair with its loop, counted by callgrind as the difference of two runs."""
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
    return round(
        (counts[1] - counts[0]) / 10_000, 1
    )  # the starts of the two runs differ by a few instructions


def report_truncation(run: Run) -> None:
    """Report a sparse file of 100 GB that is mapped and cut to nothing."""
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


WORKS: dict[str, Callable[[Run], None]] = {
    "open": report_open,
    "held": report_held,
    "page": report_page,
    "find": report_find,
    "scan": report_scan,
    "storm": report_storm,
    "pin": report_pin,
    "contain": report_contain,
    "losses": report_losses,
    "foreign": report_foreign,
    "memory": report_memory,
    "survival": report_survival,
    "guard": report_guard,
    "truncation": report_truncation,
    "threshold": report_threshold,
    "cold": report_cold,
    "languages": report_languages,
}
ALIASES = {"w1": "open", "w3": "scan", "w5": "pin", "w6": "memory", "w7": "storm", "w14": "survival"}
