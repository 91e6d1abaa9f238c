// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod adopted;
#[cfg(doctest)]
mod borrows;
mod error;
mod foreign;
mod guarantee;
mod handle;
mod info;
mod ledger;
mod name;
mod opening;
mod options;
mod pinned;
mod process;
mod reader;
mod region;
mod span;
mod words;

pub use adopted::{adopt, Adopted};
pub use error::{Error, Result};
pub use foreign::{guard_process, GuardOptions, LostBytes, ProcessGuard};
pub use guarantee::{Contained, Guarantee, Leased, Stable};
pub use info::{Changed, Info, Stats};
pub use ledger::{losses, Loss, Losses, Mark};
pub use options::Options;
pub use pinned::Pinned;
pub use process::{guard_install, guard_state, handle_fault, stats, supports, version};
pub use reader::Reader;
pub use region::Region;
pub use span::Span;
pub use words::{
    Advice, Backing, Feature, GuardState, Lock, Locking, Means, Origin, Promise, Reason, Shortfall, Status,
};
