// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error of `map_if_safe`.

use std::fmt;
use std::io;

/// The reason why [`MmapOptions::map_if_safe`](crate::MmapOptions::map_if_safe) has failed: the bytes may
/// change, or they could not be mapped. It converts into [`io::Error`].
pub struct MapIfSafeError {
    error: io::Error,
    is_not_safe: bool,
}

impl MapIfSafeError {
    pub(crate) fn new(error: mmapguard::Error) -> MapIfSafeError {
        let is_not_safe = error.status() == mmapguard::Status::UNSTABLE;
        MapIfSafeError { error: error.into(), is_not_safe }
    }

    pub(crate) fn failed(error: io::Error) -> MapIfSafeError {
        MapIfSafeError { error, is_not_safe: false }
    }

    /// Returns false, since every platform of the library supports `map_if_safe`.
    #[must_use]
    pub fn not_supported(&self) -> bool {
        false
    }

    /// Returns true when the file can be mapped, but its bytes may change.
    #[must_use]
    pub fn not_safe(&self) -> bool {
        self.is_not_safe
    }

    /// Returns true when mapping failed.
    #[must_use]
    pub fn map_failed(&self) -> bool {
        !self.is_not_safe
    }
}

impl std::error::Error for MapIfSafeError {}

impl fmt::Display for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl From<MapIfSafeError> for io::Error {
    fn from(error: MapIfSafeError) -> io::Error {
        error.error
    }
}
