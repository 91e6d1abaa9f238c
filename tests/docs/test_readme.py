# SPDX-License-Identifier: MIT OR Apache-2.0
"""The README is true: every command in it works, every program in it runs, and the demo prints what it shows.

The programs in C are tested with the examples, those in Rust with the crate (`./dev test rust`), those
of the Lua README with the modules (`./dev test lua`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "bench")]

import publication  # noqa: E402

import markdown  # noqa: E402

sys.path.remove(str(ROOT / "bench"))  # bench has a module `launcher`, too

from launcher import cutting  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
LUA_README = (ROOT / "bindings" / "lua" / "README.md").read_text(encoding="utf-8")
DEMO = ROOT / "build" / "demo"
NEEDLE = b"needle"


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def big_bin(tmp_path: Path) -> Path:
    """Return the file that the programs open, large enough to be mapped."""
    path = tmp_path / "big.bin"
    path.write_bytes(b"PK\3\4" + b"line of text\n" * 10_000 + NEEDLE + b"\n")
    return path


def test_every_block_says_what_it_is_and_is_tested() -> None:
    tested = {"sh", "text", "python", "c", "lua", "rust"}
    assert set(re.findall(r"^```(\w*)$", README, re.MULTILINE)) - {""} == tested
    assert [len(blocks(README, language)) for language in ("sh", "text", "python", "c", "lua", "rust")] == [
        3,
        1,
        1,
        1,
        1,
        1,
    ]


# ------------------------------------------------------------------------------------------------- the commands --


def test_every_dev_command_that_a_document_names_is_there() -> None:
    script = (ROOT / "dev").read_text()
    commands = set(re.findall(r"^dev_(\w+)\(\)", script, re.MULTILINE))
    suites = set(re.findall(r"^suite_(\w+)\(\)", script, re.MULTILINE)) | {"all"}
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("bindings/*/README.md"),
    ]
    unknown = []
    for document in documents:
        for command, suite in re.findall(
            r"\./dev ([a-z]+)(?: ([a-z]+)\b)?", document.read_text(encoding="utf-8")
        ):
            if command not in commands or (
                command == "test" and suite and suite not in suites and suite != "short"
            ):
                unknown.append(f"{document.relative_to(ROOT)}: ./dev {command} {suite}")
    assert unknown == []


def test_the_address_to_clone_from_is_the_one_of_the_publication(tmp_path: Path) -> None:
    """With the checkout in place of the address, the first block makes a folder that has ./dev."""
    assert publication.main(["--check"]) == 0
    lines = blocks(README, "sh")[0].splitlines()
    clone = re.sub(r"(git clone) \S+", rf"\1 --quiet --depth 1 file://{ROOT}", lines[0])
    if not (ROOT / ".git").exists():
        pytest.skip("this tree is no git checkout")
    done = subprocess.run(
        ["sh", "-euc", f"{clone} mmapguard\n{lines[1]}\n./dev help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"demo", "test"} <= set(re.findall(r"^  (\w+)", done.stdout, re.MULTILINE))


def test_a_place_that_forgets_the_publication_is_found(tmp_path: Path) -> None:
    for name in ["publication.toml", *publication.FIELDS]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    values = (tmp_path / "publication.toml").read_text()
    (tmp_path / "publication.toml").write_text(values.replace("example.org", "example.net"))
    assert publication.main(["--check", str(tmp_path)]) == 1
    assert publication.main([str(tmp_path)]) == 0
    assert publication.main(["--check", str(tmp_path)]) == 0
    for name in publication.FIELDS:
        assert "example.org" not in (tmp_path / name).read_text(), name
        assert "example.net" in (tmp_path / name).read_text(), name
    control = tmp_path / "debian" / "control"
    control.write_text(re.sub(r"^Homepage:.*\n", "", control.read_text(), flags=re.MULTILINE))
    assert publication.main(["--check", str(tmp_path)]) == 2


def test_nothing_calls_itself_production_ready() -> None:
    assert "Production/Stable" not in (ROOT / "pyproject.toml").read_text()


INSTALLATION = """
set -eu
mount --make-rprivate /
mount -t tmpfs none "$1"
for folder in usr/local etc; do
    mkdir -p "$1/$folder/upper" "$1/$folder/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder/upper,workdir=$1/$folder/work" "/$folder"
done
sudo() { "$@"; }
"""
"""A machine of its own for what is installed below /usr/local, and for the cache of the loader. $1: an empty folder."""


def installed(commands: str, folder: Path) -> list[str]:
    """Run commands that install below /usr/local, in a /usr/local of their own. Return the lines that they print."""
    if os.geteuid() != 0:
        pytest.skip("installing below /usr/local, even for show, needs root")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system has no mount namespaces for us")
    folder.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", INSTALLATION + commands, "bash", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_commands_to_install_build_and_run_work_as_they_stand(tmp_path: Path) -> None:
    commands = blocks(README, "sh")[1]
    for word in ("-o ", "./"):  # the program is built outside the checkout
        commands = commands.replace(f"{word}lines ", f"{word.replace('./', '')}{tmp_path}/lines ")
    assert installed(commands, tmp_path / "own")[-1] == f"{README.count(chr(10))} lines"


def test_the_commands_to_install_the_lua_modules_work_as_they_stand(tmp_path: Path) -> None:
    commands = blocks(LUA_README, "sh")[0]
    script = (
        "for _, name in ipairs({'mmapguard', arg[1]}) do print(#assert(require(name).open('README.md'))) end"
    )
    for lua in LUAS.values():
        commands += f"{lua} - {'mmapguard.ffi' if lua == 'luajit' else 'mmapguard'} <<'END'\n{script}\nEND\n"
    size = (ROOT / "README.md").stat().st_size
    assert installed(commands, tmp_path / "own")[-2 * len(LUAS) :] == [str(size)] * 2 * len(LUAS)


# ------------------------------------------------------------------------------------------------- the programs --


def test_the_program_in_python_runs(big_bin: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks(README, "python")[0]],
        cwd=big_bin.parent,
        env=os.environ | {"PYTHONPATH": str(DEMO / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.endswith(f" b'PK\\x03\\x04' {big_bin.stat().st_size - len(NEEDLE) - 1}\n")


LUAS = {"5.1": "lua5.1", "5.2": "lua5.2", "5.3": "lua5.3", "5.4": "lua5.4", "LuaJIT": "luajit"}


@pytest.mark.parametrize("version", LUAS)
def test_the_program_in_lua_runs(version: str, big_bin: Path) -> None:
    modules = ROOT / "build" / "lua" / "bindings" / "lua" / "lib" / version.replace("LuaJIT", "5.1")
    assert modules.is_dir(), "./dev test docs builds the modules"
    done = subprocess.run(
        [LUAS[version], "-"],
        input=blocks(README, "lua")[0],
        cwd=big_bin.parent,
        env=os.environ | {"LUA_CPATH": f"{modules}/?.so;;"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.count("12\n") >= 9_999


# ------------------------------------------------------------------------------------------------- the launcher --


def test_the_command_with_the_launcher_keeps_the_program_alive(big_bin: Path) -> None:
    """The file is cut as soon as ripgrep has mapped it."""
    line = blocks(README, "sh")[2].strip().replace(" needle ", " --mmap --text --count line ")
    path = big_bin.parent / "big.log"
    for command, killed in (line.partition(" -- ")[2], True), (line, False):
        shutil.copy(big_bin, path)
        end = cutting.run(
            ["sh", "-c", f"exec {command}"],
            path,
            lambda: os.truncate(path, 4096),
            environment={"PATH": f"{ROOT}/build/release/launcher:{os.environ['PATH']}"},
            folder=big_bin.parent,
        )
        assert end.was_cut
        assert (end.signal == signal.SIGBUS) is killed, str(end)
    assert end.code == 75
    assert f"{path}: " in end.errors and "from offset 4096" in end.errors


# ----------------------------------------------------------------------------------------------------- the demo --


def words_of(line: str) -> str:
    """Return a line without the parts that differ from run to run: numbers and bars."""
    return " ".join(re.sub(r"[━─╳]+|[\d,]*\d", " ", line).split())


def test_the_demo_prints_what_the_readme_shows_and_draws_its_picture(tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    sample.write_bytes(os.urandom(3 << 20))
    picture = tmp_path / "demo.svg"
    done = subprocess.run(
        [sys.executable, ROOT / "demo" / "demo.py", "--picture", picture, sample],
        env=os.environ | {"PYTHONPATH": str(DEMO / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = " ".join(words_of(line) for line in done.stdout.splitlines())
    promised = [words_of(line) for line in blocks(README, "text")[0].splitlines() if line]
    assert len(promised) == 5
    assert [line for line in promised if line not in printed] == []
    for svg in (picture, ROOT / "docs" / "demo.svg"):
        lines = re.findall(r"<text [^>]*>(.*?)</text>", svg.read_text(encoding="utf-8"))
        drawn = " ".join(words_of(unescape(re.sub(r"<[^>]+>", " ", line))) for line in lines)
        assert [line for line in promised if line not in drawn] == []
    assert "docs/demo.svg" in README


def test_the_best_and_the_worst_figures_are_those_of_the_report() -> None:
    report = (ROOT / "bench" / "REPORT.md").read_text(encoding="utf-8")
    rows = markdown.best_and_worst(report)
    assert rows.count("\n") == 2 + markdown.SHOWN
    assert rows in README
    assert markdown.with_rows(README, report) == README


def test_every_plot_of_the_report_is_there() -> None:
    report = ROOT / "bench" / "REPORT.md"
    plots = re.findall(r"!\[[^]]*\]\((plots/[^)]+)\)", report.read_text(encoding="utf-8"))
    assert plots
    for plot in plots:
        assert (report.parent / plot).read_text(encoding="utf-8").startswith("<svg")
