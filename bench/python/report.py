# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measure the Python package against the standard library and NumPy, in one pyperf run, and report medians and ratios.

    python bench/python/report.py [--fast] [--sizes BYTES...] [--output FILE.json]

Needs the package installed, NumPy and pyperf. The ratio is our median to that of the fastest other contender; the last column is
the target. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyperf
import w8

import mmapguard

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from console import duration

SIZES = (4096, 16 << 10, 1 << 20, 64 << 20, 1 << 30)
#: The highest allowed ratio, by the beginning of the work's name.
TARGETS = {f"W8 {title}": target for title, target in w8.TARGETS.items()} | {"W10": 1.02, "W11": 1.02}


def samples(folder: Path, sizes: list[int]) -> None:
    """Write files of float32 values, one of each size."""
    block = np.random.default_rng(1).random(1 << 18, np.float32).tobytes()
    for size in sizes:
        with (folder / str(size)).open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: min(len(block), size - start)])


def measure(output: Path, sizes: list[int], fast: bool) -> pyperf.BenchmarkSuite:
    """Run works.py under pyperf."""
    with tempfile.TemporaryDirectory(prefix="mmapguard-bench-") as folder:
        samples(Path(folder), sorted(sizes))
        environment = {**os.environ, "MMAPGUARD_BENCH_SAMPLES": folder}
        command = [sys.executable, str(Path(__file__).with_name("works.py")), "-o", str(output)]
        command += ["--inherit-environ", "MMAPGUARD_BENCH_SAMPLES", "--quiet"]
        subprocess.run(command + (["--fast"] if fast else []), env=environment, check=True)
    return pyperf.BenchmarkSuite.load(str(output))


def report(suite: pyperf.BenchmarkSuite) -> int:
    """Print the table. Return the number of missed targets."""
    works: dict[str, dict[str, float]] = {}
    for benchmark in suite.get_benchmarks():
        work, _, contender = benchmark.get_name().rpartition(": ")
        works.setdefault(work, {})[contender] = benchmark.median()
    missed = 0
    print(f"mmapguard {mmapguard.__version__}, CPython {platform.python_version()}, NumPy {np.__version__},")
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs; medians\n")
    print(f"{'work':<32}{'mmapguard':>12}{'best other':>12}  {'which':<12}{'ratio':>7}{'target':>8}")
    for work, medians in works.items():
        ours = medians.pop("mmapguard")
        best = min(medians, key=lambda name: medians[name])
        ratio, target = ours / medians[best], w8.target_of(work, TARGETS)
        missed += ratio > target
        mark = "" if ratio <= target else "  missed"
        print(
            f"{work:<32}{duration(ours * 1e9):>12}{duration(medians[best] * 1e9):>12}  {best:<12}{ratio:>7.2f}{target:>8.2f}{mark}"
        )
    return missed


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fast", action="store_true", help="fewer repetitions: minutes instead of half an hour"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="sizes of the files, in bytes"
    )
    parser.add_argument(
        "--output", type=Path, help="keep pyperf's own result, for pyperf compare_to and the like"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmapguard-bench-") as folder:
        output = given.output or Path(folder) / "result.json"
        return 1 if report(measure(output, given.sizes, given.fast)) else 0


if __name__ == "__main__":
    sys.exit(main())
