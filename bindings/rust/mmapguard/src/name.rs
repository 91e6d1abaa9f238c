// SPDX-License-Identifier: MIT OR Apache-2.0
//! The name of a region in errors: the path by which it was opened, the path of the file behind its
//! descriptor, or the name from the caller. The text is made only when a call has failed.

use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::fs;
use std::os::raw::c_char;
use std::path::PathBuf;

use crate::Info;

/// The origin of a region.
#[derive(Debug)]
pub enum Name {
    Path(CString),
    /// The name that [`Options::name`](crate::Options::name) has set.
    Given(String),
    /// A mapping that other code has made. The library names its file.
    Mapping,
    /// The number of the descriptor when the region was opened. The caller may have closed it since.
    Descriptor(i32),
}

impl Name {
    /// Returns the path for the library.
    #[inline]
    pub(crate) fn path(&self) -> *const c_char {
        match self {
            Name::Path(path) => path.as_ptr(),
            _ => b"\0".as_ptr().cast(),
        }
    }

    /// Returns the text of the name, while the caller's descriptor is still open.
    pub(crate) fn at_open(&self) -> String {
        match self {
            Name::Path(path) => quoted(path.as_bytes()),
            Name::Given(name) => quoted(name.as_bytes()),
            Name::Mapping => "a mapping".to_owned(),
            Name::Descriptor(number) => {
                described(fs::read_link(format!("/proc/self/fd/{number}")).ok(), *number)
            }
        }
    }

    /// Returns the text of the name later on. The file of a region that was opened by a descriptor is found
    /// by its inode among the open files.
    pub(crate) fn later(&self, info: Option<&Info>) -> String {
        match self {
            Name::Descriptor(number) => described(info.and_then(path_of), *number),
            Name::Mapping => {
                info.and_then(path_of).map_or_else(|| self.at_open(), |path| quoted(path_bytes(&path)))
            }
            _ => self.at_open(),
        }
    }
}

fn described(path: Option<PathBuf>, number: i32) -> String {
    path.map_or_else(|| format!("descriptor {number}"), |path| quoted(path_bytes(&path)))
}

/// Returns the path of a file that is open in this process. A mapped region has a descriptor, so its file is
/// open.
fn path_of(info: &Info) -> Option<PathBuf> {
    fs::read_dir("/proc/self/fd")
        .ok()?
        .flatten()
        .find(|entry| is_file(&entry.path(), info))
        .and_then(|entry| fs::read_link(entry.path()).ok())
}

#[cfg(unix)]
fn is_file(path: &std::path::Path, info: &Info) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(false, |file| file.dev() == info.device() && file.ino() == info.inode())
}

#[cfg(not(unix))]
fn is_file(_path: &std::path::Path, _info: &Info) -> bool {
    false
}

/// Converts a path for the C library, which takes the bytes of a path.
#[cfg(unix)]
pub(crate) fn path_bytes(path: &std::path::Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

#[cfg(not(unix))]
pub(crate) fn path_bytes(path: &std::path::Path) -> &[u8] {
    path.to_str().unwrap_or_default().as_bytes()
}

/// Returns a path with a NUL at its end, or `None` when it contains a NUL.
///
/// `CString::new` does the same in three times the instructions: it looks for the NUL without the help of the
/// processor's wide registers, which the `strlen` of the C library has.
#[inline]
pub(crate) fn terminated(path: &[u8]) -> Option<CString> {
    let mut bytes = Vec::with_capacity(path.len() + 1);
    bytes.extend_from_slice(path);
    bytes.push(0);
    // SAFETY: the bytes end with a NUL, and are not changed while the `CStr` lives.
    let first_nul = unsafe { CStr::from_ptr(bytes.as_ptr().cast()) }.to_bytes().len();
    // SAFETY: the last byte is the first NUL.
    (first_nul == path.len()).then(|| unsafe { CString::from_vec_with_nul_unchecked(bytes) })
}

/// Returns a path in quotes, with the rule of the C library's messages: control characters and bytes that are
/// not UTF-8 appear as `\xNN`.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('\'');
    let mut rest = bytes;
    while !rest.is_empty() {
        let (valid, broken) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, 0),
            // Escape one invalid byte at a time, as the C library does.
            Err(error) => (std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(), 1),
        };
        for character in valid.chars() {
            match character {
                '\0'..='\x1F' | '\x7F' => escape(&mut text, character as u8),
                _ => text.push(character),
            }
        }
        let after = &rest[valid.len()..];
        if broken == 1 {
            escape(&mut text, after[0]);
        }
        rest = &after[broken..];
    }
    text.push('\'');
    text
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::{quoted, terminated, Name};

    #[test]
    fn control_characters_and_broken_text_are_escaped() {
        assert_eq!(quoted(b"plain"), "'plain'");
        assert_eq!(quoted("Grüße 日本".as_bytes()), "'Grüße 日本'");
        assert_eq!(quoted(b"a\x1b[31m\n\x7f"), "'a\\x1B[31m\\x0A\\x7F'");
        assert_eq!(quoted(b"\xff\xfe-\xc3"), "'\\xFF\\xFE-\\xC3'");
        assert_eq!(quoted(b"\xe2\x82"), "'\\xE2\\x82'");
        assert_eq!(quoted(b""), "''");
    }

    #[test]
    fn a_path_with_a_nul_anywhere_is_none() {
        for path in [&b""[..], b"/", "Grüße/日本\n".as_bytes(), &[b'x'; 5000]] {
            assert_eq!(terminated(path).unwrap().to_bytes(), path);
        }
        for path in [&b"\0"[..], b"file\0", b"\0file", b"fi\0le", b"file\0\0"] {
            assert_eq!(terminated(path), None);
        }
    }

    #[test]
    fn what_is_unknown_is_called_by_its_number() {
        assert_eq!(Name::Descriptor(7).later(None), "descriptor 7");
        assert_eq!(Name::Given("a\tname".to_owned()).later(None), "'a\\x09name'");
    }
}
