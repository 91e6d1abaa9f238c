// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known about a region, and about the process.

use std::fmt;

use mmapguard_sys as sys;

use crate::{Backing, GuardState, Lock, Locking, Means, Promise, Reason, Shortfall, Status};

/// What is known about a region at one moment: see [`Region::info`](crate::Region::info).
///
/// ```
/// use mmapguard::{Means, Options, Stable};
///
/// # fn main() -> mmapguard::Result<()> {
/// let region = Options::new().open::<Stable>("Cargo.toml")?;
/// let info = region.info()?;
/// assert_eq!(info.means(), Means::PRIVATE_COPY);
/// assert_eq!(info.to_string(), "stable by copy (copy: small file)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Info(pub(crate) sys::mmg_info);

macro_rules! members {
    ($($(#[$what:meta])* $name:ident: $type:ty = |$raw:ident| $value:expr;)*) => {
        $($(#[$what])*
        #[must_use]
        pub fn $name(&self) -> $type {
            let $raw = &self.0;
            $value
        })*
    };
}

impl Info {
    members! {
        /// What holds the bytes: [`Backing::MAP`] or [`Backing::COPY`].
        backing: Backing = |raw| Backing(raw.backing);
        /// Why the bytes are held that way.
        backing_reason: Reason = |raw| Reason(raw.backing_reason);
        /// The guarantee that holds for the bytes.
        guarantee: Promise = |raw| Promise(raw.guarantee);
        /// What upholds the guarantee.
        means: Means = |raw| Means(raw.means);
        /// Why the region is not stable.
        shortfall: Shortfall = |raw| Shortfall(raw.shortfall);
        /// The lock that is held now.
        lock: Lock = |raw| Lock(raw.lock);
        /// Why that lock is held, or why no lock is held.
        lock_reason: Locking = |raw| Locking(raw.lock_reason);
        /// The error number of a lock that the file system could not give.
        lock_error: Option<i32> = |raw| Some(raw.lock_error).filter(|&code| code != 0);
        /// The cause of the first loss.
        fault_cause: Option<Status> = |raw| Some(Status(raw.fault_cause)).filter(|&s| s.0 != sys::MMG_OK);
        /// The first byte of the region that was found lost.
        fault_offset: Option<u64> = |raw| Some(raw.fault_offset).filter(|&offset| offset != sys::MMG_TO_END);
        /// The number of signals that were contained in this region.
        faults: u64 = |raw| raw.faults;
        /// Bytes in the region.
        size: u64 = |raw| raw.size;
        /// Where in the file the region starts.
        offset: u64 = |raw| raw.offset;
        /// Size of the file at open; for a stream, the bytes read from it.
        file_size: u64 = |raw| raw.file_size;
        /// Device of the file at open.
        device: u64 = |raw| raw.device;
        /// Inode of the file at open.
        inode: u64 = |raw| raw.inode;
        /// Modification time at open: seconds since the Epoch, and nanoseconds.
        modified: (i64, u32) = |raw| (raw.mtime_seconds, raw.mtime_nanoseconds);
        /// Status change time at open: seconds since the Epoch, and nanoseconds.
        status_changed: (i64, u32) = |raw| (raw.ctime_seconds, raw.ctime_nanoseconds);
        /// The number of live pins. A stable region has one pin itself.
        pins: u64 = |raw| raw.pins;
        /// Address space that the region takes, in bytes; 0 for a copy.
        mapped_bytes: u64 = |raw| raw.mapped_bytes;
        /// Memory that the region takes, in bytes.
        heap_bytes: u64 = |raw| raw.heap_bytes;
        /// A loss takes at least so many bytes; 0 for a copy.
        page_size: u64 = |raw| raw.page_size;
        /// Changes against which the means does not help, as bits that `mmapguard-sys` names
        /// `MMG_EXCEPT_...`.
        exceptions: u32 = |raw| raw.exceptions;
        /// The means of being stable, in the order in which they were tried, cheapest first. Empty if a
        /// stable region was not asked for.
        means_order: Vec<Means> = |raw| {
            let each = (0..16).map(|place| (raw.means_order >> (4 * place) & 0xF) as u32);
            each.take_while(|&means| means != sys::MMG_MEANS_NONE).map(Means).collect()
        };
        /// The name of the file system at open, such as `"ext4"`; empty when it could not be found out.
        file_system: String = |raw| crate::error::text(&raw.file_system);
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} ({}: {})", self.guarantee(), self.means(), self.backing(), self.backing_reason())
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("guarantee", &self.guarantee())
            .field("means", &self.means())
            .field("shortfall", &self.shortfall())
            .field("backing", &self.backing())
            .field("backing_reason", &self.backing_reason())
            .field("lock", &self.lock())
            .field("size", &self.size())
            .field("offset", &self.offset())
            .field("fault_cause", &self.fault_cause())
            .field("fault_offset", &self.fault_offset())
            .finish_non_exhaustive()
    }
}

/// What has changed on disk since a file was opened: see [`Region::changed`](crate::Region::changed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changed {
    /// True when the size has changed.
    pub size: bool,
    /// True when the modification time has changed: the file was written to.
    pub mtime: bool,
    /// True when the status change time has changed: contents or attributes were changed.
    pub ctime: bool,
    /// True when the path names another file now, or no file.
    pub path: bool,
}

impl Changed {
    pub(crate) fn from_bits(bits: u32) -> Changed {
        Changed {
            size: bits & sys::MMG_CHANGED_SIZE != 0,
            mtime: bits & sys::MMG_CHANGED_MTIME != 0,
            ctime: bits & sys::MMG_CHANGED_CTIME != 0,
            path: bits & sys::MMG_CHANGED_PATH != 0,
        }
    }

    /// Returns true when anything has changed.
    #[must_use]
    pub fn any(self) -> bool {
        self != Changed::default()
    }
}

/// Counters of the whole process: see [`stats`](crate::stats).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The state of the fault guard.
    pub guard_state: GuardState,
    /// Open handles.
    pub handles: u64,
    /// Regions that were opened since the process started.
    pub opened: u64,
    /// Living regions.
    pub regions: u64,
    /// How many of these are mapped.
    pub mappings: u64,
    /// Address space in these mappings, in bytes.
    pub mapped_bytes: u64,
    /// Memory in regions, in bytes.
    pub heap_bytes: u64,
    /// Signals contained since the process started.
    pub faults: u64,
    /// SIGBUS signals that were passed on to the handler that was installed before.
    pub foreign_faults: u64,
    /// Leases held now.
    pub leases: u64,
    /// How many of these a writer is waiting for.
    pub leases_breaking: u64,
    /// Leases that a writer has broken since the process started.
    pub lease_breaks: u64,
    /// Opens that wanted a lease and were refused one.
    pub lease_refusals: u64,
    /// Snapshots taken, reflinks included.
    pub snapshots: u64,
    /// Bytes copied for snapshots, at open and when leases broke.
    pub snapshot_bytes: u64,
    /// The sum of the times that writers have waited for a lease, in nanoseconds.
    pub writer_wait_ns: u64,
    /// The longest of these waits, in nanoseconds.
    pub writer_wait_max_ns: u64,
}
