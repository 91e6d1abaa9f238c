// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pinned views, for code that takes pointers.

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::Result;

/// A zero-copy view of a part of a region. It gives a pointer and not a slice, since the bytes may change at
/// any time. What you computed from a region holds if `mmg_verify` reports nothing afterwards, which is what
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
    /// The handle, which knows where bytes were lost and the name of the file.
    handle: &'a Handle,
}

// SAFETY: a span is the token of a pin and a pointer through which nothing is written. Every thread may use
// it and end it.
unsafe impl Send for Span<'_> {}
// SAFETY: as above. `&Span` gives only numbers and the pointer.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    #[inline]
    pub(crate) fn new(raw: sys::mmg_span, handle: &'a Handle) -> Span<'a> {
        Span { raw, handle }
    }

    /// Returns a pointer to the first byte. It is not NULL, and [`len`](Span::len) bytes are readable there
    /// while the span lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.raw.data
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.size as usize // fits: the bytes are in the address space
    }

    /// Returns true when there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.size == 0
    }

    /// End the view, and report whether bytes of it were lost. Dropping the view also ends it, but reports
    /// nothing.
    ///
    /// # Errors
    /// The cause of a loss inside the span: [`Status::TRUNCATED`](crate::Status::TRUNCATED) and the like.
    #[inline]
    pub fn unpin(mut self) -> Result<()> {
        let status = self.end();
        let handle = self.handle;
        std::mem::forget(self); // the pin has ended already
        match status {
            sys::MMG_OK => Ok(()),
            status => Err(handle.failure(status, "unpin", 0)),
        }
    }

    #[inline]
    fn end(&mut self) -> sys::mmg_status {
        // SAFETY: `self.raw` is live. The call empties it, so that a second call is harmless.
        unsafe { sys::mmg_unpin(&mut self.raw) }
    }
}

impl Drop for Span<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
