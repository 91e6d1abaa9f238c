// SPDX-License-Identifier: MIT OR Apache-2.0
//! This library is empty: the packages exist only for their test.
