// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file or standard input, whichever the path says.

use std::io::{self, Read};
use std::path::Path;

use crate::{map_file, FileData};

/// What [`load`] takes from standard input at most: 1 GiB.
const DEFAULT_STDIN_MAX_BYTES: usize = 1 << 30;

/// What is read from a stream at a time.
const CHUNK_SIZE: usize = 8 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum LoadSource<'a> {
    Stdin,
    File(&'a Path),
}

fn resolve_source(path: &Path) -> LoadSource<'_> {
    // As a sequence of bytes: as a Path, "-/" and "-" may be the same.
    if path.as_os_str() == "-" {
        LoadSource::Stdin
    } else {
        LoadSource::File(path)
    }
}

/// Everything that a stream has, at most `max_bytes`.
fn read_bounded<R: Read>(reader: &mut R, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(max_bytes.map_or(CHUNK_SIZE, |most| most.min(CHUNK_SIZE)));
    let Some(most) = max_bytes else {
        reader.read_to_end(&mut bytes)?;
        return Ok(bytes);
    };
    reader.take(most as u64).read_to_end(&mut bytes)?;
    // One byte more tells too many from just enough.
    if bytes.len() == most && reader.take(1).read_to_end(&mut Vec::new())? > 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("input exceeded {most} bytes")));
    }
    Ok(bytes)
}

/// The bytes of a file, as [`map_file`]; or of standard input, up to 1 GiB, if the path is exactly `-`.
///
/// ```
/// // A program would take the path from its arguments.
/// let data = mmapguard_compat::load("Cargo.toml")?;
/// assert!(!data.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`map_file`], or as [`load_stdin`].
#[must_use = "the bytes go when this is dropped"]
pub fn load(path: impl AsRef<Path>) -> io::Result<FileData> {
    match resolve_source(path.as_ref()) {
        LoadSource::Stdin => load_stdin(Some(DEFAULT_STDIN_MAX_BYTES)),
        LoadSource::File(path) => map_file(path),
    }
}

/// All of standard input, at most `max_bytes`. It may be empty.
///
/// It is read through [`std::io::stdin`], so that bytes which that has taken in before are not left out.
///
/// # Errors
/// `InvalidData` if there are more than `max_bytes`; otherwise the system's.
#[must_use = "the bytes go when this is dropped"]
pub fn load_stdin(max_bytes: Option<usize>) -> io::Result<FileData> {
    read_bounded(&mut io::stdin().lock(), max_bytes).map(FileData::Loaded)
}
