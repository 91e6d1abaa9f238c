// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mappings that are alive, so that a loss in one that is never dropped (kept in a `static`, leaked, left behind by
//! `process::exit`) is told when the process ends.

use std::collections::BTreeMap;
use std::os::raw::c_int;
use std::sync::{Mutex, Once, PoisonError};

use crate::loss;
use crate::mmap::Held;

/// By the address of what is held, which is in a box and stays where it is.
static LIVE: Mutex<Option<BTreeMap<usize, Shared>>> = Mutex::new(None);

struct Shared(*const Held);

// SAFETY: what it points to may be asked from every thread, and is taken out of the map before it goes.
unsafe impl Send for Shared {}

extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
    fn fflush(stream: *mut std::os::raw::c_void) -> c_int;
    fn _exit(status: c_int) -> !;
}

pub(crate) fn add(held: &Held) {
    static AT_EXIT: Once = Once::new();

    // SAFETY: the function takes nothing and does not unwind: what may panic in it is caught.
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
    // A thread may hold the lock for good, since others go on while the process ends.
    let Ok(live) = LIVE.try_lock() else { return };
    let told = std::panic::catch_unwind(|| {
        let mut status = None;
        for held in live.iter().flat_map(BTreeMap::values) {
            // SAFETY: it is taken out of the map, under the lock that is held here, before it goes.
            if let Err(error) = unsafe { &*held.0 }.lost() {
                status = loss::at_exit(&error).or(status);
            }
        }
        status
    });
    if let Ok(Some(status)) = told {
        // SAFETY: NULL is all streams; what C code has buffered is written first, as exit(3) would.
        unsafe {
            fflush(std::ptr::null_mut());
            _exit(status)
        }
    }
}
