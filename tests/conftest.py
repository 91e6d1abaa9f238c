# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gives every pytest suite the way to the helpers, sample files, and the check that nothing is left behind."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent / "bindings" / "python", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from support import files, lease_settings, watch  # noqa: E402
from support.unavailable import Unavailable  # noqa: E402

#: The folders of tests that may depend on a lease.
WITH_LEASES = ("contract", "cost", "fault", "hosts", "stable")


def left_since(before: watch.Picture) -> list[str]:
    """Return what there is more or less than before. A thread that was joined leaves /proc a moment later: wait for that."""
    left = watch.difference(before, watch.picture())
    until = time.monotonic() + 10
    while left and all(line.startswith("threads:") for line in left) and time.monotonic() < until:
        time.sleep(0.001)
        left = watch.difference(before, watch.picture())
    return left


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip a test that needs what this system does not have, with the reason."""
    try:
        return (yield)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def lease_settings_are_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run no test that may depend on a lease while another test changes what the kernel does about leases."""
    if request.path.parent.name in WITH_LEASES:
        with lease_settings.kept():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def nothing_is_left_behind(lease_settings_are_kept: None) -> Iterator[None]:
    """Compare descriptors, mappings of files, threads and the library's counters after every test with those before it."""
    before = watch.picture()
    yield
    left = left_since(before)
    if left:  # objects that the test has dropped may still wait for the collector
        gc.collect()
        left = left_since(before)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def small(tmp_path: Path) -> files.Sample:
    """Return a file that is copied by default."""
    return files.sample(tmp_path / "small", files.SMALL)


@pytest.fixture
def large(tmp_path: Path) -> files.Sample:
    """Return a file that is mapped by default."""
    return files.sample(tmp_path / "large", files.LARGE, seed=2)


@pytest.fixture
def empty(tmp_path: Path) -> files.Sample:
    """Return a file without bytes."""
    return files.sample(tmp_path / "empty", 0)


@pytest.fixture(params=["copied", "mapped"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> files.Sample:
    """Return a file that is copied by default, then one that is mapped."""
    size = files.SMALL if request.param == "copied" else files.LARGE
    return files.sample(tmp_path / str(request.param), size, seed=3)
