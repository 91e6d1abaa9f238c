# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every host that has a SIGBUS handler of its own, in every order: guard first, host first, guard again.

In each case lost reads, in the host's own code and in C, are contained and reported in mmg_info. The host's own
SIGBUS handling works as it does without the library. The hosts under sanitizers are in tests/fault.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fault.programs import End, run_command
from support.library import ROOT, library_path

HERE = Path(__file__).resolve().parent
OUT = library_path().absolute().parent / "hosts"
ORDERS = ["guard-first", "host-first", "guard-again"]


def needs(*tools: str) -> None:
    """Skip the test when a tool is missing. Fail instead where ./dev has installed everything."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("MMAPGUARD_HOSTS") == "all":
        pytest.fail(f"not installed: {' '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}; ./dev test hosts installs what it needs")


def build(*words: str | Path, **environment: str) -> None:
    """Run a compiler."""
    OUT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(word) for word in words],
        cwd=OUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(*command: str | Path, folder: Path, **environment: str) -> End:
    """Run a host in a folder of its own, and stop it when it hangs."""
    paths = {"LD_LIBRARY_PATH": str(library_path().absolute().parent)}
    return run_command(["timeout", "--signal=KILL", "120", *command], folder, paths | environment)


def works(end: End) -> None:
    """Check that the host has gone through all its steps."""
    assert (end.code, end.output.splitlines()[-1:]) == (0, ["end"]), str(end)


# ---------------------------------------------------------------------------------------------------------- CPython --


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("host", ["faulthandler", "signal"])
def test_cpython(host: str, order: str, tmp_path: Path) -> None:
    folders = {"PYTHONPATH": str(ROOT / "bindings" / "python")}
    end = run(sys.executable, HERE / "host.py", host, order, folder=tmp_path, **folders)
    if host == "signal":
        works(end)
        return
    assert end.output == "end\n", str(end)
    assert end.signal == signal.SIGBUS or end.code == 128 + signal.SIGBUS, str(end)
    assert end.errors.count("Fatal Python error: Bus error") == 1, str(end)


# ------------------------------------------------------------------------------------------------------------- Java --


def machines() -> list[Path]:
    """Return the Java machines of this system: one folder each."""
    return sorted(
        path.parent.parent.parent
        for path in Path("/usr/lib/jvm").glob("*/lib/server/libjvm.so")
        if not path.parent.parent.parent.is_symlink()
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("preload", ["alone", "libjsig"])
@pytest.mark.parametrize("home", machines() or [None], ids=lambda home: home.name if home else "none")
def test_java(home: Path | None, preload: str, order: str, tmp_path: Path) -> None:
    needs("javac", "cc")
    if home is None:
        needs("a Java machine in /usr/lib/jvm")
        return
    server = home / "lib" / "server"
    program = OUT / f"jvm-{home.name}"
    includes = [f"-I{ROOT / 'include'}"]
    headers = next((path / "include" for path in [home, *machines()] if (path / "include").is_dir()), None)
    assert headers is not None, "no jni.h"
    includes += [f"-I{headers}", f"-I{headers / 'linux'}"]
    build("javac", "--release", "17", "-d", OUT, HERE / "Host.java")
    build("cc", "-O1", *includes, HERE / "jvm.c", "-o", program, library_path().absolute(), f"-L{server}", "-ljvm",
          f"-Wl,-rpath,{server}")  # fmt: skip
    preloaded = {"LD_PRELOAD": str(home / "lib" / "libjsig.so")} if preload == "libjsig" else {}
    works(run(program, order, OUT, folder=tmp_path, **preloaded))


# --------------------------------------------------------------------------------------------------------------- Go --


def go(*arguments: str | Path) -> None:
    """Run the Go compiler on host.go."""
    flags = {
        "CGO_CFLAGS": f"-I{ROOT / 'include'} -I{HERE}",
        "CGO_LDFLAGS": str(library_path().absolute()),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOCACHE": str(OUT / "go-cache"),
    }
    build("go", "build", *arguments, HERE / "host.go", **flags)


def test_go_as_a_program(tmp_path: Path) -> None:
    """The Go runtime always installs its handler first."""
    needs("go", "cc")
    go("-o", OUT / "host-go")
    works(run(OUT / "host-go", folder=tmp_path))


@pytest.mark.parametrize("order", ORDERS)
def test_go_as_a_shared_library(order: str, tmp_path: Path) -> None:
    needs("go", "cc")
    go("-buildmode=c-shared", "-o", OUT / "libhost.so")
    build(
        "cc",
        "-O1",
        f"-I{ROOT / 'include'}",
        HERE / "go.c",
        "-o",
        OUT / "go",
        library_path().absolute(),
        "-ldl",
    )
    works(run(OUT / "go", order, OUT / "libhost.so", folder=tmp_path))


# ------------------------------------------------------------------------------------------------------------- Node --


@pytest.mark.parametrize("order", ORDERS)
def test_node(order: str, tmp_path: Path) -> None:
    needs("node", "npm")
    modules = OUT / "node"
    if not (modules / "node_modules").is_dir():
        modules.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE.parent / "ffi" / "node" / name, modules)
        build("npm", "ci", "--prefix", modules, "--no-audit", "--no-fund")
    path = {"NODE_PATH": str(modules / "node_modules")}
    works(run("node", HERE / "host.js", order, library_path().absolute(), folder=tmp_path, **path))


# ------------------------------------------------------------------------------------------------------------- Rust --

RUST = {
    "host-first": ["lose", "thread", "lose"],
    "guard-again": ["lose", "guard", "guard", "lose", "thread"],
}


@pytest.mark.parametrize("order", RUST)
def test_rust(order: str, tmp_path: Path) -> None:
    """The runtime has its handler before main() begins, so there is no guard before it."""
    needs("rustc")
    program = OUT / "host-rs"
    build("rustc", "--edition", "2021", "-O", HERE / "host.rs", "-o", program, "-L", library_path().absolute().parent,
          "-l", "dylib=mmapguard")  # fmt: skip
    works(run(program, *RUST[order], folder=tmp_path))
    end = run(program, *RUST[order], "own", folder=tmp_path / "own")
    twin = run(program, "own", folder=tmp_path / "twin")
    assert (end.code, end.signal, end.output) == (twin.code, twin.signal, twin.output), f"{end}\n{twin}"
    assert twin.signal == signal.SIGBUS or twin.code == 128 + signal.SIGBUS, str(twin)
