# SPDX-License-Identifier: MIT OR Apache-2.0
"""A mapping is adopted with a descriptor of its file, and with no other: a number of a file is unique on its device only."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from mmapguard import abi
from stable import mounts
from support import library as mmg

PAGES = 3


def adopt(path: Path, descriptor: int) -> tuple[int, str]:
    """Map a file, adopt the mapping with a descriptor, and return the status and the message."""
    handle, details = ctypes.c_uint64(4711), mmg.new_error()
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        place = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        status = mmg.lib.mmg_adopt(
            place, len(mapped), descriptor, None, ctypes.byref(handle), ctypes.byref(details)
        )
        if status == abi.MMG_OK:
            assert mmg.lib.mmg_close(handle.value, 0) == abi.MMG_OK
        else:
            assert handle.value == 0
    return status, details.message.decode()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_file_of_the_same_number_on_another_device_is_another_file(kind: str) -> None:
    try:
        with mounts.writable(kind) as one, mounts.writable(kind) as other:
            paths = one / "file", other / "file"
            for path in paths:
                path.write_bytes(mmg.pattern(PAGES * mmap.PAGESIZE))
            if kind == "tmpfs" and paths[0].stat().st_ino != paths[1].stat().st_ino:
                pytest.skip("this kernel gives no two files on tmpfs the same number (Linux before 5.9)")
            assert paths[0].stat().st_ino == paths[1].stat().st_ino
            descriptors = [os.open(path, os.O_RDONLY) for path in paths]
            try:
                status, _ = adopt(paths[0], descriptors[0])
                if status == abi.MMG_E_UNSUPPORTED:
                    pytest.skip("the kernel does not say here what is mapped at an address")
                assert status == abi.MMG_OK
                status, message = adopt(paths[0], descriptors[1])
                assert status == abi.MMG_E_NOT_MAPPABLE
                assert "is not the file that is mapped there" in message
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
    except mounts.Unavailable as reason:
        pytest.skip(str(reason))
