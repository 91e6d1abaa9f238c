// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guard for mappings that other code of the process makes.

use std::fmt;

use mmapguard_sys as sys;

use crate::{losses, Error, Loss, Mark, Origin, Result};

/// Options for [`guard_process`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until start() is called"]
pub struct GuardOptions {
    flags: u32,
}

impl GuardOptions {
    /// Returns options with all defaults.
    pub const fn new() -> GuardOptions {
        GuardOptions { flags: 0 }
    }

    /// Also guard shared mappings that can be written to. Bytes that are stored into a lost page do not reach
    /// the file. Default: no.
    pub fn shared_writable(self, yes: bool) -> GuardOptions {
        self.with(sys::MMG_PROCESS_SHARED_WRITABLE, yes)
    }

    /// Let a fault go first to the handler that was installed before, for a host whose handler repairs its
    /// own mappings. Default: no.
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
        // SAFETY: the call takes any numbers. Its documentation says what it does to the process.
        match unsafe { sys::mmg_guard_process(sys::MMG_SCOPE_FILES, self.flags) } {
            sys::MMG_OK => Ok(ProcessGuard { flags: self.flags, mark }),
            status => Err(Error::plain(status, "the process", "guard")),
        }
    }
}

/// Guard all mappings of regular files that other code of this process makes: `memmap2`, a C library, or the
/// standard library of another language. Lost bytes read as zeros. [`finish`](ProcessGuard::finish) and the
/// ledger report them.
///
/// Executable mappings, devices, memory without a file, and shared mappings that can be written to are not
/// guarded. The guard costs nothing until there is a fault. It affects the whole process. When the file is
/// cut, a `&[u8]` of such a mapping changes below its reader; the code that has made the slice has promised
/// that this does not happen.
///
/// ```
/// let guard = mmapguard::guard_process()?;
/// // ... work with crates that map files ...
/// guard.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Status::GUARD`](crate::Status::GUARD) if the handler cannot be installed,
/// [`Status::UNSUPPORTED`](crate::Status::UNSUPPORTED) if the kernel or a sandbox does not tell what is mapped.
pub fn guard_process() -> Result<ProcessGuard> {
    GuardOptions::new().start()
}

/// Guards the process while it lives; see [`guard_process`]. Several guards may live at the same time.
#[derive(Debug)]
#[must_use = "the guard ends when this is dropped"]
pub struct ProcessGuard {
    flags: u32,
    mark: Mark,
}

impl ProcessGuard {
    /// Checks that no bytes of a mapping that is not a region were lost since the guard began, in any thread.
    ///
    /// # Errors
    ///
    /// The losses.
    #[allow(clippy::missing_panics_doc)] // the call below cannot fail
    pub fn check(&self) -> std::result::Result<(), LostBytes> {
        // The mark is one of this process.
        let since = losses(self.mark).expect("the ledger is read");
        let mut records = since.records;
        records.retain(|loss| loss.origin() == Origin::FOREIGN);
        if records.is_empty() && since.overwritten == 0 {
            return Ok(());
        }
        Err(LostBytes { records, overwritten: since.overwritten })
    }

    /// End the guard, and report losses.
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
    /// Returns the records of the losses, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Loss] {
        &self.records
    }

    /// Returns the number of further losses, whose records were overwritten by newer ones.
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
