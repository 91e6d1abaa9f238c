// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a file, or reads standard input, depending on the path.

use std::io::{self, Read};
use std::path::Path;

use crate::{map_file, FileData};

/// [`load`] reads at most so many bytes from standard input: 1 GiB.
const DEFAULT_STDIN_MAX_BYTES: usize = 1 << 30;

/// One read takes at most so many bytes from a stream.
const CHUNK_SIZE: usize = 8 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum LoadSource<'a> {
    Stdin,
    File(&'a Path),
}

fn resolve_source(path: &Path) -> LoadSource<'_> {
    // The bytes are compared, since "-/" and "-" may be equal as paths.
    if path.as_os_str() == "-" {
        LoadSource::Stdin
    } else {
        LoadSource::File(path)
    }
}

/// Reads a stream to its end, but at most `max_bytes`.
fn read_bounded<R: Read>(reader: &mut R, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(max_bytes.map_or(CHUNK_SIZE, |most| most.min(CHUNK_SIZE)));
    let Some(most) = max_bytes else {
        reader.read_to_end(&mut bytes)?;
        return Ok(bytes);
    };
    reader.take(most as u64).read_to_end(&mut bytes)?;
    // The limit is one byte larger, to find out whether there are more bytes than allowed.
    if bytes.len() == most && reader.take(1).read_to_end(&mut Vec::new())? > 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("input exceeded {most} bytes")));
    }
    Ok(bytes)
}

/// Maps a file as [`map_file`] does. If the path is exactly `-`, reads up to 1 GiB from standard input.
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

/// Reads standard input to its end, at most `max_bytes`. It may be empty.
///
/// The bytes come from [`std::io::stdin`], so bytes that it has buffered before are included.
///
/// # Errors
///
/// `InvalidData` if there are more bytes than `max_bytes`; otherwise the kind of the system's error.
#[must_use = "the bytes go when this is dropped"]
pub fn load_stdin(max_bytes: Option<usize>) -> io::Result<FileData> {
    read_bounded(&mut io::stdin().lock(), max_bytes).map(FileData::Loaded)
}
