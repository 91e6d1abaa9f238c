// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions: the bytes of one window of one file, under one of three guarantees.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mmapguard_sys as sys;

use crate::guarantee::cannot_change;
use crate::handle::Handle;
use crate::{Advice, Changed, Error, Guarantee, Info, Options, Pinned, Reader, Result, Span, Stable, Status};

/// Stands for a size that was not asked for yet. No region has this size.
const UNASKED: u64 = u64::MAX;

/// The bytes of one window of one file, for reading.
///
/// A [`Region<Stable>`](Stable) is a slice:
///
/// ```
/// use mmapguard::{Region, Stable};
///
/// # fn main() -> mmapguard::Result<()> {
/// let region = Region::<Stable>::open("Cargo.toml")?;
/// let lines = region.split(|&byte| byte == b'\n').count();
/// assert!(region.starts_with(b"# SPDX") && lines > 10);
/// # Ok(())
/// # }
/// ```
///
/// A slice cannot outlive its region:
///
/// ```compile_fail,E0505
/// use mmapguard::{Region, Stable};
///
/// let region = Region::<Stable>::open("Cargo.toml").unwrap();
/// let bytes: &[u8] = &region;
/// drop(region);
/// assert_eq!(bytes[0], b'#');
/// ```
///
/// ```compile_fail,E0597
/// use mmapguard::{Region, Stable};
///
/// let bytes: &[u8] = {
///     let region = Region::<Stable>::open("Cargo.toml").unwrap();
///     &region
/// };
/// assert_eq!(bytes[0], b'#');
/// ```
///
/// A [`Region<Contained>`](crate::Contained) is read by calls that return a [`Result`]:
///
/// ```
/// use mmapguard::{Contained, Region};
///
/// # fn main() -> mmapguard::Result<()> {
/// let region = Region::<Contained>::open("Cargo.toml")?;
/// let mut head = [0; 6];
/// region.read_exact_at(0, &mut head)?;
/// assert_eq!(&head, b"# SPDX");
/// assert!(region.find(b"[package]")?.is_some());
/// region.check()?;
/// # Ok(())
/// # }
/// ```
///
/// and it cannot be used as a slice:
///
/// ```compile_fail,E0614
/// use mmapguard::{Contained, Region};
///
/// let region = Region::<Contained>::open("Cargo.toml").unwrap();
/// let bytes: &[u8] = &*region;
/// ```
///
/// ```compile_fail,E0277
/// use mmapguard::{Contained, Region};
///
/// fn first(bytes: impl AsRef<[u8]>) -> u8 {
///     bytes.as_ref()[0]
/// }
/// first(Region::<Contained>::open("Cargo.toml").unwrap());
/// ```
///
/// ```compile_fail,E0608
/// use mmapguard::{Contained, Region};
///
/// let region = Region::<Contained>::open("Cargo.toml").unwrap();
/// let first = region[0];
/// ```
///
/// Regions are closed when they are dropped, may be sent to other threads, and may be read from several at once.
pub struct Region<G: Guarantee> {
    /// The pin of all bytes if `G` is `Stable`; otherwise empty.
    span: sys::mmg_span,
    /// `UNASKED` until the size is needed, since many regions are read to their end and closed without it.
    size: AtomicU64,
    pub(crate) handle: Handle,
    guarantee: PhantomData<G>,
}

// SAFETY: the bytes of `span` are only read, and live until the region is dropped, in any thread. The library
// may be called from every thread.
unsafe impl<G: Guarantee> Send for Region<G> {}
// SAFETY: as above. All methods that take `&self` may run at the same time, also on the same handle.
unsafe impl<G: Guarantee> Sync for Region<G> {}

impl<G: Guarantee> Region<G> {
    /// Open the file at `path` with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Region<G>> {
        Options::new().open(path)
    }

    /// Makes a region of an open handle. The caller has checked that the bytes have the guarantee `G`.
    #[inline]
    pub(crate) fn over(handle: Handle) -> Result<Region<G>> {
        if !G::PINS {
            return Ok(Region::unpinned(handle, UNASKED));
        }
        let span = handle.pin(0, sys::MMG_TO_END)?;
        Ok(Region { span, size: AtomicU64::new(span.size), handle, guarantee: PhantomData })
    }

    /// Does the same as [`over`](Region::over) for a `G` that needs no pin.
    pub(crate) fn unpinned(handle: Handle, size: u64) -> Region<G> {
        Region { span: sys::MMG_SPAN_INIT, size: AtomicU64::new(size), handle, guarantee: PhantomData }
    }

    /// Returns the number of bytes in the region, which does not change.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.size.load(Ordering::Relaxed) {
            UNASKED => {
                // Relaxed: every thread gets the same size from the library, so the order does not matter.
                let size = self.handle.summary().map_or(0, |summary| summary.size);
                self.size.store(size, Ordering::Relaxed);
                size
            }
            size => size,
        }
    }

    /// Copy bytes at `offset` into `buffer`, and return their number. It is smaller than the buffer only at
    /// the end of the region and before lost bytes.
    ///
    /// # Errors
    /// [`Status::TRUNCATED`], [`Status::IO`], [`Status::POISONED`] if the byte at `offset` is lost; [`Status::RANGE`] if
    /// `offset` is beyond the region; [`Status::UNSTABLE`] if `G` is [`Stable`] and no longer holds.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.handle.read_at(offset, buffer)
    }

    /// Fill `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Region::read_at), and [`Status::RANGE`] if the region does not have so many bytes. The
    /// contents of `buffer` are unspecified then.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len() as u64;
        if self.is_beyond(offset, length) {
            return Err(self.beyond(offset, length));
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(offset + done as u64, &mut buffer[done..])? {
                0 => return Err(self.beyond(offset, length)),
                got => done += got,
            }
        }
        Ok(())
    }

    fn is_beyond(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).map_or(true, |end| end > self.size())
    }

    #[cold]
    fn beyond(&self, offset: u64, length: u64) -> Error {
        let why = format!("{length} bytes at {offset} reach beyond the region, which has {}", self.size());
        Error::refused(Status::RANGE, &self.handle.called(), "read", &why)
    }

    /// Returns a copy of `length` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// As [`read_exact_at`](Region::read_exact_at); [`Status::NO_MEMORY`] if there is no memory for so many
    /// bytes.
    pub fn read_to_vec(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // The range is checked first, so that no memory is allocated for a wrong length.
        if self.is_beyond(offset, length as u64) {
            return Err(self.beyond(offset, length as u64));
        }
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Error::plain(sys::MMG_E_NO_MEMORY, &self.handle.called(), "read"))?;
        bytes.resize(length, 0);
        self.read_exact_at(offset, &mut bytes).map(|()| bytes)
    }

    /// Returns the first position at which `needle` occurs.
    ///
    /// # Errors
    /// As [`read_at`](Region::read_at), if bytes that had to be searched are lost.
    pub fn find(&self, needle: &[u8]) -> Result<Option<u64>> {
        self.handle.find(0, sys::MMG_TO_END, needle)
    }

    /// Returns the first position in `length` bytes from `offset` on at which `needle` occurs.
    ///
    /// # Errors
    /// As [`find`](Region::find), and [`Status::RANGE`].
    pub fn find_in(&self, offset: u64, length: u64, needle: &[u8]) -> Result<Option<u64>> {
        self.handle.find(offset, length, needle)
    }

    /// Returns a reader over the region, with [`Read`](std::io::Read) and [`Seek`](std::io::Seek).
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.handle, self.size())
    }

    /// Compute something from the region, and return it only if it holds. `work` reads through a [`Reader`]; then
    /// [`verify`](Region::verify) is called. If it reports an error, that is the result, whatever `work` returned.
    ///
    /// What you computed from a region holds if `mmg_verify` reports nothing afterwards. The times of a file set a limit:
    /// `mmg_verify` does not see a write within the same clock tick, a write through a shared mapping that the kernel has
    /// not stamped yet, or times that were set back.
    ///
    /// ```
    /// use std::io::{self, BufRead, BufReader};
    /// use mmapguard::{Contained, Region};
    ///
    /// # fn main() -> io::Result<()> {
    /// let region = Region::<Contained>::open("Cargo.toml")?;
    /// let sections = region.scan(|reader| {
    ///     let mut count = 0;
    ///     for line in BufReader::new(reader).lines() {
    ///         count += usize::from(line?.starts_with('['));
    ///     }
    ///     Ok::<_, io::Error>(count)
    /// })?;
    /// assert!(sections > 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`verify`](Region::verify); otherwise the error that `work` returns.
    pub fn scan<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = work(&mut self.reader());
        self.verify()?;
        result
    }

    /// Checks that no byte of the region is lost. Also finds a truncation inside the last page, which no read
    /// notices.
    ///
    /// # Errors
    /// The cause of the first loss, with its [`offset`](Error::offset).
    pub fn check(&self) -> Result<()> {
        self.handle.check()
    }

    /// Checks that what was computed from the region holds, by [`check`](Region::check) and
    /// [`changed`](Region::changed). A region that is [`Stable`], or a copy, does not change with its file.
    ///
    /// # Errors
    /// As [`check`](Region::check), and [`Status::CHANGED`] if the file was written to.
    pub fn verify(&self) -> Result<()> {
        self.handle.verify()
    }

    /// Returns what of the file has changed on disk since it was opened.
    ///
    /// ```
    /// use mmapguard::{Contained, Region};
    ///
    /// # fn main() -> mmapguard::Result<()> {
    /// assert!(!Region::<Contained>::open("Cargo.toml")?.changed()?.any());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Status::UNSUPPORTED`] for a stream, or a copy made from a descriptor.
    pub fn changed(&self) -> Result<Changed> {
        self.handle.changed()
    }

    /// Returns what is known about the region now.
    ///
    /// # Errors
    /// None is expected.
    pub fn info(&self) -> Result<Info> {
        self.handle.info()
    }

    /// Tell the kernel how `length` bytes at `offset` will be used. The length `u64::MAX` means up to the
    /// end.
    ///
    /// # Errors
    /// [`Status::RANGE`], [`Status::ARGUMENT`]; with [`Advice::POPULATE`] also the status of bytes that
    /// cannot be read.
    pub fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<()> {
        self.handle.advise(offset, length, advice)
    }

    /// Returns how many of `length` bytes at `offset` are in memory now. The length `u64::MAX` means up to
    /// the end.
    ///
    /// # Errors
    /// [`Status::RANGE`].
    pub fn resident(&self, offset: u64, length: u64) -> Result<u64> {
        self.handle.resident(offset, length)
    }

    /// Returns a zero-copy view of `length` bytes at `offset`, for code that takes pointers. The length
    /// `u64::MAX` means up to the end.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Region::read_at), if a byte of the view is known to be lost.
    #[inline]
    pub fn span(&self, offset: u64, length: u64) -> Result<Span<'_>> {
        match self.handle.pin(offset, length) {
            Ok(raw) => Ok(Span::new(raw, &self.handle)),
            Err(error) => Err(error),
        }
    }

    /// Pins the bytes as long as the region lives. [`Pinned::as_slice`] then gives a slice of bytes that may
    /// change, for which the caller makes a promise.
    ///
    /// # Errors
    /// As [`span`](Region::span).
    pub fn pinned(self) -> Result<Pinned<G>> {
        Pinned::new(self)
    }

    /// Checks that no loss was contained in this region so far. It is faster than [`check`](Region::check),
    /// since it does not look at the file. So it does not find a cut that no read has met yet, or a cut
    /// inside the last page.
    ///
    /// # Errors
    /// The cause of the first loss, with its [`offset`](Error::offset).
    pub fn lost(&self) -> Result<()> {
        self.span(0, sys::MMG_TO_END).map(drop)
    }

    /// Turns the region into a stable one, if its bytes cannot change: copies of small files and streams,
    /// sealed files, and files on read-only media.
    ///
    /// ```
    /// use mmapguard::{Contained, Region};
    ///
    /// let small = Region::<Contained>::open("Cargo.toml").unwrap();
    /// let bytes = small.try_into_stable().unwrap();
    /// assert_eq!(bytes[0], b'#');
    /// ```
    ///
    /// # Errors
    ///
    /// The unchanged region, if its bytes may change.
    pub fn try_into_stable(self) -> Result<Region<Stable>, Region<G>> {
        if !self.handle.summary().map_or(false, |summary| cannot_change(&summary)) {
            return Err(self);
        }
        let Ok(span) = self.handle.pin(0, sys::MMG_TO_END) else { return Err(self) };
        let mut region = self;
        let handle = std::mem::replace(&mut region.handle, Handle::nothing());
        Ok(Region { span, size: AtomicU64::new(span.size), handle, guarantee: PhantomData })
    }

    /// Close the region, and report whether what was computed from it holds. Dropping the region also closes
    /// it, but reports nothing.
    ///
    /// # Errors
    /// As [`verify`](Region::verify).
    pub fn close(mut self) -> Result<()> {
        let verdict = self.verify();
        self.unpin();
        // The members are taken out by hand, since a type with a Drop cannot be destructured.
        verdict.and(std::mem::replace(&mut self.handle, Handle::nothing()).close())
    }

    #[inline]
    fn unpin(&mut self) {
        if !G::PINS {
            return;
        }
        // SAFETY: `span` is live, and may be empty or unpinned already. No slice of it exists, since both
        // callers own the region.
        unsafe { sys::mmg_unpin(&mut self.span) };
    }
}

impl Deref for Region<Stable> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: a region becomes stable in two places only, after `cannot_change()` has checked what holds
        // its bytes: no process can change them or take them away. `span` is pinned since then, so `data` is
        // not NULL, and `size` bytes stay readable there until `self` is dropped or closed, which cannot
        // happen during the borrow. No mapping is larger than isize::MAX.
        unsafe { std::slice::from_raw_parts(self.span.data, self.span.size as usize) }
    }
}

impl AsRef<[u8]> for Region<Stable> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<G: Guarantee> Drop for Region<G> {
    #[inline]
    fn drop(&mut self) {
        self.unpin();
    }
}

impl<G: Guarantee> fmt::Debug for Region<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Region");
        fields.field("name", &self.handle.called()).field("size", &self.size());
        if let Ok(info) = self.info() {
            fields.field("is", &format_args!("{info}"));
        }
        fields.finish_non_exhaustive()
    }
}
