# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs programs in a new interpreter with the installed package, and says how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from support.children import DEADLINE, Ended


def program(
    source: str,
    *arguments: str | bytes | os.PathLike[Any],
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    feed: bytes = b"",
) -> Ended:
    """Run `source` with `arguments` in sys.argv and `feed` as its standard input. The value is what it prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", source, *map(os.fsdecode, arguments)],
        env={**os.environ, **(environment or {})},
        input=feed,
        capture_output=True,
        timeout=DEADLINE,
    )
    return Ended.of(done)
