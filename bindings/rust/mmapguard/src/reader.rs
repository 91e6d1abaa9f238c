// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region as a stream of bytes.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::handle::Handle;

/// Reads a region from its start: see [`Region::reader`](crate::Region::reader) and
/// [`Region::scan`](crate::Region::scan). The reader has no buffer. For small reads, wrap it in a
/// [`BufReader`](std::io::BufReader).
///
/// ```
/// use std::io::{Read, Seek, SeekFrom};
/// use mmapguard::{Contained, Region};
///
/// # fn main() -> std::io::Result<()> {
/// let region = Region::<Contained>::open("Cargo.toml")?;
/// let mut reader = region.reader();
/// let mut word = [0; 4];
/// reader.seek(SeekFrom::Start(2))?;
/// reader.read_exact(&mut word)?;
/// assert_eq!(&word, b"SPDX");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Reader<'a> {
    handle: &'a Handle,
    size: u64,
    position: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(handle: &'a Handle, size: u64) -> Reader<'a> {
        Reader { handle, size, position: 0 }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size {
            return Ok(0);
        }
        let got = self.handle.read_at(self.position, buffer)?;
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => add(self.size, distance),
            SeekFrom::Current(distance) => add(self.position, distance),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to a negative or overflowing position")
        })?;
        Ok(self.position)
    }
}

/// Does the same as `u64::checked_add_signed`, which Rust 1.63 does not have.
fn add(position: u64, distance: i64) -> Option<u64> {
    if distance < 0 {
        position.checked_sub(distance.unsigned_abs())
    } else {
        position.checked_add(distance as u64)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("handle", self.handle).field("position", &self.position).finish()
    }
}
