# SPDX-License-Identifier: MIT OR Apache-2.0
"""What STABLE costs, on every file system that can be mounted here: medians, differences and ratios.

    run.py [--quick] [--build DIR] [FILE_SYSTEM...]

Without root, only where the temporary folder is. No time decides about the exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from stable import mounts  # noqa: E402

MIB = 1 << 20
ROOM = 4 << 30

Samples = dict[tuple[str, int, str], list[float]]


def run(program: Path, *arguments: str) -> Samples:
    """What one run of the measuring program printed."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    found: Samples = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if "samples" in line:
            found[line["task"], line["bytes"], line["name"]] = line["samples"]
    return found


def verdict(value: float, limit: float) -> str:
    """A target and what became of it."""
    return f"target {limit:g}: {'met' if value <= limit else 'missed'}"


def report_opening(kind: str, found: Samples) -> None:
    """Nanoseconds more than a plain open: the median of the differences of the same round."""
    for name, limit in (("lease", 3.0), ("reflink", 1000.0)):
        for what, judged in (("open", True), ("open and close", False)):
            task = f"{what} by a {name}"
            ours = next((samples for (t, _, n), samples in found.items() if (t, n) == (task, name)), None)
            if ours is None:
                continue
            plain = next(samples for (t, _, n), samples in found.items() if (t, n) == (task, "plain"))
            more = statistics.median(a - b for a, b in zip(ours, plain, strict=True)) / 1000
            print(
                f"  {kind:8} {task:26} {statistics.median(ours) / 1000:9.2f} us, plain"
                f" {statistics.median(plain) / 1000:9.2f} us, more: {more:+9.2f} us"
                f"  {verdict(more, limit) if judged else ''}"
            )


def report_breaking(kind: str, found: Samples) -> None:
    """Milliseconds of waiting, against cp; where blocks are shared, 5 ms for whatever size."""
    by_name = {name: samples for (_, _, name), samples in found.items()}
    size = next(iter(found))[1]
    means = next(name for name in by_name if not name.startswith("cp"))
    wait, copy = statistics.median(by_name[means]), statistics.median(by_name["cp"])
    ratio = statistics.median(a / b for a, b in zip(by_name[means], by_name["cp"], strict=True))
    told = verdict(wait, 5) + " ms" if means == "reflink" else verdict(ratio, 1.5)
    print(
        f"  {kind:8} break, {size // MIB:5} MiB, {means:9} waited {wait:9.2f} ms, cp {copy:9.2f} ms,"
        f" ratio {ratio:6.3f}  {told}"
    )


def measure(program: Path, kind: str, where: Path, quick: bool) -> None:
    """One file system."""
    report_opening(kind, run(program, "open", str(where), "300" if quick else "2000"))
    for mib in (1, 16, 128) if quick else (1, 16, 128, 1024):
        rounds = "5" if mib > 256 or quick else "15"
        report_breaking(kind, run(program, "break", str(where), str(mib * MIB), rounds))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what STABLE costs.")
    parser.add_argument("--quick", action="store_true", help="less time, smaller files")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="build folder")
    parser.add_argument("kinds", nargs="*", metavar="FILE_SYSTEM", default=[])
    arguments = parser.parse_args()
    program = arguments.build / "bench" / "stable" / "mmapguard-bench-stable"
    print("STABLE beside a plain open, and a writer's wait beside cp")
    if os.geteuid() != 0:
        measure(program, "here", Path(tempfile.gettempdir()), arguments.quick)
        return 0
    for kind in arguments.kinds or [one for one in mounts.WRITABLE if one != "overlay"]:
        try:
            with mounts.writable(kind, ROOM) as where:
                measure(program, kind, where, arguments.quick)
        except (mounts.Unavailable, RuntimeError) as reason:
            print(f"  {kind:8} not measured: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
