# SPDX-License-Identifier: MIT OR Apache-2.0
"""Removes features of src/ by name, and shows that the tests that hold them fail: named.py [WORD...]

named.txt lists them. Each is a change of consecutive lines of one file, and tests as in tests/CLAIMS.md. The tests have
to pass before, and each of them has to fail after the change. WORD selects those whose file or tests contain it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from mutation import run, suite  # noqa: E402


@dataclass(frozen=True)
class Removal:
    """A feature that is removed, and the tests that notice."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    why: str


def removals() -> list[Removal]:
    """Return what named.txt lists."""
    found = []
    for block in (HERE / "named.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        parts = {
            mark: [line[2:] for line in lines[1:] if line[:2] == mark] for mark in ("- ", "+ ", "! ", "= ")
        }
        before, after, tests, why = parts.values()
        found.append(Removal(lines[0], "\n".join(before), "\n".join(after), tuple(tests), " ".join(why)))
    return found


def as_test(name: str, tree: Path) -> suite.Test:
    """Return the test of a name: FILE::CASE, with FILE below tests, in this copy of the checkout."""
    file, case = name.split("::", 1)
    path = Path(file)
    if path.suffix == ".py":
        return suite.Test(name, (".venv/bin/python", "-m", "pytest", "-q", f"tests/{file}::{case}"), tree)
    program = path.stem if path.parent.name == "c" or case == "*" else f"{path.parent.name}_{path.stem}"
    found = [one for one in suite.programs(tree, "release") if Path(one.command[0]).name == program]
    if not found:
        sys.exit(f"no test of CTest runs {program}")
    command = found[0].command if case == "*" else (found[0].command[0], case)
    return suite.Test(name, command, found[0].folder, found[0].environment)


def failing(names: Iterable[str], copy: run.Copy) -> list[str]:
    """Return those of the named tests that fail in the copy."""
    tests = [as_test(name, copy.tree) for name in names]
    return [
        test.name for test in tests if not suite.passes(test, copy.library, copy.log, suite.LEAST_SECONDS)
    ]


def remove(removal: Removal, copy: run.Copy) -> str | None:
    """Return what is wrong: the change does not fit or compile, or a test does not notice it."""
    file = copy.tree / removal.file
    original = file.read_bytes()
    text = original.decode()
    if text.count(removal.before) != 1:
        return "the lines occur not once in the file"
    file.write_text(text.replace(removal.before, removal.after), encoding="utf-8")
    try:
        if not copy.build():
            return f"it does not compile; see {copy.log}"
        missing = set(removal.tests) - set(failing(removal.tests, copy))
        return f"not noticed by {', '.join(sorted(missing))}" if missing else None
    finally:
        file.write_bytes(original)


def main() -> int:
    """Run the tests as they are, then remove one feature after the other."""
    wanted = [one for one in removals() if all(word in repr(one) for word in sys.argv[1:])]
    copy = run.Copy(run.PLACE / "tree-named", run.PLACE / "log of names")
    run.PLACE.mkdir(parents=True, exist_ok=True)
    copy.log.write_bytes(b"")
    copy.refresh()
    if not copy.build():
        sys.exit(f"the build failed as it is; see {copy.log}")
    broken = failing(dict.fromkeys(name for one in wanted for name in one.tests), copy)
    if broken:
        sys.exit(f"these tests fail as it is: {', '.join(broken)}; see {copy.log}")
    wrong = 0
    for removal in wanted:
        result = remove(removal, copy)
        wrong += result is not None
        print(f"{'WRONG' if result else 'noticed'}  {removal.file}: {removal.why}", flush=True)
        for line in [result] if result else removal.tests:
            print(f"         {line}", flush=True)
    print(f"{len(wanted)} features were removed, {wrong} of them unnoticed by a test that is named for it")
    return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
