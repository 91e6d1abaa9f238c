# SPDX-License-Identifier: MIT OR Apache-2.0
"""Prints one line that says how many tests were skipped, from the JUnit files of CTest and pytest: skipped.py FILE..."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# The line of a case that a C program has skipped; see tests/c/check.c.
CASE = re.compile(r"(?: \.\.\. |^)SKIP: (.+)$", re.MULTILINE)


def reasons(report: Path) -> list[str]:
    """Return the reason of each skipped test of pytest and of each skipped case in the C programs."""
    found = []
    for test in ElementTree.parse(report).iter("testcase"):
        cases = CASE.findall(test.findtext("system-out") or "")
        found += cases
        skipped = test.find("skipped")
        if skipped is not None and not cases:
            found.append(skipped.get("message") or "no reason was given")
    return found


def summary(found: list[str]) -> str:
    """Return the line."""
    if not found:
        return "no test was skipped"
    rooted = sum("needs root" in reason for reason in found)
    line = f"{len(found)} tests were skipped"
    if rooted:
        line += f", {rooted} of them because they need root (sudo ./dev test runs them)"
    others = sorted({reason for reason in found if "needs root" not in reason})
    others.sort(key=found.count, reverse=True)
    if others:
        line += "; other reasons: " + "; ".join(others[:3]) + ("; ..." if len(others) > 3 else "")
    return line


if __name__ == "__main__":
    print(summary([reason for name in dict.fromkeys(sys.argv[1:]) for reason in reasons(Path(name))]))
