// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mapping that reads like memmap2's.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use mmapguard::{Contained, Error, Pinned, Stable};

use crate::advice::unsupported;
use crate::{live, loss, Advice, MapIfSafeError, MmapAsRawDesc, MmapOptions, UncheckedAdvice};

/// A file, mapped for reading; it dereferences to its bytes.
///
/// ```
/// use mmapguard_memmap2::Mmap;
///
/// # fn main() -> std::io::Result<()> {
/// let file = std::fs::File::open("Cargo.toml")?;
/// // SAFETY: nobody writes to this file meanwhile.
/// let map = unsafe { Mmap::map(&file)? };
/// assert!(map.starts_with(b"# SPDX"));
/// map.check()?;
/// # Ok(())
/// # }
/// ```
pub struct Mmap {
    start: *const u8,
    length: usize,
    /// None: no bytes, hence no file.
    held: Option<Box<Held>>,
    /// The program has had the loss as an error, so it is not told once more.
    is_told: AtomicBool,
}

/// What the bytes are held by.
pub(crate) enum Held {
    #[cfg_attr(feature = "stable", allow(dead_code))]
    Contained(Pinned<Contained>),
    Stable(Pinned<Stable>),
}

impl Held {
    fn bytes(&self) -> (*const u8, u64) {
        match self {
            Held::Contained(region) => (region.as_ptr(), region.size()),
            Held::Stable(region) => (region.as_ptr(), region.size()),
        }
    }

    pub(crate) fn lost(&self) -> Result<(), Error> {
        match self {
            Held::Contained(region) => region.lost(),
            Held::Stable(region) => region.lost(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Held::Contained(region) => region.check(),
            Held::Stable(region) => region.check(),
        }
    }

    fn advise(&self, offset: u64, length: u64, advice: mmapguard::Advice) -> Result<(), Error> {
        match self {
            Held::Contained(region) => region.advise(offset, length, advice),
            Held::Stable(region) => region.advise(offset, length, advice),
        }
    }
}

// SAFETY: the pointer is to bytes that nobody writes through it, and that live until it is dropped, in whichever
// thread. What is held serves every thread.
unsafe impl Send for Mmap {}
// SAFETY: as above.
unsafe impl Sync for Mmap {}

impl Mmap {
    pub(crate) fn new(held: Held) -> Mmap {
        let held = Box::new(held);
        let (start, length) = held.bytes();
        live::add(&held);
        Mmap { start, length: length as usize, held: Some(held), is_told: AtomicBool::new(false) }
    }

    pub(crate) fn empty() -> Mmap {
        Mmap {
            start: std::ptr::NonNull::dangling().as_ptr(),
            length: 0,
            held: None,
            is_told: AtomicBool::new(false),
        }
    }

    /// As `MmapOptions::new().map(file)`.
    ///
    /// # Safety
    /// As [`MmapOptions::map`].
    ///
    /// # Errors
    /// As [`MmapOptions::map`].
    pub unsafe fn map<T: MmapAsRawDesc>(file: T) -> io::Result<Mmap> {
        // SAFETY: passed on to the caller.
        unsafe { MmapOptions::new().map(file) }
    }

    /// As `MmapOptions::new().map_if_safe(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_if_safe`].
    pub fn map_if_safe<T: MmapAsRawDesc>(file: T) -> Result<Mmap, MapIfSafeError> {
        MmapOptions::new().map_if_safe(file)
    }

    /// Is everything read so far still true? memmap2 has no such call: there the process is gone. Also sees a cut that
    /// no read has met yet, and one inside the last page. Who has had the error from here is not told again.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has been cut short; the system's kind if the device failed. The text names the file
    /// and the first byte that is lost.
    pub fn check(&self) -> io::Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        held.check().map_err(|error| {
            live::remove(held);
            // Read again in drop(), which has the value for itself.
            self.is_told.store(true, Ordering::Relaxed);
            error.into()
        })
    }

    /// Tell the kernel how the mapping will be read.
    ///
    /// # Errors
    /// `Unsupported` for what [`Advice`] says is not carried out; else the system's.
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        self.advise_range(advice, 0, self.length)
    }

    /// The same for a part.
    ///
    /// # Errors
    /// As [`advise`](Mmap::advise), and `InvalidInput` for a range that is not inside.
    pub fn advise_range(&self, advice: Advice, offset: usize, len: usize) -> io::Result<()> {
        self.pass_on(advice.checked()?, offset, len)
    }

    /// Tell the kernel what to do with the pages.
    ///
    /// # Safety
    /// As with memmap2. Here nothing that is carried out changes a byte.
    ///
    /// # Errors
    /// As [`advise`](Mmap::advise).
    pub unsafe fn unchecked_advise(&self, advice: UncheckedAdvice) -> io::Result<()> {
        self.pass_on(advice.checked()?, 0, self.length)
    }

    /// The same for a part.
    ///
    /// # Safety
    /// As [`unchecked_advise`](Mmap::unchecked_advise).
    ///
    /// # Errors
    /// As [`advise_range`](Mmap::advise_range).
    pub unsafe fn unchecked_advise_range(
        &self,
        advice: UncheckedAdvice,
        offset: usize,
        len: usize,
    ) -> io::Result<()> {
        self.pass_on(advice.checked()?, offset, len)
    }

    fn pass_on(&self, advice: mmapguard::Advice, offset: usize, len: usize) -> io::Result<()> {
        match &self.held {
            Some(held) => Ok(held.advise(offset as u64, len as u64, advice)?),
            None if offset == 0 && len == 0 => Ok(()),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Not carried out: [`Advice::PopulateRead`] reads pages in, and nothing keeps them there.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn lock(&self) -> io::Result<()> {
        Err(unsupported())
    }

    /// Not carried out.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn unlock(&self) -> io::Result<()> {
        Err(unsupported())
    }
}

impl Deref for Mmap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is not NULL, and `length` bytes stay readable at it for as long as `held` lives. That they do
        // not change is the word of who called `map()`. No mapping is larger than isize::MAX.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl AsRef<[u8]> for Mmap {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

// SAFETY: the bytes stay where they are when the value is moved.
#[cfg(feature = "stable_deref_trait")]
unsafe impl stable_deref_trait::StableDeref for Mmap {}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mmap").field("ptr", &self.start).field("len", &self.length).finish()
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            live::remove(&held);
            let verdict = held.lost();
            drop(held);
            match verdict {
                Err(error) if !*self.is_told.get_mut() => loss::at_drop(&error),
                _ => {}
            }
        }
    }
}
