// SPDX-License-Identifier: MIT OR Apache-2.0
//! How to open, and opening.

use std::ffi::CString;
use std::mem::MaybeUninit;
#[cfg(unix)]
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::name::{path_bytes, quoted, Name};
use crate::{Adopted, Advice, Backing, Contained, Error, Guarantee, Lock, Pinned, Region, Result, Status};

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
    name: Option<String>,
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

/// Rounded up, so that a short wait is not none; and never the number that stands for ever.
fn milliseconds(wait: Duration) -> u32 {
    let ms = (wait.as_nanos() + 999_999) / 1_000_000;
    ms.min(u128::from(sys::MMG_WAIT_FOREVER - 1)) as u32
}

/// What `max_snapshot_bytes` is where nothing is said.
pub(crate) const DEFAULT_SNAPSHOT: u64 = 1 << 30;

impl Options {
    /// All defaults.
    pub const fn new() -> Options {
        Options { raw: sys::MMG_OPTIONS_INIT, name: None }
    }

    /// What is to hold the bytes. Default: [`Backing::AUTO`].
    pub fn backing(&mut self, backing: Backing) -> &mut Options {
        self.raw.backing = backing.0;
        self
    }

    /// The advisory lock to take first. Default: [`Lock::AUTO`].
    pub fn lock(&mut self, lock: Lock) -> &mut Options {
        self.raw.lock = lock.0;
        self
    }

    /// How long to wait for the lock; `None`: as long as it takes. Default: not at all.
    pub fn lock_wait(&mut self, wait: Option<Duration>) -> &mut Options {
        self.raw.lock_wait_ms = wait.map_or(sys::MMG_WAIT_FOREVER, milliseconds);
        self
    }

    /// No lock is an error, not an unlocked region; with [`Lock::AUTO`], lock everywhere. Default: no.
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

    /// Refuse whatever is not a regular file with [`Status::NOT_MAPPABLE`], so that no FIFO and no device is read or
    /// waited for. Default: no.
    pub fn regular_only(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REGULAR_ONLY, yes)
    }

    /// Refuse a file that is open for writing anywhere at this moment with [`Status::WOULD_BLOCK`]; where the kernel
    /// cannot tell, with [`Status::UNSUPPORTED`]. Default: no.
    pub fn no_writers(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_NO_WRITERS, yes)
    }

    /// Refuse a mapping with [`Status::GUARD`] where the fault guard cannot watch it. Default: no; the region tells.
    pub fn require_guard(&mut self, yes: bool) -> &mut Options {
        self.flag(sys::MMG_FLAG_REQUIRE_GUARD, yes)
    }

    /// The longest that a stream may take to its end; then opening fails with [`Status::WOULD_BLOCK`]. `None`: as long as
    /// it takes, which is the default.
    pub fn stream_wait(&mut self, wait: Option<Duration>) -> &mut Options {
        self.raw.stream_wait_ms = wait.map_or(0, |wait| milliseconds(wait).max(1));
        self
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

    /// Windows up to this many bytes are copied, not mapped. Default: 64 KiB, and 4 KiB for what is opened beside many
    /// copies (more than 256 KiB in copies above 4 KiB), unless it is to be stable.
    pub fn copy_threshold(&mut self, bytes: u64) -> &mut Options {
        self.raw.copy_threshold = bytes;
        self
    }

    /// Cap for anything read into memory; `None`: no cap. Default: 1 GiB. A cap of 0 is one of 1 byte.
    pub fn max_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_bytes = cap(bytes);
        self
    }

    /// Cap for the copy that [`Stable`](crate::Stable) and [`Leased`](crate::Leased) may need; `None`: no cap. Default: 1 GiB. A cap of 0 is one of
    /// 1 byte.
    pub fn max_snapshot_bytes(&mut self, bytes: Option<u64>) -> &mut Options {
        self.raw.max_snapshot_bytes = cap(bytes);
        self
    }

    /// Take no lease for [`Leased`](crate::Leased) while the process holds so many. Default: 10 000; 0 is the default.
    pub fn max_leases(&mut self, count: u32) -> &mut Options {
        self.raw.max_leases = count;
        self
    }

    /// The longest that a writer may be kept waiting while the bytes of a lease are secured; what is not secured then is
    /// no longer held. Default: as long as the kernel allows (`/proc/sys/fs/lease-break-time`).
    pub fn max_lease_wait(&mut self, wait: Duration) -> &mut Options {
        self.raw.max_lease_wait_ms = milliseconds(wait).max(1);
        self
    }

    /// What errors call the region. Default: the path that it is opened by, or that of the file behind a descriptor.
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
        Region::over(self.by_path::<G>(path.as_ref(), sys::mmg_open)?)
    }

    /// The same with all bytes pinned: as [`open`](Options::open) and [`Region::pinned`] in one.
    ///
    /// # Errors
    /// As [`open`](Options::open).
    pub fn open_pinned<G: Guarantee>(&self, path: impl AsRef<Path>) -> Result<Pinned<G>> {
        Pinned::over(self.by_path::<G>(path.as_ref(), sys::mmg_open)?)
    }

    /// The same, except that the path `-`, exactly, is standard input.
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

    /// The same with all bytes pinned: as [`open_fd`](Options::open_fd) and [`Region::pinned`] in one.
    ///
    /// # Errors
    /// As [`open`](Options::open).
    #[cfg(unix)]
    pub fn open_fd_pinned<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Pinned<G>> {
        Pinned::over(self.by_descriptor::<G>(descriptor.as_fd(), sys::mmg_open_fd)?)
    }

    /// Read a descriptor of any kind from where it stands to its end into memory. It stays the caller's.
    ///
    /// # Errors
    /// [`Status::TOO_BIG`] over the cap, and then nothing; otherwise as [`open`](Options::open).
    #[cfg(unix)]
    pub fn read_fd<G: Guarantee>(&self, descriptor: impl AsFd) -> Result<Region<G>> {
        Region::over(self.by_descriptor::<G>(descriptor.as_fd(), sys::mmg_read_fd)?)
    }

    /// Take a mapping that other code has made as a region, in place: that of memmap2, or of a C library.
    ///
    /// See [`adopt`](crate::adopt). Of these options, `backing` and `window` have no meaning here. Without a lock by name
    /// no lock is taken.
    ///
    /// # Errors
    /// [`Status::NOT_MAPPABLE`] if the bytes are no mapping of one file, or one that is executable or shared and writable;
    /// [`Status::NOT_FOUND`] if the path of the file is gone; otherwise as [`open`](Options::open).
    pub fn adopt<'a>(&self, bytes: &'a [u8]) -> Result<Adopted<'a>> {
        let handle = self.open_as::<Contained>(
            self.name.clone().map_or(Name::Mapping, Name::Given),
            |_, options, handle, error| {
                let (data, size) = (bytes.as_ptr().cast(), bytes.len() as u64);
                // SAFETY: the bytes are borrowed for as long as the region, so they stay mapped, and the other pointers are to
                // live values that say their size.
                unsafe { sys::mmg_adopt(data, size, -1, options, handle, error) }
            },
        )?;
        Ok(Adopted::over(Region::over(handle)?))
    }

    fn by_path<G: Guarantee>(&self, path: &Path, call: ByPath) -> Result<Handle> {
        let path = CString::new(path_bytes(path)).map_err(|error| {
            let path = quoted(&error.into_vec());
            Error::refused(Status::ARGUMENT, &path, "open", "the path contains a NUL")
        })?;
        match &self.name {
            // Kept as the name, too, so that opening allocates once.
            None => self.open_as::<G>(Name::Path(path), |name, options, handle, error| {
                // SAFETY: the path ends in NUL, and lives as long as `name`; the other pointers are to live values that
                // say their size.
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
            // SAFETY: `descriptor` is borrowed for as long, and the pointers are to live values that say their size.
            unsafe { call(number, options, handle, error) }
        })
    }

    #[inline]
    fn open_as<G: Guarantee>(
        &self,
        name: Name,
        call: impl Fn(&Name, Arg, Out, Why) -> i32,
    ) -> Result<Handle> {
        let flags = self.raw.flags | G::FLAGS;
        let options = sys::mmg_options { guarantee: G::DEMAND, flags, ..self.raw };
        let handle = opened(&options, name, &call)?;
        G::accept(handle, &options, &|mut handle, options| {
            let name = handle.take_name();
            drop(handle);
            opened(options, name, &call)
        })
    }
}

type Arg<'a> = &'a sys::mmg_options;
type Out<'a> = &'a mut sys::mmg_handle;
type Why = *mut sys::mmg_error;
type ByPath = unsafe extern "C" fn(
    *const std::os::raw::c_char,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;
#[cfg(unix)]
type ByDescriptor = unsafe extern "C" fn(
    i32,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;

#[inline]
fn opened(options: Arg, name: Name, call: &impl Fn(&Name, Arg, Out, Why) -> i32) -> Result<Handle> {
    let mut number = 0;
    // The library looks at the size only, and fills in the rest when it fails.
    let mut error = MaybeUninit::<sys::mmg_error>::uninit();
    // SAFETY: a place inside `error`, whose first member this is.
    unsafe {
        std::ptr::addr_of_mut!((*error.as_mut_ptr()).struct_size).write(sys::MMG_ERROR_INIT.struct_size)
    };
    match call(&name, options, &mut number, error.as_mut_ptr()) {
        sys::MMG_OK => Ok(Handle::adopt(number, name)),
        status => Err(failed(status, &error, &name)),
    }
}

#[cold]
fn failed(status: sys::mmg_status, error: &MaybeUninit<sys::mmg_error>, name: &Name) -> Error {
    // SAFETY: the call has failed after it saw a size that it knows, so every member has been written.
    Error::told(status, unsafe { error.assume_init_ref() }, name)
}
