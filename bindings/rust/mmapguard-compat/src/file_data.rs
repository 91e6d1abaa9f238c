// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of the functions: the bytes of a mapped file, or of a stream that was read into memory.

use std::fmt;
use std::io;
use std::ops::Deref;

use mmapguard::{Contained, Pinned};

/// The bytes of a file or of a stream: `Mapped` from a file, `Loaded` from standard input. Both are a `&[u8]`.
///
/// ```
/// use mmapguard_compat::{map_file, FileData};
///
/// let data = map_file("Cargo.toml")?;
/// let bytes: &[u8] = &data;
/// assert!(bytes.starts_with(b"# SPDX"));
/// assert!(matches!(data, FileData::Mapped(..)));
/// data.check()?; // all bytes that were read so far are true
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A slice cannot outlive it:
///
/// ```compile_fail,E0505
/// let data = mmapguard_compat::map_file("Cargo.toml").unwrap();
/// let text: &str = std::str::from_utf8(&data).unwrap();
/// drop(data);
/// assert!(text.starts_with('#'));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FileData {
    /// The bytes of a file. Match it as `Mapped(..)`.
    Mapped(Mapping),
    /// Bytes read from a stream.
    Loaded(Vec<u8>),
}

impl FileData {
    /// Checks that no byte of the file is lost. mmap-guard has no such call, since a loss kills the process
    /// there.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file has been cut short, so that bytes that were read may have been zeros; the
    /// kind of the system's error if the device failed. The text names the file and the first lost byte. Bytes
    /// in memory are never lost.
    pub fn check(&self) -> io::Result<()> {
        match self {
            FileData::Mapped(mapping) => mapping.check(),
            FileData::Loaded(_) => Ok(()),
        }
    }
}

impl Deref for FileData {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            FileData::Mapped(mapping) => mapping,
            FileData::Loaded(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for FileData {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A file that is mapped for reading under a shared lock. The lock is held as long as the value lives.
pub struct Mapping(Pinned<Contained>);

impl Mapping {
    pub(crate) fn new(region: Pinned<Contained>) -> Mapping {
        Mapping(region)
    }

    /// As [`FileData::check`].
    ///
    /// # Errors
    /// As [`FileData::check`].
    pub fn check(&self) -> io::Result<()> {
        Ok(self.0.check()?)
    }

    /// Returns the region of the file.
    #[must_use]
    pub fn region(&self) -> &Pinned<Contained> {
        &self.0
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: mmap-guard has the same condition: a program that changes the file while it is mapped
        // respects the advisory lock. A program that does not kills the users of mmap-guard. Here they read
        // zeros, and `check()` reports the loss.
        unsafe { self.0.as_slice() }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("ptr", &self.0.as_ptr()).field("len", &self.len()).finish()
    }
}
