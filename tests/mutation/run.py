# SPDX-License-Identifier: MIT OR Apache-2.0
"""./dev test mutation: changes src/ on purpose, one line at a time, and counts how many changes the tests notice.

usage: run.py [--count N] [--seed N] [--room ROOM] [--file PART] [--quick] [--minutes N]

universalmutator writes the mutants by the rules in faults.rules; a sample of them is drawn with the seed. Each is
built in a copy of the checkout. A mutant that does not compile, or that compiles to the same code, does not count.
For each of the others, the C tests run, the fastest first, and then the tests through ctypes, until one fails. A
mutant that no test notices has survived, unless equivalents.txt says why nobody can notice it. The exit code is 0
when at least 90 of 100 were noticed.

--quick leaves all but the fastest C tests out, so the score is a lower bound. --minutes ends the sample early.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLACE = ROOT / "build" / "mutation"
TREE = PLACE / "tree"
WANTED = 0.9
#: The limit of a command in seconds, since a mutant may wait for ever. The whole suite takes a tenth of this time.
PATIENCE = 900.0
#: C programs that take long. They run after the others.
SLOW = "storm|races|threads|media|truncation|sandbox|test_handle$"
#: The tests through ctypes that a mutant of the library can break, in the order of their time.
FOLDERS = ("tests/contract", "tests/fault", "tests/stable", "tests/launcher")


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
    """Return all mutants of a file of src/."""
    folder = PLACE / "mutants"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mutate = Path(sys.executable).with_name("mutate")
    arguments: list[str | Path] = [
        ROOT / file,
        "--noCheck",
        "--only",
        HERE / "faults.rules",
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


def contained(command: list[str]) -> list[str]:
    """Return the command with name spaces of its own where this is allowed, so that a mutant leaves no process and no
    mount."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return command
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]


def succeeds(command: list[str], log: Path) -> bool:
    """Returns true when the command ends with 0 in time. What it prints goes into the log."""
    environment = {**os.environ, "MMAPGUARD_LIBRARY": str(TREE / "build/release/libmmapguard.so.1")}
    with log.open("ab") as output:
        try:
            return (
                subprocess.run(
                    contained(command), cwd=TREE, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output, timeout=PATIENCE, check=False,
                ).returncode
                == 0
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False


def build(log: Path) -> bool:
    """Returns true when the copy compiles."""
    with log.open("ab") as output:
        configure = ["cmake", "--preset", "release", "--log-level=WARNING", "-DMMAPGUARD_PLANTED_FAULTS=OFF"]
        compile_all = ["cmake", "--build", "--preset", "release"]
        return all(
            subprocess.run(command, cwd=TREE, stdout=output, stderr=output, check=False).returncode == 0
            for command in (configure, compile_all)
        )


def code_of_library() -> bytes:
    """Return the machine code of the library, without the data for debuggers."""
    stripped = PLACE / "stripped"
    library = TREE / "build/release/libmmapguard.so.1"
    subprocess.run(["strip", "-o", stripped, "-R", ".note.gnu.build-id", library], check=True)
    return stripped.read_bytes()


def test_commands(quick: bool) -> list[list[str]]:
    """Return the test commands, the fastest first. Each command stops at its first failure."""
    ctest = ["ctest", "--preset", "release", "--label-regex", "^unit$", "--parallel", "2", "--timeout", "300"]
    pytest = [".venv/bin/python", "-m", "pytest", "--quiet", "--exitfirst"]
    fastest = [*ctest, "--exclude-regex", SLOW, "--stop-on-failure"]
    if quick:
        return [fastest]
    return [
        fastest,
        [*ctest, "--tests-regex", SLOW, "--stop-on-failure"],
        *([*pytest, folder] for folder in FOLDERS),
    ]


def noticed_by(log: Path, quick: bool) -> str | None:
    """Return the first of the tests that fails, or None."""
    for command in test_commands(quick):
        if not succeeds(command, log):
            return command[-1] if command[0] != "ctest" else "C tests"
    return None


def justified() -> set[tuple[str, str, str]]:
    """Return the excuses of equivalents.txt: the file, the line before and the line after the change."""
    blocks = (HERE / "equivalents.txt").read_text(encoding="utf-8").split("\n\n")
    found = set()
    for block in blocks:
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if len(lines) >= 4:
            found.add((lines[0].strip(), lines[1][1:].strip(), lines[2][1:].strip()))
    return found


def try_out(mutant: Mutant, untouched: bytes, log: Path, quick: bool) -> str:
    """Return the result of a mutant: "broken", "same", "survived", or the test that noticed it."""
    copy = TREE / mutant.file
    lines = copy.read_text(encoding="utf-8").split("\n")
    lines[mutant.line - 1] = mutant.after
    original = copy.read_bytes()
    copy.write_text("\n".join(lines), encoding="utf-8")
    try:
        if not build(log):
            return "broken"
        if code_of_library() == untouched:
            return "same"
        return noticed_by(log, quick) or "survived"
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
    parser.add_argument("--quick", action="store_true", help="only the fastest C tests: a lower bound")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    wanted = parser.parse_args()
    end = time.monotonic() + wanted.minutes * 60

    PLACE.mkdir(parents=True, exist_ok=True)
    log = PLACE / "log"
    log.write_bytes(b"")
    copy_checkout()
    print("building the checkout as it is, and running all its tests", flush=True)
    failed = noticed_by(log, wanted.quick) if build(log) else "the build"
    if failed:
        sys.exit(f"{failed} failed without a mutant; see {log}")
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
        outcome = try_out(mutant, untouched, log, wanted.quick)
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
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
