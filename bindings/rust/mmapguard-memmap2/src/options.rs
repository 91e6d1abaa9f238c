// SPDX-License-Identifier: MIT OR Apache-2.0
//! How to map, and mapping.

use std::io;
use std::os::unix::io::{AsRawFd, BorrowedFd, RawFd};

use mmapguard::{Backing, Contained, Error, Lock, Options, Pinned, Region, Stable, Status};

use crate::mmap::Held;
use crate::{MapIfSafeError, Mmap};

/// A descriptor of a file to map; made by [`MmapAsRawDesc`].
pub struct MmapRawDescriptor(RawFd);

/// What can be mapped: `&File`, everything else with [`AsRawFd`], behind a reference, and a raw descriptor.
pub trait MmapAsRawDesc {
    /// The descriptor.
    fn as_raw_desc(&self) -> MmapRawDescriptor;
}

impl MmapAsRawDesc for RawFd {
    fn as_raw_desc(&self) -> MmapRawDescriptor {
        MmapRawDescriptor(*self)
    }
}

impl<T: AsRawFd> MmapAsRawDesc for &T {
    fn as_raw_desc(&self) -> MmapRawDescriptor {
        MmapRawDescriptor(self.as_raw_fd())
    }
}

/// How to map. Everything has a default.
///
/// ```
/// use mmapguard_memmap2::MmapOptions;
///
/// # fn main() -> std::io::Result<()> {
/// let file = std::fs::File::open("Cargo.toml")?;
/// // SAFETY: nobody writes to this file meanwhile.
/// let map = unsafe { MmapOptions::new().offset(2).len(4).map(&file)? };
/// assert_eq!(&map[..], b"SPDX");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MmapOptions {
    offset: u64,
    length: Option<usize>,
    populate: bool,
}

impl MmapOptions {
    /// All defaults: the whole file.
    #[must_use]
    pub fn new() -> MmapOptions {
        MmapOptions::default()
    }

    /// Start at this byte of the file; any will do.
    pub fn offset(&mut self, offset: u64) -> &mut MmapOptions {
        self.offset = offset;
        self
    }

    /// Map so many bytes. Default: to the end of the file. Other than with memmap2 the file must have them.
    pub fn len(&mut self, length: usize) -> &mut MmapOptions {
        self.length = Some(length);
        self
    }

    /// Read the whole mapping in at once.
    pub fn populate(&mut self) -> &mut MmapOptions {
        self.populate = true;
        self
    }

    /// For anonymous memory; nothing here.
    pub fn stack(&mut self) -> &mut MmapOptions {
        self
    }

    /// For anonymous memory; nothing here.
    pub fn huge(&mut self, _page_bits: Option<u8>) -> &mut MmapOptions {
        self
    }

    /// For what can be written; nothing here.
    pub fn no_reserve_swap(&mut self) -> &mut MmapOptions {
        self
    }

    /// For Windows; nothing here.
    pub fn no_probe_handle(&mut self) -> &mut MmapOptions {
        self
    }

    /// Map the file for reading. The descriptor stays the caller's, and may be closed at once.
    ///
    /// # Safety
    /// As with memmap2: the bytes must not change while they are borrowed, by this process or by another. What is
    /// different is what happens when the file is cut short all the same: see [`on_loss`](crate::on_loss). With the
    /// feature `stable` nothing is asked of the caller but a valid descriptor.
    ///
    /// # Errors
    /// The system's; `InvalidData` if the file ends before the bytes that were asked for do; that of `ENODEV` for what
    /// cannot be mapped, and nothing has been read from it then.
    pub unsafe fn map<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        let number = file.as_raw_desc().0;
        if self.length == Some(0) {
            return Ok(Mmap::empty());
        }
        #[cfg(feature = "stable")]
        let opened = self.stable(number);
        #[cfg(not(feature = "stable"))]
        let opened = self.contained(number);
        opened.map(Mmap::new).map_err(as_expected)
    }

    /// As [`map`](MmapOptions::map): memmap2 maps privately here, which is the same for who only reads.
    ///
    /// # Safety
    /// As [`map`](MmapOptions::map).
    ///
    /// # Errors
    /// As [`map`](MmapOptions::map).
    pub unsafe fn map_copy_read_only<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        // SAFETY: passed on to the caller.
        unsafe { self.map(file) }
    }

    /// Map what nobody can change: a sealed memfd, a read-only medium. Nothing is copied for it.
    ///
    /// # Errors
    /// [`MapIfSafeError::not_safe`] where the bytes may change.
    pub fn map_if_safe<T: MmapAsRawDesc>(&self, file: T) -> Result<Mmap, MapIfSafeError> {
        let number = file.as_raw_desc().0;
        if self.length == Some(0) {
            return Ok(Mmap::empty());
        }
        let opened = self.options(Backing::MAP).open_fd::<Stable>(borrowed(number)).and_then(Region::pinned);
        opened.map(|region| Mmap::new(Held::Stable(region))).map_err(MapIfSafeError::new)
    }

    #[cfg_attr(feature = "stable", allow(dead_code))]
    fn contained(&self, number: RawFd) -> Result<Held, Error> {
        let mut options = self.options(Backing::MAP);
        let result: Result<Pinned<Contained>, _> = options.open_fd_pinned(borrowed(number));
        match result {
            // Where no SIGBUS handler can be had (under a sanitizer, for one), a mapping is what it is with memmap2.
            Err(error) if error.status() == Status::GUARD => {
                options.fault_guard(false).open_fd_pinned(borrowed(number)).map(Held::Contained)
            }
            result => result.map(Held::Contained),
        }
    }

    #[cfg(feature = "stable")]
    fn stable(&self, number: RawFd) -> Result<Held, Error> {
        // A mapping or nothing is for what has bytes of its own; a stream must not be read to find out.
        drop(self.contained(number)?);
        self.options(Backing::AUTO).open_fd_pinned::<Stable>(borrowed(number)).map(Held::Stable)
    }

    fn options(&self, backing: Backing) -> Options {
        let mut options = Options::new();
        // A length of 0 is the rest of the file, and does not get here.
        let length = self.length.map_or(0, |length| length as u64);
        options.backing(backing).lock(Lock::NONE).window(self.offset, length).populate(self.populate);
        options
    }
}

/// The library asks the kernel what it is before it does anything with it.
fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: it is only used during the call that it is passed to, and the caller of that has the descriptor open: by
    // `&impl AsRawFd`, or by the obligation of who passes a number. -1, which is no descriptor, is not passed on.
    unsafe { BorrowedFd::borrow_raw(if number < 0 { RawFd::MAX } else { number }) }
}

#[cold]
fn as_expected(error: Error) -> io::Error {
    const ENODEV: i32 = 19;
    match error.status() {
        Status::NOT_MAPPABLE => io::Error::from_raw_os_error(ENODEV),
        Status::RANGE => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => match error.os_code() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.into(),
        },
    }
}
