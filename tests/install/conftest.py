# SPDX-License-Identifier: MIT OR Apache-2.0
"""Provides the file that the consumers in the installation tests read."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Return a file to read."""
    path = tmp_path / "text"
    path.write_text("the first line\n" + "another\n" * 10_000)
    return path
