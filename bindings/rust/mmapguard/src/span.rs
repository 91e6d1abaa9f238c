// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pinned views, for code that takes pointers.

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::Result;

/// A zero-copy view of part of a region. It shows a pointer, not a slice: the bytes may change while somebody looks at
/// them. What you computed from a region holds if `mmg_verify` reports nothing afterwards, which is what
/// [`Region::verify`](crate::Region::verify) calls; [`unpin`](Span::unpin) reports losses only.
///
/// ```
/// use mmapguard::{Contained, Region};
///
/// # fn main() -> mmapguard::Result<()> {
/// let region = Region::<Contained>::open("Cargo.toml")?;
/// let span = region.span(0, 6)?;
/// // SAFETY: the bytes are mapped while `span` lives, and a volatile read takes them as they are.
/// let first = unsafe { span.as_ptr().read_volatile() };
/// span.unpin()?;
/// assert_eq!(first, b'#');
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Span<'a> {
    raw: sys::mmg_span,
    /// Knows where bytes were lost, and what the file is called.
    handle: &'a Handle,
}

// SAFETY: a span is a pointer to bytes that nobody writes through it and the token of a pin; every thread may use and
// end it.
unsafe impl Send for Span<'_> {}
// SAFETY: as above; through `&Span` only numbers and the pointer can be had.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    #[inline]
    pub(crate) fn new(raw: sys::mmg_span, handle: &'a Handle) -> Span<'a> {
        Span { raw, handle }
    }

    /// The first byte; not NULL, and readable for [`len`](Span::len) bytes while the span lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.raw.data
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.size as usize // what is mapped fits in the address space
    }

    /// Returns true when there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.size == 0
    }

    /// End the view, and tell whether what was read through it was true. Dropping it ends it as well, and tells nothing.
    ///
    /// # Errors
    /// The cause of a loss inside the span: [`Status::TRUNCATED`](crate::Status::TRUNCATED) and the like.
    #[inline]
    pub fn unpin(mut self) -> Result<()> {
        let status = self.end();
        let handle = self.handle;
        std::mem::forget(self); // it has been ended
        match status {
            sys::MMG_OK => Ok(()),
            status => Err(handle.failure(status, "unpin", 0)),
        }
    }

    #[inline]
    fn end(&mut self) -> sys::mmg_status {
        // SAFETY: `self.raw` is live, and empty afterwards, so that doing it again is harmless.
        unsafe { sys::mmg_unpin(&mut self.raw) }
    }
}

impl Drop for Span<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
