// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known about one region, and about the process.

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
        /// Why that one.
        backing_reason: Reason = |raw| Reason(raw.backing_reason);
        /// The guarantee that holds for the bytes.
        guarantee: Promise = |raw| Promise(raw.guarantee);
        /// By what it is upheld.
        means: Means = |raw| Means(raw.means);
        /// Why it is not stable.
        shortfall: Shortfall = |raw| Shortfall(raw.shortfall);
        /// The lock that is held now.
        lock: Lock = |raw| Lock(raw.lock);
        /// Why that one, or none.
        lock_reason: Locking = |raw| Locking(raw.lock_reason);
        /// The error number of a lock that the file system could not give.
        lock_error: Option<i32> = |raw| Some(raw.lock_error).filter(|&code| code != 0);
        /// The cause of the first loss.
        fault_cause: Option<Status> = |raw| Some(Status(raw.fault_cause)).filter(|&s| s.0 != sys::MMG_OK);
        /// The first byte of the region that was found lost.
        fault_offset: Option<u64> = |raw| Some(raw.fault_offset).filter(|&offset| offset != sys::MMG_TO_END);
        /// Signals contained in this region.
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
        /// Pins that are live now; a stable region has one of its own.
        pins: u64 = |raw| raw.pins;
        /// Address space held for the region, in bytes; 0 for a copy.
        mapped_bytes: u64 = |raw| raw.mapped_bytes;
        /// Memory held for the region, in bytes.
        heap_bytes: u64 = |raw| raw.heap_bytes;
        /// A fault takes at least this many bytes; 0 for a copy.
        page_size: u64 = |raw| raw.page_size;
        /// What the means does not hold back: bits that `mmapguard-sys` names `MMG_EXCEPT_...`.
        exceptions: u32 = |raw| raw.exceptions;
        /// The means of being stable in the order in which they were tried, cheapest first; empty if that was not asked.
        means_order: Vec<Means> = |raw| {
            let each = (0..16).map(|place| (raw.means_order >> (4 * place) & 0xF) as u32);
            each.take_while(|&means| means != sys::MMG_MEANS_NONE).map(Means).collect()
        };
        /// The name of the file system at open, such as `"ext4"`; empty where it could not be found out.
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
    /// The size differs.
    pub size: bool,
    /// The contents were modified.
    pub mtime: bool,
    /// Contents or attributes were changed.
    pub ctime: bool,
    /// The path names another file now, or none.
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

    /// Has anything changed?
    #[must_use]
    pub fn any(self) -> bool {
        self != Changed::default()
    }
}

/// Counters of the whole process: see [`stats`](crate::stats).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Where the fault guard stands.
    pub guard_state: GuardState,
    /// Open handles.
    pub handles: u64,
    /// Regions ever opened.
    pub opened: u64,
    /// Regions alive.
    pub regions: u64,
    /// Of these, the ones that are mapped.
    pub mappings: u64,
    /// Address space in these mappings, in bytes.
    pub mapped_bytes: u64,
    /// Memory in regions, in bytes.
    pub heap_bytes: u64,
    /// Signals contained since the process started.
    pub faults: u64,
    /// SIGBUS signals passed on to the handler that was there before.
    pub foreign_faults: u64,
    /// Leases held now.
    pub leases: u64,
    /// Of these, the ones that a writer is waiting for.
    pub leases_breaking: u64,
    /// Leases ever broken by a writer.
    pub lease_breaks: u64,
    /// Opens that wanted a lease and were refused one.
    pub lease_refusals: u64,
    /// Snapshots taken, reflinks included.
    pub snapshots: u64,
    /// Bytes copied for snapshots, at open and when leases broke.
    pub snapshot_bytes: u64,
    /// Time that writers waited for a lease, in nanoseconds, added up.
    pub writer_wait_ns: u64,
    /// The longest of these waits, in nanoseconds.
    pub writer_wait_max_ns: u64,
}
