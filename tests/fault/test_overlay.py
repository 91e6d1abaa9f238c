# SPDX-License-Identifier: MIT OR Apache-2.0
"""The C programs about cuts, on overlay: the root of most containers, where a descriptor does not tell of the mapped file."""

from __future__ import annotations

import os
import subprocess

import pytest

from fault.programs import program
from stable import mounts

PROGRAMS = ["truncation", "regrown", "searches", "hook", "sandbox", "adopt", "adopt_owner", "amid"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_cut_is_told_as_on_any_file_system(name: str) -> None:
    with mounts.overlay() as (where, _):
        done = subprocess.run(
            [program(f"fault_{name}")],
            env={**os.environ, "TMPDIR": str(where)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
