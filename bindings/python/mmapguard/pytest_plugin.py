# SPDX-License-Identifier: MIT OR Apache-2.0
"""A plugin for pytest. It guards the process, and a test during which bytes of a mapping are lost fails.

    [tool.pytest.ini_options]
    addopts = "-p mmapguard.pytest_plugin"

Without the plugin, a test that cuts a file short under a mapping ends the whole run by SIGBUS, without naming
the test.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest

import mmapguard

_GUARD: Final = mmapguard.guard_process()


def pytest_configure(config: pytest.Config) -> None:
    """Guard the process from the start of the run."""
    config.addinivalue_line("markers", "loses_bytes: bytes of mapped files may be lost during this test")
    if not _GUARD.active:
        _GUARD.start()


def pytest_unconfigure() -> None:
    """Stop guarding when the run has ended."""
    _GUARD.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test during which bytes were lost, unless it is marked with `loses_bytes`."""
    if item.get_closest_marker("loses_bytes") is not None:
        return (yield)
    with mmapguard.guard_process():
        return (yield)
