# SPDX-License-Identifier: MIT OR Apache-2.0
"""Type checkers with the strictest settings accept one program that uses the installed package, and find the mistakes
in another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TYPED = Path(__file__).resolve().parent / "typed"
CONFIGURATION = {
    "typeCheckingMode": "strict",
    "reportMissingModuleSource": "error",
    "pythonPlatform": "Linux",
}


def mypy(file: Path, tmp_path: Path) -> list[int]:
    """Return the lines in which mypy finds errors. mypy runs outside the sources, with no configuration except
    strictness."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={tmp_path}",
            "--output=json",
            file,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not done.stderr, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert done.returncode == bool(found)
    assert all(Path(one["file"]).name == file.name for one in found), found
    return sorted({one["line"] for one in found})


def pyright(file: Path, tmp_path: Path) -> list[int]:
    """Return the lines in which pyright finds errors."""
    pytest.importorskip("pyright", reason="pyright is not installed")
    shutil.copy(file, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(CONFIGURATION | {"include": [file.name]}))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pyright",
            "--project",
            tmp_path,
            "--pythonpath",
            sys.executable,
            "--outputjson",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        found = json.loads(done.stdout[done.stdout.index("{") :])["generalDiagnostics"]
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None
    return sorted({one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"})


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_program_that_uses_everything_is_accepted(checker: object, tmp_path: Path) -> None:
    assert checker(TYPED / "accepted.py", tmp_path) == []  # type: ignore[operator]


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_mistakes_are_found(checker: object, tmp_path: Path) -> None:
    file = TYPED / "refused.py"
    marked = [
        number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")
    ]
    assert checker(file, tmp_path) == marked  # type: ignore[operator]


def test_the_stub_declares_what_the_extension_has() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy.stubtest",
            "mmapguard",
            "--ignore-disjoint-bases",
            "--ignore-unused-allowlist",
            "--allowlist",
            TYPED / "stubtest",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_symbol_has_a_known_type() -> None:
    pytest.importorskip("pyright", reason="pyright is not installed")
    # --verifytypes ignores --pythonpath: pyright looks for the package in the environment of the first Python on the
    # path.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "mmapguard", "--ignoreexternal", "--outputjson"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout)
    report = found["typeCompleteness"]
    unknown = [one for one in report["symbols"] if not one["isTypeKnown"]]
    assert report["completenessScore"] == 1, unknown or found["generalDiagnostics"]
