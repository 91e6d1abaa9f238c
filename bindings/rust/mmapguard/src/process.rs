// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls for the whole process: the fault guard, the counters, and the library itself.

use std::os::raw::{c_int, c_void};

use mmapguard_sys as sys;

use crate::words::static_text;
use crate::{Error, Feature, GuardState, Result, Stats};

/// Returns the state of the fault guard for the calling thread.
///
/// ```
/// mmapguard::guard_install().unwrap();
/// assert_eq!(mmapguard::guard_state(), mmapguard::GuardState::TOP);
/// ```
#[must_use]
pub fn guard_state() -> GuardState {
    // SAFETY: the call has no arguments.
    GuardState(unsafe { sys::mmg_guard_state() })
}

/// Install the SIGBUS handler, or put it back on top of a handler that was installed since. The first mapping
/// does this automatically. The handler cannot be uninstalled.
///
/// # Errors
/// [`Status::GUARD`](crate::Status::GUARD) if the system refuses the handler, or `MMAPGUARD_NO_SIGNAL` is
/// set.
pub fn guard_install() -> Result<()> {
    // SAFETY: the call has no arguments. Its documentation says what it does to the process.
    match unsafe { sys::mmg_guard_install() } {
        sys::MMG_OK => Ok(()),
        status => Err(Error::plain(status, "SIGBUS", "sigaction")),
    }
}

/// Handle a fault in the SIGBUS handler of a host that stays on top. Call it first in that handler. Returns
/// true when a fault in a region was contained, so that the handler must return. Returns false when the fault
/// is not in a region.
///
/// # Safety
/// `siginfo` and `ucontext` are the `siginfo_t *` and `ucontext_t *` that the kernel gave to a handler with
/// `SA_SIGINFO`.
pub unsafe fn handle_fault(signo: c_int, siginfo: *mut c_void, ucontext: *mut c_void) -> bool {
    // SAFETY: the caller has made the same promise.
    unsafe { sys::mmg_handle_fault(signo, siginfo, ucontext) == 1 }
}

/// Returns the counters of the whole process.
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
    // SAFETY: `raw` is live and has its size set. Such a call cannot fail.
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

/// Returns the release of the C library, such as `"1.0.0"`.
#[must_use]
pub fn version() -> &'static str {
    // SAFETY: the call has no arguments.
    static_text(unsafe { sys::mmg_version() })
}

/// Returns true when the library has a feature on this system.
///
/// ```
/// assert!(mmapguard::supports(mmapguard::Feature::STABLE_COPY));
/// ```
#[must_use]
pub fn supports(feature: Feature) -> bool {
    // SAFETY: the call takes any number.
    unsafe { sys::mmg_supports(feature.0) == 1 }
}
