// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of living mappings. When the process ends, it reports losses in mappings that were never dropped
//! (kept in a `static`, leaked, or still alive at `process::exit`).

use std::collections::BTreeMap;
use std::os::raw::c_int;
use std::sync::{Mutex, Once, PoisonError};

use crate::loss;
use crate::mmap::Held;

/// The mappings, by the address of their `Held`, which is in a box and does not move.
static LIVE: Mutex<Option<BTreeMap<usize, Shared>>> = Mutex::new(None);

struct Shared(*const Held);

// SAFETY: any thread may use a `Held`, and it is removed from the map before it is dropped.
unsafe impl Send for Shared {}

extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
    fn fflush(stream: *mut std::os::raw::c_void) -> c_int;
    fn _exit(status: c_int) -> !;
}

pub(crate) fn add(held: &Held) {
    static AT_EXIT: Once = Once::new();

    // SAFETY: the function has no arguments, and does not unwind, since it catches panics.
    AT_EXIT.call_once(|| unsafe {
        atexit(tell_losses);
    });
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.get_or_insert_with(BTreeMap::new).insert(held as *const Held as usize, Shared(held));
}

pub(crate) fn remove(held: &Held) {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.as_mut().and_then(|live| live.remove(&(held as *const Held as usize)));
}

extern "C" fn tell_losses() {
    // Another thread may hold the lock for ever, since threads go on while the process ends.
    let Ok(live) = LIVE.try_lock() else { return };
    let told = std::panic::catch_unwind(|| {
        let mut status = None;
        for held in live.iter().flat_map(BTreeMap::values) {
            // SAFETY: a `Held` is removed from the map before it is dropped, and this code has the lock of
            // the map.
            if let Err(error) = unsafe { &*held.0 }.lost() {
                status = loss::at_exit(&error).or(status);
            }
        }
        status
    });
    if let Ok(Some(status)) = told {
        // SAFETY: NULL stands for all streams. The call writes what C code has buffered, as exit(3) would.
        unsafe {
            fflush(std::ptr::null_mut());
            _exit(status)
        }
    }
}
