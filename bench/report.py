# SPDX-License-Identifier: MIT OR Apache-2.0
"""Run the benchmarks and print the results: ratios, counts, targets.

    report.py [WORK...] [--quick] [--report] [--directory DIR] [--build DIR] [--json FILE]

mmapguard-bench does the measuring, all contenders of a figure in turn in one process; this program runs it once for
each work, compares, and writes the same as JSON beside it. A ratio is the median over the rounds of our time divided
by theirs in the same round. A missed target is called close when the ratio misses it by less than the spread of the
rounds (95 %). The exit code does not depend on times: it is 0 unless something did not run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from figures import GIB, KIB, MIB, Results, size
from markdown import write_report
from works import ALIASES, WORKS, Run, Screen

HERE = Path(__file__).resolve().parent
PEERS = {
    "GLib": "libglib2.0-dev",
    "Boost": "libboost-iostreams-dev and a C++ compiler",
    "APR": "libapr1-dev",
    "Rust": "cargo 1.85 or later, and its registry",
    "LLVM": "a libLLVM of any version",
}
NOT_HERE = {"mio": "no package of Debian has it"}
CRATES = ("memmap2", "fs4", "mmap-guard", "memchr")
QUICK = ("open", "held", "page", "find", "pin", "contain", "memory", "survival", "guard")
"""What a short run measures; the others take files or times that are not short."""


def file_system(path: Path) -> str:
    """Return the type of the file system that `path` is on, from the longest mount point that leads to it."""
    best, kind = "", "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, type_, *_ = line.split()
            mount = mount.encode().decode("unicode_escape")
            if path.is_relative_to(mount) and len(mount) >= len(best):
                best, kind = mount, type_
    return kind


def available_memory() -> int:
    """Return the number of bytes that are free for page cache and copies."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(match[1]) * KIB if match else GIB


def processor() -> str:
    """Return the name that the processor has for itself."""
    with contextlib.suppress(OSError):
        if match := re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
            return match[1]
    return platform.machine()


def versions(build: Path) -> dict[str, str]:
    """Return the versions of the contenders, as the measuring program was built, and of the system."""
    program = [str(build / "bench" / "mmapguard-bench"), "versions"]
    found: dict[str, str] = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    if "Rust" in found:
        locked = tomllib.loads((HERE / "rust" / "Cargo.lock").read_text())["package"]
        crates = [
            f"{package['name']} {package['version']}" for package in locked if package["name"] in CRATES
        ]
        found["Rust"] += ": " + ", ".join(crates)
    found["kernel"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    found["processor"] = f"{processor()}, {os.cpu_count()} available"
    for tool, option in (("valgrind", "--version"), ("strace", "-V")):
        if path := shutil.which(tool):
            output = subprocess.run([path, option], capture_output=True, text=True, check=True).stdout
            words = re.search(r"\d+(\.\d+)+", output)
            found[tool] = words[0] if words else "unknown"
    return found


def write_json(path: Path, results: Results, about: dict[str, Any]) -> None:
    """Write the medians, quartiles and counts of every series, the outcomes and the verdicts as JSON."""
    series = []
    for one in results.series:
        quartiles = statistics.quantiles(one.samples, n=4) if len(one.samples) > 1 else [one.median] * 3
        entry: dict[str, Any] = {
            "work": one.work,
            "task": one.task,
            "bytes": one.bytes,
            "threads": one.threads,
            "name": one.name,
            "rounds": len(one.samples),
            "least": float(f"{min(one.samples):.6g}"),
            "quartiles": [float(f"{q:.6g}") for q in quartiles],
        }
        series.append(entry | {name: value for name, value in vars(one.counts).items() if value is not None})
    document = about | {"figures": series, "verdicts": [vars(verdict) for verdict in results.verdicts]}
    document |= {"outcomes": results.outcomes, "absent": results.absent, "failures": results.failures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure mmapguard beside its peers.")
    parser.add_argument("works", nargs="*", metavar="WORK", help="of these works only: " + ", ".join(WORKS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a run of less than two minutes: less time for each figure, smaller files",
    )
    parser.add_argument(
        "--report", action="store_true", help="write bench/REPORT.md, its plots, and the rows in the README"
    )
    parser.add_argument("--directory", type=Path, help="where the files go (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="where the figures go (default: bench/results/TIME.json)")
    parser.add_argument(
        "--build", type=Path, default=HERE.parent / "build" / "release", help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    known = {**ALIASES, **{name: name for name in WORKS}}
    if unknown := [work for work in arguments.works if work.lower() not in known]:
        parser.error(f"no work is called '{unknown[0]}'; there are {', '.join(WORKS)}")
    if arguments.works and arguments.report:
        parser.error("a report is about all works")
    arguments.works = [known[work.lower()] for work in arguments.works]
    if not arguments.works:
        arguments.works = list(QUICK if arguments.quick and not arguments.report else WORKS)
    return arguments


def print_about(screen: Screen, about: dict[str, Any], folder: Path) -> None:
    """Print the contenders and the system."""
    screen.heading("mmapguard beside its peers", about["started"])
    for name, version in about["versions"].items():
        screen.line(f"  {name:18} {version}")
    screen.line(f"  {'files on':18} {about['file_system']}, in {folder.parent}")
    for peer, why in about["missing"].items():
        screen.line(f"  {peer:18} missing: {why}")


def main() -> int:
    """Run the works that the command line names, print their tables, and write the JSON and the report."""
    arguments = parse()
    screen, results, started = Screen(), Results(), datetime.datetime.now().astimezone()
    if not (arguments.build / "bench" / "mmapguard-bench").exists():
        print("bench: the measuring program is not built; ./dev bench does that", file=sys.stderr)
        return 2
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmapguard-bench-", dir=arguments.directory) as folder:
        room = min(shutil.disk_usage(folder).free // 2, available_memory() // 3)
        wanted = 64 * MIB if arguments.quick else GIB
        about: dict[str, Any] = {"started": started.isoformat(" ", "minutes"), "quick": arguments.quick}
        about |= {"versions": versions(arguments.build), "file_system": file_system(Path(folder).resolve())}
        about["missing"] = {
            peer: f"needs {why}" for peer, why in PEERS.items() if peer not in about["versions"]
        }
        about["missing"] |= NOT_HERE
        print_about(screen, about, Path(folder))
        if room < wanted:
            screen.line(f"  {'file sizes':18} up to {size(room)}: disk or memory has no room for more")
        run = Run(
            screen,
            results,
            arguments.build,
            Path(folder),
            50 if arguments.quick else 1500,
            min(room, wanted),
            counts=arguments.report or not arguments.quick,
        )
        for work in arguments.works:
            begun_work = time.monotonic()
            WORKS[work](run)
            screen.line(f"  {screen.paint('2', f'{work}: {time.monotonic() - begun_work:.0f} s')}")
        about["versions"] |= results.versions
        about["missing"] |= results.missing
    about["minutes"] = round((time.monotonic() - begun) / 60, 1)

    screen.heading("Targets", f"after {about['minutes']} min")
    outcomes = [verdict.outcome for verdict in results.verdicts]
    screen.line("  " + ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("met", "close", "missed")))
    target = arguments.json or HERE / "results" / f"{started:%Y%m%d-%H%M%S}.json"
    write_json(target, results, about)
    screen.line(f"  {screen.paint('2', 'written to ' + os.path.relpath(target))}")
    if arguments.report:
        write_report(HERE, results, about)
        screen.line(f"  {screen.paint('2', 'and to ' + os.path.relpath(HERE / 'REPORT.md'))}")
    for failure in results.failures:
        print(f"bench: did not run: {failure}", file=sys.stderr)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
