# SPDX-License-Identifier: MIT OR Apache-2.0
"""The parts of the ABI gate: what header, library, record and bindings each say, and where they differ."""
