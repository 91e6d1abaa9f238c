# SPDX-License-Identifier: MIT OR Apache-2.0
"""./dev test mutation: changes src/ on purpose, one line at a time, and counts how many changes the tests notice.

usage: run.py [--count N] [--seed N] [--room ROOM] [--file PART] [--quick] [--minutes N]

universalmutator writes the mutants by the rules in faults.rules; a sample of them is drawn with the seed. Each is
built in a copy of the checkout. A mutant that does not compile, or that compiles to the same code, does not count.
For each of the others, those tests run that reach its line, the C programs first and the fastest first, until one
fails. A mutant that no test notices has survived, unless equivalents.txt says why nobody can notice it. In the end,
the tests that noticed a mutant have to pass without one. The exit code is 0 when at least 90 of 100 were noticed.

Which test reaches which line is measured first, in a build with counters (suite.py); a later run uses what is known.
--measure does nothing else. --quick leaves the tests in Python and slow programs out, so the score is a lower bound. --minutes ends the
sample early.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from mutation import suite  # noqa: E402

PLACE = (ROOT / "build" / "mutation").resolve()
TREE = PLACE / "tree"
RELEASE = TREE / "build/release"
LIBRARY = RELEASE / "libmmapguard.so.1"
#: They compile files of src/ themselves, so no counter tells what they reach.
MODELS = ("model_handles", "model_registry", "model_losses", "model_install", "model_closing", "model_breaks")
RULES = HERE / "faults.rules"
WANTED = 0.9
#: With --quick only the C programs count that took no longer than this many seconds when they were measured.
QUICK_SECONDS = 30.0


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

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def git_files() -> list[str]:
    """Return the files of the checkout that exist."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def copy_checkout() -> None:
    """Bring the copy up to date. Files that did not change keep their time, so that little is built."""
    for name in git_files():
        source, copy = ROOT / name, TREE / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    if not (TREE / ".venv").exists():
        (TREE / ".venv").symlink_to(ROOT / ".venv")


def mutants_of(file: str) -> list[Mutant]:
    """Return all mutants of a file of src/. They are made once for each state of the file and of the rules."""
    state = hashlib.sha256((ROOT / file).read_bytes() + RULES.read_bytes()).hexdigest()
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


def build(log: Path, *targets: str) -> bool:
    """Returns true when the copy compiles: these targets, or all that the tests need."""
    with log.open("ab") as output:
        configure = ["cmake", "--preset", "release", "--log-level=WARNING", "-DMMAPGUARD_PLANTED_FAULTS=OFF"]
        # A program need not be linked again for a library that it loads.
        configure.append("-DCMAKE_LINK_DEPENDS_NO_SHARED=ON")
        compile_these = ["cmake", "--build", "--preset", "release"]
        if targets:
            compile_these += ["--target", *targets]
        return all(
            subprocess.run(command, cwd=TREE, stdout=output, stderr=output, check=False).returncode == 0
            for command in ([] if (RELEASE / "build.ninja").exists() and targets else [configure])
            + [compile_these]
        )


def code_of_library() -> bytes:
    """Return the machine code of the library, without the data for debuggers."""
    stripped = PLACE / "stripped"
    subprocess.run(["strip", "-o", stripped, "-R", ".note.gnu.build-id", LIBRARY], check=True)
    return stripped.read_bytes()


class Tests:
    """The tests by name, in the order of their time."""

    def __init__(self, reach: suite.Reach, quick: bool) -> None:
        """Find the tests of the copy."""
        self.reach = reach
        found = suite.programs(TREE, "release") + ([] if quick else suite.files_of_pytest(TREE))
        if quick:
            found = [test for test in found if reach.seconds.get(test.name, 0.0) <= QUICK_SECONDS]
        self.all = sorted(found, key=lambda test: (test.program is None, reach.seconds.get(test.name, 0.0)))
        self.noticed: set[str] = set()

    def noticing(self, mutant: Mutant, log: Path) -> str | None:
        """Return the name of the first test that reaches the mutant and fails, or None."""
        names = self.reach.tests_at(mutant.file, mutant.line)
        tests = [
            test
            for test in self.all
            if test.name in names or (test.name in MODELS and is_modelled(mutant.file))
        ]
        made = sorted({str(Path(test.program).relative_to(RELEASE)) for test in tests if test.program})
        if made and not build(log, *made):
            return "the build of the tests"
        everything = False
        for test in tests:
            if test.program is None and not everything:
                everything = build(log)
            usual = self.reach.seconds.get(test.name, 0.0)
            seconds = min(max(usual * suite.SLOWER, suite.LEAST_SECONDS), suite.MOST_SECONDS)
            if not suite.passes(test, LIBRARY, log, seconds):
                self.noticed.add(test.name)
                return test.name
        return None

    def failing_untouched(self, log: Path) -> list[str]:
        """Return those of the tests that noticed a mutant, and that fail without one, too."""
        build(log)
        tests = [test for test in self.all if test.name in self.noticed]
        return [test.name for test in tests if not suite.passes(test, LIBRARY, log)]


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


def try_out(mutant: Mutant, untouched: bytes, log: Path, tests: Tests) -> str:
    """Return the result of a mutant: "broken", "same", "survived", or the test that noticed it."""
    copy = TREE / mutant.file
    lines = copy.read_text(encoding="utf-8").split("\n")
    lines[mutant.line - 1] = mutant.after
    original = copy.read_bytes()
    copy.write_text("\n".join(lines), encoding="utf-8")
    try:
        if not build(log, "mmapguard"):
            return "broken"
        if code_of_library() == untouched:
            return "same"
        return tests.noticing(mutant, log) or "survived"
    finally:
        copy.write_bytes(original)


def report(
    counts: dict[str, collections.Counter[str]], survivors: list[Mutant], excused: list[Mutant]
) -> float:
    """Print the score of each room and the survivors. Return the share that was noticed."""
    noticed = total = 0
    print(f"\n{'room':10}{'mutants':>9}{'noticed':>9}")
    for room, outcome in sorted(counts.items()):
        mutants = outcome["noticed"] + outcome["survived"]
        noticed, total = noticed + outcome["noticed"], total + mutants
        print(f"{room:10}{mutants:9}{outcome['noticed']:9}")
    share = noticed / total if total else 0.0
    print(
        f"{'all':10}{total:9}{noticed:9}  {share:.0%}; {len(excused)} more are equivalent, by equivalents.txt"
    )
    if survivors:
        print("\nsurvivors:")
        for mutant in survivors:
            print(mutant)
    return share


def main() -> int:
    """Draw the mutants, try each, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default: %(default)s)")
    parser.add_argument("--room", default="", help="only of this room of src/")
    parser.add_argument("--file", default="", help="only of files with this part in their name")
    parser.add_argument("--quick", action="store_true", help="only the quick C tests: a lower bound")
    parser.add_argument("--measure", action="store_true", help="only measure which test reaches which line")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    wanted = parser.parse_args()
    end = time.monotonic() + wanted.minutes * 60

    PLACE.mkdir(parents=True, exist_ok=True)
    log = PLACE / ("log of measuring" if wanted.measure else "log")
    log.write_bytes(b"")
    copy_checkout()
    reach = suite.Reach(TREE, PLACE / "reach.json")
    if wanted.measure or not reach.seconds:
        print("measuring which test reaches which line", flush=True)
        reach.measure(log)
        if wanted.measure:
            return 0
    print("building the checkout as it is", flush=True)
    if not build(log):
        sys.exit(f"the build failed without a mutant; see {log}")
    tests = Tests(reach, wanted.quick)
    untouched = code_of_library()
    sources = [
        name
        for name in git_files()
        if name.startswith(f"src/{wanted.room}")
        and name.endswith(".c")
        and "/stub/" not in name
        and wanted.file in name
    ]
    pool = [mutant for name in sources for mutant in mutants_of(name)]
    random.Random(wanted.seed).shuffle(pool)
    print(
        f"{len(pool)} mutants of {len(sources)} files; {wanted.count} of them, seed {wanted.seed}", flush=True
    )

    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    survivors: list[Mutant] = []
    excused: list[Mutant] = []
    known = justified()
    for mutant in pool:
        done = sum(outcome["noticed"] + outcome["survived"] for outcome in counts.values())
        if done == wanted.count or time.monotonic() > end:
            break
        begun = time.monotonic()
        log.write_bytes(b"")
        outcome = try_out(mutant, untouched, log, tests)
        if outcome in ("broken", "same"):
            continue
        if outcome == "survived" and (mutant.file, mutant.before.strip(), mutant.after.strip()) in known:
            excused.append(mutant)
            continue
        counts[mutant.room]["survived" if outcome == "survived" else "noticed"] += 1
        if outcome == "survived":
            survivors.append(mutant)
        print(
            f"{done + 1:4}/{wanted.count} {time.monotonic() - begun:5.0f} s  {outcome:16} {mutant}",
            flush=True,
        )
    share = report(counts, survivors, excused)
    failing = tests.failing_untouched(log)
    if failing:
        sys.exit(
            f"These tests fail without a mutant, too, so the score is worth nothing: {', '.join(failing)}"
        )
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
