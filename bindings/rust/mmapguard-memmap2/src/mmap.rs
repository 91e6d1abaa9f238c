// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mapping with the interface of memmap2.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use mmapguard::{Contained, Error, Pinned, Stable};

use crate::advice::unsupported;
use crate::{live, loss, Advice, MapIfSafeError, MmapAsRawDesc, MmapOptions, UncheckedAdvice};

/// A file that is mapped for reading. It dereferences to its bytes.
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
///
/// A slice cannot outlive it:
///
/// ```compile_fail,E0505
/// let file = std::fs::File::open("Cargo.toml").unwrap();
/// // SAFETY: nobody writes to this file meanwhile.
/// let map = unsafe { mmapguard_memmap2::Mmap::map(&file).unwrap() };
/// let text: &str = std::str::from_utf8(&map).unwrap();
/// drop(map);
/// assert!(text.starts_with('#'));
/// ```
pub struct Mmap {
    start: *const u8,
    length: usize,
    /// None when there are no bytes, and so no file.
    held: Option<Box<Held>>,
    /// True when the program has got the loss as an error, so that it is not reported again.
    is_told: AtomicBool,
}

/// The region that holds the bytes.
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

// SAFETY: no code writes through the pointer, and the bytes live until the value is dropped, in any thread. A
// region may be used in every thread.
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

    /// Does the same as `MmapOptions::new().map(file)`.
    ///
    /// # Safety
    /// As [`MmapOptions::map`].
    ///
    /// # Errors
    /// As [`MmapOptions::map`].
    pub unsafe fn map<T: MmapAsRawDesc>(file: T) -> io::Result<Mmap> {
        // SAFETY: the caller has the same obligation.
        unsafe { MmapOptions::new().map(file) }
    }

    /// Does the same as `MmapOptions::new().map_if_safe(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_if_safe`].
    pub fn map_if_safe<T: MmapAsRawDesc>(file: T) -> Result<Mmap, MapIfSafeError> {
        MmapOptions::new().map_if_safe(file)
    }

    /// Checks that no byte of the file is lost. memmap2 has no such call, since a loss kills the process
    /// there. The check also finds a cut that no read has met yet, and a cut inside the last page. A loss
    /// that this call has returned is not reported again.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file has been cut short; the kind of the system's error if the device failed. The
    /// text names the file and the first lost byte.
    pub fn check(&self) -> io::Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        held.check().map_err(|error| {
            live::remove(held);
            // Relaxed: drop() reads the flag, and no other thread has the value then.
            self.is_told.store(true, Ordering::Relaxed);
            error.into()
        })
    }

    /// Tell the kernel how the mapping will be read.
    ///
    /// # Errors
    ///
    /// `Unsupported` for advice that is not carried out according to [`Advice`]; otherwise the kind of the
    /// system's error.
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        self.advise_range(advice, 0, self.length)
    }

    /// Does the same for a part.
    ///
    /// # Errors
    ///
    /// As [`advise`](Mmap::advise), and `InvalidInput` for a range that is not inside the mapping.
    pub fn advise_range(&self, advice: Advice, offset: usize, len: usize) -> io::Result<()> {
        self.pass_on(advice.checked()?, offset, len)
    }

    /// Tell the kernel what to do with the pages.
    ///
    /// # Safety
    ///
    /// As with memmap2. Here no advice that is carried out changes a byte.
    ///
    /// # Errors
    /// As [`advise`](Mmap::advise).
    pub unsafe fn unchecked_advise(&self, advice: UncheckedAdvice) -> io::Result<()> {
        self.pass_on(advice.checked()?, 0, self.length)
    }

    /// Does the same for a part.
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

    /// Not carried out. [`Advice::PopulateRead`] reads pages in, but nothing keeps pages in memory.
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
        // SAFETY: `start` is not NULL, and `length` bytes stay readable there as long as `held` lives. The
        // caller of `map()` has promised that they do not change. No mapping is larger than isize::MAX.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl AsRef<[u8]> for Mmap {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

// SAFETY: moving the value does not move the bytes.
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
