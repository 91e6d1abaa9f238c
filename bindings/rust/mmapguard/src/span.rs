// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pinned views, for code that takes pointers.

use mmapguard_sys as sys;

use crate::{Error, Result};

/// A zero-copy view that keeps its bytes mapped, also when the region is closed in the meantime. It shows a pointer,
/// not a slice: the bytes may change while somebody looks at them. What is computed from them holds if
/// [`unpin`](Span::unpin) reports no loss.
///
/// ```
/// use mmapguard::{Contained, Region};
///
/// # fn main() -> mmapguard::Result<()> {
/// let region = Region::<Contained>::open("Cargo.toml")?;
/// let span = region.span(0, 6)?;
/// drop(region);
/// // SAFETY: the bytes are mapped while `span` lives, and a volatile read takes them as they are.
/// let first = unsafe { span.as_ptr().read_volatile() };
/// span.unpin()?;
/// assert_eq!(first, b'#');
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Span(sys::mmg_span);

// SAFETY: a span is a pointer to bytes that nobody writes through it and the token of a pin; every thread may use and
// end it.
unsafe impl Send for Span {}
// SAFETY: as above; through `&Span` only numbers and the pointer can be had.
unsafe impl Sync for Span {}

impl Span {
    pub(crate) fn new(raw: sys::mmg_span) -> Span {
        Span(raw)
    }

    /// The first byte; not NULL, and readable for [`len`](Span::len) bytes while the span lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.0.data
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size as usize // what is mapped fits in the address space
    }

    /// No bytes?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.size == 0
    }

    /// End the view, and tell whether what was read through it was true. Dropping it ends it as well, and tells nothing.
    ///
    /// # Errors
    /// The cause of a loss inside the span: [`Status::TRUNCATED`](crate::Status::TRUNCATED) and the like.
    pub fn unpin(mut self) -> Result<()> {
        match self.end() {
            sys::MMG_OK => Ok(()),
            status => Err(Error::plain(status, "span", "unpin")),
        }
    }

    fn end(&mut self) -> sys::mmg_status {
        // SAFETY: `self.0` is live, and empty afterwards, so that doing it again is harmless.
        unsafe { sys::mmg_unpin(&mut self.0) }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end();
    }
}
