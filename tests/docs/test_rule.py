# SPDX-License-Identifier: MIT OR Apache-2.0
"""The rule for users, and its limits, have the same words in every document.

tests/contract/test_verify.py and the tests of each binding show that the rule is true.
"""

from __future__ import annotations

import re

import pytest

from support.documents import words_of
from support.library import ROOT

RULE = "What you computed from a region holds if mmg_verify reports nothing afterwards."
LIMITS = (
    "The times of a file set a limit: mmg_verify does not see a write within the same clock tick, a write through a "
    "shared mapping that the kernel has not stamped yet, or times that were set back."
)
PLACES = (
    "README.md",
    "docs/SAFETY.md",
    "include/mmapguard.h",
    "include/mmapguard.hpp",
    "bindings/common/functions.rs",
    "bindings/lua/README.md",
    "bindings/lua/mmapguard.luadoc",
    "bindings/python/README.md",
    "bindings/python/mmapguard/_region.py",
    "bindings/rust/mmapguard/README.md",
    "bindings/rust/mmapguard/src/region.rs",
)


@pytest.mark.parametrize("place", PLACES)
def test_the_rule_and_its_limits_stand_in_the_same_words(place: str) -> None:
    words = words_of((ROOT / place).read_text(encoding="utf-8"))
    assert RULE in words
    assert LIMITS in words


def test_no_other_wording_of_the_rule_is_left() -> None:
    others = re.compile(r"(?:was|is|you) computed[^.]{0,60} holds if", re.IGNORECASE)
    for place in PLACES:
        words = words_of((ROOT / place).read_text(encoding="utf-8")).replace(RULE, "")
        assert others.findall(words) == [], place
