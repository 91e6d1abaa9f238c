# SPDX-License-Identifier: MIT OR Apache-2.0
"""The line at the end of ./dev test counts what CTest and pytest skipped, and tells what root would have run."""

from __future__ import annotations

from pathlib import Path

from skipped import reasons, summary

CTEST = """<testsuite><testcase name="test_lock" status="run"><system-out>
a lock is seen ... PASS
a lock of another user is seen ... SKIP: needs root, to become another user
a case that prints something ... and goes on
SKIP: this kernel has no such locks
</system-out></testcase><testcase name="test_place" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
<system-out>a place is kept ... SKIP: an emulator chooses</system-out></testcase></testsuite>"""

PYTEST = """<testsuites><testsuite><testcase name="test_one"/><testcase name="test_two">
<skipped type="pytest.skip" message="needs root: mounts a file system">where</skipped></testcase></testsuite></testsuites>"""


def test_cases_of_c_programs_and_tests_of_pytest_are_counted_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "ctest.xml").write_text(CTEST)
    (tmp_path / "pytest.xml").write_text(PYTEST)
    assert reasons(tmp_path / "ctest.xml") == [
        "needs root, to become another user",
        "this kernel has no such locks",
        "an emulator chooses",
    ]
    assert reasons(tmp_path / "pytest.xml") == ["needs root: mounts a file system"]


def test_the_line_says_how_many_and_why() -> None:
    assert summary([]) == "no test was skipped"
    assert summary(["needs root: a", "needs root: b", "no tmpfs", "no xfs", "no xfs"]) == (
        "5 tests were skipped, 2 of them because they need root (sudo ./dev test runs them); "
        "other reasons: no xfs; no tmpfs"
    )
    assert summary(["c", "a", "d", "b"]).endswith("other reasons: a; b; c; ...")
