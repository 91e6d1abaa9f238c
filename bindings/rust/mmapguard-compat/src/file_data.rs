// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the functions return: the bytes of a file, mapped, or those of a stream, in memory.

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
/// data.check()?; // what has been read so far was true
/// # Ok::<(), std::io::Error>(())
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
    /// Is everything read so far still true? mmap-guard has no such call: there the process is gone.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has been cut short, and then bytes that were read may have been zeros; the system's
    /// kind if the device failed. The text names the file and the first byte that is lost. Bytes in memory are never
    /// lost.
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

/// A file, mapped for reading under a shared lock, which is held as long as this lives.
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

    /// What the library knows about the region.
    #[must_use]
    pub fn region(&self) -> &Pinned<Contained> {
        &self.0
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the obligation is the one that mmap-guard puts on its users, in the same words: whoever changes the
        // file while it is mapped respects the advisory lock. Those who do not are why that crate's users are killed;
        // here they read zeros, and `check()` says so.
        unsafe { self.0.as_slice() }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("ptr", &self.0.as_ptr()).field("len", &self.len()).finish()
    }
}
