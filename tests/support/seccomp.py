# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes system calls fail on request, by a seccomp filter.

Nothing removes a filter, so it is for child processes only.

A filter needs no privilege and no special file system. To the library it looks like a kernel, sandbox or file system
that refuses a call.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from dataclasses import dataclass

import pytest

_NUMBERS = {
    "x86_64": {"ioctl": 16, "mmap": 9, "rt_sigaction": 13, "flock": 73, "statx": 332, "statmount": 457},
    "aarch64": {"ioctl": 29, "mmap": 222, "rt_sigaction": 134, "flock": 32, "statx": 291, "statmount": 457},
}

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


@dataclass(frozen=True)
class When:
    """Limits a rule to calls of which the low half of an argument, masked, is `value`, or is not `value`."""

    argument: int
    mask: int
    value: int
    differs: bool = False


def require() -> None:
    """Skip the test where no filter can be written."""
    if platform.machine() not in _NUMBERS:
        pytest.skip(f"no table of system calls for {platform.machine()}")
    with open("/proc/self/status") as status:
        if "Seccomp:" not in status.read():
            pytest.skip("this kernel has no seccomp filters")


def refuse(call: str, code: int, when: When | None = None) -> None:
    """Make this system call do nothing in this process and fail with errno `code`. With 0 the call seems to succeed."""
    number = _NUMBERS[platform.machine()][call]
    lines: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]
    if when is None:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | code)]
    else:
        lines += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * when.argument),
            (_AND, 0, 0, when.mask),
            (_EQUAL, int(when.differs), int(not when.differs), when.value),
            (_RETURN, 0, 0, _ERRNO | code),
        ]
    lines.append((_RETURN, 0, 0, _ALLOW))
    block = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    program = struct.pack("<H6xQ", len(lines), ctypes.addressof(block))
    libc = ctypes.CDLL(None, use_errno=True)
    long = ctypes.c_ulong
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, long(1), long(0), long(0), long(0)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    if libc.prctl(_PR_SET_SECCOMP, long(_FILTER), ctypes.c_char_p(program), long(0), long(0)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")
