// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens when bytes of a mapping were lost. With memmap2 the process dies of SIGBUS at the byte; here it reads
//! zeros, so it must not go on as if these were the file's.

use std::env;
use std::sync::atomic::{AtomicU8, Ordering};

use mmapguard::Error;

/// What a loss leads to, at the latest when the mapping is dropped or the process ends: see [`on_loss`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum OnLoss {
    /// A message on standard error, with the path and the offset, and exit status 74 (`EX_IOERR`). The default.
    Exit = 1,
    /// A panic with that message. In a thread that panics already, and at the end of the process: as `Exit`.
    Panic = 2,
    /// The message only.
    Report = 3,
    /// Nothing: the program asks [`Mmap::check`](crate::Mmap::check) itself.
    Silent = 4,
}

/// 0: not chosen by the program, so the environment is asked, once there is a loss.
static CHOICE: AtomicU8 = AtomicU8::new(0);

/// Choose what a loss leads to, for all mappings of the process. Without this call it is what the environment variable
/// `MMAPGUARD_ON_LOSS` says, `exit`, `panic`, `report` or `silent`, and else [`OnLoss::Exit`].
///
/// ```
/// mmapguard_memmap2::on_loss(mmapguard_memmap2::OnLoss::Panic);
/// ```
pub fn on_loss(choice: OnLoss) {
    // Nothing else is published by it.
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

/// EX_IOERR of sysexits.h.
const EXIT_STATUS: i32 = 74;

/// A mapping is being dropped, and bytes of it were lost.
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

/// The process is ending, and bytes of a mapping that nobody has dropped were lost. The exit status to end with, if it
/// is to be another one.
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
