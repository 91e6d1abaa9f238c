# SPDX-License-Identifier: MIT OR Apache-2.0
"""Opens files where there is no room for their bytes: what a cap forbids is told apart from what finds no memory."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from mmapguard import abi
from support import library as mmg
from support.children import in_child, sanitizers


def squeeze(room: int) -> None:
    """Use up the address space except for `room` bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmSize:"):
            used = int(line.split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))


def _in_small_room(call: mmg.Opener, source: Any, members: dict[str, int]) -> tuple[int, str]:
    squeeze(64 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    attempt = call(source, **members)
    if attempt.status == abi.MMG_OK:
        mmg.close(attempt.handle)
    return attempt.status, attempt.details.message


def in_small_room(call: mmg.Opener, source: Any, **members: int) -> tuple[int, str]:
    """Return status and message of a call in a child that has 64 MiB of address space, and may let no file grow.

    So neither a copy nor a snapshot of more can be made.
    """
    if sanitizers():
        pytest.skip("sanitizers and valgrind reserve address space of their own and stop when there is none")
    status, message = in_child(_in_small_room, call, source, members)
    return status, message
