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

/// The type of handles, which name regions. A handle is never 0, and always below 2^53.
pub type mmg_handle = u64;

/// The type of statuses: 0 (`MMG_OK`) or a negative `MMG_E_...`.
pub type mmg_status = i32;

/// The array of Arrow's C Data Interface, for `mmg_export_arrow()`. Cast a pointer to the declaration of any
/// Arrow crate to this type.
#[repr(C)]
pub struct ArrowArray {
    _opaque: [u8; 0],
}

/// The schema of such an array. Cast a pointer in the same way.
#[repr(C)]
pub struct ArrowSchema {
    _opaque: [u8; 0],
}
