# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gives the tests of devices a file on a device that can be told to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.faulty import PAGES, Device, served


@pytest.fixture
def faulty() -> Iterator[tuple[Path, Device]]:
    """Provide a file on a device that can be told to fail."""
    with served(PAGES) as (path, device):
        yield path, device
