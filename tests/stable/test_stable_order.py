# SPDX-License-Identifier: MIT OR Apache-2.0
"""The means of STABLE are tried in the order that SAFETY.md gives for the size of the window."""

from __future__ import annotations

import re

import pytest

from mmapguard import abi
from stable.others import MAPPED, Places, means, stable
from support import files
from support import library as mmg
from support.library import ROOT

WORDS = {
    "copy": abi.MMG_MEANS_PRIVATE_COPY,
    "lease": abi.MMG_MEANS_LEASE,
    "reflink": abi.MMG_MEANS_REFLINK,
    "snapshot": abi.MMG_MEANS_SNAPSHOT,
}
KIB, MIB = 1 << 10, 1 << 20
LIMITS = [128 * KIB, 384 * KIB, 32 * MIB]


def orders() -> dict[str, list[int]]:
    """Return the table of SAFETY.md: the means in order, by the words for the size."""
    text = (ROOT / "docs" / "SAFETY.md").read_text(encoding="utf-8").partition("### The order of means")[2]
    rows = re.findall(r"^\| (up to [^|]+|larger) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", text, re.M)
    return {size: [WORDS[word] for word in words] for size, *words in rows}


def test_the_document_has_a_row_for_each_size() -> None:
    assert list(orders()) == ["up to 128 KiB", "up to 384 KiB", "up to 32 MiB", "larger"]


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("number", range(len(LIMITS)))
def test_the_order_of_means_is_that_of_the_document(number: int, beyond: int, places: Places) -> None:
    """The file is one that can be leased in each case, and no byte is read: the order is for a mapped file."""
    path = files.sparse(places("ext4") / "file", LIMITS[number] + beyond)
    with stable(path, **MAPPED) as handle:
        order = mmg.info(handle).means_order
        assert means(handle) == abi.MMG_MEANS_LEASE
        found = [order >> 4 * place & 15 for place in range(16)]
    assert found == list(orders().values())[number + beyond] + [0] * 12


def test_what_no_means_was_tried_for_has_no_order(places: Places) -> None:
    one = files.sample(places("ext4") / "file", 1000)
    with stable(one.path) as copied, mmg.opened(mmg.try_open(one.path, **MAPPED)) as mapped:
        assert mmg.info(copied).means_order == mmg.info(mapped).means_order == 0
