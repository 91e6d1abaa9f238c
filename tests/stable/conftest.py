# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gives the STABLE tests folders on many file systems. The first test that wants a file system mounts it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stable import mounts
from stable.others import Places
from support import lease_settings


@pytest.fixture(scope="session")
def mounted_places() -> Iterator[Places]:
    """Provide a new folder, in which everybody may make files, on a file system of mounts.WRITABLE."""
    mounted: dict[str, Path | mounts.Unavailable] = {}
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def place(kind: str) -> Path:
            if kind not in mounted:
                try:
                    mounted[kind] = stack.enter_context(mounts.writable(kind))
                except mounts.Unavailable as reason:
                    mounted[kind] = reason
            where = mounted[kind]
            if isinstance(where, mounts.Unavailable):
                raise where
            folder = where / f"test-{next(numbers)}"
            folder.mkdir()
            folder.chmod(0o1777)
            return folder

        yield place


@pytest.fixture
def places(mounted_places: Places) -> Iterator[Places]:
    """Provide a new folder of that kind, and delete its contents after the test, since the file systems are small."""
    made: list[Path] = []

    def place(kind: str) -> Path:
        made.append(mounted_places(kind))
        return made[-1]

    yield place
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(params=mounts.WRITABLE)
def folder(request: pytest.FixtureRequest, places: Places) -> Path:
    """Return a folder on each of the writable file systems in turn."""
    try:
        return places(request.param)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def leases() -> None:
    """Skip a test that needs leases where they are switched off."""
    try:
        lease_settings.need_leases()
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=mounts.LEASING)
def leasing_folder(request: pytest.FixtureRequest, leases: None, places: Places) -> Path:
    """Return a folder on each of the file systems where a lease holds off every writer."""
    try:
        return places(request.param)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))
