// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod file_data;
mod load;
mod map;

pub use file_data::{FileData, Mapping};
pub use load::{load, load_stdin};
pub use map::map_file;
