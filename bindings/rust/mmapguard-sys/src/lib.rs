// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(non_camel_case_types)]

#[macro_use]
mod macros;
mod constants;
mod functions;
mod structs;
#[cfg(test)]
mod test_abi;

pub use constants::*;
pub use functions::*;
pub use structs::*;

/// Names a region. 0 is never valid; always below 2^53.
pub type mmg_handle = u64;

/// 0 (`MMG_OK`) or a negative `MMG_E_...`.
pub type mmg_status = i32;

/// The array of Arrow's C Data Interface, for `mmg_export_arrow()`: any crate's own declaration of it, by a cast.
#[repr(C)]
pub struct ArrowArray {
    _opaque: [u8; 0],
}

/// The schema that goes with it; likewise.
#[repr(C)]
pub struct ArrowSchema {
    _opaque: [u8; 0],
}
