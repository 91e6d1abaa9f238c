# SPDX-License-Identifier: MIT OR Apache-2.0
"""Serves a small file system in user space, directly over /dev/fuse, that fails on request.

The file system has one folder of files. Each file says how it fails: mappings refused (direct I/O), locks refused
with an errno, reads that fail from some offset on, a size that is not that of the contents. A child process serves
it, so a reader stuck in the kernel never waits for its own interpreter. Needs root, since mounting does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import stat
import struct
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2
_MS_NOSUID_NODEV = 2 | 4

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = 25, 26, 27, 28, 29
_SETLK, _SETLKW, _ACCESS, _INTERRUPT, _DESTROY, _BATCH_FORGET = 32, 33, 34, 36, 38, 42

_HEADER = struct.Struct("<IIQQIIII")
_REPLY = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_POSIX_LOCKS, _FLOCK_LOCKS = 1 << 1, 1 << 10
_DIRECT_IO = 1
_UNLOCK = 2


@dataclass(frozen=True)
class File:
    """One file and its faults."""

    data: bytes
    size: int | None = None  # the size that stat reports; None: the true one
    direct_io: bool = False  # the kernel refuses MAP_SHARED, and caches nothing
    lock_error: int = 0  # errno of every attempt to lock
    fail_from: int | None = None  # reads at this offset and after it fail with EIO
    status_error: Callable[[], int] | None = None  # the errno of fstat, or 0; None: it never fails


class _Server:
    """Answers the kernel until the file system is unmounted."""

    def __init__(self, device: int, files: Mapping[str, File]) -> None:
        self.device = device
        self.names = list(files)
        self.files = [files[name] for name in self.names]

    def attributes(self, node: int) -> bytes:
        if node == 1:
            size, mode = 0, stat.S_IFDIR | 0o755
        else:
            file = self.files[node - 2]
            size, mode = len(file.data) if file.size is None else file.size, stat.S_IFREG | 0o644
        return _ATTRIBUTES.pack(node, size, (size + 511) // 512, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def lookup(self, node: int, body: bytes) -> bytes | int:
        name = os.fsdecode(body.rstrip(b"\0"))
        if node != 1 or name not in self.names:
            return errno.ENOENT
        found = self.names.index(name) + 2
        return struct.pack("<QQQQII", found, 0, 60, self.validity(found), 0, 0) + self.attributes(found)

    def validity(self, node: int) -> int:
        """Return for how many seconds the kernel need not ask for attributes again."""
        return 60 if node == 1 or self.files[node - 2].status_error is None else 0

    def status(self, node: int) -> bytes | int:
        failing = None if node == 1 else self.files[node - 2].status_error
        error = 0 if failing is None else failing()
        return error or struct.pack("<QII", self.validity(node), 0, 0) + self.attributes(node)

    def read(self, node: int, body: bytes) -> bytes | int:
        _, offset, size = struct.unpack_from("<QQI", body)
        file = self.files[node - 2]
        if file.fail_from is not None:
            if offset >= file.fail_from:
                return errno.EIO
            size = min(size, file.fail_from - offset) if file.direct_io else size
            if offset + size > file.fail_from:
                return errno.EIO
        return file.data[offset : offset + size]

    def lock(self, node: int, body: bytes) -> bytes | int:
        kind = struct.unpack_from("<I", body, 32)[0]
        error = self.files[node - 2].lock_error
        return error if error and kind != _UNLOCK else b""

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int | None:
        """Return the body of the reply, an errno, or None when the kernel expects no reply."""
        if opcode == _INIT:
            offered = struct.unpack_from("<IIII", body)[3]
            taken = offered & (_POSIX_LOCKS | _FLOCK_LOCKS)
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, taken, 16, 12, 1 << 16, 1, 0, 0, 0)
        if opcode == _LOOKUP:
            return self.lookup(node, body)
        if opcode == _GETATTR:
            return self.status(node)
        if opcode == _OPEN:
            return struct.pack("<QIi", 0, _DIRECT_IO if self.files[node - 2].direct_io else 0, 0)
        if opcode == _READ:
            return self.read(node, body)
        if opcode in (_SETLK, _SETLKW):
            return self.lock(node, body)
        if opcode == _OPENDIR:
            return struct.pack("<QIi", 0, 0, 0)
        if opcode == _STATFS:
            return struct.pack("<QQQQQIIII24x", 1, 0, 0, len(self.files), 0, 4096, 255, 4096, 0)
        if opcode in (_READDIR, _FLUSH, _RELEASE, _RELEASEDIR, _ACCESS, _DESTROY):
            return b""
        if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return None
        return errno.ENOSYS

    def serve(self, tie: int) -> None:
        """Serve until the file system is unmounted, or until the other end of `tie` is closed because the test is gone."""
        while True:
            if tie in select.select([self.device, tie], [], [])[0]:
                return
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as failure:
                if failure.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # ENODEV: unmounted
            _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
            body = self.answer(opcode, node, request[_HEADER.size :])
            if body is None:
                continue
            error, payload = (-body, b"") if isinstance(body, int) else (0, body)
            with contextlib.suppress(FileNotFoundError):  # the caller was interrupted and is gone
                os.write(self.device, _REPLY.pack(_REPLY.size + len(payload), error, unique) + payload)


@contextlib.contextmanager
def mounted(files: Mapping[str, File]) -> Iterator[Path]:
    """Mount a folder with these files. Skip the test where the system cannot mount it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system")
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as failure:
        pytest.skip(f"this system has no usable /dev/fuse: {failure}")
    folder = tempfile.mkdtemp(prefix="mmapguard-fuse-")
    settings = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _LIBC.mount(b"mmapguard-test", folder.encode(), b"fuse", _MS_NOSUID_NODEV, settings) != 0:
        code = ctypes.get_errno()
        os.close(device)
        os.rmdir(folder)
        pytest.skip(f"this system does not let a FUSE file system be mounted: {os.strerror(code)}")
    tie, end = os.pipe()
    server = os.fork()
    if server == 0:
        code = 1
        try:
            os.close(end)
            for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signo, signal.SIG_IGN)  # the signals are for the test, whose end closes the tie
            _Server(device, files).serve(tie)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            _LIBC.umount2(folder.encode(), _MNT_DETACH)
            with contextlib.suppress(OSError):
                os.rmdir(folder)
            os._exit(code)
    os.close(device)
    os.close(tie)
    try:
        yield Path(folder)
    finally:
        os.close(end)
        status = os.waitpid(server, 0)[1]
        # This is needed only when the server was made to die before it could unmount.
        if _LIBC.umount2(folder.encode(), _MNT_DETACH) == 0:
            os.rmdir(folder)
    assert status == 0, f"the file system's server ended with wait status {status}"
