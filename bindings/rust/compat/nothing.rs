// SPDX-License-Identifier: MIT OR Apache-2.0
//! These packages are there for their test.
