// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what happens when bytes of a mapping were lost. With memmap2 the process dies of SIGBUS. Here it
//! reads zeros, so it must not go on as if the zeros were bytes of the file.

use std::env;
use std::io::{self, Write};
use std::os::raw::c_int;
use std::sync::atomic::{AtomicU8, Ordering};

use mmapguard::Error;

/// What happens after a loss, when the mapping is dropped or the process ends: see [`on_loss`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum OnLoss {
    /// A message on standard error, with the path and the offset, and exit status 74 (`EX_IOERR`). The default.
    Exit = 1,
    /// A panic with that message. In a thread that panics already, and at the end of the process, the same as
    /// `Exit`.
    Panic = 2,
    /// Only the message.
    Report = 3,
    /// Nothing. The program calls [`Mmap::check`](crate::Mmap::check) itself.
    Silent = 4,
}

/// The choice of the program. With 0, the environment variable decides when there is a loss.
static CHOICE: AtomicU8 = AtomicU8::new(0);

/// Choose what happens after a loss, for all mappings of the process. Without this call the environment
/// variable `MMAPGUARD_ON_LOSS` decides, with `exit`, `panic`, `report` or `silent`. The default is
/// [`OnLoss::Exit`].
///
/// ```
/// mmapguard_memmap2::on_loss(mmapguard_memmap2::OnLoss::Panic);
/// ```
pub fn on_loss(choice: OnLoss) {
    // Relaxed: the store publishes no other data.
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

fn chosen() -> OnLoss {
    match CHOICE.load(Ordering::Relaxed) {
        0 => match env::var_os("MMAPGUARD_ON_LOSS").as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("panic") => OnLoss::Panic,
            Some("report") => OnLoss::Report,
            Some("silent") => OnLoss::Silent,
            _ => OnLoss::Exit,
        },
        2 => OnLoss::Panic,
        3 => OnLoss::Report,
        4 => OnLoss::Silent,
        _ => OnLoss::Exit,
    }
}

/// The number of EX_IOERR in sysexits.h.
const EXIT_STATUS: i32 = 74;

/// Handles the loss of a mapping that is being dropped.
#[cold]
pub(crate) fn at_drop(error: &Error) {
    match chosen() {
        OnLoss::Silent => {}
        OnLoss::Panic if !std::thread::panicking() => panic!("{}", message(error)),
        OnLoss::Report => eprintln!("{}", message(error)),
        _ => {
            eprintln!("{}", message(error));
            end_process()
        }
    }
}

extern "C" {
    fn exit(status: c_int) -> !;
}

/// Ends the process with [`EXIT_STATUS`].
///
/// When the process ends, the C library drops what the main thread has in thread-local storage. A mapping there would call
/// `std::process::exit` while the process is in that function already, which aborts. `exit(3)` goes on with the rest of the
/// work, and takes the new status. What `std::process::exit` does before is to write what standard output has buffered.
fn end_process() -> ! {
    if !is_main_thread() {
        std::process::exit(EXIT_STATUS);
    }
    let _ = io::stdout().flush();
    // SAFETY: the call has no memory arguments, and the main thread may call it at any time.
    unsafe { exit(EXIT_STATUS) }
}

/// Returns true in the thread that the process began with. Its number is that of the process.
fn is_main_thread() -> bool {
    let Ok(name) = std::fs::read_link("/proc/thread-self") else { return false };
    let mut numbers = name.iter(); // PROCESS/task/THREAD
    numbers.next() == numbers.next_back()
}

/// Handles the loss of a mapping that was not dropped, when the process ends. Returns the exit status, if it
/// must change.
#[cold]
pub(crate) fn at_exit(error: &Error) -> Option<i32> {
    let choice = chosen();
    if choice != OnLoss::Silent {
        eprintln!("{}", message(error));
    }
    matches!(choice, OnLoss::Exit | OnLoss::Panic).then_some(EXIT_STATUS)
}

fn message(error: &Error) -> String {
    format!("mmapguard: bytes of a mapped file were lost and read as zeros: {error}")
}
