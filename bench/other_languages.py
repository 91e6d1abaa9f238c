# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures how other languages read a file, beside the ways of C.

Each language has a program in bench/languages, which runs all the time and does what it is asked to do. It says hello
with its version and the names of its ways. A request is a line: a way, a task, a number of times and a path, with tabs in
between. The answer is "done", or "failed: WHY". The time is the processor time of the whole process, its garbage
collector and its compiler included, as the kernel tells it to this program. The tasks are "open", which opens, touches one byte of each page and closes,
and "scan", which reads every byte of a file that stands open. C gets the same requests (serve_work.c).

The programs take turns in an order that is shuffled for every round, all on one processor, so that their times can be
compared round by round. For the survival table each program reads in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from figures import KIB, MIB, Counts, Results, Series

HERE = Path(__file__).resolve().parent / "languages"
OPEN, SCAN = "open, touch each page, close", "read every byte, open already"
FIGURES = [("open", 4 * KIB), ("open", 64 * KIB), ("open", MIB), ("open", 16 * MIB), ("scan", MIB)]
BATCH_NS = 10_000_000
COUNTED = (50, 250)


@dataclass
class Language:
    """A language that is installed, and how its program is started."""

    name: str
    command: list[str]
    version: str = ""
    ways: list[str] = field(default_factory=list)

    def contender(self, way: str) -> str:
        """Return the name of a way in the tables."""
        return way if self.name == "C" else f"{self.name}, {way}"


class Asked:
    """A program that runs, and answers requests."""

    def __init__(self, command: list[str]) -> None:
        """Start the program on one processor, and hear its hello."""
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = json.loads(self.read())
        self.clock = ~self.child.pid << 3 | 2
        """The clock of the processor time of that process, as clock_getcpuclockid(3) numbers it."""

    def read(self) -> str:
        """Read one line."""
        assert self.child.stdout is not None
        return self.child.stdout.readline()

    def ask(self, way: str, task: str, times: int, path: Path) -> int | str:
        """Return the nanoseconds of `times` runs, or why there is no answer."""
        assert self.child.stdin is not None
        start = time.clock_gettime_ns(self.clock)
        self.child.stdin.write(f"{way}\t{task}\t{times}\t{path}\n")
        self.child.stdin.flush()
        answer = self.read().strip()
        return time.clock_gettime_ns(self.clock) - start if answer == "done" else answer or "ended"

    def end(self) -> None:
        """End the program."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()
        assert self.child.stdout is not None
        self.child.stdout.close()


def compiled(source: list[str], target: Path, log: Path) -> bool:
    """Run a compiler. Return True when it made the target."""
    with log.open("w") as output:
        done = subprocess.run(source, stdout=output, stderr=output, cwd=HERE, check=False)
    return done.returncode == 0 and target.exists()


def installed(build: Path) -> tuple[list[Language], dict[str, str]]:
    """Return the languages that can run here, built where they need it, and why each other one cannot."""
    build = build.resolve()
    folder = build / "bench" / "languages"
    folder.mkdir(parents=True, exist_ok=True)
    found = [Language("C", [str(build / "bench" / "mmapguard-bench"), "serve"])]
    missing = {}
    go, java = folder / "go-ways", folder / "Ways.class"
    log = folder / "compiler.log"
    if shutil.which("go") is None:
        missing["Go"] = "needs golang-go"
    elif not compiled(["go", "build", "-o", str(go), "go/main.go"], go, log):
        missing["Go"] = f"does not compile, see {os.path.relpath(log)}"
    else:
        found.append(Language("Go", [str(go)]))
    if shutil.which("javac") is None or shutil.which("java") is None:
        missing["Java"] = "needs default-jdk-headless"
    elif not compiled(["javac", "-d", str(folder), "java/Ways.java"], java, log):
        missing["Java"] = f"does not compile, see {os.path.relpath(log)}"
    else:
        found.append(Language("Java", ["java", "-cp", str(folder), "Ways"]))
    scripts = {
        "Node.js": ("node", "nodejs", "node/ways.js"),
        "Python": ("python3", "python3", "python/ways.py"),
    }
    scripts["Lua"] = ("lua5.4", "lua5.4", "lua/ways.lua")
    for name, (program, package, script) in scripts.items():
        if shutil.which(program) is None:
            missing[name] = f"needs {package}"
        else:
            found.append(Language(name, [program, str(HERE / script)]))
    return found, missing


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process and the programs that it starts on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def times_for_a_batch(program: Asked, way: str, task: str, path: Path) -> int | str:
    """Return how often a way has to run for a batch that is long enough, after a warm-up; or why it does not run."""
    times, spent = 1, 0
    while True:
        took = program.ask(way, task, times, path)
        if isinstance(took, str):
            return took
        spent += took
        if took >= BATCH_NS and spent >= 20 * BATCH_NS:  # a compiler at run time has done its work by then
            return max(1, round(times * BATCH_NS / took))
        times *= 2 if took < BATCH_NS else 1


def measure(languages: list[Language], folder: Path, budget_ms: int, results: Results) -> None:
    """Measure all figures."""
    generator = random.Random(1)
    with one_processor(), contextlib.ExitStack() as stack:
        programs = {}
        for language in languages:
            programs[language.name] = program = Asked(language.command)
            stack.callback(program.end)
            language.version, language.ways = program.hello["version"], program.hello["ways"]
        for task, size in FIGURES:
            path = folder / "file"
            path.write_bytes(random.Random(2).randbytes(size))
            runners = []
            for language in languages:
                for way in language.ways:
                    times = times_for_a_batch(programs[language.name], way, task, path)
                    name = language.contender(way)
                    if isinstance(times, str):
                        results.failures.append(f"languages {task}: {name}: {times}")
                        continue
                    series = Series("languages", OPEN if task == "open" else SCAN, size, 0, name)
                    results.series.append(series)
                    runners.append((programs[language.name], way, times, series))
            rounds = max(9, round(budget_ms * 1_000_000 / BATCH_NS / max(1, len(runners))))
            for _ in range(rounds):
                for program, way, times, series in generator.sample(runners, len(runners)):
                    took = program.ask(way, task, times, path)
                    assert isinstance(took, int), took
                    series.samples.append(took / times)
            path.unlink()


# ------------------------------------------------------------------------------------------------------------- counts


def counted(command: list[str], request: str, trace: Path | None) -> tuple[int, int]:
    """Return the system calls and the page faults of a program that gets one request."""
    prefix = ["strace", "-f", "-qq", "-o", str(trace)] if trace else []
    child = subprocess.Popen([*prefix, *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert child.stdin is not None
    child.stdin.write(request)
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if trace is None:
        return 0, usage.ru_minflt
    calls = sum(
        bool(re.match(r"\d+ +\w+\(", line)) for line in trace.read_text(errors="replace").splitlines()
    )
    trace.unlink()
    return calls, 0


def count(languages: list[Language], folder: Path, results: Results) -> None:
    """Count what an operation costs: the difference of two runs, one with 200 operations more than the other."""
    path, trace = folder / "file", folder / "trace"
    few, many = COUNTED
    for task, size in FIGURES[:3]:
        path.write_bytes(random.Random(2).randbytes(size))
        for language in languages:
            for way in language.ways:
                counts = Counts()
                requests = [f"{way}\t{task}\t{times}\t{path}\n" for times in (few, many)]
                faults = [counted(language.command, request, None)[1] for request in requests]
                counts.faults = max(0, faults[1] - faults[0]) / (many - few)
                if shutil.which("strace"):
                    calls = [counted(language.command, request, trace)[0] for request in requests]
                    counts.system_calls = max(0, calls[1] - calls[0]) / (many - few)
                line = {"work": "languages", "task": OPEN, "bytes": size, "threads": 0}
                results.add_counts(line | {"name": language.contender(way)}, counts)
        path.unlink()


# ----------------------------------------------------------------------------------------------------------- survival


def read_error(stream: IO[str]) -> str:
    """Return what a program wrote, and close the stream."""
    with stream:
        return stream.read()


def survive(language: Language, way: str, path: Path, event: list[str]) -> str:
    """Let a program read a file while an event happens to it. Return what became of the program."""
    child = subprocess.Popen(
        [*language.command, "survive", way, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=path.parent,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdout:
        if child.stdout.readline() == "ready\n":
            subprocess.run([*event, str(path)], check=True)
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write("x")
            child.stdin.close()
        error = read_error(child.stderr)
        code = child.wait()
    if code < 0:
        return f"dies of {signal.Signals(-code).name}"
    if "SIGBUS" in error:  # Go ends by itself, and Java after a signal in the code of the virtual machine
        return "dies of SIGBUS"
    return {0: "reads on", 40: "is told", 41: "reads wrong bytes"}.get(code, "does not open")


def survival(languages: list[Language], build: Path, folder: Path, results: Results) -> None:
    """Add the programs to the survival table."""
    program = str(build / "bench" / "mmapguard-bench")
    for event, outcomes in results.outcomes.items():
        for language in languages:
            for way in language.ways if language.name != "C" else []:
                path = folder / "survival"
                path.write_bytes(random.Random(2).randbytes(MIB))
                outcomes[language.contender(way)] = survive(language, way, path, [program, "event", event])
                path.unlink(missing_ok=True)


def hello(languages: list[Language]) -> None:
    """Ask each program for its version and its ways."""
    for language in languages:
        if not language.ways:
            program = Asked(language.command)
            language.version, language.ways = program.hello["version"], program.hello["ways"]
            program.end()
