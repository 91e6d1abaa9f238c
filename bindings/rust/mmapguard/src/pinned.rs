// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region with pinned bytes, for slices whose soundness the caller promises.

use std::ops::Deref;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::{Guarantee, Region, Result};

/// A region with pinned bytes: see [`Region::pinned`]. It dereferences to the region, and also has
/// [`as_slice`](Pinned::as_slice).
#[derive(Debug)]
pub struct Pinned<G: Guarantee> {
    /// The pin of all bytes of `region`. It ends before the region, since members are dropped in this order.
    whole: Whole,
    region: Region<G>,
}

#[derive(Debug)]
struct Whole(sys::mmg_span);

// SAFETY: the bytes are only read, and live until the pin ends, in any thread.
unsafe impl Send for Whole {}
// SAFETY: as above.
unsafe impl Sync for Whole {}

impl Drop for Whole {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the span is live, and no slice of it exists, since a slice borrows the `Pinned`.
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

    /// Returns a pointer to the first byte. It is not NULL, and [`size`](Region::size) bytes are readable
    /// there while the value lives.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.whole.0.data
    }

    /// Returns the bytes as a slice, for which the caller promises that they do not change. A
    /// [`Region<Stable>`](crate::Stable) gives a slice without such a promise, by `Deref`.
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
    ///
    /// While the slice lives, no process may write to the file or cut it short. Otherwise bytes change below a
    /// `&[u8]`, or become zeros, which is undefined behaviour in Rust, although the library keeps the process
    /// alive.
    ///
    /// With [`Leased`](crate::Leased) the lease keeps writers out. The caller must then promise that the
    /// lease is not lost: this process is not stopped for longer than `/proc/sys/fs/lease-break-time`; no
    /// process opens the file with `O_RDONLY` and `O_TRUNC`; the slice is not used in a child after
    /// `fork(2)`; and there is room for a copy of the bytes, on disk or in memory, when another process
    /// writes.
    #[inline]
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes are pinned, so `data` is not NULL, and `size` bytes stay readable there until
        // `self` is dropped, which cannot happen during the borrow. The caller has promised that they do not
        // change. No mapping is larger than isize::MAX.
        unsafe { std::slice::from_raw_parts(self.whole.0.data, self.whole.0.size as usize) }
    }

    /// Ends the pin and returns the region.
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
