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

/// A size that no region has.
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
/// and there is no way to have it as a slice:
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
    /// All of the region, pinned, if `G` is `Stable`; empty otherwise.
    span: sys::mmg_span,
    /// `UNASKED` until somebody wants to know: many a region is read to its end, and closed.
    size: AtomicU64,
    pub(crate) handle: Handle,
    guarantee: PhantomData<G>,
}

// SAFETY: the pointer in `span` is to bytes that are only ever read, and that live until the region is dropped, in
// whichever thread. The library serves every thread.
unsafe impl<G: Guarantee> Send for Region<G> {}
// SAFETY: as above; all methods that take `&self` may run at once, on the same handle too.
unsafe impl<G: Guarantee> Sync for Region<G> {}

impl<G: Guarantee> Region<G> {
    /// Open the file at `path` with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Region<G>> {
        Options::new().open(path)
    }

    /// What an open handle becomes. Whoever calls this sees to it that the bytes are what `G` says.
    #[inline]
    pub(crate) fn over(handle: Handle) -> Result<Region<G>> {
        if !G::PINS {
            return Ok(Region::unpinned(handle, UNASKED));
        }
        let span = handle.pin(0, sys::MMG_TO_END)?;
        Ok(Region { span, size: AtomicU64::new(span.size), handle, guarantee: PhantomData })
    }

    /// As [`over`](Region::over), where `G` asks for no pin.
    pub(crate) fn unpinned(handle: Handle, size: u64) -> Region<G> {
        Region { span: sys::MMG_SPAN_INIT, size: AtomicU64::new(size), handle, guarantee: PhantomData }
    }

    /// Bytes in the region, as they were at open.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.size.load(Ordering::Relaxed) {
            UNASKED => {
                // Whoever asks first gets the same answer as whoever asks next, so the order does not matter.
                let size = self.handle.summary().map_or(0, |summary| summary.size);
                self.size.store(size, Ordering::Relaxed);
                size
            }
            size => size,
        }
    }

    /// Copy bytes at `offset` into `buffer`: as many as there are, so fewer than fit only at the end of the region or in
    /// front of bytes that are lost.
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
    /// As [`read_at`](Region::read_at), and [`Status::RANGE`] if the region ends before; what `buffer` then holds is not
    /// specified.
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

    /// A copy of `length` bytes at `offset`.
    ///
    /// # Errors
    /// As [`read_exact_at`](Region::read_exact_at); [`Status::NO_MEMORY`] if there is no room for so many.
    pub fn read_to_vec(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Asked before memory is, so that a nonsensical length costs nothing.
        if self.is_beyond(offset, length as u64) {
            return Err(self.beyond(offset, length as u64));
        }
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Error::plain(sys::MMG_E_NO_MEMORY, &self.handle.called(), "read"))?;
        bytes.resize(length, 0);
        self.read_exact_at(offset, &mut bytes).map(|()| bytes)
    }

    /// The first place where `needle` occurs.
    ///
    /// # Errors
    /// As [`read_at`](Region::read_at), if bytes that had to be searched are lost.
    pub fn find(&self, needle: &[u8]) -> Result<Option<u64>> {
        self.handle.find(0, sys::MMG_TO_END, needle)
    }

    /// The first place in `length` bytes from `offset` on where `needle` occurs.
    ///
    /// # Errors
    /// As [`find`](Region::find), and [`Status::RANGE`].
    pub fn find_in(&self, offset: u64, length: u64, needle: &[u8]) -> Result<Option<u64>> {
        self.handle.find(offset, length, needle)
    }

    /// A [`Read`](std::io::Read) and [`Seek`](std::io::Seek) over the region.
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
    /// As [`verify`](Region::verify), else what `work` returns.
    pub fn scan<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = work(&mut self.reader());
        self.verify()?;
        result
    }

    /// Is everything read so far still true? Also sees the truncation inside the last page, which no read notices.
    ///
    /// # Errors
    /// The cause of the first loss, with its [`offset`](Error::offset).
    pub fn check(&self) -> Result<()> {
        self.handle.check()
    }

    /// Does what was computed from the region hold? This is [`check`](Region::check) and [`changed`](Region::changed) in
    /// one. A region that is [`Stable`], or a copy, does not change with its file.
    ///
    /// # Errors
    /// As [`check`](Region::check), and [`Status::CHANGED`] if the file was written to.
    pub fn verify(&self) -> Result<()> {
        self.handle.verify()
    }

    /// Has the file changed on disk since it was opened?
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

    /// What is known about the region now.
    ///
    /// # Errors
    /// None is expected.
    pub fn info(&self) -> Result<Info> {
        self.handle.info()
    }

    /// Tell the kernel how `length` bytes at `offset` will be used; `u64::MAX`: to the end.
    ///
    /// # Errors
    /// [`Status::RANGE`], [`Status::ARGUMENT`]; with [`Advice::POPULATE`] what cannot be read in.
    pub fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<()> {
        self.handle.advise(offset, length, advice)
    }

    /// How many of `length` bytes at `offset` are in memory now; `u64::MAX`: to the end.
    ///
    /// # Errors
    /// [`Status::RANGE`].
    pub fn resident(&self, offset: u64, length: u64) -> Result<u64> {
        self.handle.resident(offset, length)
    }

    /// A zero-copy view of `length` bytes at `offset`, for code that takes pointers; `u64::MAX`: to the end.
    ///
    /// # Errors
    /// As [`read_at`](Region::read_at), if a byte of it is known to be lost.
    #[inline]
    pub fn span(&self, offset: u64, length: u64) -> Result<Span<'_>> {
        match self.handle.pin(offset, length) {
            Ok(raw) => Ok(Span::new(raw, &self.handle)),
            Err(error) => Err(error),
        }
    }

    /// The region with its bytes pinned for as long as it lives: for a slice, on the caller's word, of bytes that may
    /// change. See [`Pinned::as_slice`].
    ///
    /// # Errors
    /// As [`span`](Region::span).
    pub fn pinned(self) -> Result<Pinned<G>> {
        Pinned::new(self)
    }

    /// Has a loss been contained in this region so far? Quicker than [`check`](Region::check), since it does not look
    /// at the file: a cut that no read has met yet, or inside the last page, is for `check`.
    ///
    /// # Errors
    /// The cause of the first loss, with its [`offset`](Error::offset).
    pub fn lost(&self) -> Result<()> {
        self.span(0, sys::MMG_TO_END).map(drop)
    }

    /// The same region as a stable one, if its bytes cannot change anyway: small files and streams, which are copied,
    /// sealed files and media that nobody can write. Otherwise it comes back as it was.
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
    /// The region itself, where its bytes may change.
    pub fn try_into_stable(self) -> Result<Region<Stable>, Region<G>> {
        if !self.handle.summary().map_or(false, |summary| cannot_change(&summary)) {
            return Err(self);
        }
        let Ok(span) = self.handle.pin(0, sys::MMG_TO_END) else { return Err(self) };
        let mut region = self;
        let handle = std::mem::replace(&mut region.handle, Handle::nothing());
        Ok(Region { span, size: AtomicU64::new(span.size), handle, guarantee: PhantomData })
    }

    /// Close the region, and tell whether what was computed from it holds. Dropping the region closes it as well, and
    /// tells nothing.
    ///
    /// # Errors
    /// As [`verify`](Region::verify).
    pub fn close(mut self) -> Result<()> {
        let verdict = self.verify();
        self.unpin();
        // Taken apart by hand, since a type that has a Drop cannot be.
        verdict.and(std::mem::replace(&mut self.handle, Handle::nothing()).close())
    }

    #[inline]
    fn unpin(&mut self) {
        if !G::PINS {
            return;
        }
        // SAFETY: `span` is live; an empty one, or one that has been unpinned before, is harmless. Nobody holds a slice
        // of it: both callers have the region for themselves.
        unsafe { sys::mmg_unpin(&mut self.span) };
    }
}

impl Deref for Region<Stable> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: a region is made stable in two places only, after `cannot_change()` has looked at what holds its
        // bytes: nothing that a process can do in the file system changes or takes them. `span` is pinned since then,
        // so `data` is not NULL and `size` bytes stay readable at it until `self` is dropped or closed, which the
        // borrow rules out. No mapping is larger than isize::MAX.
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
