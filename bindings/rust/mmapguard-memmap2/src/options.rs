// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options for mapping a file, and the calls that map it.

use std::io;
use std::os::unix::io::{AsRawFd, BorrowedFd, RawFd};

use mmapguard::{Backing, Contained, Error, Lock, Options, Pinned, Region, Stable, Status};

use crate::mmap::Held;
use crate::{MapIfSafeError, Mmap};

/// The descriptor of a file to map. [`MmapAsRawDesc`] makes it.
pub struct MmapRawDescriptor(RawFd);

/// Types that can be mapped: `&File`, a reference to any other type with [`AsRawFd`], and a raw descriptor.
pub trait MmapAsRawDesc {
    /// Returns the descriptor.
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

/// The options for mapping a file. Each one has a default.
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
    /// Returns options with all defaults, which map the whole file.
    #[must_use]
    pub fn new() -> MmapOptions {
        MmapOptions::default()
    }

    /// Start at this byte of the file. Any offset is allowed.
    pub fn offset(&mut self, offset: u64) -> &mut MmapOptions {
        self.offset = offset;
        self
    }

    /// Map so many bytes. By default they reach to the end of the file. Unlike with memmap2, the file must
    /// have these bytes.
    pub fn len(&mut self, length: usize) -> &mut MmapOptions {
        self.length = Some(length);
        self
    }

    /// Read the whole mapping in at once.
    pub fn populate(&mut self) -> &mut MmapOptions {
        self.populate = true;
        self
    }

    /// Has no effect here, since it is for anonymous memory.
    pub fn stack(&mut self) -> &mut MmapOptions {
        self
    }

    /// Has no effect here, since it is for anonymous memory.
    pub fn huge(&mut self, _page_bits: Option<u8>) -> &mut MmapOptions {
        self
    }

    /// Has no effect here, since it is for mappings that can be written to.
    pub fn no_reserve_swap(&mut self) -> &mut MmapOptions {
        self
    }

    /// Has no effect here, since it is for Windows.
    pub fn no_probe_handle(&mut self) -> &mut MmapOptions {
        self
    }

    /// Map the file for reading. The descriptor stays the caller's, and may be closed at once.
    ///
    /// # Safety
    ///
    /// As with memmap2, no process may change the bytes while they are borrowed. The difference is what happens
    /// when the file is cut short nevertheless: see [`on_loss`](crate::on_loss). With the feature `stable` the
    /// only obligation is a valid descriptor.
    ///
    /// # Errors
    ///
    /// The kind of the system's error; `InvalidData` if the file does not have the bytes that were asked for;
    /// the kind of `ENODEV` for a file that cannot be mapped, of which no byte was read then.
    pub unsafe fn map<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        let number = file.as_raw_desc().0;
        if self.length == Some(0) {
            // The file must be one that can be mapped, as with memmap2.
            drop(MmapOptions::new().contained(number).map_err(|error| as_expected(error, number))?);
            return Ok(Mmap::empty());
        }
        self.addressable()?;
        #[cfg(feature = "stable")]
        let opened = self.stable(number);
        #[cfg(not(feature = "stable"))]
        let opened = self.contained(number);
        opened.map(Mmap::new).map_err(|error| as_expected(error, number))
    }

    /// Does the same as [`map`](MmapOptions::map). memmap2 makes a private mapping here, which makes no
    /// difference to a reader.
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

    /// Map a file that no process can change: a sealed memfd, or a file on a read-only medium. Nothing is
    /// copied.
    ///
    /// # Errors
    /// [`MapIfSafeError::not_safe`] when the bytes may change.
    pub fn map_if_safe<T: MmapAsRawDesc>(&self, file: T) -> Result<Mmap, MapIfSafeError> {
        let number = file.as_raw_desc().0;
        if self.length == Some(0) {
            return Ok(Mmap::empty());
        }
        self.addressable().map_err(MapIfSafeError::failed)?;
        let opened = self.options(Backing::MAP).open_fd::<Stable>(borrowed(number)).and_then(Region::pinned);
        opened.map(|region| Mmap::new(Held::Stable(region))).map_err(MapIfSafeError::new)
    }

    /// Refuses a length that no slice can have. To the library the largest number would mean the rest of the file.
    fn addressable(&self) -> io::Result<()> {
        match self.length {
            Some(length) if isize::try_from(length).is_err() => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a mapping is at most isize::MAX bytes long"))
            }
            _ => Ok(()),
        }
    }

    fn contained(&self, number: RawFd) -> Result<Held, Error> {
        let mut options = self.options(Backing::MAP);
        let result: Result<Pinned<Contained>, _> = options.open_fd_pinned(borrowed(number));
        match result {
            // Where no SIGBUS handler can be installed (for example under a sanitizer), a mapping is as
            // unsafe as with memmap2.
            Err(error) if error.status() == Status::GUARD => {
                options.fault_guard(false).open_fd_pinned(borrowed(number)).map(Held::Contained)
            }
            result => result.map(Held::Contained),
        }
    }

    #[cfg(feature = "stable")]
    fn stable(&self, number: RawFd) -> Result<Held, Error> {
        // Only a mapping is allowed, so that the library does not read a stream to find out what it is.
        drop(self.contained(number)?);
        self.options(Backing::AUTO).open_fd_pinned::<Stable>(borrowed(number)).map(Held::Stable)
    }

    fn options(&self, backing: Backing) -> Options {
        let mut options = Options::new();
        // A length of 0 would mean the rest of the file; it was handled before.
        let length = self.length.map_or(0, |length| length as u64);
        options.backing(backing).lock(Lock::NONE).window(self.offset, length).populate(self.populate);
        options
    }
}

/// Makes a borrowed descriptor. The library checks the descriptor before it uses it.
fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the result is used only during the call to which it is passed, and the caller has the
    // descriptor open: either by `&impl AsRawFd`, or by the obligation for a raw number. The number -1 is not
    // passed on.
    unsafe { BorrowedFd::borrow_raw(if number < 0 { RawFd::MAX } else { number }) }
}

/// The numbers are the same on every Linux.
const EBADF: i32 = 9;
const EACCES: i32 = 13;
const ENODEV: i32 = 19;

#[cold]
fn as_expected(error: Error, number: RawFd) -> io::Error {
    match error.status() {
        // The descriptor is open, and not for reading. The library says EBADF, as read(2) does, and mmap(2) says EACCES.
        _ if error.os_code() == Some(EBADF) && borrowed(number).try_clone_to_owned().is_ok() => {
            io::Error::from_raw_os_error(EACCES)
        }
        Status::NOT_MAPPABLE => io::Error::from_raw_os_error(ENODEV),
        Status::RANGE => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => match error.os_code() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.into(),
        },
    }
}
