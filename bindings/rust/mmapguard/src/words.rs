// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vocabularies of the library: numbers with names. They are structs with constants and not enums, since
//! a later library may return a number that has no name here. The words come from the library.

use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_char;

use mmapguard_sys as sys;

/// Returns a static string of the library.
pub(crate) fn static_text(text: *const c_char) -> &'static str {
    // SAFETY: the argument is the result of mmg_status_name(), mmg_status_message(), mmg_term() or
    // mmg_version(), which is static, ends with a NUL, and is not NULL.
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

            /// Returns the number, for which `mmapguard-sys` has a constant.
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
                // SAFETY: the call takes any two numbers.
                f.write_str(static_text(unsafe { sys::mmg_term(sys::$vocabulary, self.0 as u32) }))
            }
        })*
    };
}

vocabulary! {
    /// The status of a call of the library. `Display` gives the library's phrase for it.
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
        /// A struct has a size that the library does not know.
        ABI_SIZE = MMG_E_ABI_SIZE,
        /// The library is older than this crate, and does not have what was asked for.
        ABI_NEWER = MMG_E_ABI_NEWER,
        /// No such file, or a dangling link.
        NOT_FOUND = MMG_E_NOT_FOUND,
        /// The file may not be read.
        PERMISSION = MMG_E_PERMISSION,
        /// The file is empty, and [`Options::reject_empty`](crate::Options::reject_empty) was set.
        EMPTY = MMG_E_EMPTY,
        /// A directory, a socket or something else without bytes to map.
        NOT_MAPPABLE = MMG_E_NOT_MAPPABLE,
        /// A lock is held elsewhere, or a FIFO has no writer.
        WOULD_BLOCK = MMG_E_WOULD_BLOCK,
        /// Larger than a limit, or than the address space.
        TOO_BIG = MMG_E_TOO_BIG,
        /// Out of descriptors, mappings or address space.
        LIMIT = MMG_E_LIMIT,
        /// Out of memory.
        NO_MEMORY = MMG_E_NO_MEMORY,
        /// [`Stable`](crate::Stable) was demanded, and is impossible or no longer holds.
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
        // SAFETY: the call takes any number.
        static_text(unsafe { sys::mmg_status_name(self.0) })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the call takes any number.
        f.write_str(static_text(unsafe { sys::mmg_status_message(self.0) }))
    }
}

vocabulary! {
    /// What holds the bytes of a region.
    Backing(u32) {
        /// Copy small files and files that cannot be mapped, and map other files. For
        /// [`Options`](crate::Options) only.
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
        /// The region is empty.
        EMPTY = MMG_REASON_EMPTY,
        /// Copied: a pipe, socket, terminal or other stream.
        STREAM = MMG_REASON_STREAM,
        /// Copied: the size that the file system reports is not that of the contents.
        VIRTUAL = MMG_REASON_VIRTUAL,
        /// Copied: the file system refused both kinds of mapping.
        MAP_REFUSED = MMG_REASON_MAP_REFUSED,
        /// Mapped privately: the file system refused a shared mapping.
        MAP_PRIVATE = MMG_REASON_MAP_PRIVATE,
        /// [`Stable`](crate::Stable) was demanded, and this backing upholds it.
        STABLE = MMG_REASON_STABLE,
        /// Copied: the fault guard could not be installed.
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
    /// What upholds a guarantee.
    Means(u32) {
        /// There is no guarantee.
        NONE = MMG_MEANS_NONE,
        /// Contained: the SIGBUS guard.
        FAULT_GUARD = MMG_MEANS_FAULT_GUARD,
        /// Stable: a copy in memory.
        PRIVATE_COPY = MMG_MEANS_PRIVATE_COPY,
        /// Stable: a memfd sealed against shrinking and writing.
        SEALED = MMG_MEANS_SEALED,
        /// Stable: a medium that no process can write to.
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
        /// The region is stable.
        NONE = MMG_SHORT_NONE,
        /// Stable was not asked for, and is not free for this file.
        NOT_ASKED = MMG_SHORT_NOT_ASKED,
        /// Even the fault guard is off, by [`Options::fault_guard`](crate::Options::fault_guard).
        GUARD_OFF = MMG_SHORT_GUARD_OFF,
        /// Even the fault guard is off, by `MMAPGUARD_NO_SIGNAL` in the environment.
        ENVIRONMENT = MMG_SHORT_ENVIRONMENT,
        /// A lease broke, and the window is larger than the cap for snapshots.
        CAP = MMG_SHORT_CAP,
        /// A lease broke, and the kernel's time ran out.
        TIME = MMG_SHORT_TIME,
        /// A lease broke, and there was no room for the bytes, or the owner of an adopted mapping had changed it.
        SPACE = MMG_SHORT_SPACE,
        /// A lease broke, and the bytes could not be read.
        READ = MMG_SHORT_READ,
        /// The lease belongs to the parent process.
        FORKED = MMG_SHORT_FORKED,
        /// Bytes were lost.
        LOST = MMG_SHORT_LOST,
    }
}

vocabulary! {
    /// The advisory lock that is taken before a file is mapped.
    Lock(u32) {
        /// [`Lock::SHARED`] where a lock is advisory, local and cannot hang; elsewhere none. For
        /// [`Options`](crate::Options) only.
        AUTO = MMG_LOCK_AUTO,
        /// A shared lock of `flock(2)`, which all users of flock respect.
        SHARED = MMG_LOCK_SHARED,
        /// An open file description lock for reading, which users of POSIX locks respect.
        OFD = MMG_LOCK_OFD,
        /// No lock.
        NONE = MMG_LOCK_NONE,
    }
}

vocabulary! {
    /// Why a region has its lock, or has no lock.
    Locking(u32) {
        /// A lock is held.
        HELD = MMG_LOCKING_HELD,
        /// No lock was asked for, or `MMAPGUARD_LOCK=none` is in the environment.
        ASKED = MMG_LOCKING_ASKED,
        /// The bytes do not come from a file, or no longer do.
        NO_NEED = MMG_LOCKING_NO_NEED,
        /// A lock here would be mandatory, so that writers fail.
        MANDATORY = MMG_LOCKING_MANDATORY,
        /// A lock here could hang.
        COULD_HANG = MMG_LOCKING_COULD_HANG,
        /// Another machine keeps locks here.
        NOT_LOCAL = MMG_LOCKING_NOT_LOCAL,
        /// The file system has no such lock.
        MISSING = MMG_LOCKING_MISSING,
        /// The file could not be opened again, and a lock on the descriptor would be the caller's.
        NOT_OURS = MMG_LOCKING_NOT_OURS,
    }
}

vocabulary! {
    /// The state of the fault guard.
    GuardState(i32) {
        /// Not installed, since no region has needed it yet.
        NONE = MMG_GUARD_NONE,
        /// Installed, and the first to see a SIGBUS.
        TOP = MMG_GUARD_TOP,
        /// Installed, but another handler was installed on top of it since.
        DISPLACED = MMG_GUARD_DISPLACED,
        /// The system has refused the handler.
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
        /// No special pattern.
        NORMAL = MMG_ADVICE_NORMAL,
        /// Read ahead more, drop behind.
        SEQUENTIAL = MMG_ADVICE_SEQUENTIAL,
        /// Do not read ahead.
        RANDOM = MMG_ADVICE_RANDOM,
        /// Start to read the pages now, without waiting.
        WILLNEED = MMG_ADVICE_WILLNEED,
        /// Use huge pages where the kernel can.
        HUGEPAGE = MMG_ADVICE_HUGEPAGE,
        /// Drop the pages from this process; they are read again when touched.
        DONTNEED = MMG_ADVICE_DONTNEED,
        /// Read the pages now, and wait.
        POPULATE = MMG_ADVICE_POPULATE,
        /// Drop the pages from this process, and from the page cache unless others map them.
        EVICT = MMG_ADVICE_EVICT,
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
        /// Export through the Arrow C Data Interface, for which only `mmapguard-sys` has calls.
        ARROW = MMG_FEATURE_ARROW,
        /// [`guard_process`](crate::guard_process).
        FOREIGN = MMG_FEATURE_FOREIGN,
        /// The kernel can describe one mapping by one call (Linux 6.11), so that the cost of a fault does not
        /// grow with the number of mappings.
        FOREIGN_QUERY = MMG_FEATURE_FOREIGN_QUERY,
    }
}

vocabulary! {
    /// Who made a mapping that lost bytes: see [`Loss::origin`](crate::Loss::origin).
    Origin(u32) {
        /// This library: a region that was opened.
        OWN = MMG_ORIGIN_OWN,
        /// Other code, and the mapping was adopted.
        ADOPTED = MMG_ORIGIN_ADOPTED,
        /// Other code of this process: see [`guard_process`](crate::guard_process).
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
