# SPDX-License-Identifier: MIT OR Apache-2.0
"""The houses of the tests of the ABI gate."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from abi.gate_house import House, sound_house_in


@pytest.fixture(scope="session")
def sound_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Return a house whose gate finds nothing; tests change copies of it."""
    return sound_house_in(tmp_path_factory.mktemp("house"))


@pytest.fixture
def house(sound_house: House, tmp_path: Path) -> House:
    """Return a copy of the sound house, to be broken."""
    return House(Path(shutil.copytree(sound_house.root, tmp_path / "house")))
