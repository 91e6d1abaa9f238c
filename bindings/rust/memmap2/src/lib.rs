// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mmapguard-memmap2` under the name of memmap2, for `[patch.crates-io]`.

pub use mmapguard_memmap2::*;
