# SPDX-License-Identifier: MIT OR Apache-2.0
"""Prints the matrix, language by case, at the end of a run, and compares it with the one in README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffi.cases import CASES
from ffi.languages import LANGUAGES, ROOT
from ffi.matrix import MARKS, README, matrix, outcomes, versions


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that ./dev passes on."""
    parser.addoption("--write-matrix", action="store_true", help="put the matrix into tests/ffi/README.md")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember the result of each language and case."""
    if "test_a_language" not in report.nodeid or (report.when != "call" and report.passed):
        return
    language, case = report.nodeid.rpartition("[")[2].removesuffix("]").split("|")
    outcomes[language, case] = "x" if report.passed else "-" if report.skipped else "FAILED"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix."""
    if not outcomes:
        return
    terminalreporter.section("languages and cases")
    width = max(len(language.name) for language in LANGUAGES)
    terminalreporter.line(" " * width + "  " + " ".join(case.name for case in CASES))
    for language in LANGUAGES:
        cells = (outcomes.get((language.name, case.name), "?").ljust(len(case.name)) for case in CASES)
        told = versions.get(language.name, "not run")
        terminalreporter.line(f"{language.name:{width}}  {' '.join(cells)}  {told}")
    if config.getoption("--write-matrix"):
        text = README.read_text()
        README.write_text(MARKS.sub(lambda match: match[1] + matrix() + match[2], text))
        terminalreporter.line("written to tests/ffi/README.md")


@pytest.fixture(scope="session")
def library() -> Path:
    """Return the shared library under test."""
    named = os.environ.get("MMAPGUARD_LIBRARY")
    return Path(named) if named else ROOT / "build" / "release" / "libmmapguard.so.1"
