// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sources of `mmapguard-compat` with the unit tests of mmap-guard 0.2.2; see `build.rs`.
#![allow(dead_code, unused_imports, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/grafted.rs"));
