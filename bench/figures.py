# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds the results of a run of the benchmarks: series of times, counts, outcomes, ratios, targets and verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
OURS, NO_LOCK, COMPAT = "mmapguard", "mmapguard, no lock", "mmapguard-compat"
MMAP, READ, CONTENTS = "by hand, mmap", "by hand, read", "g_file_get_contents"
MMAP_GUARD, SEARCH = "mmap-guard 0.2", "by hand, binary search"
OWN_MAPPING, READ_LARGE = "its own mapping", "read, 1 MiB blocks"
FASTEST = "the fastest other"


def size(count: int) -> str:
    """Return a size in the largest unit that it reaches, e.g. "64 KiB"."""
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"


def is_ours(name: str) -> bool:
    """Return True when the contender is this library, in whatever way it is called."""
    return name.startswith(OURS)


@dataclass
class Counts:
    """What one operation costs in numbers that a busy machine does not move; None: not counted."""

    faults: float | None = None
    system_calls: float | None = None
    instructions: float | None = None


@dataclass
class Series:
    """The times of one contender, one for each round; nanoseconds for one operation unless the task says otherwise."""

    work: str
    task: str
    bytes: int
    threads: int
    name: str
    samples: list[float] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    @property
    def median(self) -> float:
        """Return the median of the series, which is what the reports show."""
        return statistics.median(self.samples)

    @property
    def where(self) -> str:
        """Return the figure in words."""
        parts = [self.task, size(self.bytes) if self.bytes else ""]
        parts.append(f"{self.threads} threads" if self.work == "W7" else "")
        return ", ".join(part for part in parts if part)


Figure = dict[str, Series]
"""The series of one figure, by contender."""


@dataclass
class Ratio:
    """Our time divided by that of the other contender in the same round.

    Kept are the least ratio, the quartiles, and the interval in which the median lies with 95 %.
    """

    least: float
    lower: float
    value: float
    upper: float
    low: float

    @classmethod
    def of(cls, ours: Series, theirs: Series) -> Ratio:
        """Compare round by round."""
        ratios = sorted(a / b for a, b in zip(ours.samples, theirs.samples, strict=False) if b > 0)
        if len(ratios) < 2:
            value = ratios[0] if ratios else float("nan")
            return cls(value, value, value, value, value)
        lower, value, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        # The order statistic below which the median of so many values lies with 2.5 %.
        rank = max(0, round(len(ratios) / 2 - 0.98 * len(ratios) ** 0.5))
        return cls(ratios[0], lower, value, upper, ratios[rank])


@dataclass
class Verdict:
    """A target, and whether it was met."""

    what: str
    value: float
    limit: float
    outcome: str

    @classmethod
    def of(cls, what: str, value: float, limit: float, low: float | None = None) -> Verdict:
        """Judge a value. With `low`, judge also the lowest value that the spread allows."""
        if value <= limit:
            return cls(what, value, limit, "met")
        return cls(what, value, limit, "close" if low is not None and low <= limit else "missed")


def targets(ours: Series) -> list[tuple[str, str, float]]:
    """Return the targets of a figure: whose time is divided by whose, and the highest ratio that is allowed."""
    small = ours.bytes <= 64 * KIB
    if ours.work == "W1":
        found = [(COMPAT, MMAP_GUARD, 1.00)]
        if small:
            found += [(OURS, MMAP_GUARD, 0.50), (OURS, READ, 1.03), (NO_LOCK, CONTENTS, 1.05)]
        return (
            [*found, (OURS, FASTEST, 1.10)] if 64 * KIB < ours.bytes <= MIB else [*found, (OURS, MMAP, 1.10)]
        )
    if ours.work == "held" and ours.bytes >= 16 * KIB:
        return [(OURS, MMAP, 1.10)]
    if ours.work == "page" and ours.bytes >= 64 * KIB:
        return [(OURS, MMAP, 1.15)]
    if ours.work == "find":
        limit = 2.0 if ours.task.startswith("every") else 1.3
        return [(OURS, "memchr::memmem", limit), (OURS, "glibc memmem", limit if limit > 1.5 else 1.1)]
    if ours.work in ("contain", "losses"):
        return [(OURS, SEARCH, 1.3)]
    if ours.work == "foreign":
        return [(OURS, OWN_MAPPING, 2.0)]
    if ours.work == "cold":
        return [(OURS, READ_LARGE, 1.00)]
    if ours.work == "W3":
        return [(OURS, MMAP, 1.01), (OURS, READ_LARGE, 1.00)]
    return [(OURS, MMAP, 1.05)] if ours.work == "W7" else []


@dataclass
class Results:
    """Everything that one run found out."""

    series: list[Series] = field(default_factory=list)
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    """W14: what became of each contender (inner) at each event (outer)."""
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """The languages that took part."""
    missing: dict[str, str] = field(default_factory=dict)
    """What could not take part, and why."""
    absent: list[str] = field(default_factory=list)
    """Contenders that could not do something, which is no failure of the run."""

    def figures(self, work: str, task: str | None = None) -> Iterable[Figure]:
        """Return the series of each figure of a work, by contender, in the order of their measurement."""
        figures: dict[tuple[str, int, int], Figure] = {}
        for one in self.series:
            if one.work == work and task in (None, one.task):
                figures.setdefault((one.task, one.bytes, one.threads), {})[one.name] = one
        return figures.values()

    def add_counts(self, line: dict[str, Any], counts: Counts) -> None:
        """Keep what was counted of one contender at one figure, beside its times if there are any."""
        key = tuple(line[name] for name in ("work", "task", "bytes", "threads", "name"))
        for one in self.series:
            if (one.work, one.task, one.bytes, one.threads, one.name) == key:
                for name, value in vars(counts).items():
                    if value is not None:
                        setattr(one.counts, name, value)

    def judge(self, figure: Figure) -> list[Verdict]:
        """Judge a figure by its targets, and remember the verdicts."""
        found = []
        for whose, peer, limit in targets(next(iter(figure.values()))):
            other = fastest(figure) if peer == FASTEST else figure.get(peer)
            if whose in figure and other is not None:
                ratio = Ratio.of(figure[whose], other)
                what = f"{figure[whose].work} {figure[whose].where}: {whose} / {other.name}"
                found.append(self.note(Verdict.of(what, ratio.value, limit, ratio.low)))
        return found

    def note(self, verdict: Verdict) -> Verdict:
        """Remember a verdict."""
        self.verdicts.append(verdict)
        return verdict


def fastest(figure: Figure) -> Series | None:
    """Return the fastest of the other contenders, or None where there is no other."""
    others = [one for name, one in figure.items() if not is_ours(name) and one.samples]
    return min(others, key=lambda one: one.median) if others else None
