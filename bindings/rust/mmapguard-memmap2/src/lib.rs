// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg_attr(unix, doc = include_str!("../README.md"))]
#![cfg(unix)]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod advice;
mod if_safe;
mod live;
mod loss;
mod mmap;
mod options;

pub use advice::{Advice, UncheckedAdvice};
pub use if_safe::MapIfSafeError;
pub use loss::{on_loss, OnLoss};
pub use mmap::Mmap;
pub use options::{MmapAsRawDesc, MmapOptions, MmapRawDescriptor};
