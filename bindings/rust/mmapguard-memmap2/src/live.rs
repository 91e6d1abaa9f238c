// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of living mappings. When the process ends, it reports losses in mappings that were never dropped
//! (kept in a `static`, leaked, or still alive at `process::exit`).

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::os::raw::c_int;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::loss;
use crate::mmap::Held;

/// The mappings, by the address of their `Held`, which is in a box and does not move.
static LIVE: Mutex<Option<Map>> = Mutex::new(None);

type Map = BTreeMap<usize, Shared>;

struct Shared(*const Held);

// SAFETY: any thread may use a `Held`, and it is removed from the map before it is dropped.
unsafe impl Send for Shared {}

/// The lock of the map, while its owner forks. A child has only the thread that forked, so without this a lock
/// that another thread held would never be released there, and dropping a mapping would wait for ever.
struct AcrossFork(UnsafeCell<Option<MutexGuard<'static, Option<Map>>>>);

// SAFETY: only a thread that has the lock uses the cell.
unsafe impl Sync for AcrossFork {}

static ACROSS_FORK: AcrossFork = AcrossFork(UnsafeCell::new(None));

extern "C" fn before_fork() {
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: this thread has the lock, and keeps it until after the fork.
    unsafe { *ACROSS_FORK.0.get() = Some(live) };
}

extern "C" fn after_fork() {
    // SAFETY: this thread has had the lock since before_fork(). The cell is empty before the lock is released.
    drop(unsafe { (*ACROSS_FORK.0.get()).take() });
}

extern "C" {
    fn pthread_atfork(
        before: extern "C" fn(),
        in_parent: extern "C" fn(),
        in_child: extern "C" fn(),
    ) -> c_int;
    fn atexit(function: extern "C" fn()) -> c_int;
    fn fflush(stream: *mut std::os::raw::c_void) -> c_int;
    fn _exit(status: c_int) -> !;
}

fn register() {
    static REGISTERED: Once = Once::new();

    // SAFETY: the functions have no arguments and do not unwind: the first catches panics, and the others have none.
    REGISTERED.call_once(|| unsafe {
        atexit(tell_losses);
        pthread_atfork(before_fork, after_fork, after_fork);
    });
}

pub(crate) fn add(held: &Held) {
    register();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    /// A fork copies the lock as it is at that moment. A child has no other thread that could release it.
    #[test]
    fn a_child_gets_the_lock_that_another_thread_of_its_parent_held() {
        super::register();
        let (held, is_held) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let _live = super::LIVE.lock().unwrap();
            held.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        });
        is_held.recv().unwrap();
        // SAFETY: the child calls no function that needs another thread, and ends by _exit(2).
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the call has no memory arguments. The alarm ends a child that waits for ever.
            unsafe { libc::alarm(20) };
            drop(super::LIVE.lock());
            // SAFETY: the call only ends the process.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: `status` is live.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child waited for ever");
        holder.join().unwrap();
    }
}
