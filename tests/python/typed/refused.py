# SPDX-License-Identifier: MIT OR Apache-2.0
"""Mistakes that a type checker must find. Each line that ends with a mark has one."""

import mmapguard

region = mmapguard.open("x")
region[0] = 1  # wrong
region.read("1")  # wrong
region.write(b"")  # wrong
mmapguard.open("x", lock="exclusive")  # wrong
mmapguard.open("x", stabel=True)  # wrong
mmapguard.open(1.5)  # wrong
print(mmapguard.nothing)  # wrong
region.info.size = 3  # wrong
with mmapguard.open("x") as block:
    block.madvise("sometimes")  # wrong
