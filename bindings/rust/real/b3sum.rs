// SPDX-License-Identifier: MIT OR Apache-2.0
//! The published source of b3sum; see `build.rs`.
#![allow(clippy::all)]

include!(concat!(env!("OUT_DIR"), "/b3sum.rs"));
