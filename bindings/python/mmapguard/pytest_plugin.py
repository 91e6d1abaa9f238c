# SPDX-License-Identifier: MIT OR Apache-2.0
"""A plugin for pytest. It guards the process, and a test during which bytes of a mapping are lost fails.

    [tool.pytest.ini_options]
    addopts = "-p mmapguard.pytest_plugin"

Without the plugin, a test that cuts a file short under a mapping ends the whole run by SIGBUS, without naming
the test. A loss in a fixture is an error of the test that the fixture is set up or torn down for. A loss
outside of all tests, for example while modules are imported, fails the run, and its summary names the file.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest

import mmapguard

_GUARD: Final = mmapguard.guard_process()
_OUTSIDE: Final[list[mmapguard.Loss]] = []
"""Losses that no test answers for."""
_answered = 0
"""The mark of the ledger up to which a test answers for each loss, or the list above has it."""


def _collect() -> None:
    """Add the losses since the last test to the list of those that no test answers for."""
    global _answered
    found = mmapguard.losses(_answered)
    _answered = found.mark
    _OUTSIDE.extend(loss for loss in found if loss.origin == "foreign")


def pytest_configure(config: pytest.Config) -> None:
    """Guard the process from the start of the run."""
    global _answered
    config.addinivalue_line("markers", "loses_bytes: bytes of mapped files may be lost during this test")
    if not _GUARD.active:
        _answered = mmapguard.losses().mark
        _GUARD.start()


def pytest_unconfigure() -> None:
    """Stop guarding when the run has ended."""
    _GUARD.stop()


def _answer_for(item: pytest.Item) -> Generator[None, object, object]:
    """Raise when bytes are lost while a part of the test runs, unless it is marked with `loses_bytes`."""
    global _answered
    _collect()
    try:
        if item.get_closest_marker("loses_bytes") is not None:
            return (yield)
        with mmapguard.guard_process():
            return (yield)
    finally:
        _answered = mmapguard.losses().mark


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Let a loss in the fixtures of a test be an error of the test."""
    return (yield from _answer_for(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test during which bytes were lost."""
    return (yield from _answer_for(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Let a loss at the end of the fixtures of a test be an error of the test."""
    return (yield from _answer_for(item))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when bytes were lost outside of all tests."""
    _collect()
    if _OUTSIDE and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the files that lost bytes outside of all tests."""
    if not _OUTSIDE:
        return
    terminalreporter.section("bytes of mapped files were lost outside of the tests", red=True)
    for loss in _OUTSIDE:
        terminalreporter.line(f"{type(loss.error()).__name__}: {loss.error()}")
