// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guarantees: what each asks of the library, and what it makes of the answer.

use mmapguard_sys as sys;

use crate::handle::{Handle, Summary};
use crate::options::DEFAULT_SNAPSHOT;
use crate::{guard_state, Backing, Error, GuardState, Means, Promise, Result, Status};

/// The guarantee of a region: *the bytes do not change and do not vanish*, whoever writes to the file. Hence a
/// `Region<Stable>` is a `&[u8]`.
///
/// What holds the bytes is a copy in memory, a sealed memfd or a medium that nobody can write: nothing that another
/// process, or this one, can take away. A lease is not among them, and none is taken; see [`Leased`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stable {}

/// The guarantee of a region: *the bytes do not change as long as what holds them is not taken away, and every read says
/// whether it was*. As [`Stable`], or by a lease, which costs nothing until somebody writes.
///
/// A lease is lost when the process is stopped for too long, to an `open(2)` with `O_RDONLY` and `O_TRUNC`, in a child
/// after `fork(2)`, and to a full disk. Safe code can bring all of these about, so there is no safe slice: reads return a
/// [`Result`], and [`Pinned::as_slice`](crate::Pinned::as_slice) is `unsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leased {}

/// The guarantee of a region: *nothing that happens to the file kills the process*, and losses are reported. But bytes
/// may change, so there is no `&[u8]`: every read says whether it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contained {}

/// [`Stable`], [`Leased`] or [`Contained`]; nothing else can implement it.
pub trait Guarantee: private::Sealed {}

impl Guarantee for Stable {}
impl Guarantee for Leased {}
impl Guarantee for Contained {}

/// Opens the file behind a handle once more, with other options, after that handle is closed.
type Again<'a> = &'a dyn Fn(Handle, &sys::mmg_options) -> Result<Handle>;

mod private {
    use mmapguard_sys as sys;

    use super::{Again, Handle, Result};

    pub trait Sealed: Sized {
        /// What the library is asked for.
        const DEMAND: u32;
        /// By which flags.
        const FLAGS: u64 = 0;
        /// Whether the region holds a pin for the whole of its life. Only what is read by `Deref` needs one, and it
        /// makes the pins beside it slower.
        const PINS: bool = false;

        /// What has been opened, if that will do; else a handle that will, or an error.
        fn accept(handle: Handle, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle>;
    }
}

impl private::Sealed for Contained {
    const DEMAND: u32 = sys::MMG_GUARANTEE_CONTAINED;

    #[inline]
    fn accept(handle: Handle, _: &sys::mmg_options, _: Again<'_>) -> Result<Handle> {
        Ok(handle)
    }
}

impl private::Sealed for Leased {
    const DEMAND: u32 = sys::MMG_GUARANTEE_STABLE;

    fn accept(handle: Handle, options: &sys::mmg_options, _: Again<'_>) -> Result<Handle> {
        let summary = handle.summary()?;
        if summary.guarantee != Promise::STABLE {
            return Err(unstable(&handle, &format!("not stable: {}", handle.info()?.shortfall())));
        }
        // When the lease breaks, the cap is what is secured, and the rest would change.
        if summary.means == Means::LEASE && summary.size > cap(options) {
            return Err(unstable(
                &handle,
                "only a lease is to be had, and the bytes are more than max_snapshot_bytes",
            ));
        }
        Ok(handle)
    }
}

impl private::Sealed for Stable {
    const DEMAND: u32 = sys::MMG_GUARANTEE_STABLE;
    const FLAGS: u64 = sys::MMG_FLAG_NO_LEASE;
    const PINS: bool = true;

    fn accept(handle: Handle, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle> {
        let summary = handle.summary()?;
        if cannot_change(&summary) {
            return Ok(handle);
        }
        if options.backing == sys::MMG_BACKING_MAP {
            return Err(unstable(&handle, "only a copy holds these bytes, and a mapping was asked for"));
        }
        if summary.size > cap(options) {
            return Err(unstable(
                &handle,
                "only a copy holds these bytes, and they are more than max_snapshot_bytes",
            ));
        }
        let (backing, max_bytes) = (sys::MMG_BACKING_COPY, cap(options));
        let copy = again(handle, &sys::mmg_options { backing, max_bytes, ..*options })?;
        if cannot_change(&copy.summary()?) {
            Ok(copy)
        } else {
            Err(unstable(&copy, "a copy was asked for, and it may change"))
        }
    }
}

fn cap(options: &sys::mmg_options) -> u64 {
    match options.max_snapshot_bytes {
        0 => DEFAULT_SNAPSHOT,
        bytes => bytes,
    }
}

#[cold]
fn unstable(handle: &Handle, why: &str) -> Error {
    Error::refused(Status::UNSTABLE, &handle.called(), "stable", why)
}

/// Returns true when nothing that safe code can do, in this process or another, changes these bytes or takes them away,
/// and when reading them cannot kill. This is what a slice rests on.
///
/// A lease can be lost. A snapshot or a reflink is a file without a name, and whoever may open `/proc/PID/fd` may write
/// to it. A medium that nobody can write may still fail to deliver a page, which is a SIGBUS where the guard is not in
/// place; a sealed memfd cannot shrink, and a copy is memory.
pub(crate) fn cannot_change(summary: &Summary) -> bool {
    match summary.means {
        _ if summary.guarantee != Promise::STABLE => false,
        Means::PRIVATE_COPY => summary.backing == Backing::COPY,
        Means::SEALED => true,
        Means::READ_ONLY_MEDIUM => guard_state() == GuardState::TOP,
        _ => false,
    }
}
