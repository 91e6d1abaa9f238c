// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guarantees: what each one requests from the library, and which regions it accepts.

use std::fs;
use std::path::{Path, PathBuf};

use mmapguard_sys as sys;

use crate::handle::{Handle, Summary};
use crate::name::Name;
use crate::options::DEFAULT_SNAPSHOT;
use crate::{guard_state, Backing, Error, GuardState, Means, Promise, Result, Status};

/// The guarantee of a region: *the bytes do not change and do not vanish*, whoever writes to the file. So a
/// `Region<Stable>` dereferences to a `&[u8]`.
///
/// The bytes are a copy in memory, a sealed memfd, or on a disk that no process can write to. Neither
/// another process nor this one can take them away. An image that is mounted through a loop device is a file
/// that its owner can change, so its files are copied. A lease could be taken away, so none is used; see
/// [`Leased`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stable {}

/// The guarantee of a region: *the bytes do not change until the lease is taken away, and every read reports
/// that*. A lease costs nothing until another process writes. The bytes may also be held as those of
/// [`Stable`].
///
/// A lease is lost when the process is stopped for too long, by an `open(2)` with `O_RDONLY` and `O_TRUNC`,
/// in a child after `fork(2)`, and when the disk is full. Safe code can cause all of these, so there is no
/// safe slice: reads return a [`Result`], and [`Pinned::as_slice`](crate::Pinned::as_slice) is `unsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leased {}

/// The guarantee of a region: *nothing that happens to the file kills the process*, and losses are reported.
/// But bytes may change, so there is no `&[u8]`, and every read returns a [`Result`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contained {}

/// Implemented by [`Stable`], [`Leased`] and [`Contained`] only.
pub trait Guarantee: private::Sealed {}

impl Guarantee for Stable {}
impl Guarantee for Leased {}
impl Guarantee for Contained {}

/// A function that opens the file of that name once more with other options, and returns the number of its handle.
type Again<'a> = &'a dyn Fn(&Name, &sys::mmg_options) -> Result<sys::mmg_handle>;

mod private {
    use mmapguard_sys as sys;

    use super::{Again, Error, Handle, Name, Result};

    pub trait Sealed: Sized {
        /// The guarantee that is requested from the library.
        const DEMAND: u32;
        /// The flags for the request.
        const FLAGS: u64 = 0;
        /// True when the region has a pin for its whole life. Only a region that dereferences needs such a
        /// pin, which makes other pins slower.
        const PINS: bool = false;

        /// Returns the value of `max_snapshot_bytes` for the first attempt.
        #[inline]
        fn most_at_first(options: &sys::mmg_options) -> u64 {
            options.max_snapshot_bytes
        }

        /// Returns the handle, if it has the guarantee; otherwise another handle that has it, or an error.
        /// `options` are those of the caller.
        fn accept(handle: Handle, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle>;

        /// Returns what follows when the first attempt has failed: another handle, or an error.
        #[inline]
        fn refused(
            error: Error,
            _name: Name,
            _options: &sys::mmg_options,
            _again: Again<'_>,
        ) -> Result<Handle> {
            Err(error)
        }
    }
}

impl private::Sealed for Contained {
    const DEMAND: u32 = sys::MMG_GUARANTEE_CONTAINED;

    #[inline]
    fn accept(handle: Handle, _: &sys::mmg_options, _: Again<'_>) -> Result<Handle> {
        Ok(handle)
    }
}

impl private::Sealed for Leased {
    const DEMAND: u32 = sys::MMG_GUARANTEE_STABLE;

    fn accept(handle: Handle, options: &sys::mmg_options, _: Again<'_>) -> Result<Handle> {
        let summary = handle.summary()?;
        if summary.guarantee != Promise::STABLE {
            let why = format!("not stable: {}", handle.info()?.shortfall());
            return Err(unstable(&handle.called(), &why));
        }
        // When the lease breaks, only max_snapshot_bytes are secured, and the other bytes would change.
        if summary.means == Means::LEASE && summary.size > cap(options) {
            return Err(unstable(
                &handle.called(),
                "only a lease is possible, and there are more bytes than max_snapshot_bytes",
            ));
        }
        Ok(handle)
    }
}

impl private::Sealed for Stable {
    const DEMAND: u32 = sys::MMG_GUARANTEE_STABLE;
    const FLAGS: u64 = sys::MMG_FLAG_NO_LEASE;
    const PINS: bool = true;

    /// The library would make a snapshot in a file where that is better than a copy in memory. No slice may rest on
    /// such a file, so none is made.
    #[inline]
    fn most_at_first(options: &sys::mmg_options) -> u64 {
        match options.backing {
            sys::MMG_BACKING_MAP => 1,
            _ => cap(options).min(COPIED_AT_FIRST),
        }
    }

    fn accept(mut handle: Handle, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle> {
        if cannot_change(&handle.summary()?) {
            return Ok(handle);
        }
        let name = handle.take_name();
        drop(handle);
        copied(name, options, again)
    }

    #[cold]
    fn refused(error: Error, name: Name, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle> {
        match error.status() {
            // For these, the library would have copied if it had been allowed to.
            Status::UNSTABLE | Status::LIMIT | Status::GUARD
                if options.backing == sys::MMG_BACKING_MAP || cap(options) > COPIED_AT_FIRST =>
            {
                copied(name, options, again)
            }
            _ => Err(error),
        }
    }
}

/// Up to this size the library prefers a copy in memory to a snapshot in a file: 32 MiB.
const COPIED_AT_FIRST: u64 = 32 << 20;

/// Opens a file as a copy in memory.
#[cold]
fn copied(name: Name, options: &sys::mmg_options, again: Again<'_>) -> Result<Handle> {
    if options.backing == sys::MMG_BACKING_MAP {
        return Err(unstable(&name.at_open(), "only a copy is possible, and a mapping was asked for"));
    }
    let demand = sys::mmg_options {
        guarantee: <Stable as private::Sealed>::DEMAND,
        flags: options.flags | <Stable as private::Sealed>::FLAGS,
        backing: sys::MMG_BACKING_COPY,
        max_bytes: cap(options),
        ..*options
    };
    let number = match again(&name, &demand) {
        Ok(number) => number,
        Err(error) if error.status() == Status::TOO_BIG => {
            let why = "only a copy is possible, and there are more bytes than max_snapshot_bytes";
            return Err(unstable(&name.at_open(), why));
        }
        Err(error) => return Err(error),
    };
    let copy = Handle::adopt(number, name);
    if cannot_change(&copy.summary()?) {
        Ok(copy)
    } else {
        Err(unstable(&copy.called(), "a copy was asked for, and it may change"))
    }
}

fn cap(options: &sys::mmg_options) -> u64 {
    match options.max_snapshot_bytes {
        0 => DEFAULT_SNAPSHOT,
        bytes => bytes,
    }
}

#[cold]
fn unstable(name: &str, why: &str) -> Error {
    Error::refused(Status::UNSTABLE, name, "stable", why)
}

/// Returns true when no safe code, in this process or another, can change these bytes or take them away, and
/// when reading them cannot kill the process. The soundness of a slice depends on this function.
///
/// A lease can be lost. A snapshot or a reflink is a file without a name, and a process that may open
/// `/proc/PID/fd` may write to it. A read-only medium may still fail to deliver a page, which raises SIGBUS,
/// so the guard must be in place; and it may be an image in a file that somebody can write to. A sealed memfd
/// cannot shrink, and a copy is memory.
pub(crate) fn cannot_change(summary: &Summary) -> bool {
    match summary.means {
        _ if summary.guarantee != Promise::STABLE => false,
        Means::PRIVATE_COPY => summary.backing == Backing::COPY,
        Means::SEALED => true,
        Means::READ_ONLY_MEDIUM => {
            guard_state() == GuardState::TOP && is_hardware(&device_folder(summary.device), 0)
        }
        _ => false,
    }
}

/// The kernel stacks block devices at most so deep in practice.
const MOST_LAYERS: u32 = 8;

/// Returns the folder in sysfs of a block device.
fn device_folder(device: u64) -> PathBuf {
    // This is how glibc and musl pack the two numbers.
    let major = (device >> 8) & 0xfff | (device >> 32) & !0xfff;
    let minor = device & 0xff | (device >> 12) & !0xff;
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

/// Returns true when the bytes of a block device are those of hardware. A loop device and its like have the
/// bytes of a file or of a program, which the owner of these can change. Device mapper rests on other devices.
fn is_hardware(folder: &Path, layer: u32) -> bool {
    let Ok(place) = fs::canonicalize(folder) else { return false };
    if !place.starts_with("/sys/devices/virtual") {
        return place.starts_with("/sys/devices");
    }
    let below = fs::read_dir(place.join("slaves")).map_or(Vec::new(), |entries| entries.flatten().collect());
    layer < MOST_LAYERS
        && !below.is_empty()
        && below.iter().all(|entry| is_hardware(&entry.path(), layer + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_hardware_and_a_loop_device_is_not() {
        let Ok(devices) = fs::read_dir("/sys/dev/block") else { return };
        for device in devices.flatten() {
            let place = fs::canonicalize(device.path()).unwrap();
            let text = place.to_string_lossy().into_owned();
            let expected = !text.contains("/virtual/");
            if expected || text.contains("/loop") || text.contains("/ram") {
                assert_eq!(is_hardware(&device.path(), 0), expected, "{text}");
            }
        }
        assert!(!is_hardware(&device_folder(0), 0)); // such as a file system without a device
        assert_eq!(device_folder(0xfff02), PathBuf::from("/sys/dev/block/4095:2"));
        assert_eq!(device_folder(0x1234_5678), PathBuf::from("/sys/dev/block/1110:74616"));
    }
}
