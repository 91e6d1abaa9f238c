# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a test raises where this system does not have what the test needs. tests/conftest.py makes a skip of it."""

from __future__ import annotations


class Unavailable(Exception):
    """This system does not have what the test needs; the text says why."""
