// SPDX-License-Identifier: MIT OR Apache-2.0
//! The property tests that mmap-guard 0.2.2 was published with, on `mmapguard-compat`: see `build.rs`.

include!(concat!(env!("OUT_DIR"), "/prop_map_file.rs"));
