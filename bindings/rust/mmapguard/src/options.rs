// SPDX-License-Identifier: MIT OR Apache-2.0
//! How to open, and opening.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::io::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::{Advice, Backing, Error, Guarantee, Info, Lock, Region, Result, Status};

/// How to open: a builder. Everything has a default; [`Region::open`] is short for opening with all of them.
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
    raw: sys::mmg_options,
    leases: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// A cap as the library takes it, where 0 means its default.
fn cap(bytes: Option<u64>) -> u64 {
    bytes.map_or(sys::MMG_NO_LIMIT, |bytes| bytes.max(1))
}

/// What `max_snapshot_bytes` is where nothing is said.
const DEFAULT_SNAPSHOT: u64 = 1 << 30;

impl Options {
    /// All defaults.
    pub const fn new() -> Options {
        Options { raw: sys::MMG_OPTIONS_INIT, leases: true }
    }

    /// What is to hold the bytes. Default: [`Backing::AUTO`].
    pub fn backing(&mut self, backing: Backing) -> &mut Options {
        self.raw.backing = backing.0;
        self
    }

    /// The advisory lock to take first. Default: [`Lock::SHARED`].
    pub fn lock(&mut self, lock: Lock) -> &mut Options {
        self.raw.lock = lock.0;
        self
    }

    /// How long to wait for the lock; `None`: as long as it takes. Default: not at all.
    pub fn lock_wait(&mut self, wait: Option<Duration>) -> &mut Options {
        self.raw.lock_wait_ms = wait.map_or(sys::MMG_WAIT_FOREVER, |wait| {
            // Rounded up, so that a short wait is not none.
            let ms = (wait.as_nanos() + 999_999) / 1_000_000;
            ms.min(u128::from(sys::MMG_WAIT_FOREVER - 1)) as u32
        });
        self
    }

    /// A file system that cannot lock is an error, not an unlocked region. Default: no.
    pub fn require_lock(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REQUIRE_LOCK, yes)
    }

    /// How the region will be read; up to [`Advice::HUGEPAGE`]. Default: [`Advice::NORMAL`].
    pub fn access(&mut self, advice: Advice) -> &mut Options {
        self.raw.access = advice.0;
        self
    }

    /// An empty file is [`Status::EMPTY`]. Default: it is an empty region.
    pub fn reject_empty(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REJECT_EMPTY, yes)
    }

    /// Follow a symbolic link as the last component of the path. Default: yes.
    pub fn follow(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NOFOLLOW, !yes)
    }

    /// Install the SIGBUS handler when this region is the first that needs it. Default: yes. Reading with the calls of
    /// this crate raises no signal either way.
    pub fn fault_guard(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NO_FAULT_GUARD, !yes)
    }

    /// Read the whole mapping in at open. Default: no.
    pub fn populate(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_POPULATE, yes)
    }

    /// Wait for a writer when opening a FIFO, instead of [`Status::WOULD_BLOCK`]. Default: no.
    pub fn fifo_wait(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_FIFO_WAIT, yes)
    }

    /// Open `length` bytes at `offset` of the file only; length 0: to its end. Any byte will do as offset.
    pub fn window(&mut self, offset: u64, length: u64) -> &mut Options {
        self.raw.offset = offset;
        self.raw.length = length;
        self
    }

    /// Windows up to this many bytes are copied, not mapped. Default: 64 KiB.
    pub fn copy_threshold(&mut self, bytes: u64) -> &mut Options {
        self.raw.copy_threshold = bytes;
        self
    }

    /// Cap for anything read into memory; `None`: no cap. Default: 1 GiB. A cap of 0 is one of 1 byte.
    pub fn max_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_bytes = cap(bytes);
        self
    }

    /// Cap for the copy that [`Stable`](crate::Stable) may need; `None`: no cap. Default: 1 GiB. A cap of 0 is one of
    /// 1 byte.
    pub fn max_snapshot_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_snapshot_bytes = cap(bytes);
        self
    }

    /// May a [`Stable`](crate::Stable) region rest on a lease? Default: yes, since it costs nothing until somebody
    /// writes. No: where a lease would be taken, the bytes are copied into memory instead, up to
    /// [`max_snapshot_bytes`](Options::max_snapshot_bytes). The section "How far `&[u8]` goes" of the crate's
    /// documentation says when that matters.
    ///
    /// ```
    /// use mmapguard::{Means, Options, Stable};
    ///
    /// # fn main() -> mmapguard::Result<()> {
    /// let region = Options::new().leases(false).copy_threshold(1).open::<Stable>("Cargo.toml")?;
    /// assert_ne!(region.info()?.means(), Means::LEASE);
    /// # Ok(())
    /// # }
    /// ```
    pub fn leases(&mut self, yes: bool) -> &mut Options {
        self.leases = yes;
        self
    }

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
    /// Whatever [`Status`] names under opening; [`Status::UNSTABLE`] if `G` is [`Stable`](crate::Stable) and that
    /// cannot be had.
    pub fn open<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Region<G>> {
        self.by_path(path.as_ref(), sys::mmg_open)
    }

    /// The same, except that the path `-`, exactly, is standard input.
    ///
    /// # Errors
    /// As [`open`](Options::open).
    pub fn load<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Region<G>> {
        self.by_path(path.as_ref(), sys::mmg_load)
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
    pub fn open_fd<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Region<G>> {
        self.by_descriptor(descriptor, sys::mmg_open_fd)
    }

    /// Read a descriptor of any kind from where it stands to its end into memory. It stays the caller's.
    ///
    /// # Errors
    /// [`Status::TOO_BIG`] over the cap, and then nothing; otherwise as [`open`](Options::open).
    pub fn read_fd<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Region<G>> {
        self.by_descriptor(descriptor, sys::mmg_read_fd)
    }

    fn by_path<G: Guarantee>(&self, path: &Path, call: ByPath) -> Result<Region<G>> {
        let name = path.display().to_string();
        let path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::refused(Status::ARGUMENT, &name, "open", "the path contains a NUL"))?;
        self.stable_enough(name, |options, handle, error| {
            // SAFETY: `path` ends in NUL, and the other pointers are to live values that say their size.
            unsafe { call(path.as_ptr(), options, handle, error) }
        })
    }

    fn by_descriptor<G: Guarantee>(&self, descriptor: impl AsFd, call: ByDescriptor) -> Result<Region<G>> {
        let descriptor = descriptor.as_fd();
        let number = descriptor.as_raw_fd();
        self.stable_enough(format!("descriptor {number}"), |options, handle, error| {
            // SAFETY: `descriptor` is borrowed for as long, and the pointers are to live values that say their size.
            unsafe { call(number, options, handle, error) }
        })
    }

    /// Open, and if it is to be stable by a lease, see that this is allowed and has a chance to hold.
    fn stable_enough<G: Guarantee>(
        &self,
        name: String,
        call: impl Fn(Arg, Out, Why) -> i32,
    ) -> Result<Region<G>> {
        let options = sys::mmg_options { guarantee: G::DEMAND, ..self.raw };
        let (handle, info) = opened(&options, name, &call)?;
        if !G::PINS || info.means() != crate::Means::LEASE {
            return Region::over(handle, &info);
        }
        let limit = match options.max_snapshot_bytes {
            0 => DEFAULT_SNAPSHOT,
            bytes => bytes,
        };
        if !self.leases {
            let copied = sys::mmg_options { backing: sys::MMG_BACKING_COPY, max_bytes: limit, ..options };
            let name = handle.name.clone();
            drop(handle);
            let (handle, info) = opened(&copied, name, &call)?;
            return Region::over(handle, &info);
        }
        if info.size() > limit {
            // Secured when the lease breaks is what the cap allows, and the rest would change.
            let why = "only a lease is to be had, and the bytes are more than max_snapshot_bytes";
            return Err(Error::refused(Status::UNSTABLE, &handle.name, "lease", why));
        }
        Region::over(handle, &info)
    }
}

type Arg<'a> = &'a sys::mmg_options;
type Out<'a> = &'a mut sys::mmg_handle;
type Why<'a> = &'a mut sys::mmg_error;
type ByPath = unsafe extern "C" fn(
    *const std::os::raw::c_char,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;
type ByDescriptor = unsafe extern "C" fn(
    i32,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;

fn opened(options: Arg, name: String, call: &impl Fn(Arg, Out, Why) -> i32) -> Result<(Handle, Info)> {
    let mut number = 0;
    let mut error = sys::MMG_ERROR_INIT;
    match call(options, &mut number, &mut error) {
        sys::MMG_OK => Handle::adopt(number, name),
        status => Err(Error::told(status, &error)),
    }
}
