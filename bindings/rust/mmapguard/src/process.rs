// SPDX-License-Identifier: MIT OR Apache-2.0
//! What concerns the whole process: the fault guard, the counters, the library itself.

use std::os::raw::{c_int, c_void};

use mmapguard_sys as sys;

use crate::words::static_text;
use crate::{Error, Feature, GuardState, Result, Stats};

/// Where the fault guard stands, as seen from the calling thread.
///
/// ```
/// mmapguard::guard_install().unwrap();
/// assert_eq!(mmapguard::guard_state(), mmapguard::GuardState::TOP);
/// ```
#[must_use]
pub fn guard_state() -> GuardState {
    // SAFETY: takes nothing.
    GuardState(unsafe { sys::mmg_guard_state() })
}

/// Put the SIGBUS handler on top, or back on top when another was installed since. The first mapping does this by
/// itself; there is no uninstall.
///
/// # Errors
/// [`Status::GUARD`](crate::Status::GUARD): refused by the system, or `MMAPGUARD_NO_SIGNAL` is set.
pub fn guard_install() -> Result<()> {
    // SAFETY: takes nothing; what it does to the process is what its documentation says.
    match unsafe { sys::mmg_guard_install() } {
        sys::MMG_OK => Ok(()),
        status => Err(Error::plain(status, "SIGBUS", "sigaction")),
    }
}

/// For hosts whose own SIGBUS handler stays on top: call it first thing in that handler. True: a fault in a region,
/// contained, so return from the handler; false: not ours.
///
/// # Safety
/// `siginfo` and `ucontext` are the `siginfo_t *` and `ucontext_t *` that the kernel gave to a handler with
/// `SA_SIGINFO`.
pub unsafe fn handle_fault(signo: c_int, siginfo: *mut c_void, ucontext: *mut c_void) -> bool {
    // SAFETY: the caller's promise is the one that the library asks for.
    unsafe { sys::mmg_handle_fault(signo, siginfo, ucontext) == 1 }
}

/// Counters of the whole process.
///
/// ```
/// use mmapguard::{Contained, Region};
///
/// let region = Region::<Contained>::open("Cargo.toml").unwrap();
/// assert!(mmapguard::stats().handles >= 1);
/// ```
#[must_use]
pub fn stats() -> Stats {
    let mut raw = sys::MMG_STATS_INIT;
    // SAFETY: `raw` is live and says its size. It cannot fail then.
    unsafe { sys::mmg_stats_get(&mut raw) };
    Stats {
        guard_state: GuardState(raw.guard_state),
        handles: raw.handles,
        opened: raw.opened,
        regions: raw.regions,
        mappings: raw.mappings,
        mapped_bytes: raw.mapped_bytes,
        heap_bytes: raw.heap_bytes,
        faults: raw.faults,
        foreign_faults: raw.foreign_faults,
        leases: raw.leases,
        leases_breaking: raw.leases_breaking,
        lease_breaks: raw.lease_breaks,
        lease_refusals: raw.lease_refusals,
        snapshots: raw.snapshots,
        snapshot_bytes: raw.snapshot_bytes,
        writer_wait_ns: raw.writer_wait_ns,
        writer_wait_max_ns: raw.writer_wait_max_ns,
    }
}

/// The release of the C library, such as `"1.0.0"`.
#[must_use]
pub fn version() -> &'static str {
    // SAFETY: takes nothing.
    static_text(unsafe { sys::mmg_version() })
}

/// Does the library have this on this system?
///
/// ```
/// assert!(mmapguard::supports(mmapguard::Feature::STABLE_COPY));
/// ```
#[must_use]
pub fn supports(feature: Feature) -> bool {
    // SAFETY: takes any number.
    unsafe { sys::mmg_supports(feature.0) == 1 }
}
