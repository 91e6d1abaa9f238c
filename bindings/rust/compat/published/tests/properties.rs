// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the property tests of mmap-guard 0.2.2 on `mmapguard-compat`; see `build.rs`.

include!(concat!(env!("OUT_DIR"), "/prop_map_file.rs"));
