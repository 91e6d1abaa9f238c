// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error of a failed call, and its conversion to `std::io::Error`.

use std::fmt::{self, Write};
use std::io;
use std::os::raw::c_char;

use mmapguard_sys as sys;

use crate::name::Name;
use crate::Status;

/// The result of every call here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: the library's status, the system's error number if there is one, the operation that has failed,
/// and a sentence that names the path.
///
/// ```
/// use mmapguard::{Contained, Region, Status};
///
/// let error = Region::<Contained>::open("no/such/file").unwrap_err();
/// assert_eq!(error.status(), Status::NOT_FOUND);
/// assert_eq!(error.os_code(), Some(2));
/// assert_eq!(error.operation(), "open");
/// assert!(error.to_string().contains("no/such/file"));
/// ```
///
/// It converts into [`std::io::Error`], so `?` works in functions that return [`std::io::Result`]. The kind is that of
/// the system's error number; where the library itself refused, it is
///
/// | status | [`io::ErrorKind`] |
/// |---|---|
/// | `NOT_FOUND`, `PERMISSION`, `WOULD_BLOCK` | the kind of that name |
/// | `ARGUMENT`, `HANDLE`, `RANGE`, `EMPTY` | `InvalidInput` |
/// | `TOO_BIG` | `InvalidData` |
/// | `TRUNCATED` | `UnexpectedEof` |
/// | `NO_MEMORY`, `LIMIT` | `OutOfMemory` |
/// | `NOT_MAPPABLE`, `UNSTABLE`, `UNSUPPORTED`, `GUARD` | `Unsupported` |
/// | any other | `Other` |
///
/// and the error itself is inside:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::io;
/// use mmapguard::{Contained, Error, Region};
///
/// fn read(path: &str) -> io::Result<Vec<u8>> {
///     Ok(Region::<Contained>::open(path)?.read_to_vec(0, 16)?)
/// }
/// let error = read("no/such/file").unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// let inside = error.get_ref().and_then(|e| e.downcast_ref::<Error>()).unwrap();
/// assert_eq!(inside.status().name(), "MMG_E_NOT_FOUND");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

/// The contents of an error. They are in a box, so that a `Result` is not larger than its `Ok` value needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    status: Status,
    os_code: i32,
    offset: Option<u64>,
    operation: String,
    message: String,
}

/// Returns the text in an array, up to its NUL.
pub(crate) fn text(array: &[c_char]) -> String {
    let bytes: Vec<u8> = array.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Error {
    /// Makes an error from what a call that opens has filled in. In the message the library names a
    /// descriptor by its number. This function puts the caller's name for it, or the path of its file, in
    /// place of the number.
    #[cold]
    pub(crate) fn told(status: sys::mmg_status, details: &sys::mmg_error, name: &Name) -> Error {
        let operation = text(&details.operation);
        let mut message = text(&details.message);
        if !matches!(name, Name::Path(_) | Name::Mapping) {
            let subject = message.find(&format!(": {operation}: ")).unwrap_or(0);
            message.replace_range(..subject, &name.at_open());
        }
        // For a loss, the offset 0 is a real offset. For any other error it means that there is no offset.
        let offset = Some(details.offset).filter(|&offset| offset != 0 || is_loss(status));
        Error(Box::new(Details {
            status: Status(status),
            os_code: details.os_code,
            offset,
            operation,
            message,
        }))
    }

    /// Makes an error from the status of a call that returns nothing else.
    #[cold]
    pub(crate) fn plain(status: sys::mmg_status, name: &str, operation: &str) -> Error {
        Error::refused(Status(status), name, operation, &Status(status).to_string())
    }

    /// `name` is ready for the message: a path is in quotes already.
    #[cold]
    pub(crate) fn refused(status: Status, name: &str, operation: &str, why: &str) -> Error {
        let message = format!("{name}: {operation}: {why}");
        Error(Box::new(Details {
            status,
            os_code: 0,
            offset: None,
            operation: operation.to_owned(),
            message,
        }))
    }

    /// Adds the offset from which bytes are lost.
    #[cold]
    pub(crate) fn at(mut self, offset: u64) -> Error {
        // Writing to a String cannot fail.
        let _ = write!(self.0.message, ", from byte {offset} on");
        self.0.offset = Some(offset);
        self
    }

    /// Returns the status of the library.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Returns the error number of the system (errno), or `None` when the library itself refused.
    #[must_use]
    pub fn os_code(&self) -> Option<i32> {
        Some(self.0.os_code).filter(|&code| code != 0)
    }

    /// Returns the operation that has failed, such as `"open"` or `"flock"`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Returns the offset of the first lost byte, if bytes were lost.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Returns the kind of the [`std::io::Error`] into which the error converts.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        if let Some(code) = self.os_code() {
            return io::Error::from_raw_os_error(code).kind();
        }
        match self.0.status {
            Status::NOT_FOUND => io::ErrorKind::NotFound,
            Status::PERMISSION => io::ErrorKind::PermissionDenied,
            Status::WOULD_BLOCK => io::ErrorKind::WouldBlock,
            Status::ARGUMENT | Status::HANDLE | Status::RANGE | Status::EMPTY => io::ErrorKind::InvalidInput,
            Status::TOO_BIG => io::ErrorKind::InvalidData,
            Status::TRUNCATED => io::ErrorKind::UnexpectedEof,
            Status::NO_MEMORY | Status::LIMIT => io::ErrorKind::OutOfMemory,
            Status::NOT_MAPPABLE | Status::UNSTABLE | Status::UNSUPPORTED | Status::GUARD => {
                io::ErrorKind::Unsupported
            }
            _ => io::ErrorKind::Other,
        }
    }
}

/// Returns true for a status about bytes, which comes with an offset.
pub(crate) fn is_loss(status: sys::mmg_status) -> bool {
    matches!(status, sys::MMG_E_TRUNCATED | sys::MMG_E_IO | sys::MMG_E_POISONED | sys::MMG_E_UNSTABLE)
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { status, os_code, offset, operation, message } = &*self.0;
        f.debug_struct("Error")
            .field("status", status)
            .field("os_code", os_code)
            .field("offset", offset)
            .field("operation", operation)
            .field("message", message)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
