// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mappings that other code of the process makes.

use std::fmt;

use mmapguard_sys as sys;

use crate::{losses, Error, Loss, Mark, Origin, Result};

/// What [`guard_process`] guards beside the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until start() is called"]
pub struct GuardOptions {
    flags: u32,
}

impl GuardOptions {
    /// All defaults.
    pub const fn new() -> GuardOptions {
        GuardOptions { flags: 0 }
    }

    /// Guard shared mappings that can be written to as well: what is then stored into a lost page goes nowhere. Default:
    /// no.
    pub fn shared_writable(self, yes: bool) -> GuardOptions {
        self.with(sys::MMG_PROCESS_SHARED_WRITABLE, yes)
    }

    /// Let a fault go first to the handler that was there before, for a host whose handler repairs its own mappings.
    /// Default: no.
    pub fn chain_first(self, yes: bool) -> GuardOptions {
        self.with(sys::MMG_PROCESS_CHAIN_FIRST, yes)
    }

    fn with(self, bit: u32, yes: bool) -> GuardOptions {
        GuardOptions { flags: if yes { self.flags | bit } else { self.flags & !bit } }
    }

    /// Begin to guard.
    ///
    /// # Errors
    /// As [`guard_process`].
    pub fn start(self) -> Result<ProcessGuard> {
        let mark = Mark::now();
        // SAFETY: takes any numbers; what it does to the process is what its documentation says.
        match unsafe { sys::mmg_guard_process(sys::MMG_SCOPE_FILES, self.flags) } {
            sys::MMG_OK => Ok(ProcessGuard { flags: self.flags, mark }),
            status => Err(Error::plain(status, "the process", "guard")),
        }
    }
}

/// Guard the mappings of regular files that other code of this process makes, whoever makes them: `memmap2`, a C library,
/// the standard library of a language beside Rust. Bytes that are lost read as zeros, and are told by
/// [`finish`](ProcessGuard::finish) and by the ledger.
///
/// Executable mappings, devices, what is no file, and shared mappings that can be written to are not guarded. Nothing costs
/// anything until there is a fault. Affects the whole process. A `&[u8]` of such a mapping changes below its reader when
/// the file is cut; its maker has promised that this does not happen.
///
/// ```
/// let guard = mmapguard::guard_process()?;
/// // ... work with crates that map files ...
/// guard.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Status::GUARD`](crate::Status::GUARD) if the handler cannot be put in place,
/// [`Status::UNSUPPORTED`](crate::Status::UNSUPPORTED) if the kernel or a sandbox does not tell what is mapped.
pub fn guard_process() -> Result<ProcessGuard> {
    GuardOptions::new().start()
}

/// The process is guarded while this lives; see [`guard_process`]. Guards nest.
#[derive(Debug)]
#[must_use = "the guard ends when this is dropped"]
pub struct ProcessGuard {
    flags: u32,
    mark: Mark,
}

impl ProcessGuard {
    /// Were bytes of a mapping that is no region lost since the guard began? In any thread.
    ///
    /// # Errors
    /// What was lost.
    pub fn check(&self) -> std::result::Result<(), LostBytes> {
        // The mark is one of this process, and nothing else is refused.
        let since = losses(self.mark).expect("the ledger is read");
        let mut records = since.records;
        records.retain(|loss| loss.origin() == Origin::FOREIGN);
        if records.is_empty() && since.overwritten == 0 {
            return Ok(());
        }
        Err(LostBytes { records, overwritten: since.overwritten })
    }

    /// End the guard, and tell what was lost.
    ///
    /// # Errors
    /// As [`check`](ProcessGuard::check).
    pub fn finish(self) -> std::result::Result<(), LostBytes> {
        self.check()
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        // SAFETY: takes any numbers.
        let status = unsafe { sys::mmg_guard_process(sys::MMG_SCOPE_NONE, self.flags) };
        debug_assert_eq!(status, sys::MMG_OK);
    }
}

/// Bytes of mapped files were lost: what was computed from them does not hold.
#[derive(Clone, Debug)]
pub struct LostBytes {
    records: Vec<Loss>,
    overwritten: u64,
}

impl LostBytes {
    /// The records of the losses, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Loss] {
        &self.records
    }

    /// How many more losses there were, of which newer records took the place.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }
}

impl fmt::Display for LostBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for loss in &self.records {
            write!(f, "{separator}{loss}")?;
            separator = "; ";
        }
        if self.overwritten > 0 {
            write!(f, "{separator}{} more losses", self.overwritten)?;
        }
        Ok(())
    }
}

impl std::error::Error for LostBytes {}
