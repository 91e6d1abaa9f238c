// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region whose bytes are pinned, for slices on the caller's word.

use std::ops::Deref;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::{Guarantee, Region, Result};

/// A region with its bytes pinned: see [`Region::pinned`]. It reads like the region that it is made of, and has
/// [`as_slice`](Pinned::as_slice) beside.
#[derive(Debug)]
pub struct Pinned<G: Guarantee> {
    /// All of `region`. Ends before it, since members are dropped in this order.
    whole: Whole,
    region: Region<G>,
}

#[derive(Debug)]
struct Whole(sys::mmg_span);

// SAFETY: the pointer is to bytes that are only ever read, and that live until the pin ends, in whichever thread.
unsafe impl Send for Whole {}
// SAFETY: as above.
unsafe impl Sync for Whole {}

impl Drop for Whole {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the span is live, and nobody holds a slice of it: that would borrow the `Pinned`.
        unsafe { sys::mmg_unpin(&mut self.0) };
    }
}

impl<G: Guarantee> Pinned<G> {
    #[inline]
    pub(crate) fn new(region: Region<G>) -> Result<Pinned<G>> {
        let whole = Whole(region.handle.pin(0, sys::MMG_TO_END)?);
        Ok(Pinned { whole, region })
    }

    #[inline]
    pub(crate) fn over(handle: Handle) -> Result<Pinned<G>> {
        if G::PINS {
            return Pinned::new(Region::over(handle)?);
        }
        let whole = Whole(handle.pin(0, sys::MMG_TO_END)?);
        let region = Region::unpinned(handle, whole.0.size);
        Ok(Pinned { whole, region })
    }

    /// The first byte; not NULL, and readable for [`size`](Region::size) bytes while the value lives.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.whole.0.data
    }

    /// The bytes as a slice, on the caller's word that they stand still. A [`Region<Stable>`](crate::Stable) gives the
    /// same without it, by `Deref`.
    ///
    /// ```
    /// use mmapguard::{Contained, Region};
    ///
    /// # fn main() -> mmapguard::Result<()> {
    /// let region = Region::<Contained>::open("Cargo.toml")?.pinned()?;
    /// // SAFETY: nobody writes to this file while its tests run.
    /// let bytes = unsafe { region.as_slice() };
    /// assert!(bytes.starts_with(b"# SPDX"));
    /// region.check()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Safety
    /// While the slice is alive nobody may change the bytes: no process may write to the file or cut it short. What
    /// happens if somebody does is undefined for Rust, even though this library keeps the process alive: bytes change
    /// below a `&[u8]`, or read as zeros.
    ///
    /// With [`Leased`](crate::Leased) the lease keeps writers out, so the obligation is what takes a lease away: this
    /// process is not stopped for longer than `/proc/sys/fs/lease-break-time`; nobody opens the file with `O_RDONLY`
    /// and `O_TRUNC`; the slice is not used in a child after `fork(2)`; there is room for a copy of the bytes, on disk
    /// or in memory, when somebody writes.
    #[inline]
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes are pinned, so `data` is not NULL and `size` bytes stay readable at it until `self` is
        // dropped, which the borrow rules out. That they do not change is the caller's word. No mapping is larger than
        // isize::MAX.
        unsafe { std::slice::from_raw_parts(self.whole.0.data, self.whole.0.size as usize) }
    }

    /// The region without the pin.
    #[must_use]
    pub fn into_inner(self) -> Region<G> {
        self.region
    }
}

impl<G: Guarantee> Deref for Pinned<G> {
    type Target = Region<G>;

    #[inline]
    fn deref(&self) -> &Region<G> {
        &self.region
    }
}
