# SPDX-License-Identifier: MIT OR Apache-2.0
"""The launcher refuses in one sentence what it cannot guard, and guards unusual programs and places where it can."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.launching import LEFT, Ended, guarded, launcher, losses, run, the_loss, victim
from support import children, files, seccomp
from support.library import ROOT, library_path

NOT_GUARDED, LOST = 126, 75
SOURCE = ROOT / "tests" / "launcher" / "victim.c"
NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0"}


def refused(ended: Ended, *told: str) -> None:
    """Check that the launcher has executed nothing, and says why in one line."""
    assert (ended.code, ended.output) == (NOT_GUARDED, ""), str(ended)
    assert ended.errors.startswith("mmapguard: ") and ended.errors.count("\n") == 1, ended.errors
    for words in told:
        assert words in ended.errors


def compiled(folder: Path, *options: str, name: str = "program") -> Path:
    """Return the victim, compiled with other options."""
    path = folder / name
    command = ["cc", "-D_GNU_SOURCE", "-w", *options, "-o", str(path), str(SOURCE), "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


def patched(path: Path, offset: int, new: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(new)


# ------------------------------------------------------------------------------------------------ kinds of programs --


@pytest.mark.parametrize("option", ["-static", "-static-pie"])
def test_a_static_program(option: str, tmp_path: Path) -> None:
    refused(run(*guarded(compiled(tmp_path, option), "query"), folder=tmp_path), "is linked statically")


@pytest.mark.parametrize(
    ("offset", "byte"), [(4, b"\1"), (5, b"\2"), (18, b"\xf3\0")], ids=["32-bit", "order", "RISC-V"]
)
def test_a_program_for_another_machine(offset: int, byte: bytes, tmp_path: Path) -> None:
    path = Path(shutil.copy(victim(), tmp_path / "other"))
    patched(path, offset, byte)
    refused(run(*guarded(path, "query"), folder=tmp_path), str(path), "another kind of processor")


def test_a_program_of_another_c_library(tmp_path: Path) -> None:
    path = compiled(tmp_path, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    refused(run(*guarded(path, "query"), folder=tmp_path), "uses another C library")


def test_a_program_made_by_go(tmp_path: Path) -> None:
    note = '__asm__(".section .note.go.buildid,\\"a\\"\\n.long 4,4,4\\n.asciz \\"Go\\\\0\\"\\n.long 1\\n.previous");\n'
    source = tmp_path / "go.c"
    source.write_text(note + "int main(void) { return 0; }\n")
    subprocess.run(["cc", "-o", tmp_path / "go", source], check=True)
    assert subprocess.run([tmp_path / "go"]).returncode == 0
    refused(run(*guarded(tmp_path / "go"), folder=tmp_path), "was made by Go")


def test_the_interpreter_of_a_script_is_looked_at(tmp_path: Path) -> None:
    static = compiled(tmp_path, "-static", name="interpreter")
    script, second = tmp_path / "script", tmp_path / "second"
    script.write_text(f"#!{static} query\n")
    script.chmod(0o755)
    second.write_text(f"#! {script}\n")
    second.chmod(0o755)
    for path in (script, second):
        refused(run(*guarded(path), folder=tmp_path), str(static), "is linked statically")


def test_a_set_user_id_program(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root: gives a file to another user")
    path = Path(shutil.copy(victim(), tmp_path / "privileged"))
    for mode, user, group in ((0o4755, 65534, 0), (0o2755, 0, 65534)):
        os.chown(path, user, group)
        path.chmod(mode)
        refused(run(*guarded(path, "query"), folder=tmp_path), "set-user-ID")
        # Where the kernel gives the program no further rights, the launcher guards it like any other.
        ended = run("setpriv", "--no-new-privs", *guarded(path, "query"), folder=tmp_path)
        assert (ended.code, ended.output) == (0, "default\n"), str(ended)
    os.chown(path, 0, 0)
    path.chmod(0o4755)
    assert run(*guarded(path, "query"), folder=tmp_path).code == 0


def test_a_program_with_capabilities(tmp_path: Path) -> None:
    if os.getuid() != 0 or shutil.which("setcap") is None:
        pytest.skip("needs root, and setcap(8) of libcap")
    with files.public_folder() as folder:
        path = Path(shutil.copy(victim(), folder / "privileged"))
        if subprocess.run(["setcap", "cap_net_raw+ep", path]).returncode != 0:
            pytest.skip("the file system keeps no capabilities")
        assert run(*guarded(path, "query"), folder=folder).code == 0
        tools = launcher_copy(folder / "tools")
        refused(
            run(tools, "run", path, "query", folder=folder, before=children.become_nobody), "capabilities"
        )


def test_a_program_that_may_be_executed_and_not_read() -> None:
    """Root may read every file, so root becomes another user."""
    with files.public_folder() as folder:
        path = Path(shutil.copy(victim(), folder / "hidden"))
        path.chmod(0o111)
        tools = launcher_copy(folder / "tools")
        before = children.become_nobody if os.getuid() == 0 else None
        assert run("cat", path, folder=folder, before=before).code == 1, "the file can be read"
        twin = run(path, "query", folder=folder, before=before)
        ended = run(tools, "run", path, "query", folder=folder, before=before)
        assert twin.code == 0 and ended == twin, str(ended)


@pytest.mark.parametrize("size", [0, 3, 20, 64, 100])
def test_a_file_that_is_no_program(size: int, tmp_path: Path) -> None:
    """The shell takes the file for a script, as it does without the launcher."""
    path = tmp_path / "damaged"
    path.write_bytes(victim().read_bytes()[:size])
    path.chmod(0o755)
    twin = run("sh", path, "query", folder=tmp_path)
    assert (twin.code == 0) == (size == 0), str(twin)
    assert run(*guarded(path, "query"), folder=tmp_path) == twin


# ------------------------------------------------------------------------------------------------------------- places --


def launcher_copy(folder: Path) -> Path:
    """Return a copy of the launcher, with its shared object, in another folder."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for name in ("mmapguard", "mmapguard-preload.so"):
        Path(shutil.copy(launcher().parent / name, folder / name)).chmod(0o755)
    return folder / "mmapguard"


def test_it_works_wherever_it_is_moved_to(tmp_path: Path) -> None:
    program = launcher_copy(tmp_path / "moved")
    link = tmp_path / "link"
    link.symlink_to(program)
    for path in (program, link):
        assert run(path, "run", victim(), "lose", folder=tmp_path).code == LOST


def test_a_place_that_the_loader_cannot_be_told(tmp_path: Path) -> None:
    program = launcher_copy(tmp_path / "a b")
    refused(run(program, "run", victim(), "lose", folder=tmp_path), "the space or colon")


def test_the_object_is_missing(tmp_path: Path) -> None:
    program = launcher_copy(tmp_path / "alone")
    (program.parent / "mmapguard-preload.so").unlink()
    refused(run(program, "run", victim(), "lose", folder=tmp_path), "mmapguard-preload.so is missing")


def test_the_guard_is_switched_off(tmp_path: Path) -> None:
    ended = run(*guarded(victim(), "query"), folder=tmp_path, variables={"MMAPGUARD_NO_SIGNAL": "1"})
    refused(ended, "MMAPGUARD_NO_SIGNAL is set")


def test_a_sandbox_that_forbids_handlers(tmp_path: Path) -> None:
    seccomp.require()
    ended = run(
        *guarded(victim(), "query"),
        folder=tmp_path,
        before=lambda: seccomp.refuse("rt_sigaction", errno.EPERM),
    )
    assert (ended.code, ended.output) == (NOT_GUARDED, ""), str(ended)
    assert "nothing can be guarded" in ended.errors


def test_a_sandbox_in_which_the_kernel_answers_for_all_mappings_only(tmp_path: Path) -> None:
    seccomp.require()
    ended = run(
        *guarded(victim(), "lose"), folder=tmp_path, before=lambda: seccomp.refuse("ioctl", errno.EPERM)
    )
    assert (ended.code, losses(ended.errors)) == (LOST, [the_loss(tmp_path)]), str(ended)


def without_proc() -> list[str]:
    """Return a command prefix that hides /proc; skips the test where that cannot be done."""
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*hide, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root: mounts a file system")
    return hide


def test_a_place_without_proc(tmp_path: Path) -> None:
    refused(
        run(*without_proc(), *guarded(victim(), "query"), folder=tmp_path), "nothing can be guarded", "/proc"
    )


def test_a_child_that_cannot_be_guarded_says_so_and_runs(tmp_path: Path) -> None:
    ended = run(*guarded(*without_proc(), victim(), "query"), folder=tmp_path)
    assert (ended.code, ended.output) == (0, "default\n"), str(ended)
    assert "victim[" in ended.errors and "runs without the guard" in ended.errors
    assert run(*guarded(*without_proc(), victim(), "lose"), folder=tmp_path).code < 0


# ------------------------------------------------------------------------------------ programs that use mmapguard too --

READER = """
import ctypes, mmap, os, sys
from mmapguard import abi
library = abi.load()
def lose_ours():
    with open("ours", "wb") as file:
        file.write(b"1" * (1 << 20))
    handle, span = abi.mmg_handle(), abi.mmg_span()
    options = abi.mmg_options(struct_size=ctypes.sizeof(abi.mmg_options), backing=abi.MMG_BACKING_MAP)
    assert library.mmg_open(b"ours", ctypes.byref(options), ctypes.byref(handle), None) == 0
    assert library.mmg_pin(handle, 0, abi.MMG_TO_END, ctypes.byref(span)) == 0
    os.truncate("ours", 5000)
    data = ctypes.string_at(ctypes.cast(span.data, ctypes.c_void_p).value, span.size)
    print("ours", data.count(b"1"), library.mmg_unpin(ctypes.byref(span)) == abi.MMG_E_TRUNCATED)
    assert library.mmg_close(handle, 0) == 0
def lose_other():
    with open("lost", "wb") as file:
        file.write(b"1" * (1 << 20))
    with open("lost", "rb") as file:
        map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    os.truncate("lost", 5000)
    print("left", map[:].count(b"1"))
for step in sys.argv[1:]:
    {"ours": lose_ours, "other": lose_other}[step]()
"""


@pytest.mark.parametrize("steps", [["ours"], ["other", "ours", "other"], ["ours", "other", "ours", "other"]])
@pytest.mark.parametrize("option", ["fail", "abort"])
def test_a_program_that_uses_the_library_hears_of_its_own_losses(
    option: str, steps: list[str], tmp_path: Path
) -> None:
    variables = {
        "PYTHONPATH": str(ROOT / "bindings" / "python"),
        "MMAPGUARD_LIBRARY": str(library_path().absolute()),
    }
    command = guarded(sys.executable, "-c", READER, *steps, options=[f"--on-loss={option}"])
    ended = run(*command, folder=tmp_path, variables=variables)
    lines = {"ours": f"ours {LEFT} True", "other": f"left {LEFT}"}
    others = steps.count("other")
    if option == "fail" or not others:
        assert (ended.code, ended.lines) == (LOST if others else 0, [lines[step] for step in steps]), str(
            ended
        )
    else:
        assert ended.code == LOST
    assert [loss.path for loss in losses(ended.errors)] == [str(tmp_path / "lost")] * (1 if others else 0), (
        str(ended)
    )


# --------------------------------------------------------------------------------------------------------- sanitizers --


@pytest.mark.parametrize("sanitizer", ["address", "undefined", "thread"])
def test_a_program_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    path = compiled(tmp_path, f"-fsanitize={sanitizer}", "-g", name="program")
    if run(path, "query", folder=tmp_path, variables=NO_LEAKS).code != 0:
        pytest.skip(f"no program with -fsanitize={sanitizer} runs here")
    ended = run(*guarded(path, "lose"), folder=tmp_path, variables=NO_LEAKS)
    assert (ended.code, ended.lines) == (LOST, [f"left {LEFT}"]), str(ended)
    assert losses(ended.errors) == [the_loss(tmp_path)]


def test_a_preloaded_sanitizer_stays_the_first(tmp_path: Path) -> None:
    asan = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("no shared AddressSanitizer for this compiler")
    asan = os.path.realpath(asan)
    variables = {**NO_LEAKS, "LD_PRELOAD": asan}
    ended = run(*guarded(victim(), "lose"), folder=tmp_path, variables=variables)
    assert (ended.code, ended.lines) == (LOST, [f"left {LEFT}"]), str(ended)
