// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what happens when bytes of a mapping were lost. With memmap2 the process dies of SIGBUS. Here it
//! reads zeros, so it must not go on as if the zeros were bytes of the file.

use std::env;
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
            std::process::exit(EXIT_STATUS);
        }
    }
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
