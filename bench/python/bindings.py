# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures the bindings for Python and Lua in one run: W8 against mmap, W9 against strings and raw pointers.

    ./dev bench bindings [--quick] [--report]

Runs in an environment with the Python package and NumPy, beside a build of the modules for Lua. `--report` writes
bench/BINDINGS.md. Exit code 1 when something did not run; no time decides about it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import w8

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from console import duration  # noqa: E402

REPORT = ROOT / "bench" / "BINDINGS.md"
#: The interpreters, the folder with the C module of each, and the module that W9 measures with it.
LUAS = (("lua5.4", "5.4", "mmapguard"), ("luajit", "5.1", "mmapguard.ffi"))


def python_table() -> list[str]:
    """Measure W8. Return a table in Markdown."""
    lines = ["| W8 | mmap | region | ratio | half of the rounds | target |", "|---|---|---|---|---|---|"]
    for one in w8.figures():
        low, high = one.quartiles
        verdict = "met" if one.ratio <= one.target else "**missed**"
        lines.append(
            f"| `{one.title}` | {duration(one.theirs * 1e9)} | {duration(one.ours * 1e9)} | {one.ratio:.2f} "
            f"| {low:.2f} to {high:.2f} | ≤ {one.target:.2f} {verdict} |"
        )
        print(lines[-1], flush=True)
    return lines


def lua_table(build: Path, interpreter: str, folder: str, module: str, quick: bool) -> list[str]:
    """Measure W9 with one interpreter. Return what bench/lua/w9.lua prints."""
    program = shutil.which(interpreter)
    if program is None:
        raise SystemExit(f"bindings.py: {interpreter} is not installed")
    modules = build / "bindings" / "lua"
    done = subprocess.run(
        [program, ROOT / "bench" / "lua" / "w9.lua", module, *(["64", "5"] if quick else [])],
        env={
            **os.environ,
            "LUA_CPATH": f"{modules}/lib/{folder}/?.so",
            "LUA_PATH": f"{modules}/share/?.lua",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(done.stdout, flush=True)
    return ["```text", *(line.rstrip() for line in done.stdout.splitlines()), "```"]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build" / "lua", help="the build of the Lua modules"
    )
    parser.add_argument("--quick", action="store_true", help="smaller files and fewer rounds for Lua")
    parser.add_argument("--report", action="store_true", help="write bench/BINDINGS.md")
    given = parser.parse_args()
    python = python_table()
    luas = [
        (name, lua_table(given.build, name, folder, module, given.quick)) for name, folder, module in LUAS
    ]
    if given.report:
        taken = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines = [
            "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->",
            "# The bindings for Python and Lua, measured",
            "",
            f"`./dev bench bindings --report` wrote this file, in one run: CPython {platform.python_version()}, Linux "
            f"{platform.release()} on {platform.machine()}, {taken}.",
            "All times are processor times, and the contenders take turns in one process. A ratio is the time of mmapguard",
            "divided by the time of the other: below 1 mmapguard is faster.",
            "",
            "## Python, beside `mmap.mmap`",
            "",
            *python,
        ]
        for name, table in luas:
            lines += ["", f"## Lua, with {name}", "", *table]
        REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
