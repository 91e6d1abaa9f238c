// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options for opening, and the calls that open.

#[cfg(unix)]
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::name::{path_bytes, quoted, terminated, Name};
#[cfg(unix)]
use crate::opening::ByDescriptor;
use crate::opening::ByPath;
use crate::{Adopted, Advice, Backing, Contained, Error, Guarantee, Lock, Pinned, Region, Result, Status};

/// A builder for the options of opening. Each option has a default; [`Region::open`] opens with all defaults.
///
/// ```
/// use mmapguard::{Advice, Backing, Contained, Options, Stable};
///
/// # fn main() -> mmapguard::Result<()> {
/// let log = Options::new()
///     .backing(Backing::MAP)
///     .access(Advice::SEQUENTIAL)
///     .window(4, 16)
///     .open::<Contained>("Cargo.toml")?;
/// assert_eq!(log.size(), 16);
///
/// let index = Options::new().reject_empty(true).open::<Stable>("Cargo.toml")?;
/// assert_eq!(index[0], b'#');
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until something is opened with them"]
pub struct Options {
    pub(crate) raw: sys::mmg_options,
    name: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// Converts a cap for the library, for which 0 means the default.
#[inline]
fn cap(bytes: Option<u64>) -> u64 {
    bytes.map_or(sys::MMG_NO_LIMIT, |bytes| bytes.max(1))
}

/// Converts a wait to milliseconds. It is rounded up, so that a short wait does not become 0, and never
/// becomes the number for "no limit".
fn milliseconds(wait: Duration) -> u32 {
    let ms = (wait.as_nanos() + 999_999) / 1_000_000;
    ms.min(u128::from(sys::MMG_WAIT_FOREVER - 1)) as u32
}

/// The default of `max_snapshot_bytes`.
pub(crate) const DEFAULT_SNAPSHOT: u64 = 1 << 30;

impl Options {
    /// Returns options with all defaults.
    pub const fn new() -> Options {
        Options { raw: sys::MMG_OPTIONS_INIT, name: None }
    }

    /// Choose what holds the bytes. Default: [`Backing::AUTO`].
    #[inline]
    pub fn backing(&mut self, backing: Backing) -> &mut Options {
        self.raw.backing = backing.0;
        self
    }

    /// Choose the advisory lock to take first. Default: [`Lock::AUTO`].
    #[inline]
    pub fn lock(&mut self, lock: Lock) -> &mut Options {
        self.raw.lock = lock.0;
        self
    }

    /// Choose how long to wait for the lock; `None` means without a limit. Default: do not wait.
    #[inline]
    pub fn lock_wait(&mut self, wait: Option<Duration>) -> &mut Options {
        self.raw.lock_wait_ms = wait.map_or(sys::MMG_WAIT_FOREVER, milliseconds);
        self
    }

    /// Fail when the lock cannot be taken, and do not return an unlocked region: a copy keeps its lock, too, and
    /// a descriptor. With [`Lock::AUTO`], lock on every file system. No lock holds what the kernel makes up, so a
    /// file of `/proc` or `/sys` that cannot be mapped is refused and not read. Default: no.
    #[inline]
    pub fn require_lock(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REQUIRE_LOCK, yes)
    }

    /// Tell how the region will be read. The values up to [`Advice::HUGEPAGE`] are allowed. Default:
    /// [`Advice::NORMAL`].
    #[inline]
    pub fn access(&mut self, advice: Advice) -> &mut Options {
        self.raw.access = advice.0;
        self
    }

    /// Fail with [`Status::EMPTY`] when the file is empty. Default: no, an empty file becomes an empty
    /// region.
    #[inline]
    pub fn reject_empty(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REJECT_EMPTY, yes)
    }

    /// Follow a symbolic link as the last component of the path. Default: yes.
    #[inline]
    pub fn follow(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NOFOLLOW, !yes)
    }

    /// Refuse everything that is not a regular file with [`Status::NOT_MAPPABLE`], so that the call never
    /// reads a FIFO or a device or waits for it. Default: no.
    #[inline]
    pub fn regular_only(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REGULAR_ONLY, yes)
    }

    /// Refuse a file that any process has open for writing at this moment with [`Status::WOULD_BLOCK`]. Where
    /// the kernel cannot tell, refuse it with [`Status::UNSUPPORTED`]. Default: no.
    #[inline]
    pub fn no_writers(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NO_WRITERS, yes)
    }

    /// Refuse a mapping with [`Status::GUARD`] when the fault guard cannot watch it. Default: no;
    /// [`Region::info`] shows whether the guard watches it.
    #[inline]
    pub fn require_guard(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REQUIRE_GUARD, yes)
    }

    /// Limit the time until a stream ends. When the stream takes longer, opening fails with
    /// [`Status::WOULD_BLOCK`]. `None`, which is the default, means without a limit.
    #[inline]
    pub fn stream_wait(&mut self, wait: Option<Duration>) -> &mut Options {
        self.raw.stream_wait_ms = wait.map_or(0, |wait| milliseconds(wait).max(1));
        self
    }

    /// Install the SIGBUS handler when this region is the first that needs it. Default: yes. The calls of
    /// this crate that read raise no signal, with the handler or without it.
    #[inline]
    pub fn fault_guard(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NO_FAULT_GUARD, !yes)
    }

    /// Read the whole mapping into memory at open. Default: no.
    #[inline]
    pub fn populate(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_POPULATE, yes)
    }

    /// When opening a FIFO, wait for a writer. Default: no, a FIFO without a writer is
    /// [`Status::WOULD_BLOCK`].
    #[inline]
    pub fn fifo_wait(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_FIFO_WAIT, yes)
    }

    /// Open only `length` bytes at `offset` of the file. A length of 0 means up to the end of the file. Any
    /// offset is allowed.
    #[inline]
    pub fn window(&mut self, offset: u64, length: u64) -> &mut Options {
        self.raw.offset = offset;
        self.raw.length = length;
        self
    }

    /// Copy windows of up to so many bytes, and map larger ones. Default: 64 KiB. When copies above 4 KiB
    /// take more than 256 KiB already, the default is 4 KiB, except for stable regions.
    #[inline]
    pub fn copy_threshold(&mut self, bytes: u64) -> &mut Options {
        self.raw.copy_threshold = bytes;
        self
    }

    /// Limit the bytes that are read into memory; `None` means without a limit. Default: 1 GiB. A limit of 0
    /// counts as 1 byte.
    #[inline]
    pub fn max_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_bytes = cap(bytes);
        self
    }

    /// Limit the copy that [`Stable`](crate::Stable) and [`Leased`](crate::Leased) may need; `None` means
    /// without a limit. Default: 1 GiB. A limit of 0 counts as 1 byte.
    #[inline]
    pub fn max_snapshot_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_snapshot_bytes = cap(bytes);
        self
    }

    /// Take no lease for [`Leased`](crate::Leased) while the process holds so many leases. Default: 10 000,
    /// which 0 means, too.
    #[inline]
    pub fn max_leases(&mut self, count: u32) -> &mut Options {
        self.raw.max_leases = count;
        self
    }

    /// Limit the time that a writer waits while the bytes of a lease are secured. Bytes that are not secured
    /// by then may change. Default: as long as the kernel allows (`/proc/sys/fs/lease-break-time`).
    #[inline]
    pub fn max_lease_wait(&mut self, wait: Duration) -> &mut Options {
        self.raw.max_lease_wait_ms = milliseconds(wait).max(1);
        self
    }

    /// Set the name of the region for errors. Default: the path by which it is opened, or the path of the
    /// file behind a descriptor.
    ///
    /// ```
    /// use mmapguard::{Contained, Options};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let error = Options::new().name("the index").window(1 << 40, 1).open_fd::<Contained>(&file).unwrap_err();
    /// assert!(error.to_string().starts_with("'the index': "), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&mut self, name: impl Into<String>) -> &mut Options {
        self.name = Some(name.into());
        self
    }

    #[inline]
    fn flag(&mut self, bit: u64, yes: bool) -> &mut Options {
        if yes {
            self.raw.flags |= bit;
        } else {
            self.raw.flags &= !bit;
        }
        self
    }

    /// Open the file at `path`.
    ///
    /// # Errors
    ///
    /// Any [`Status`] about opening; [`Status::UNSTABLE`] if `G` is [`Stable`](crate::Stable) and the file
    /// cannot be stable.
    pub fn open<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Region<G>> {
        Region::over(self.by_path::<G>(path.as_ref(), sys::mmg_open)?)
    }

    /// Does the same as [`open`](Options::open) followed by [`Region::pinned`].
    ///
    /// # Errors
    /// As [`open`](Options::open).
    pub fn open_pinned<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Pinned<G>> {
        Pinned::over(self.by_path::<G>(path.as_ref(), sys::mmg_open)?)
    }

    /// Does the same as [`open`](Options::open), except that the path `-` means standard input.
    ///
    /// # Errors
    /// As [`open`](Options::open).
    pub fn load<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Region<G>> {
        Region::over(self.by_path::<G>(path.as_ref(), sys::mmg_load)?)
    }

    /// Open the file behind a descriptor, which stays the caller's.
    ///
    /// ```
    /// use mmapguard::{Contained, Options};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let region = Options::new().open_fd::<Contained>(&file)?;
    /// assert_eq!(region.size(), file.metadata()?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Options::open).
    #[cfg(unix)]
    pub fn open_fd<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Region<G>> {
        Region::over(self.by_descriptor::<G>(descriptor.as_fd(), sys::mmg_open_fd)?)
    }

    /// Does the same as [`open_fd`](Options::open_fd) followed by [`Region::pinned`].
    ///
    /// # Errors
    /// As [`open`](Options::open).
    #[cfg(unix)]
    pub fn open_fd_pinned<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Pinned<G>> {
        Pinned::over(self.by_descriptor::<G>(descriptor.as_fd(), sys::mmg_open_fd)?)
    }

    /// Read a descriptor of any kind from its position to its end into memory. The descriptor stays the
    /// caller's.
    ///
    /// # Errors
    /// [`Status::TOO_BIG`] if there are more bytes than the limit allows; otherwise as
    /// [`open`](Options::open).
    #[cfg(unix)]
    pub fn read_fd<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Region<G>> {
        Region::over(self.by_descriptor::<G>(descriptor.as_fd(), sys::mmg_read_fd)?)
    }

    /// Make a region of a mapping that other code has made, such as memmap2 or a C library. The bytes stay
    /// where they are.
    ///
    /// See [`adopt`](crate::adopt). The options `backing` and `window` have no meaning here. No lock is taken
    /// unless the option `lock` names one.
    ///
    /// # Errors
    /// [`Status::NOT_MAPPABLE`] if the bytes are not a mapping of one file, or if the mapping is executable,
    /// or is shared and can be written to;
    /// [`Status::NOT_FOUND`] if the path of the file is gone; otherwise as [`open`](Options::open).
    pub fn adopt<'a>(&self, bytes: &'a [u8]) -> Result<Adopted<'a>> {
        let handle = self.open_as::<Contained>(
            self.name.clone().map_or(Name::Mapping, Name::Given),
            |_, options, handle, error| {
                let (data, size) = (bytes.as_ptr().cast(), bytes.len() as u64);
                // SAFETY: the bytes are borrowed as long as the region lives, so they stay mapped. The other
                // pointers are to live values with their size set.
                unsafe { sys::mmg_adopt(data, size, -1, options, handle, error) }
            },
        )?;
        Ok(Adopted::over(Region::over(handle)?))
    }

    fn by_path<G: Guarantee>(&self, path: &Path, call: ByPath) -> Result<Handle> {
        let Some(path) = terminated(path_bytes(path)) else { return Err(contains_nul(path)) };
        match &self.name {
            // The path is also the name, so that opening allocates only once.
            None => self.open_as::<G>(Name::Path(path), |name, options, handle, error| {
                // SAFETY: the path ends with a NUL, and lives as long as `name`. The other pointers are to
                // live values with their size set.
                unsafe { call(name.path(), options, handle, error) }
            }),
            Some(given) => self.open_as::<G>(Name::Given(given.clone()), |_, options, handle, error| {
                // SAFETY: as above, and `path` lives here.
                unsafe { call(path.as_ptr(), options, handle, error) }
            }),
        }
    }

    #[cfg(unix)]
    fn by_descriptor<G: Guarantee>(&self, descriptor: BorrowedFd<'_>, call: ByDescriptor) -> Result<Handle> {
        let number = descriptor.as_raw_fd();
        let name = self.name.clone().map_or(Name::Descriptor(number), Name::Given);
        self.open_as::<G>(name, |_, options, handle, error| {
            // SAFETY: `descriptor` is borrowed during the call, and the pointers are to live values with
            // their size set.
            unsafe { call(number, options, handle, error) }
        })
    }
}

#[cold]
fn contains_nul(path: &Path) -> Error {
    Error::refused(Status::ARGUMENT, &quoted(path_bytes(path)), "open", "the path contains a NUL")
}
