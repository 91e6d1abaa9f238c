// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ledger: the losses of this process, whichever code has made the mapping.

use std::ffi::CStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mmapguard_sys as sys;

use crate::name::{path_bytes, quoted};
use crate::{Error, Origin, Result, Status};

/// One record of the ledger: bytes of a mapping that were found lost. Offsets count bytes of the file.
#[derive(Clone)]
pub struct Loss(sys::mmg_loss);

impl Loss {
    /// Returns the number of the record: 1, 2, 3, ... since the process started.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Returns the cause: [`Status::TRUNCATED`], [`Status::IO`], [`Status::POISONED`], or
    /// [`Status::UNSTABLE`] when bytes that should have been stable have changed.
    #[must_use]
    pub fn cause(&self) -> Status {
        Status(self.0.cause)
    }

    /// Returns who has made the mapping.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin(self.0.origin)
    }

    /// Returns the path of the file, or `None` when it is not known.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        // SAFETY: the library ends the text with a NUL.
        let text = unsafe { CStr::from_ptr(self.0.path.as_ptr()) };
        path_of(text.to_bytes())
    }

    /// Returns the first lost byte, counted from the start of the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// Returns how many bytes of the mapping are lost from there.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.length
    }

    /// Returns the device of the file, as `st_dev`.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.0.device
    }

    /// Returns the inode of the file, as `st_ino`.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.0.inode
    }

    /// Returns the address at which the first lost byte was mapped.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.address
    }

    /// Returns the time of the loss, on the clock `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.time_ns).unwrap_or(0))
    }

    /// Returns the thread that has found the loss, as `gettid(2)` numbers threads.
    #[must_use]
    pub fn thread(&self) -> u32 {
        self.0.thread
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss")
            .field("sequence", &self.sequence())
            .field("cause", &self.cause())
            .field("origin", &self.origin())
            .field("path", &self.path())
            .field("offset", &self.offset())
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => f.write_str(&quoted(path_bytes(&path)))?,
            None => write!(f, "inode {} of device {}", self.inode(), self.device())?,
        }
        write!(f, ": {}, from byte {} on", self.cause(), self.offset())
    }
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    (!bytes.is_empty()).then(|| std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned().into())
}

/// A mark in the ledger. Records behind it are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// The mark before the first record.
    pub const START: Mark = Mark(0);

    /// Returns the mark behind the newest record.
    #[must_use]
    pub fn now() -> Mark {
        let (mut count, mut next) = (0, 0);
        // SAFETY: the capacity is 0, and the other pointers are to live values. Such a call cannot fail.
        let status = unsafe { sys::mmg_losses_get(0, std::ptr::null_mut(), 0, &mut count, &mut next) };
        debug_assert_eq!(status, sys::MMG_OK);
        Mark(next)
    }
}

/// The result of [`losses`].
#[derive(Clone, Debug)]
pub struct Losses {
    /// The records, oldest first.
    pub records: Vec<Loss>,
    /// The mark for the next call.
    pub mark: Mark,
    /// How many records between the two marks are missing, because newer ones have overwritten them.
    pub overwritten: u64,
}

/// Read the records behind a mark. The ledger has a record of every loss that was contained in this process:
/// in regions, in adopted mappings, and in mappings of other code while a
/// [`ProcessGuard`](crate::ProcessGuard) lives. The newest 1024 records are kept.
///
/// ```
/// use mmapguard::{losses, Mark};
///
/// let seen = Mark::now();
/// assert!(losses(seen).unwrap().records.is_empty());
/// ```
///
/// # Errors
/// [`Status::RANGE`] for a mark of another process.
pub fn losses(since: Mark) -> Result<Losses> {
    const ROOM: usize = 16;
    let mut found = Losses { records: Vec::new(), mark: since, overwritten: 0 };
    loop {
        let mut room = [sys::MMG_LOSS_INIT; ROOM];
        let (mut count, mut next) = (0, 0);
        // SAFETY: the array has room for so many records, each with its size set, and the other pointers are
        // to live values.
        let status = unsafe {
            sys::mmg_losses_get(found.mark.0, room.as_mut_ptr(), ROOM as u64, &mut count, &mut next)
        };
        if status != sys::MMG_OK {
            return Err(Error::plain(status, "the ledger", "losses"));
        }
        found.overwritten += next - found.mark.0 - count;
        found.mark = Mark(next);
        // The cast is safe: the number is at most ROOM.
        found.records.extend(room.into_iter().take(count as usize).map(Loss));
        if count < ROOM as u64 {
            return Ok(found);
        }
    }
}
