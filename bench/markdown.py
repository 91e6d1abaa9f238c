# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes for ./dev bench --report: bench/REPORT.md, its plots, and the best and the worst rows in the README.

The rows of the README are taken from the table "All figures" of REPORT.md, and `./dev test docs` compares the two.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from console import duration  # noqa: E402
from figures import KIB, OURS, Figure, Ratio, Results, Series, fastest, size  # noqa: E402
from other_languages import OPEN  # noqa: E402
from plot import plot  # noqa: E402
from works import by_size, by_task, by_threads, matrix  # noqa: E402

BEGIN, END = "<!-- begin: rows of bench/REPORT.md -->", "<!-- end: rows of bench/REPORT.md -->"
SHOWN = 3
COMPARED = {
    "W1": "open, touch all, close",
    "held": "200 files held open",
    "page": "one page touched",
    "find": "`mmg_find`",
    "W3": "sequential scan",
    "W7": "open/close storm",
    "contain": "containment of a loss",
    "losses": "losses in a crowd",
    "foreign": "losses of mappings that other code made",
    "cold": "a disk that is slow",
}
REMARKS = {
    "W1": "Every byte is touched up to 1 MiB, one byte of each page above. Those that copy take part up to 16 MiB.",
    "held": "200 files are opened and read, and then closed: memory that is given back cannot be used again at once.",
    "page": "Of the file one page is wanted.",
    "find": "In 4 MiB of text. The others search the bytes of a span; `mmg_find` may meet a page that is lost.",
    "W3": "Through a mapping that was just made, and through one that stands.",
    "W7": "Size × threads; the time by the clock for one file.",
    "losses": "Of 60 000 mappings; by the clock.",
    "foreign": "100 GB are cut to nothing under a mapping that other code made, and under one of the library's own.",
    "cold": "A file of 32 MiB that is not in the page cache, on a disk with a limit; by the clock. mmapguard opens it with "
    "`access=sequential`. The device reads ahead by 128 KiB. Where the reads in a second are limited, who asks for more at "
    "once is faster.",
    "contain": "From the touch of a lost page to its result, by the clock. By hand: a handler with a binary search.",
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


# ------------------------------------------------------------------------------------------- the best and the worst


def all_figures(results: Results) -> str:
    """Return the table of every figure against the fastest of the others."""
    rows = []
    for work, title in COMPARED.items():
        for figure in results.figures(work):
            other = fastest(figure)
            if OURS in figure and other is not None:
                ours, ratio = figure[OURS], Ratio.of(figure[OURS], other)
                where = ours.where.removeprefix("open, touch all, close, ").removeprefix("200 held open, ")
                row = [f"{title}: {where}", duration(ours.median), other.name, duration(other.median)]
                rows.append(
                    [*row, *(f"{x:.2f}" for x in (ratio.least, ratio.lower, ratio.value, ratio.upper))]
                )
    head = [
        "figure",
        "mmapguard",
        FASTEST_HEAD,
        "its time",
        "least",
        "lower quartile",
        "ratio",
        "upper quartile",
    ]
    return table(head, rows)


FASTEST_HEAD = "fastest other"


def best_and_worst(report: str) -> str:
    """Return the rows for the README from the text of REPORT.md."""
    section = report.partition("## All figures")[2].partition("\n## ")[0]
    rows = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and re.fullmatch(r"\d+\.\d\d", cells[6]):
            rows.append((float(cells[6]), cells[0], cells[2]))
    rows.sort()
    chosen = zip(rows[:SHOWN], reversed(rows[-SHOWN:]), strict=True)
    lines = []
    for best, worst in chosen:
        cells = []
        for ratio, what, peer in (best, worst):
            cells += [f"{what}, against {peer}", f"{ratio:.2f}"]
        lines.append(cells)
    return table(["best", "ours / theirs", "worst", "ours / theirs"], lines)


def with_rows(readme: str, report: str) -> str:
    """Return the text of the README with the rows that the report has."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{best_and_worst(report)}{END}{after}"


# --------------------------------------------------------------------------------------------------------- the parts


def _count(value: float | None) -> str:
    """Return a count as a cell has it."""
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def details(figures: list[Figure]) -> str:
    """Return every contender at every figure: the ratio with its quartiles, and what was counted."""
    parts = []
    for figure in figures:
        ours = figure[OURS]
        rows = []
        for one in figure.values():
            ratio = Ratio.of(ours, one)
            cells = [f"{x:.2f}" for x in (ratio.least, ratio.lower, ratio.value, ratio.upper)]
            counts = [
                _count(x) for x in (one.counts.system_calls, one.counts.faults, one.counts.instructions)
            ]
            rows.append([one.name, duration(min(one.samples)), duration(one.median), *cells, *counts])
        head = [
            "contender",
            "least",
            "median",
            "ours / its: least",
            "lower quartile",
            "median",
            "upper quartile",
        ]
        head += ["system calls", "page faults", "instructions"]
        parts.append(f"**{ours.where}**\n\n{table(head, rows)}")
    return (
        "<details><summary>Each figure in full, with what was counted</summary>\n\n"
        + "\n".join(parts)
        + "\n</details>\n"
    )


def lines_of(figures: list[Figure]) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each contender over the sizes."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        for name, one in figure.items():
            lines.setdefault(name, []).append((float(one.bytes), one.median))
    return lines


def _size_word(value: float) -> str:
    return size(round(value))


def _count_word(value: float) -> str:
    return f"{value:,.0f}"


COPIERS = frozenset(
    {
        *(
            "by hand, read",
            "by hand, read, no lock",
            "g_file_get_contents",
            "std::fs::read",
            "LLVM MemoryBuffer",
        ),
        *(
            "Go, os.ReadFile",
            "Java, Files.readAllBytes",
            "Node.js, fs.readFileSync",
            "Python, Path.read_bytes",
        ),
        "Lua, io.read",
    }
)


def _of_size(figures: list[Figure], bytes_: int) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each contender over the threads, for files of one size."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        for name, one in figure.items():
            if one.bytes == bytes_:
                lines.setdefault(name, []).append((float(one.threads), one.median))
    return lines


def plots(folder: Path, results: Results) -> dict[str, str]:
    """Write the plots. Return the file of each work that has one."""
    folder.mkdir(exist_ok=True)
    files = {}
    for work, title in (
        ("W1", "Open, touch all, close"),
        ("held", "200 files held open, for each file"),
        ("page", "Open, touch one page, close"),
        ("languages", "Open, touch each page, close, in other languages"),
    ):
        task = OPEN if work == "languages" else None
        figures = [figure for figure in results.figures(work, task) if OURS in figure]
        if len(figures) > 1:
            picture = plot(
                title,
                lines_of(figures),
                ("size of the file", 4, _size_word),
                ("time, processor", duration),
                COPIERS,
            )
            files[work] = f"{work.lower()}.svg"
            (folder / files[work]).write_text(picture)
    lines = _of_size(list(results.figures("W7")), 4 * KIB)
    if lines:
        title = "Open, touch all, close a file of 4 KiB, in many threads"
        axes = ("threads", 2, _count_word), ("time for a file, by the clock", duration)
        files["W7"] = "w7.svg"
        (folder / files["W7"]).write_text(plot(title, lines, *axes, COPIERS))
    lines = {}
    for figure in results.figures("contain"):
        for name, one in figure.items():
            if found := re.search(r"among (\d+)", one.task):
                lines.setdefault(name, []).append((float(found[1]), one.median))
    if lines:
        picture = plot(
            "From the touch of a lost page to its result",
            lines,
            ("live mappings", 10, _count_word),
            ("time, by the clock", duration),
        )
        files["contain"] = "contain.svg"
        (folder / files["contain"]).write_text(picture)
    return files


def memory(results: Results) -> str:
    """Return the tables of W6."""
    parts = []
    for kind in ("small copies", "mappings"):
        figures = [figure for figure in results.figures("W6") if kind in _any(figure).task]
        if figures:
            tasks = [_any(figure).task.split(", ")[1] for figure in figures]
            names = list(dict.fromkeys(name for figure in figures for name in figure))
            rows = [
                [name, *(f"{f[name].median:,.0f}" if name in f else "" for f in figures)] for name in names
            ]
            parts.append(table([_any(figures[0]).task.split(", ")[0], *tasks], rows))
    ends = [line for line in results.absent if line.startswith("W6")]
    return "\n".join(parts) + "".join(f"\n- {line}" for line in ends)


def _any(figure: Figure) -> Series:
    return next(iter(figure.values()))


def survival(results: Results) -> str:
    """Return the table of W14."""
    events = list(results.outcomes)
    names = list(next(iter(results.outcomes.values()), {}))
    rows = []
    for name in names:
        cells = [results.outcomes[event][name] for event in events]
        rows.append([name, *(f"**{cell}**" if "dies" in cell else cell for cell in cells)])
    return table(["", *events], rows)


def other_languages(results: Results, files: dict[str, str]) -> str:
    """Return how other languages read a file, beside the ways of C."""
    figures = [figure for figure in results.figures("languages") if OURS in figure]
    if not figures:
        return ""
    head, rows = matrix(figures, by_task_and_size)
    return (
        "## Other languages\n\nEach language in a process of its own, all on one processor, in turn with the ways of C. The "
        "figures are the time of mmapguard in C divided by that of the other: the processor time of the whole process, with "
        "its garbage collector and its compiler. System calls and page faults are the difference of two runs; instructions "
        "are not counted, since valgrind runs no virtual machine as it is. Node.js and Lua map no files by themselves.\n\n"
        + (
            f"![Other languages: cost of each](plots/{files['languages']})\n\n"
            if "languages" in files
            else ""
        )
        + table(head, rows)
        + "\n"
        + details(figures)
    )


def by_task_and_size(one: Series) -> str:
    """Name a figure by its task and its size."""
    return f"{one.task}, {size(one.bytes)}"


def other_tables(results: Results) -> str:
    """Return the figures of the works that have tables of their own on the screen."""
    rows = []
    for work in ("pin", "guard", "truncation", "threshold"):
        for figure in results.figures(work):
            first, *others = figure.values()
            for other in others:
                ratio = Ratio.of(first, other)
                row = [f"{work}: {first.where}", first.name, duration(first.median)]
                rows.append([*row, other.name, duration(other.median), f"{ratio.value:.2f}"])
    return table(["work", "who", "time", "against", "time", "ratio"], rows)


def targets(results: Results) -> str:
    """Return the targets that were not met, and how many were."""
    outcomes = [verdict.outcome for verdict in results.verdicts]
    summary = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("met", "close", "missed"))
    rows = [
        [verdict.what, f"{verdict.value:.3g}", f"{verdict.limit:g}", verdict.outcome]
        for verdict in results.verdicts
        if verdict.outcome != "met"
    ]
    return f"{summary}. A target is close when the spread of the rounds does not tell it from met.\n\n" + (
        table(["what", "value", "target", ""], rows) if rows else ""
    )


# ---------------------------------------------------------------------------------------------------------- the whole


def report(results: Results, about: dict[str, Any], files: dict[str, str], languages: str) -> str:
    """Return the text of REPORT.md."""
    facts = [[name, str(version)] for name, version in about["versions"].items()]
    facts += [
        ["files on", about["file_system"]],
        ["taken", f"{about['started']}, in {about['minutes']} minutes"],
    ]
    facts += [[f"left out: {name}", why] for name, why in about["missing"].items()]
    facts += [["left out", line] for line in results.absent if not line.startswith("W6")]
    if about["quick"]:
        facts.append(["a short run", "less time for each figure, files of at most 64 MiB"])
    parts = [
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->",
        "# mmapguard measured against others\n",
        "`./dev bench --report` wrote this file. [README.md](README.md) says how the figures are taken. A ratio is the time "
        "of mmapguard divided by the time of the other in the same round: below 1 mmapguard is faster. Compare ratios and "
        "counts, not times, with those of another machine.\n",
        table(["", ""], facts),
        "## Targets\n\n" + targets(results),
        "## All figures\n\nEach against the fastest of the others, whatever that one promises.\n\n"
        + all_figures(results),
    ]
    labels = {
        "find": by_task,
        "W3": by_task,
        "W7": by_threads,
        "contain": by_task,
        "losses": by_task,
        "foreign": by_task,
        "cold": by_task,
    }
    for work, title in COMPARED.items():
        figures = [figure for figure in results.figures(work) if OURS in figure]
        if not figures:
            continue
        head, rows = matrix(figures, labels.get(work, by_size))
        if work in ("find", "contain", "losses", "foreign", "cold"):
            head, *rows = [list(row) for row in zip(head, *rows, strict=True)]
        parts.append(f"## {title[0].upper()}{title[1:]}\n\n{REMARKS[work]}\n")
        if work in files:
            parts.append(f"![{title}: cost of each contender](plots/{files[work]})\n")
        parts += [table(head, rows), details(figures)]
    parts += [
        "## Live handles\n\nWhat a handle costs beside the data, each contender in a process of its own.\n\n"
        + memory(results)
        + "\n",
        other_languages(results, files),
        "## Who dies of what\n\nA reader of 1 MiB in a process of its own, and what happens to its file meanwhile. "
        '"is told": the reader lives and learns of the loss. "reads on": the bytes are those of before.\n\n'
        + survival(results),
        "## Pins, the guard, cuts and the copy threshold\n\n" + other_tables(results),
    ]
    return "\n".join(parts) + languages


def write_report(folder: Path, results: Results, about: dict[str, Any], languages: str = "") -> None:
    """Write REPORT.md and its plots, and the rows of the README."""
    files = plots(folder / "plots", results)
    text = report(results, about, files, languages)
    (folder / "REPORT.md").write_text(text)
    readme = folder.parent / "README.md"
    readme.write_text(with_rows(readme.read_text(), text))
