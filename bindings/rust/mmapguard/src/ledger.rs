// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ledger: what was lost in this process, whoever made the mapping.

use std::ffi::CStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mmapguard_sys as sys;

use crate::{Error, Origin, Result, Status};

/// One record of the ledger: bytes of a mapping that were found lost. Offsets count bytes of the file.
#[derive(Clone)]
pub struct Loss(sys::mmg_loss);

impl Loss {
    /// Number of the record: 1, 2, 3, ... since the process started.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Why: [`Status::TRUNCATED`], [`Status::IO`], [`Status::POISONED`], or [`Status::UNSTABLE`] where bytes that were to
    /// be stable changed.
    #[must_use]
    pub fn cause(&self) -> Status {
        Status(self.0.cause)
    }

    /// Who made the mapping.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin(self.0.origin)
    }

    /// The file, as far as its name is known.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        // SAFETY: the library ends the text with a NUL.
        let text = unsafe { CStr::from_ptr(self.0.path.as_ptr()) };
        path_of(text.to_bytes())
    }

    /// First lost byte, counted from the start of the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// How many bytes of the mapping are lost from there.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.length
    }

    /// The device of the file, as `st_dev`.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.0.device
    }

    /// The inode of the file, as `st_ino`.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.0.inode
    }

    /// Where the first lost byte was mapped.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.address
    }

    /// When, on the clock `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.time_ns).unwrap_or(0))
    }

    /// The thread that found the loss, as `gettid(2)` numbers threads.
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
            Some(path) => write!(f, "{path:?}")?,
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

/// A place in the ledger: behind the last record that somebody has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// In front of the first record.
    pub const START: Mark = Mark(0);

    /// Behind the record that is the last one at this moment.
    #[must_use]
    pub fn now() -> Mark {
        let (mut count, mut next) = (0, 0);
        // SAFETY: no room is promised, and the other pointers are to live values. It cannot fail then.
        let status = unsafe { sys::mmg_losses_get(0, std::ptr::null_mut(), 0, &mut count, &mut next) };
        debug_assert_eq!(status, sys::MMG_OK);
        Mark(next)
    }
}

/// What [`losses`] returns.
#[derive(Clone, Debug)]
pub struct Losses {
    /// The records, oldest first.
    pub records: Vec<Loss>,
    /// Where to go on from.
    pub mark: Mark,
    /// How many records between the two marks are missing, because newer ones took their place.
    pub overwritten: u64,
}

/// Read the ledger behind a mark: every loss that was contained in this process, in regions, in adopted mappings, and in
/// those of others while [`guard_process`](crate::guard_process) is in force. The newest 1024 records are kept.
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
        // SAFETY: there is room for as many as are said, each of which says its size, and the others are live.
        let status = unsafe {
            sys::mmg_losses_get(found.mark.0, room.as_mut_ptr(), ROOM as u64, &mut count, &mut next)
        };
        if status != sys::MMG_OK {
            return Err(Error::plain(status, "the ledger", "losses"));
        }
        found.overwritten += next - found.mark.0 - count;
        found.mark = Mark(next);
        // At most ROOM.
        found.records.extend(room.into_iter().take(count as usize).map(Loss));
        if count < ROOM as u64 {
            return Ok(found);
        }
    }
}
