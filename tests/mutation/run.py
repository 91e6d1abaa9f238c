# SPDX-License-Identifier: MIT OR Apache-2.0
"""./dev test mutation: changes src/ on purpose, one line at a time, and counts how many changes the tests notice.

usage: run.py [--count N] [--seed N] [--room ROOM] [--file PART] [--quick [SECONDS]] [--tests PART] [--minutes N]
              [--jobs N] [--fresh]

universalmutator writes the mutants by the rules in faults.rules; a sample of them is drawn with the seed. Each is
built in a copy of the checkout. A mutant that does not compile, or that compiles to the same code, does not count.
For each of the others, those tests run that reach its line, the C programs first and the fastest first, until one
fails twice. A mutant that no test notices has survived. What equivalents.txt lists as equivalent is not tried. In the end, the
tests that noticed a mutant have to pass without one. The exit code is 0 when at least 90 of 100 were noticed.

Which test reaches which line is measured first, in a build with counters (suite.py); a later run uses what is known.
--measure does nothing else, and measures new tests only; with --fresh it measures all. A mutant that was noticed stays
noticed as long as its file is the same, so a later run tries the survivors and what is new; --fresh tries all. --quick
leaves the tests in Python and slow programs out, so the score is a lower bound; --tests runs only tests with this part
in their name, and so asks one test about the survivors of an earlier run. --minutes ends the sample early. --jobs tries
so many mutants side by side.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import hashlib
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from mutation import suite  # noqa: E402

PLACE = (ROOT / "build" / "mutation").resolve()
#: They compile files of src/ themselves, so no counter tells what they reach.
MODELS = ("model_handles", "model_registry", "model_losses", "model_install", "model_closing", "model_breaks")
#: It counts instructions, so it cannot run in a build with counters, and may reach any line.
COST = "tests/cost/test_cost.py"
RULES = HERE / "faults.rules"
WANTED = 0.9
#: A test has to fail this many times, one after the other, to notice a mutant.
FAILURES = 2
#: With --quick only the C programs count that took no longer than this many seconds when they were measured.
QUICK_SECONDS = 30.0
ALL_SECONDS = float("inf")


@dataclass(frozen=True)
class Mutant:
    """A file of src/ with one line changed."""

    file: str
    line: int
    before: str
    after: str

    @property
    def room(self) -> str:
        """Return the room of src/ that the file is in."""
        return Path(self.file).parts[1]

    def place_in(self, seed: int) -> tuple[str, int]:
        """Return what orders the mutants of a seed."""
        text = f"{seed} {self.file} {self.before} {self.after}"
        return hashlib.sha256(text.encode()).hexdigest(), self.line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def git_files() -> list[str]:
    """Return the files of the checkout that exist."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@functools.cache
def text_of(file: str) -> str:
    """Return a file of src/ as it is at the first call: the checkout may change while the mutants are tried."""
    return (ROOT / file).read_text(encoding="utf-8")


def mutants_of(file: str) -> list[Mutant]:
    """Return all mutants of a file of src/. They are made once for each state of the file and of the rules."""
    state = hashlib.sha256(text_of(file).encode() + RULES.read_bytes()).hexdigest()
    known = PLACE / "known" / state
    if not known.exists():
        known.parent.mkdir(exist_ok=True)
        known.write_text(json.dumps([vars(mutant) for mutant in make_mutants(file)]), encoding="utf-8")
    return [Mutant(**mutant) for mutant in json.loads(known.read_text(encoding="utf-8"))]


def make_mutants(file: str) -> list[Mutant]:
    """Make all mutants of a file of src/."""
    folder = PLACE / "mutants"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mutate = Path(sys.executable).with_name("mutate")
    arguments: list[str | Path] = [
        ROOT / file,
        "--noCheck",
        "--only",
        RULES,
        "--mutantDir",
        folder,
    ]
    done = subprocess.run([mutate, *arguments], cwd=PLACE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"universalmutator failed on {file}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    original = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = set()
    for path in sorted(folder.iterdir()):
        changed = path.read_text(encoding="utf-8").splitlines()
        lines = [
            index for index, pair in enumerate(zip(original, changed, strict=False)) if pair[0] != pair[1]
        ]
        if len(changed) == len(original) and len(lines) == 1:
            found.add(Mutant(file, lines[0] + 1, original[lines[0]], changed[lines[0]]))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.after))


@dataclass(frozen=True)
class Copy:
    """A copy of the checkout, and the build in it."""

    tree: Path
    log: Path

    @property
    def library(self) -> Path:
        """Return the path of the library that the tests load."""
        return self.tree / "build/release/libmmapguard.so.1"

    def refresh(self) -> None:
        """Bring the copy up to date. Files that did not change keep their time, so that little is built."""
        for name in git_files():
            source, copy = ROOT / name, self.tree / name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
        if not (self.tree / ".venv").exists():
            (self.tree / ".venv").symlink_to(ROOT / ".venv")
        self.log.write_bytes(b"")

    def build(self, *targets: str) -> bool:
        """Returns true when the copy compiles: these targets, or all that the tests need."""
        configure = ["cmake", "--preset", "release", "--log-level=WARNING", "-DMMAPGUARD_PLANTED_FAULTS=OFF"]
        # A program need not be linked again for a library that it loads.
        configure.append("-DCMAKE_LINK_DEPENDS_NO_SHARED=ON")
        compile_these = ["cmake", "--build", "--preset", "release", "--parallel", "2"]
        if targets:
            compile_these += ["--target", *targets]
        is_configured = targets and (self.tree / "build/release/build.ninja").exists()
        with self.log.open("ab") as output:
            return all(
                subprocess.run(command, cwd=self.tree, stdout=output, stderr=output, check=False).returncode
                == 0
                for command in ([] if is_configured else [configure]) + [compile_these]
            )

    def code(self) -> bytes:
        """Return the machine code of the library, without the data for debuggers."""
        stripped = self.tree / "build/stripped"
        subprocess.run(["strip", "-o", stripped, "-R", ".note.gnu.build-id", self.library], check=True)
        return stripped.read_bytes()

    @contextlib.contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """Change the line of a mutant for the time of a block."""
        path = self.tree / mutant.file
        original = path.read_bytes()
        lines = original.decode().split("\n")
        lines[mutant.line - 1] = mutant.after
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            yield
        finally:
            path.write_bytes(original)


class Hunt:
    """The tests in one copy of the checkout, in the order of their time, and what they say of mutants."""

    def __init__(self, copy: Copy, reach: suite.Reach, quick: float, part: str) -> None:
        """Build the copy as it is, and find its tests with this part in their name."""
        self.copy, self.reach = copy, reach
        if not copy.build():
            sys.exit(f"the build failed without a mutant; see {copy.log}")
        self.untouched = copy.code()
        found = suite.programs(copy.tree, "release")
        if quick == ALL_SECONDS:
            found += suite.files_of_pytest(copy.tree)
        found = [test for test in found if part in test.name and self.usual(test) <= quick]
        self.all = sorted(found, key=lambda test: (test.program is None, self.usual(test)))

    def usual(self, test: suite.Test) -> float:
        """Return how many seconds a test takes without a mutant, in the build with counters. The models are slow."""
        is_unmeasured = test.name in MODELS or test.name == COST
        return self.reach.seconds.get(test.name, suite.MOST_SECONDS if is_unmeasured else 0.0)

    def reaching(self, mutant: Mutant) -> list[suite.Test]:
        """Return the tests that run the line of a mutant."""
        names = self.reach.tests_at(mutant.file, mutant.line)
        return [
            test
            for test in self.all
            if test.name in names or test.name == COST or (test.name in MODELS and is_modelled(mutant.file))
        ]

    def try_out(self, mutant: Mutant) -> str:
        """Return the result of a mutant: "broken", "same", "survived", or the test that noticed it."""
        copy = self.copy
        copy.log.write_bytes(b"")
        with copy.changed(mutant):
            if not copy.build("mmapguard"):
                return "broken"
            if copy.code() == self.untouched:
                return "same"
            return self.noticing(self.reaching(mutant)) or "survived"

    def noticing(self, tests: list[suite.Test]) -> str | None:
        """Return the name of the first of these tests that fails, or None."""
        built: set[str | None] = set()
        for place, test in enumerate(tests):
            if test.program not in built:
                # A few at a time: most mutants are noticed by the first program.
                ahead = tests[place : place + 1 + place]
                built |= {other.program for other in ahead}
                targets = {
                    str(Path(other.program).relative_to(self.copy.library.parent)) if other.program else ""
                    for other in ahead
                }
                if not self.copy.build(*(() if "" in targets else sorted(targets))):
                    return "the build of the tests"
            seconds = min(max(self.usual(test) * suite.SLOWER, suite.LEAST_SECONDS), suite.MOST_SECONDS)
            # Twice, so that neither chance nor a busy machine passes for a test that notices.
            if not any(
                suite.passes(test, self.copy.library, self.copy.log, seconds) for _ in range(FAILURES)
            ):
                return test.name
        return None

    def failing_untouched(self, names: set[str]) -> list[str]:
        """Return those of the tests that noticed a mutant, and that fail without one, too."""
        self.copy.build()
        tests = [test for test in self.all if test.name in names]
        return [test.name for test in tests if not suite.passes(test, self.copy.library, self.copy.log)]


class Memory:
    """What is known of mutants from earlier runs: those that are broken, the same, or noticed."""

    def __init__(self, fresh: bool) -> None:
        """Load what is known, unless it is to be found out again."""
        self.place = PLACE / "outcomes.json"
        self.known: dict[str, str] = {}
        self.lock = threading.Lock()
        if self.place.exists() and not fresh:
            self.known = json.loads(self.place.read_text(encoding="utf-8"))

    def key(self, mutant: Mutant) -> str:
        """Return the name of a mutant in this state of its file."""
        text = text_of(mutant.file)
        return hashlib.sha256("\0".join((text, str(mutant.line), mutant.after)).encode()).hexdigest()

    def of(self, mutant: Mutant) -> str | None:
        """Return the result of a mutant, or None when it has to be tried."""
        return self.known.get(self.key(mutant))

    def keep(self, mutant: Mutant, outcome: str) -> None:
        """Keep the result of a mutant; one that survived may be noticed by a later test."""
        if outcome == "survived":
            return
        with self.lock:
            self.known[self.key(mutant)] = outcome
            self.place.write_text(json.dumps(self.known), encoding="utf-8")


def is_modelled(file: str) -> bool:
    """Returns true when the models of tests/model are made from this file."""
    part = file.removeprefix("src/")
    return any(part in path.read_text(encoding="utf-8") for path in (ROOT / "tests/model").glob("*.c"))


def justified() -> set[tuple[str, str, str]]:
    """Return the excuses of equivalents.txt: the file, the line before and the line after the change."""
    blocks = (HERE / "equivalents.txt").read_text(encoding="utf-8").split("\n\n")
    found = set()
    for block in blocks:
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if len(lines) >= 4:
            found.add((lines[0].strip(), lines[1][1:].strip(), lines[2][1:].strip()))
    return found


class Outcomes:
    """What became of the mutants of a sample."""

    def __init__(self, count: int) -> None:
        """Expect so many mutants."""
        self.count = count
        self.rooms: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.survivors: list[Mutant] = []
        self.excused: list[Mutant] = []
        self.noticing: set[str] = set()
        self.done = 0
        self.excuses = justified()
        self.lock = threading.Lock()

    def is_complete(self) -> bool:
        """Returns true when enough mutants were tried."""
        return self.done >= self.count

    def is_excused(self, mutant: Mutant) -> bool:
        """Returns true when equivalents.txt says why nobody can notice a mutant. Then no test is run."""
        return (mutant.file, mutant.before.strip(), mutant.after.strip()) in self.excuses

    def add(self, mutant: Mutant, outcome: str, seconds: float) -> None:
        """Count a mutant, and tell of it. One that nobody can notice does not count."""
        with self.lock:
            if outcome in ("broken", "same") or self.is_complete():
                return
            survived = outcome == "survived"
            if survived and self.is_excused(mutant):
                self.excused.append(mutant)
                return
            self.done += 1
            self.rooms[mutant.room]["survived" if survived else "noticed"] += 1
            if survived:
                self.survivors.append(mutant)
            else:
                self.noticing.add(outcome)
            print(f"{self.done:4}/{self.count} {seconds:5.0f} s  {outcome:16} {mutant}", flush=True)

    def report(self) -> float:
        """Print the score of each room and the survivors. Return the share that was noticed."""
        noticed = total = 0
        print(f"\n{'room':10}{'mutants':>9}{'noticed':>9}")
        for room, outcome in sorted(self.rooms.items()):
            mutants = outcome["noticed"] + outcome["survived"]
            noticed, total = noticed + outcome["noticed"], total + mutants
            print(f"{room:10}{mutants:9}{outcome['noticed']:9}")
        share = noticed / total if total else 0.0
        print(f"{'all':10}{total:9}{noticed:9}  {share:.1%}")
        print(f"{len(self.excused)} more are equivalent, by equivalents.txt")
        if self.survivors:
            print("\nsurvivors:")
            for mutant in self.survivors:
                print(mutant)
        return share


def draw(wanted: argparse.Namespace) -> list[Mutant]:
    """Return the mutants of the files that are wanted, in the order of the seed."""
    sources = [
        name
        for name in git_files()
        if name.startswith(f"src/{wanted.room}")
        and name.endswith(".c")
        and "/stub/" not in name
        and wanted.file in name
    ]
    pool = [mutant for name in sources for mutant in mutants_of(name)]
    # By a hash of each mutant, so that a change of one file leaves the sample of the others as it was.
    pool.sort(key=lambda mutant: mutant.place_in(wanted.seed))
    print(
        f"{len(pool)} mutants of {len(sources)} files; {wanted.count} of them, seed {wanted.seed}", flush=True
    )
    return pool


def main() -> int:
    """Draw the mutants, try each, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default: %(default)s)")
    parser.add_argument("--room", default="", help="only of this room of src/")
    parser.add_argument("--file", default="", help="only of files with this part in their name")
    parser.add_argument(
        "--quick", type=float, nargs="?", const=QUICK_SECONDS, default=ALL_SECONDS, metavar="SECONDS",
        help="only the C tests that take no longer, or 30 seconds: a lower bound",
    )  # fmt: skip
    parser.add_argument("--tests", default="", help="only tests with this part in their name: a lower bound")
    parser.add_argument("--measure", action="store_true", help="only measure which test reaches which line")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants side by side")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs noticed")
    wanted = parser.parse_args()
    end = time.monotonic() + wanted.minutes * 60

    PLACE.mkdir(parents=True, exist_ok=True)
    reach = suite.Reach(PLACE / "tree", PLACE / "reach.json")
    if wanted.measure or not reach.seconds:
        copy = Copy(PLACE / "tree", PLACE / "log of measuring")
        copy.refresh()
        print("measuring which test reaches which line", flush=True)
        reach.measure(copy.log, wanted.fresh)
        if wanted.measure:
            return 0
    print("building the checkout as it is", flush=True)
    hunts = queue.SimpleQueue[Hunt]()
    for number in range(wanted.jobs):
        copy = Copy(PLACE / f"tree-{number}", PLACE / f"log-{number}")
        copy.refresh()
        hunts.put(Hunt(copy, reach, wanted.quick, wanted.tests))
    pool = draw(wanted)
    outcomes = Outcomes(wanted.count)
    memory = Memory(wanted.fresh)

    def try_one(mutant: Mutant) -> None:
        """Find out about one mutant, unless it is known or enough were tried."""
        if outcomes.is_complete() or time.monotonic() > end:
            return
        begun = time.monotonic()
        outcome = "survived" if outcomes.is_excused(mutant) else memory.of(mutant)
        if outcome is None:
            hunt = hunts.get()
            try:
                outcome = hunt.try_out(mutant)
            finally:
                hunts.put(hunt)
            memory.keep(mutant, outcome)
        outcomes.add(mutant, outcome, time.monotonic() - begun)

    with ThreadPoolExecutor(wanted.jobs) as threads:
        for _ in threads.map(try_one, pool):
            pass
    share = outcomes.report()
    failing = hunts.get().failing_untouched(outcomes.noticing)
    if failing:
        sys.exit(
            f"These tests fail without a mutant, too, so the score is worth nothing: {', '.join(failing)}"
        )
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
