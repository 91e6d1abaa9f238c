# SPDX-License-Identifier: MIT OR Apache-2.0
"""The mutants that files of tests/mutation name are changes of src/ as it is now, so that neither list goes stale."""

from __future__ import annotations

from mutation import named, run
from support.documents import has_case
from support.library import ROOT


def test_each_feature_that_is_removed_by_name_stands_once_in_its_file() -> None:
    removals = named.removals()
    assert len(removals) > 15
    wrong = [
        f"{one.file}: {one.before}"
        for one in removals
        if (ROOT / one.file).read_text(encoding="utf-8").count(one.before) != 1 or one.before == one.after
    ]
    assert wrong == []


def test_each_test_that_notices_a_removal_exists() -> None:
    tests = {test for one in named.removals() for test in one.tests}
    missing = []
    for test in sorted(tests):
        file, case = test.split("::", 1)
        path = ROOT / "tests" / file
        if not (path.is_file() if case == "*" else has_case(path, case)):
            missing.append(test)
    assert missing == []


def test_each_equivalent_mutant_changes_a_line_that_is_there() -> None:
    excuses = run.justified()
    assert len(excuses) > 30
    gone = [
        f"{file}: {before}"
        for file, before, after in sorted(excuses)
        if before == after
        or before not in [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    ]
    assert gone == []
