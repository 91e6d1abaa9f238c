# SPDX-License-Identifier: MIT OR Apache-2.0
"""CLAIMS.md is true: each claim stands in its document, each test that it names exists, and no promise is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from support.documents import has_case, words_of
from support.library import ROOT

TESTS = ROOT / "tests"
CLAIMS = TESTS / "CLAIMS.md"
WHOLE_SECTION = "## "
"""A claim that begins so names a section, of which every paragraph is meant."""
REASONS = ("not a claim: ", "no test: ")


@dataclass(frozen=True)
class Row:
    """One row of the table: words of a document, and the tests that hold them, or the reason why there is none."""

    document: str
    claim: str
    tests: tuple[tuple[str, str], ...]
    reason: str


def rows_of(text: str) -> list[Row]:
    """Return the rows of CLAIMS.md. Raises ValueError for a row that is neither tested nor explained."""
    rows, document = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            document = line[3:]
        if not line.startswith("| ") or line.startswith("| claim |"):
            continue
        claim, answer = (cell.strip() for cell in line.strip("|").split(" | "))
        tests = re.findall(r"`([\w./]+)::([^`]+)`", answer)
        if not tests and not answer.startswith(REASONS):
            raise ValueError(f"neither a test nor a reason: {line}")
        rows.append(Row(document, claim, tuple(tests), "" if tests else answer))
    return rows


def blocks_of(document: str) -> list[tuple[str, str]]:
    """Return the paragraphs, items and rows of a document, each with the heading before it.

    What a program writes between two marks, such as figures of a report, is left out: other tests compare it.
    """
    blocks: list[tuple[str, str]] = []
    lines: list[str] = []
    heading, fenced = "", False
    text = re.sub(r"(?s)<!-- begin: .*?<!-- end: .*?-->", "", (ROOT / document).read_text(encoding="utf-8"))
    for line in [*text.splitlines(), ""]:
        fenced ^= line.startswith("```")
        if re.match(r"\|[-| ]+$", line) and not fenced:
            lines = []  # the row before this one is the head of a table
        begins = re.match(r"#|\||- |\d+\. |\s*$|```", line) is not None
        if begins and lines:
            blocks.append((heading, words_of("\n".join(lines))))
            lines = []
        if line.startswith("#") and not fenced:
            heading = line.lstrip("# ")
        elif line.strip() and not fenced and not re.match(r"\|[-| ]+$|<!--|!\[|```", line):
            lines.append(line)
    return [(heading, text) for heading, text in blocks if text and not text.endswith(":")]


ROWS = rows_of(CLAIMS.read_text(encoding="utf-8"))
DOCUMENTS = sorted({row.document for row in ROWS})
WORDS = {name: words_of((ROOT / name).read_text(encoding="utf-8")) for name in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_claim_stands_in_its_document(document: str) -> None:
    headings = {heading for heading, _ in blocks_of(document)}
    gone = []
    for row in ROWS:
        if row.document != document:
            continue
        section = row.claim.startswith(WHOLE_SECTION)
        if row.claim[3:] not in headings if section else words_of(row.claim) not in WORDS[document]:
            gone.append(row.claim)
    assert gone == []


def test_every_test_that_is_named_exists() -> None:
    named = {test for row in ROWS for test in row.tests}
    assert len(named) > 200
    missing = [
        f"{path}::{case}"
        for path, case in sorted(named)
        if not has_case(TESTS / path, case) and not has_case(ROOT / path, case)
    ]
    assert missing == []


def untold(document: str) -> list[str]:
    """Return the paragraphs of a document that no row quotes."""
    claims = [row.claim for row in ROWS if row.document == document]
    sections = {claim[3:] for claim in claims if claim.startswith(WHOLE_SECTION)}
    quotes = [words_of(claim) for claim in claims if not claim.startswith(WHOLE_SECTION)]
    return [
        f"{heading}: {text}"
        for heading, text in blocks_of(document)
        if heading not in sections and not any(quote in text for quote in quotes)
    ]


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.endswith(".md")])
def test_no_paragraph_is_left_out(document: str) -> None:
    assert untold(document) == []


def test_no_function_of_the_header_is_left_out() -> None:
    header = (ROOT / "include" / "mmapguard.h").read_text(encoding="utf-8")
    claims = [words_of(row.claim) for row in ROWS if row.document == "include/mmapguard.h"]
    comments = re.findall(r"/\*\*((?:(?!\*/).)*?)\*/\n[\w *]*?\b(mmg_\w+)\(", header, re.S)
    assert len(comments) > 30
    assert [name for text, name in comments if not any(claim in words_of(text) for claim in claims)] == []


def test_a_claim_that_is_gone_and_a_test_that_is_gone_are_found() -> None:
    assert words_of("> *a* `b`\n * c | d") == "a b c d"
    assert has_case(TESTS / "docs" / "test_claims.py", "has_case")
    assert not has_case(TESTS / "docs" / "test_claims.py", "has_no" + "_case")
    with pytest.raises(ValueError, match="neither"):
        rows_of("## README.md\n| a claim | some day |\n")
