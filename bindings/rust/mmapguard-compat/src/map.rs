// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps a file, with the errors of mmap-guard.

use std::fs;
use std::io;
use std::path::Path;

use mmapguard::{Contained, Error, Lock, Options, Pinned, Status};

use crate::{FileData, Mapping};

/// An error number, which is the same on every Linux.
const ENODEV: i32 = 19;

/// A file of at most so many bytes may be copied: 64 KiB. To map it takes longer than to read it.
const LARGEST_COPY: u64 = 64 << 10;

/// Map a file for reading, under a shared advisory lock that is held as long as the result lives. A file of at most 64 KiB
/// is copied under that lock, since that is faster; a larger one never is.
///
/// The call reads no byte to find out what the file is. So a pipe, a terminal or a device keeps all its bytes
/// for the next reader.
///
/// ```
/// let data = mmapguard_compat::map_file("Cargo.toml")?;
/// println!("{} bytes", data.len());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// | | [`io::ErrorKind`] |
/// |---|---|
/// | no such file; not allowed to read it | `NotFound`; `PermissionDenied` |
/// | empty, or of no size of its own: a pipe, a device, a file of `/proc` | `InvalidInput` |
/// | locked elsewhere | `WouldBlock` |
/// | a folder, or a file system that does not map | that of the system's `ENODEV` |
/// | any other failure of the system | that of its error number |
#[must_use = "the mapping and the lock go when this is dropped"]
pub fn map_file(path: impl AsRef<Path>) -> io::Result<FileData> {
    let path = path.as_ref();
    mapped(path)
        .map(|region| FileData::Mapped(Mapping::new(region)))
        .map_err(|error| as_expected(error, path))
}

fn mapped(path: &Path) -> Result<Pinned<Contained>, Error> {
    let mut options = Options::new();
    options
        .lock(Lock::SHARED)
        .require_lock(true)
        .reject_empty(true)
        .regular_only(true)
        .max_bytes(Some(LARGEST_COPY));
    match options.open_pinned(path) {
        // Where no SIGBUS handler can be installed (for example under a sanitizer), the library copies instead,
        // and this file is too large for that. A mapping is as unsafe as with mmap-guard.
        Err(error) if error.status() == Status::TOO_BIG => options.fault_guard(false).open_pinned(path),
        result => result,
    }
}

#[cold]
fn empty(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("file is empty: {}", path.display()))
}

/// Returns the system's error, without the path, where mmap-guard returns it.
#[cold]
fn as_expected(error: Error, path: &Path) -> io::Error {
    match (error.status(), error.os_code()) {
        (Status::WOULD_BLOCK, _) => error.into(),
        (_, Some(code)) => io::Error::from_raw_os_error(code),
        // The file is large, and its file system does not map files.
        (Status::TOO_BIG, None) => io::Error::from_raw_os_error(ENODEV),
        // The path is not a regular file. mmap-guard tries to map a folder whose size is not 0, which fails
        // with this error.
        (Status::NOT_MAPPABLE, None)
            if fs::metadata(path).map_or(false, |it| it.is_dir() && it.len() > 0) =>
        {
            io::Error::from_raw_os_error(ENODEV)
        }
        // The kernel makes the contents of a file of `/proc` up, and reports the size 0.
        (Status::EMPTY | Status::NOT_MAPPABLE | Status::UNSUPPORTED, None) => empty(path),
        _ => error.into(),
    }
}
