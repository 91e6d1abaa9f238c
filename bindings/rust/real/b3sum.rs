// SPDX-License-Identifier: MIT OR Apache-2.0
//! b3sum as it is published: see `build.rs`.
#![allow(clippy::all)]

include!(concat!(env!("OUT_DIR"), "/b3sum.rs"));
