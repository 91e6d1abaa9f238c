# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of the package have in common: the installed library for the helpers of tests/support, and the check
that nothing is left behind.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip this folder when pytest collects from a folder above: those suites use the sources of the package, not the
    installed one."""
    return None if config.rootpath == HERE else True


def _installed() -> Path:
    """Return the folder of the installed package; it must have the extension."""
    try:
        import mmapguard._mmapguard as extension
    except ModuleNotFoundError as missing:
        raise pytest.UsageError(
            f"{missing}: run `pip install .` in the root of the repository first"
        ) from None
    return Path(str(extension.__file__)).parent


def pytest_configure(config: pytest.Config) -> None:
    """Let tests/support drive the very library that the package has loaded."""
    if config.rootpath == HERE:
        os.environ["MMAPGUARD_LIBRARY"] = str(_installed() / "libmmapguard.so.1")
        sys.path.insert(0, str(HERE.parent))
    # A shell starts a command in the background with this signal ignored, and the programs of the tests would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Freeze the objects of the imported packages, so that the collection after each test does not look through
    them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Compare descriptors, mappings of files and the library's counters after every test with those before it."""
    from support import watch

    gc.collect()
    before = watch.picture()
    yield
    gc.collect()
    left = [line for line in watch.difference(before, watch.picture()) if not line.startswith("threads:")]
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a file that is copied by default."""
    from support import files

    return files.sample(tmp_path / "small", files.SMALL).path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return a file that is mapped by default."""
    from support import files

    return files.sample(tmp_path / "large", files.LARGE, seed=2).path


@pytest.fixture(params=["copied", "mapped"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file that is copied by default, then one that is mapped."""
    from support import files

    size = files.SMALL if request.param == "copied" else files.LARGE
    return files.sample(tmp_path / str(request.param), size, seed=3).path
