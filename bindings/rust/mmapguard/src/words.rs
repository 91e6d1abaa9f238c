// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vocabularies of the library: numbers with names. They are open: a later library may answer with a number that
//! this crate has no name for, so these are structs with constants, not enums. The words come from the library.

use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_char;

use mmapguard_sys as sys;

/// A static string of the library's.
pub(crate) fn static_text(text: *const c_char) -> &'static str {
    // SAFETY: only called with what mmg_status_name, _message, mmg_term and mmg_version return: static, NUL-terminated,
    // never NULL.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("unknown")
}

macro_rules! vocabulary {
    ($(#[$about:meta])* $name:ident($raw:ty) {
        $($(#[$what:meta])* $constant:ident = $value:ident,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub(crate) $raw);

        impl $name {
            $($(#[$what])* pub const $constant: $name = $name(sys::$value);)*

            /// The number itself, as `mmapguard-sys` names it.
            #[must_use]
            pub const fn number(self) -> $raw {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name::$constant => f.write_str(concat!(stringify!($name), "::", stringify!($constant))),)*
                    $name(other) => write!(f, concat!(stringify!($name), "({})"), other),
                }
            }
        }
    };
}

/// `Display` with the library's own words.
macro_rules! words {
    ($($name:ident = $vocabulary:ident;)*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // SAFETY: takes any two numbers.
                f.write_str(static_text(unsafe { sys::mmg_term(sys::$vocabulary, self.0 as u32) }))
            }
        })*
    };
}

vocabulary! {
    /// What went wrong: the status of the library's call. `Display` gives the library's phrase for it.
    ///
    /// ```
    /// use mmapguard::Status;
    /// assert_eq!(Status::TRUNCATED.name(), "MMG_E_TRUNCATED");
    /// assert_eq!(format!("{:?}", Status::EMPTY), "Status::EMPTY");
    /// ```
    Status(i32) {
        /// An unknown flag or value, a contradiction, or a bad descriptor.
        ARGUMENT = MMG_E_ARGUMENT,
        /// Not a live handle.
        HANDLE = MMG_E_HANDLE,
        /// Offset or length outside the region or the file.
        RANGE = MMG_E_RANGE,
        /// A struct of a size that the library cannot place.
        ABI_SIZE = MMG_E_ABI_SIZE,
        /// The library is older than this crate, and lacks what was asked of it.
        ABI_NEWER = MMG_E_ABI_NEWER,
        /// No such file, or a dangling link.
        NOT_FOUND = MMG_E_NOT_FOUND,
        /// Not allowed to read it.
        PERMISSION = MMG_E_PERMISSION,
        /// Empty, and [`Options::reject_empty`](crate::Options::reject_empty) was asked for.
        EMPTY = MMG_E_EMPTY,
        /// A directory, a socket or something else without bytes to map.
        NOT_MAPPABLE = MMG_E_NOT_MAPPABLE,
        /// A lock is held elsewhere, or a FIFO has no writer.
        WOULD_BLOCK = MMG_E_WOULD_BLOCK,
        /// Over a cap, or over what the address space can hold.
        TOO_BIG = MMG_E_TOO_BIG,
        /// Out of descriptors, mappings or address space.
        LIMIT = MMG_E_LIMIT,
        /// Out of memory.
        NO_MEMORY = MMG_E_NO_MEMORY,
        /// [`Stable`](crate::Stable) was demanded and cannot be had, or no longer holds.
        UNSTABLE = MMG_E_UNSTABLE,
        /// Any other failure of the system: see [`Error::os_code`](crate::Error::os_code).
        SYSTEM = MMG_E_SYSTEM,
        /// The file was cut short: bytes of the region are gone.
        TRUNCATED = MMG_E_TRUNCATED,
        /// The device or the file system failed to deliver bytes.
        IO = MMG_E_IO,
        /// A hardware memory error hit the bytes.
        POISONED = MMG_E_POISONED,
        /// The file was written to since it was opened.
        CHANGED = MMG_E_CHANGED,
        /// Pins are live.
        BUSY = MMG_E_BUSY,
        /// Not possible for this region or on this system.
        UNSUPPORTED = MMG_E_UNSUPPORTED,
        /// The fault guard could not be put in place.
        GUARD = MMG_E_GUARD,
    }
}

impl Status {
    /// The name in C, such as `"MMG_E_TRUNCATED"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: takes any number.
        static_text(unsafe { sys::mmg_status_name(self.0) })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any number.
        f.write_str(static_text(unsafe { sys::mmg_status_message(self.0) }))
    }
}

vocabulary! {
    /// What holds the bytes of a region.
    Backing(u32) {
        /// Copy what is small or cannot be mapped, map the rest. For [`Options`](crate::Options) only.
        AUTO = MMG_BACKING_AUTO,
        /// A mapping of the file, or an error.
        MAP = MMG_BACKING_MAP,
        /// A private copy in memory, within [`Options::max_bytes`](crate::Options::max_bytes).
        COPY = MMG_BACKING_COPY,
    }
}

vocabulary! {
    /// Why a region has the backing that it has.
    Reason(u32) {
        /// The caller asked for it.
        ASKED = MMG_REASON_ASKED,
        /// Copied: at most the copy threshold.
        SMALL = MMG_REASON_SMALL,
        /// Mapped: above the copy threshold.
        LARGE = MMG_REASON_LARGE,
        /// Nothing to hold.
        EMPTY = MMG_REASON_EMPTY,
        /// Copied: a pipe, socket, terminal or other stream.
        STREAM = MMG_REASON_STREAM,
        /// Copied: the size that the file system reports is not that of the contents.
        VIRTUAL = MMG_REASON_VIRTUAL,
        /// Copied: the file system refused both kinds of mapping.
        MAP_REFUSED = MMG_REASON_MAP_REFUSED,
        /// Mapped privately: the file system refused a shared mapping.
        MAP_PRIVATE = MMG_REASON_MAP_PRIVATE,
        /// [`Stable`](crate::Stable) was demanded and this is what upholds it.
        STABLE = MMG_REASON_STABLE,
        /// Copied: the fault guard could not be put in place.
        NO_GUARD = MMG_REASON_NO_GUARD,
        /// Mapped: a block device.
        BLOCK_DEVICE = MMG_REASON_BLOCK_DEVICE,
    }
}

vocabulary! {
    /// The guarantee that holds for the bytes of a region now.
    Promise(u32) {
        /// Nothing that happens to the file kills the process; losses are reported.
        CONTAINED = MMG_GUARANTEE_CONTAINED,
        /// The bytes do not change and do not vanish.
        STABLE = MMG_GUARANTEE_STABLE,
        /// A mapping without the fault guard.
        NONE = MMG_GUARANTEE_NONE,
    }
}

vocabulary! {
    /// By what a guarantee is upheld.
    Means(u32) {
        /// Nothing upholds anything.
        NONE = MMG_MEANS_NONE,
        /// Contained: the SIGBUS guard.
        FAULT_GUARD = MMG_MEANS_FAULT_GUARD,
        /// Stable: a copy in memory.
        PRIVATE_COPY = MMG_MEANS_PRIVATE_COPY,
        /// Stable: a memfd sealed against shrinking and writing.
        SEALED = MMG_MEANS_SEALED,
        /// Stable: a medium that nobody can write.
        READ_ONLY_MEDIUM = MMG_MEANS_READ_ONLY_MEDIUM,
        /// Stable: a read lease, and a snapshot when it breaks.
        LEASE = MMG_MEANS_LEASE,
        /// Stable: a reflinked, unlinked snapshot.
        REFLINK = MMG_MEANS_REFLINK,
        /// Stable: a full, unlinked snapshot.
        SNAPSHOT = MMG_MEANS_SNAPSHOT,
    }
}

vocabulary! {
    /// Why a region is not stable.
    Shortfall(u32) {
        /// It is.
        NONE = MMG_SHORT_NONE,
        /// It was not asked for, and would have cost something.
        NOT_ASKED = MMG_SHORT_NOT_ASKED,
        /// Even the fault guard is off: [`Options::fault_guard`](crate::Options::fault_guard).
        GUARD_OFF = MMG_SHORT_GUARD_OFF,
        /// Even the fault guard is off: `MMAPGUARD_NO_SIGNAL` in the environment.
        ENVIRONMENT = MMG_SHORT_ENVIRONMENT,
        /// A lease broke, and the window is larger than the cap for snapshots.
        CAP = MMG_SHORT_CAP,
        /// A lease broke, and the kernel's time ran out.
        TIME = MMG_SHORT_TIME,
        /// A lease broke, and there was no room for the bytes.
        SPACE = MMG_SHORT_SPACE,
        /// A lease broke, and the bytes could not be read.
        READ = MMG_SHORT_READ,
        /// The lease is the parent process's.
        FORKED = MMG_SHORT_FORKED,
        /// Bytes were lost all the same.
        LOST = MMG_SHORT_LOST,
    }
}

vocabulary! {
    /// The advisory lock that is taken before a file is mapped.
    Lock(u32) {
        /// [`Lock::SHARED`] where a lock is advisory, local and cannot hang; elsewhere none. For
        /// [`Options`](crate::Options) only.
        AUTO = MMG_LOCK_AUTO,
        /// `flock(2)`, shared: meets every user of flock.
        SHARED = MMG_LOCK_SHARED,
        /// An open file description lock for reading: meets users of POSIX locks.
        OFD = MMG_LOCK_OFD,
        /// No lock.
        NONE = MMG_LOCK_NONE,
    }
}

vocabulary! {
    /// Why a region has the lock that it has, or none.
    Locking(u32) {
        /// A lock is held.
        HELD = MMG_LOCKING_HELD,
        /// None was asked for, or `MMAPGUARD_LOCK=none` is in the environment.
        ASKED = MMG_LOCKING_ASKED,
        /// The bytes are no longer the file's, or never were a file's.
        NO_NEED = MMG_LOCKING_NO_NEED,
        /// A lock here would be mandatory, so that writers fail.
        MANDATORY = MMG_LOCKING_MANDATORY,
        /// A lock here could hang.
        COULD_HANG = MMG_LOCKING_COULD_HANG,
        /// A lock here is not this kernel's own.
        NOT_LOCAL = MMG_LOCKING_NOT_LOCAL,
        /// The file system has no such lock.
        MISSING = MMG_LOCKING_MISSING,
        /// The descriptor could not be opened anew, and its lock would be the caller's.
        NOT_OURS = MMG_LOCKING_NOT_OURS,
    }
}

vocabulary! {
    /// Where the fault guard stands.
    GuardState(i32) {
        /// Not installed: nothing needed it yet.
        NONE = MMG_GUARD_NONE,
        /// Installed, and the first to see a SIGBUS.
        TOP = MMG_GUARD_TOP,
        /// Installed, but another handler was put on top since.
        DISPLACED = MMG_GUARD_DISPLACED,
        /// The system did not let it be installed.
        REFUSED = MMG_GUARD_REFUSED,
        /// On top, but SIGBUS is blocked in the calling thread.
        BLOCKED = MMG_GUARD_BLOCKED,
        /// `MMAPGUARD_NO_SIGNAL` is set in the environment.
        DISABLED = MMG_GUARD_DISABLED,
    }
}

vocabulary! {
    /// How a region will be read.
    Advice(u32) {
        /// Nothing in particular.
        NORMAL = MMG_ADVICE_NORMAL,
        /// Read ahead more, drop behind.
        SEQUENTIAL = MMG_ADVICE_SEQUENTIAL,
        /// Do not read ahead.
        RANDOM = MMG_ADVICE_RANDOM,
        /// Start reading in now, do not wait.
        WILLNEED = MMG_ADVICE_WILLNEED,
        /// Use huge pages where the kernel can.
        HUGEPAGE = MMG_ADVICE_HUGEPAGE,
        /// Drop the pages from this process; they are read again when touched.
        DONTNEED = MMG_ADVICE_DONTNEED,
        /// Read in now and wait.
        POPULATE = MMG_ADVICE_POPULATE,
    }
}

vocabulary! {
    /// What this library can do on this system: see [`supports`](crate::supports).
    Feature(u32) {
        /// Containment of SIGBUS.
        FAULT_GUARD = MMG_FEATURE_FAULT_GUARD,
        /// [`Lock::OFD`].
        OFD_LOCK = MMG_FEATURE_OFD_LOCK,
        /// Stable by a private copy.
        STABLE_COPY = MMG_FEATURE_STABLE_COPY,
        /// Stable by a lease.
        STABLE_LEASE = MMG_FEATURE_STABLE_LEASE,
        /// Stable by a reflinked snapshot.
        STABLE_REFLINK = MMG_FEATURE_STABLE_REFLINK,
        /// Export through the Arrow C Data Interface, which this crate leaves to `mmapguard-sys`.
        ARROW = MMG_FEATURE_ARROW,
        /// [`guard_process`](crate::guard_process).
        FOREIGN = MMG_FEATURE_FOREIGN,
        /// The kernel tells of one mapping by one call (Linux 6.11), so that a fault costs the same with many mappings.
        FOREIGN_QUERY = MMG_FEATURE_FOREIGN_QUERY,
    }
}

vocabulary! {
    /// Who made a mapping that lost bytes: see [`Loss::origin`](crate::Loss::origin).
    Origin(u32) {
        /// This library: a region that was opened.
        OWN = MMG_ORIGIN_OWN,
        /// Somebody else, who had the mapping adopted.
        ADOPTED = MMG_ORIGIN_ADOPTED,
        /// Somebody else in this process: see [`guard_process`](crate::guard_process).
        FOREIGN = MMG_ORIGIN_FOREIGN,
    }
}

words! {
    Backing = MMG_TERM_BACKING;
    Reason = MMG_TERM_REASON;
    Promise = MMG_TERM_GUARANTEE;
    Means = MMG_TERM_MEANS;
    Shortfall = MMG_TERM_SHORTFALL;
    Lock = MMG_TERM_LOCK;
    Locking = MMG_TERM_LOCKING;
    GuardState = MMG_TERM_GUARD;
    Origin = MMG_TERM_ORIGIN;
}
