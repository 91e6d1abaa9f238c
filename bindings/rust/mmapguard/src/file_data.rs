// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface of the mmap-guard crate, over stable regions.

use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use crate::{Error, Means, Options, Reason, Region, Result, Stable, Status};

/// The bytes of a file or of a stream: `Mapped` from a file, `Loaded` from standard input. Both are a `&[u8]`.
///
/// ```
/// let data = mmapguard::map_file("Cargo.toml").unwrap();
/// let bytes: &[u8] = &data;
/// assert!(bytes.starts_with(b"# SPDX"));
/// assert!(matches!(data, mmapguard::FileData::Mapped(..)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FileData {
    /// The bytes of a file. Match it as `Mapped(..)`.
    Mapped(Region<Stable>),
    /// Bytes read from a stream.
    Loaded(Vec<u8>),
}

impl Deref for FileData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FileData::Mapped(region) => region,
            FileData::Loaded(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for FileData {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Error numbers, the same on every Linux.
const ENODEV: i32 = 19;
const EISDIR: i32 = 21;

/// What [`load`] takes from standard input at most: 1 GiB.
const STDIN_LIMIT: usize = 1 << 30;

/// The bytes of a file that is not empty, mapped where they can be held as they are, else copied.
///
/// The file has to give a shared advisory lock at once. Files above 1 GiB have to be such that no copy is needed (a
/// lease, a reflink, a medium that nobody can write).
///
/// # Errors
///
/// | | [`io::ErrorKind`] |
/// |---|---|
/// | no such file; not allowed to read it | `NotFound`; `PermissionDenied` |
/// | empty, or of no size of its own (pipes, files of `/proc`) | `InvalidInput` |
/// | locked elsewhere | `WouldBlock` |
/// | a directory or anything else that cannot be mapped | that of the system's `ENODEV` |
/// | above 1 GiB, and only a copy could hold it | `Unsupported` |
/// | any other failure of the system | that of its error number |
#[must_use = "the bytes go when this is dropped"]
pub fn map_file(path: impl AsRef<Path>) -> io::Result<FileData> {
    let path = path.as_ref();
    let region = whole(path).map_err(|error| as_expected(error, path))?;
    let info = region.info()?;
    match info.backing_reason() {
        // The size is what counts there, not what could be read.
        Reason::STREAM | Reason::VIRTUAL => Err(sizeless(path)),
        _ => Ok(FileData::Mapped(region)),
    }
}

fn whole(path: &Path) -> Result<Region<Stable>> {
    let mut options = Options::new();
    options.reject_empty(true).require_lock(true);
    match options.open(path) {
        Err(error) if error.is_for_want_of_cap() => {
            // A lease can hold any size, as long as its snapshot may have any size. Nothing is copied unless it breaks.
            let region: Region<Stable> = options.max_snapshot_bytes(None).open(path)?;
            match region.info()?.means() {
                Means::SNAPSHOT | Means::PRIVATE_COPY => Err(error),
                _ => Ok(region),
            }
        }
        result => result,
    }
}

fn sizeless(path: &Path) -> io::Error {
    let why = format!("{}: a stream or a virtual file, empty by its size", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Where the system refused to open or map, the system's error itself; the path is the caller's to mention.
fn as_expected(error: Error, path: &Path) -> io::Error {
    match (error.status(), error.os_code()) {
        (Status::EMPTY, _) => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{}: the file is empty", path.display()))
        }
        (Status::WOULD_BLOCK, _) => error.into(),
        // A folder can be opened, and then not be mapped.
        (_, Some(EISDIR)) => io::Error::from_raw_os_error(ENODEV),
        (_, Some(code)) => io::Error::from_raw_os_error(code),
        _ => error.into(),
    }
}

/// The bytes of a file, as [`map_file`]; or of standard input, up to 1 GiB, if the path is exactly `-`.
///
/// ```
/// // A program would take the path from its arguments.
/// let data = mmapguard::load("Cargo.toml")?;
/// assert!(!data.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`map_file`], or as [`load_stdin`].
#[must_use = "the bytes go when this is dropped"]
pub fn load(path: impl AsRef<Path>) -> io::Result<FileData> {
    let path = path.as_ref();
    // As a sequence of bytes: as a Path, "-/" and "./-" may be the same.
    if path.as_os_str() == "-" {
        load_stdin(Some(STDIN_LIMIT))
    } else {
        map_file(path)
    }
}

/// All of standard input, at most `max_bytes`.
///
/// It is read through [`std::io::stdin`], so that bytes which that has taken in before are not left out.
///
/// # Errors
/// `InvalidData` if there are more than `max_bytes`; otherwise the system's.
#[must_use = "the bytes go when this is dropped"]
pub fn load_stdin(max_bytes: Option<usize>) -> io::Result<FileData> {
    let stdin = io::stdin();
    let mut bytes = Vec::new();
    match max_bytes {
        None => stdin.lock().read_to_end(&mut bytes)?,
        // One more than allowed tells too many from just enough.
        Some(most) => stdin.lock().take((most as u64).saturating_add(1)).read_to_end(&mut bytes)?,
    };
    match max_bytes {
        Some(most) if bytes.len() > most => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("standard input has more than {most} bytes"),
        )),
        _ => Ok(FileData::Loaded(bytes)),
    }
}
