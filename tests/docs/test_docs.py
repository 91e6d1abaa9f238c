# SPDX-License-Identifier: MIT OR Apache-2.0
"""The man pages say what the header says and are well made, and everything that the documents name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "abi"))

from abigate.header import Header  # noqa: E402

MAN = ROOT / "build" / "docs" / "man" / "man3"
HEADER = Header(ROOT / "include" / "mmapguard.h")
FUNCTIONS = sorted(HEADER.functions)


def shown(page: Path) -> str:
    """Return the text of a page as man shows it, in one line."""
    done = subprocess.run(["mandoc", "-T", "ascii", str(page)], capture_output=True, text=True, check=True)
    plain = re.sub(r".\x08", "", done.stdout)  # removes the marks of bold and underlined text
    return " ".join(re.sub(r"-\n\s*", "-", plain).split())


LAUNCHER = ROOT / "launcher" / "mmapguard.1"


def test_the_manual_of_the_launcher_has_what_its_help_has() -> None:
    program = ROOT / "build" / "release" / "launcher" / "mmapguard"
    help_text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    page = shown(LAUNCHER)
    for option in set(re.findall(r"--[a-z-]+(?:=[a-z]+)?", help_text)) - {"--"}:
        assert option in page, option
    for status in ("2", "75", "126", "127"):
        assert f" {status} " in page and f" {status} " in help_text
    for variable in re.findall(
        r'"((?:MMAPGUARD|LD|ASAN)_[A-Z_]+)"', (ROOT / "launcher" / "terms.h").read_text()
    ):
        assert variable in page


def test_every_call_has_a_page_and_every_page_a_call() -> None:
    pages = {path.stem for path in MAN.glob("*.3") if not path.is_symlink()}
    assert pages == {"mmapguard", *FUNCTIONS}


@pytest.mark.parametrize("path", [LAUNCHER, *sorted(MAN.glob("*.3"))], ids=lambda path: path.stem)
def test_a_page_is_well_made(path: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_page_names_each_status_that_the_call_returns(name: str) -> None:
    wanted = {value for value in HEADER.functions[name].documentation.values if value.startswith("MMG_E_")}
    page = shown(MAN / f"{name}.3")
    assert {status for status in wanted if status not in page} == set()
    assert "SYNOPSIS #include <mmapguard.h>" in page
    assert "BLOCKING, THREADS AND SIGNALS" in page
    assert "HISTORY In mmapguard since 1." in page


def test_the_overview_names_every_call_structure_and_constant() -> None:
    page = shown(MAN / "mmapguard.3")
    constants = re.findall(r"\b(MMG_[A-Z0-9_]+) = ", HEADER.text)
    assert len(constants) > 90
    structs = [d.name for d in HEADER.declarations if d.kind == "struct"]
    assert [name for name in [*FUNCTIONS, *structs, *constants] if name not in page] == []


BUILT = {"build", ".venv", ".venv-python", "node_modules", "target"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not BUILT & set(path.relative_to(ROOT).parts) and not path.is_symlink()
)


def anchors(document: Path) -> set[str]:
    """Return the names by which the headings of a document are linked to."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text())
    missing = []
    for target in targets:
        name, _, anchor = target.partition("#")
        if re.fullmatch(r"\w+(::\w+)*", target):
            continue  # the link names an item of the crate, and rustdoc checks it
        path = document.parent / name if name else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            missing.append(target)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_calls_by_name_is_in_the_header(document: Path) -> None:
    # A row such as "| `OLD` | is `NEW` | ..." names a function that no longer exists.
    text = re.sub(r"^\| `\w+` \| is ", "", document.read_text(), flags=re.MULTILINE)
    words = set(re.findall(r"\bmmg_[a-z_]+|\bMMG_[A-Z0-9_]+", text))
    known = set(re.findall(r"\bmmg_[a-z_]+|\bMMG_[A-Z0-9_]+", HEADER.text))
    assert {word for word in words if word not in known and not word.endswith("_")} == set()


def test_every_folder_of_tests_has_a_row() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"
    }


ROOMS = ROOT / "src" / "README.md"


def test_the_page_of_the_rooms_names_every_file() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", ROOMS.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    files = {path.stem for path in (ROOT / "src").rglob("*.[ch]")}
    assert files - named == set(), "files without a row"
    assert named - files == set(), "rows without a file"


def test_each_function_is_in_the_file_that_the_page_of_the_rooms_gives() -> None:
    text = ROOMS.read_text()
    rooms = text.index("## The rooms"), text.index("## An open")
    file, checked, wrong = "", 0, []
    for match in re.finditer(r"\]\(([\w/]+\.[ch])\)|`(\w+)\(\)`", text[: rooms[0]] + text[rooms[1] :]):
        if match[1]:
            file = match[1]
            continue
        code = (ROOMS.parent / file).read_text()
        checked += 1
        if not re.search(rf"^{match[2]}\(", code, re.MULTILINE):
            wrong.append(f"{file}: {match[2]}()")
    assert wrong == []
    assert checked > 40


SANDBOX_ROWS = {
    "CALLS_TO_CONTAIN": "contain a loss",
    "CALLS_ON_OVERLAY": "contain a loss on overlay",
    "CALLS_AT_A_LIMIT": "contain a loss where nothing is left",
    "CALLS_FOR_OTHERS": "contain a loss in a foreign mapping",
    "CALLS_TO_PASS_ON": "pass a signal on",
}
"""The lists of tests/fault/sandbox.c, and the rows of SAFETY.md that they are."""


@pytest.mark.parametrize("name", SANDBOX_ROWS)
def test_a_sandbox_of_what_the_document_lists_is_the_one_that_is_tested(name: str) -> None:
    source = (ROOT / "tests" / "fault" / "sandbox.c").read_text()
    listed = re.search(rf"^#define {name}\(X\) (.*)$", source, re.M)
    assert listed
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \|$", (ROOT / "docs" / "SAFETY.md").read_text(), re.M)
    named = next(calls for what, calls in rows if re.sub(r" \(.*\)", "", what) == SANDBOX_ROWS[name])
    assert set(re.findall(r"X\((\w+)\)", listed[1])) == set(re.findall(r"`(\w+)`", named))


def file_systems() -> dict[str, tuple[str, str, str, str]]:
    """Return the table of file systems in SAFETY.md: locks, STABLE for the owner, for a stranger, and remarks, by name."""
    text = (ROOT / "docs" / "SAFETY.md").read_text().partition("## File systems")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|(?: ([^|]*))? ?\|$", text, re.M)
    return {
        name: (locks, owner, owner if stranger == "as the owner" else stranger, remarks)
        for names, locks, owner, stranger, remarks in rows
        for name in re.split(r",? and |, ", names)
    }


def test_the_table_of_file_systems_is_that_of_the_library() -> None:
    source = (ROOT / "src" / "os" / "linux" / "file_system.c").read_text()
    known = {
        name: (set(facts.split(" | ")), lock)
        for name, facts, lock in re.findall(
            r'^    \{"(\w+)", ([\w |]+), FILE_SYSTEM_LOCK_(\w+)\},$', source, re.M
        )
    }
    table = file_systems()
    assert len(known) > 40
    told = {name for name, (facts, _) in known.items() if facts & {"LEASES", "MEDIUM", "VERITY"}}
    assert told - set(table) == set(), "without a row"
    for name in known.keys() & table.keys():
        facts, lock = known[name]
        locks, owner, stranger, remarks = table[name]
        assert (locks == "local") == (lock == "ADVISORY"), name
        assert (owner == "lease") == ("LEASES" in facts), name
        assert (owner == "read-only medium") == ("MEDIUM" in facts), name
        assert ("verity" in stranger) == ("VERITY" in facts), name
        assert ("coarse times" in remarks) == ("COARSE" in facts), name
        if lock == "ADVISORY" and "MEDIUM" not in facts:
            assert ("reflink" in stranger) == ("NO_REFLINK" not in facts), name
    leases = re.search(
        r"^- The file system is ((?:[\w, ]|\n)*), by its name",
        (ROOT / "docs" / "SAFETY.md").read_text(),
        re.M,
    )
    assert leases
    assert set(re.split(r", | or |\s+", leases[1])) == {
        name for name, (facts, _) in known.items() if "LEASES" in facts
    }
