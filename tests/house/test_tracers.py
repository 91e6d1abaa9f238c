# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tracers see the probes fire: gdb, which reads the arguments, and the kernel, which counts for bpftrace and perf."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from support import children
from support.library import ROOT, library_path

VICTIM = r"""
#include <fcntl.h>
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (1 << 20)

/* victim FILE [cut|break]: has FILE cut under a plain mapping, or opened by a writer while a lease holds it. */
int
main(int argc, char **argv)
{
    static char bytes[SIZE];
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (argc < 2 || fd < 0 || write(fd, bytes, SIZE) != SIZE || mmg_guard_process(MMG_SCOPE_FILES, 0) != MMG_OK)
        return 1;
    if (argc > 2 && strcmp(argv[2], "cut") == 0) {
        volatile char *mapped = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
        return mapped != MAP_FAILED && ftruncate(fd, 12345) == 0 && mapped[SIZE - 1] == 0 ? 0 : 1;
    }
    close(fd);
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle region;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    if (mmg_open(argv[1], &options, &region, NULL) != MMG_OK || mmg_info_get(region, &info) != MMG_OK)
        return 1;
    if (info.means != MMG_MEANS_LEASE)
        return 77;
    if (argc > 2) {
        pid_t writer = fork();
        if (writer == 0)
            _exit(open(argv[1], O_WRONLY) < 0);
        waitpid(writer, NULL, 0);
    }
    return mmg_close(region, 0) == MMG_OK ? 0 : 1;
}
"""
NOTE = re.compile(r"Name: (\w+)\s+Location: (\w+),")
LOAD = re.compile(r"LOAD\s+(\w+) (\w+) \w+ (\w+)")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of the library under test, since the kernel counts in every process that has the file."""
    return Path(shutil.copy(library_path(), tmp_path / library_path().name))


@pytest.fixture
def victim(tmp_path: Path, library: Path) -> Path:
    """The program, with that copy."""
    if b"stapsdt" not in library_path().read_bytes():
        pytest.skip("the library was built without sys/sdt.h (Debian: systemtap-sdt-dev)")
    if children.sanitizers():
        pytest.skip("the program is not built with the sanitizer that the library needs")
    source, program = tmp_path / "victim.c", tmp_path / "victim"
    source.write_text(VICTIM)
    command = ["cc", str(source), "-o", str(program), "-I", str(ROOT / "include"), str(library)]
    subprocess.run([*command, f"-Wl,-rpath,{library.parent}"], check=True)
    return program


def traced(victim: Path, probe: str, shown: str, *arguments: str) -> str:
    """What gdb shows when the probe is met first; the whole of what it says when the program ends without."""
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    steps = [
        "set debuginfod enabled off",
        "set breakpoint pending on",
        "handle SIGBUS nostop noprint pass",
        f"break -probe-stap mmapguard:{probe}",
        "run",
        f'printf "met {probe} {shown}',
        "delete",
        "continue",  # a program killed here would leave its writer waiting for the lease
    ]
    words = [word for step in steps for word in ("-ex", step)]
    command = ["gdb", "-q", "-nx", "-batch", *words, "--args", str(victim), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=children.DEADLINE)
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("this system does not let a debugger trace its child")
    if "exited with code 0115" in done.stdout:
        pytest.skip("the file system gives no lease")
    met = re.search(rf"^met {probe} (.*)$", done.stdout, re.M)
    return met[1] if met else done.stdout + done.stderr


def test_a_debugger_reads_what_was_lost(victim: Path, tmp_path: Path) -> None:
    shown = r'%d %d %lu %lu %lu\n", $_probe_arg0, $_probe_arg1, $_probe_arg3, $_probe_arg4, $_probe_arg5'
    path = tmp_path / "file"
    found = traced(victim, "contained", shown, str(path), "cut")
    truncated, foreign = -40, 2
    assert found == f"{truncated} {foreign} {path.stat().st_ino} 12345 {(1 << 20) - 12345}"


def test_a_debugger_sees_a_broken_lease(victim: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = traced(victim, "lease_break", r'%lu\n", $_probe_arg1', str(path), "break")
    assert found == str(path.stat().st_ino)


def test_a_debugger_sees_a_snapshot(victim: Path, tmp_path: Path) -> None:
    found = traced(victim, "snapshot", r'%lu\n", $_probe_arg0', str(tmp_path / "file"), "break")
    assert found in {str(1 << 20), "0"}, "a copy of the file, or a reflink"


def place_of(library: Path, probe: str) -> int:
    """The offset in the file of the library at which a tracer watches."""
    said = subprocess.run(["readelf", "-nlW", library], capture_output=True, text=True, check=True)
    address = int(dict(NOTE.findall(said.stdout))[probe], 16)
    for offset, start, size in ((int(word, 16) for word in words) for words in LOAD.findall(said.stdout)):
        if start <= address < start + size:
            return address - start + offset
    raise AssertionError(f"no segment has {address:#x}")


def counters(library: Path, probe: str) -> list[int]:
    """Descriptors of the kernel's counters of a probe, one for each processor."""
    kind = Path("/sys/bus/event_source/devices/uprobe/type")
    number = {"x86_64": 298, "aarch64": 241}.get(os.uname().machine)
    if not kind.exists() or number is None:
        pytest.skip("this kernel has no uprobes")
    path = ctypes.create_string_buffer(os.fsencode(library))
    attributes = bytearray(128)  # struct perf_event_attr: type, size, ..., config1 and config2
    struct.pack_into("=II", attributes, 0, int(kind.read_text()), len(attributes))
    struct.pack_into("=QQ", attributes, 56, ctypes.addressof(path), place_of(library, probe))
    given = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for processor in sorted(os.sched_getaffinity(0)):
        fd = libc.syscall(number, given, -1, processor, -1, 8)  # PERF_FLAG_FD_CLOEXEC
        if fd < 0:
            pytest.skip(f"only root may count probes: {os.strerror(ctypes.get_errno())}")
        found.append(fd)
    return found


@pytest.mark.parametrize("how", ["cut", "plain"])
def test_the_kernel_counts_losses(victim: Path, library: Path, tmp_path: Path, how: str) -> None:
    """By a uprobe, as bpftrace and perf do. Without a loss there is none to count."""
    opened = counters(library, "contained")
    try:
        arguments = [str(tmp_path / "file"), *(["cut"] if how == "cut" else [])]
        done = subprocess.run([victim, *arguments], timeout=children.DEADLINE)
        assert done.returncode in ((0,) if how == "cut" else (0, 77))
        met = sum(struct.unpack("=Q", os.read(fd, 8))[0] for fd in opened)
    finally:
        for fd in opened:
            os.close(fd)
    assert met == (1 if how == "cut" else 0)
