# SPDX-License-Identifier: MIT OR Apache-2.0
"""The README of the package is true: each program in it runs and survives a cut, and each name in its tables
exists."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import mmapguard

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "bindings" / "python" / "README.md").read_text(encoding="utf-8")


def _programs() -> dict[str, str]:
    """Return the programs in Python, by the heading before each."""
    found, heading = {}, ""
    for title, block in re.findall(r"^#+ (.*?)$|^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        heading = title or heading
        if block:
            assert heading not in found
            found[heading] = block
    return found


PROGRAMS = _programs()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the files that the programs open."""
    numbers = np.arange(100_000, dtype="<u2")
    (tmp_path / "big.bin").write_bytes(numbers.tobytes() * 20)
    np.save(tmp_path / "array.npy", np.arange(300_000.0).reshape(3, 100, 1000))
    weights = np.arange(60_000, dtype="<f4")
    about = {"layer.weight": {"dtype": "F32", "shape": [200, 300], "data_offsets": [0, weights.nbytes]}}
    header = json.dumps(about).encode()
    (tmp_path / "weights.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + weights.tobytes()
    )
    (tmp_path / "events.jsonl").write_text("".join(f'{{"count": {n}}}\n' for n in range(20_000)))
    return tmp_path


def _run(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program from a file, since the workers of a pool import it."""
    (folder / "program.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _expected(folder: Path) -> dict[str, str]:
    data = (folder / "big.bin").read_bytes()
    numbers = np.frombuffer(data, "<u2")
    return {
        "mmapguard for Python": "",
        "Mappings that others made": f"{folder / 'numbers'}: the bytes from 4096 on are gone\n",
        "In a service": "",
        "Load a `.npy` file without a copy": f"{np.arange(300_000.0).sum()}\n",
        "Load safetensors without a copy": f"(200, 300) {np.arange(60_000, dtype='<f4').mean()}\n",
        "Keep arrays after the block": f"{numbers.sum()}\n{numbers.max()}\n",
        "A thread pool: who checks, and when": f"{[zlib.crc32(data[at : at + (1 << 20)]) for at in range(0, len(data), 1 << 20)]}\n",
        "JSON lines in processes": f"{sum(range(20_000))}\n",
    }


def test_every_program_is_under_test(folder: Path) -> None:
    assert set(_expected(folder)) == set(PROGRAMS)
    assert set(re.findall(r"^```(\w+)$", README, re.MULTILINE)) == {"python", "toml"}


@pytest.mark.parametrize("title", PROGRAMS)
def test_every_program_runs_and_prints_what_it_should(title: str, folder: Path) -> None:
    done = _run(PROGRAMS[title], folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == _expected(folder)[title]


#: The line at which the test cuts the file of a program. The program has begun to read by then.
CUTS = {
    "mmapguard for Python": ("digest =", "big.bin"),
    "Load a `.npy` file without a copy": ("total = load", "array.npy"),
    "Keep arrays after the block": ("total = array", "big.bin"),
    "A thread pool: who checks, and when": ("with ThreadPoolExecutor", "big.bin"),
}


@pytest.mark.parametrize("title", CUTS)
def test_a_program_whose_file_is_cut_ends_with_the_loss(title: str, folder: Path) -> None:
    line, name = CUTS[title]
    source = re.sub(
        rf"^( *)({re.escape(line)})",
        rf"\1import os; os.truncate('{name}', 8192)\n\1\2",
        PROGRAMS[title],
        flags=re.M,
    )
    assert source != PROGRAMS[title]
    done = _run(source, folder)
    assert done.returncode == 1, done
    assert "mmapguard.TruncatedError" in done.stderr and "from byte 8192 on" in done.stderr
    assert done.stdout == ""


def test_stable_weights_do_not_notice(folder: Path) -> None:
    source = PROGRAMS["Load safetensors without a copy"].replace(
        "    start = 8", "    import os; os.truncate('weights.safetensors', 8192)\n    start = 8"
    )
    done = _run(source, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == _expected(folder)["Load safetensors without a copy"]


def test_the_safetensors_example_prints_every_tensor(folder: Path) -> None:
    example = ROOT / "examples" / "python" / "safetensors_load.py"
    done = subprocess.run(
        [sys.executable, example, folder / "weights.safetensors"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "layer.weight: float32 (200, 300), mean 29999.5\n"


def _section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_tables_name_what_there_is() -> None:
    interface, exceptions = _section("The interface"), _section("Exceptions")
    named = set(re.findall(r"`(\w+)[`(]", interface + exceptions))
    public = {name for name in mmapguard.__all__ if not name.startswith("__")} - {"MapFaultError", "Region"}
    assert public <= named
    regions = {
        name
        for line in re.findall(r"^\| `Region[.\[].*?\|", interface, re.M)
        for name in re.findall(r"\.(\w+)", line)
    }
    for name in regions:
        assert hasattr(mmapguard.Region, name), name
    members = {name for name, _ in inspect.getmembers(mmapguard.Region) if not name.startswith("_")}
    files_have = {"readable", "seekable", "writable", "flush", "isatty", "fileno", "truncate"}
    assert members - regions == files_have
