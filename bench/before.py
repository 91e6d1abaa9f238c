# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compare the library with an earlier revision of itself: what won against the others then must not lose now.

    before.py REVISION [WORK...] [--build DIR] [--directory DIR]

Builds the library of that revision, and runs the same measuring program with the one library and with the other, in turn.
Two versions in one process would take turns at the handler of SIGBUS, so each has a process of its own. Each process
measures its library beside the same contenders, round by round. So the figure of each is a ratio to a contender in its own
run, and two ratios to the same contender can be compared. The table shows the fastest other contender. The exit code does
not depend on times.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import GIB, OURS, Figure, Ratio, Results, fastest, is_ours
from works import ALIASES, Run, Screen

ROOT = Path(__file__).resolve().parent.parent
COMPARED = {
    "open": "W1",
    "held": "held",
    "page": "page",
    "find": "find",
    "scan": "W3",
    "storm": "W7",
    "contain": "contain",
    "losses": "losses",
}
"""The works that have contenders, and their names in the figures."""
TURNS = 2
BUDGET_MS = 400

Key = tuple[str, str, int, int]


def _symbols(library: Path) -> set[str]:
    """Return the functions that a library exports."""
    command = ["nm", "--dynamic", "--defined-only", "--format=posix", str(library)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[0].partition("@")[0] for line in lines if line.startswith("mmg_")}


def _build_type(library: Path) -> str:
    """Return the build type of a library that CMake has built, so that another one can be built with the same options."""
    for line in (library.parent / "CMakeCache.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("CMAKE_BUILD_TYPE:"):
            return line.partition("=")[2]
    sys.exit(f"{library.parent}/CMakeCache.txt names no build type")


def build_before(revision: str, now: Path, folder: Path) -> dict[str, str]:
    """Build the library of a revision. Return the environment in which the measuring program uses that library.

    Functions that the revision lacks are in a library of their own, and end the program when they are called.
    """
    source, build, missing = folder / "source", folder / "build", folder / "missing.c"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "--extract", "--directory", str(source)], input=archive.stdout, check=True)
    options = ["-G", "Ninja", f"-DCMAKE_BUILD_TYPE={_build_type(now)}"]
    for command in (
        ["-S", str(source), "-B", str(build), *options],
        ["--build", str(build), "--target", "mmapguard"],
    ):
        subprocess.run(["cmake", *command], stdout=subprocess.DEVNULL, check=True)
    library = next(build.glob("libmmapguard.so.*"))
    lacking = sorted(_symbols(now) - _symbols(library))
    lines = [f"void {name}(void) {{ __builtin_trap(); }}" for name in lacking]
    missing.write_text("\n".join(lines) + "\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "missing.so"), str(missing)], check=True)
    return os.environ | {"LD_LIBRARY_PATH": str(build), "LD_PRELOAD": str(folder / "missing.so")}


def by_key(results: Results, work: str) -> dict[Key, Figure]:
    """Return the figures of a work in which the library takes part."""
    found = {}
    for figure in results.figures(COMPARED[work]):
        if OURS in figure:
            ours = figure[OURS]
            found[(ours.work, ours.task, ours.bytes, ours.threads)] = figure
    return found


def losses(before: Figure, now: Figure) -> list[str]:
    """Return the contenders that the library was faster than before, and is slower than now."""
    return [
        name
        for name, other in now.items()
        if not is_ours(name)
        and name in before
        and is_lost(Ratio.of(before[OURS], before[name]), Ratio.of(now[OURS], other))
    ]


def merge(results: Results, later: Results) -> None:
    """Add the rounds of a second run to those of the first."""
    known = {(one.work, one.task, one.bytes, one.threads, one.name): one for one in results.series}
    for one in later.series:
        key = (one.work, one.task, one.bytes, one.threads, one.name)
        if key in known:
            known[key].samples += one.samples
        else:
            results.series.append(one)
    results.failures += later.failures


def is_lost(before: Ratio, now: Ratio) -> bool:
    """Return True when the library won before, and the spread of the rounds tells the new ratio from both of 1 and the old."""
    return before.value <= 1 and now.low > max(1, before.upper)


def compare(screen: Screen, work: str, sides: dict[str, Results]) -> list[str]:
    """Print the table of a work. Return the figures and contenders that the library won then and loses now."""
    before, now = (by_key(results, work) for results in sides.values())
    rows, lost = [], []
    for key, figure in now.items():
        then = before.get(key, {})
        other, other_then = fastest(figure), fastest(then)
        if other is None or other_then is None:
            continue
        ratio, ratio_then = Ratio.of(figure[OURS], other), Ratio.of(then[OURS], other_then)
        cells = [f"{x:.2f}" for x in (ratio_then.value, ratio.lower, ratio.value, ratio.upper)]
        found = losses(then, figure)
        where = figure[OURS].where
        rows.append([where, other_then.name, other.name, *cells, ", ".join(found)])
        lost += [f"{work} {where}, against {name}" for name in found]
    screen.table(
        ["", "fastest then", "fastest now", "before", "lower", "now", "upper", "won then, lost now"], rows
    )
    return lost


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="./dev bench before", description=__doc__.partition("\n")[0])
    parser.add_argument("revision", metavar="REVISION", help="a revision of this repository")
    parser.add_argument(
        "works", nargs="*", metavar="WORK", help="of these works only: " + ", ".join(COMPARED)
    )
    parser.add_argument("--directory", type=Path, help="where the files go (default: the temporary folder)")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.works = [ALIASES.get(work.lower(), work.lower()) for work in arguments.works] or list(COMPARED)
    if unknown := [work for work in arguments.works if work not in COMPARED]:
        parser.error(f"'{unknown[0]}' cannot be compared; there are {', '.join(COMPARED)}")
    asked = ["git", "rev-parse", "--quiet", "--verify", f"{arguments.revision}^{{commit}}"]
    if subprocess.run(asked, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        parser.error(f"this repository has no revision '{arguments.revision}'")
    return arguments


def main() -> int:
    """Measure both libraries, and print what each figure was and is."""
    arguments = parse()
    screen = Screen()
    sides = {"before": Results(), "now": Results()}
    lost = []
    with tempfile.TemporaryDirectory(prefix="mmapguard-before-", dir=arguments.directory) as folder:
        screen.passing(f"building the library of {arguments.revision} …")
        library = next(arguments.build.glob("libmmapguard.so.*"))
        environments = {
            "before": build_before(arguments.revision, library, Path(folder) / "before"),
            "now": dict(os.environ),
        }
        screen.erase()
        screen.heading(
            f"{OURS} at {arguments.revision}, and now",
            "our time divided by that of the fastest other; the two libraries in turn",
        )
        for work in arguments.works:
            for turn in range(TURNS * 2):
                side = list(sides)[turn % 2]
                found = Results()
                run = Run(screen, found, arguments.build, Path(folder), BUDGET_MS, GIB // 4, counts=False)
                run.environment = environments[side]
                run.measure(work)
                merge(sides[side], found)
            screen.line(f"\n  {work}")
            lost += compare(screen, work, sides)
    screen.line(f"\n  Won then and lost now: {'; '.join(lost) if lost else 'nothing'}.")
    for failure in sides["now"].failures:  # the earlier revision may lack what a figure needs
        print(f"bench: did not run: {failure}", file=sys.stderr)
    return 1 if sides["now"].failures else 0


if __name__ == "__main__":
    sys.exit(main())
