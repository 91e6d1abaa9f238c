// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives the ways of Rust to read a file to the benchmarks in C: memmap2 with fs4's lock, mmap-guard, its
//! replacement on mmapguard, and std::fs::read. Each pair of functions opens a file into a `View`, and closes
//! it. The search of memchr is here as well.

use std::ffi::{c_char, c_void, CStr, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// `struct view` of bench/contenders.h. The owner stands behind the members that the contenders in C use.
#[repr(C)]
pub struct View {
    data: *const u8,
    size: u64,
    region: u64,
    span: [u64; 3],
    fd: i32,
    owner: *mut c_void,
}

/// # Safety
/// `path` is a string that ends in NUL.
unsafe fn path_of<'a>(path: *const c_char) -> &'a Path {
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// Fill the view with the bytes of the opened file, and keep the owner on the heap, as a contender in C does.
fn fill<T>(view: &mut View, opened: Option<T>, bytes: impl Fn(&T) -> &[u8]) -> bool {
    let Some(opened) = opened else { return false };
    let owner = Box::new(opened);
    let shown = bytes(&owner);
    view.data = shown.as_ptr();
    view.size = shown.len() as u64;
    view.owner = Box::into_raw(owner).cast();
    true
}

/// # Safety
/// `view` was filled from a `T`.
unsafe fn give_back<T>(view: &mut View) {
    drop(unsafe { Box::from_raw(view.owner.cast::<T>()) });
    view.owner = ptr::null_mut();
}

struct Locked {
    mapped: memmap2::Mmap,
    _file: File, // dropped after the mapping, so that the lock outlives the mapping
}

fn open_locked(path: &Path) -> Option<Locked> {
    let file = File::open(path).ok()?;
    fs4::FileExt::try_lock_shared(&file).ok()?;
    // SAFETY: the benchmark compares what happens when the file shrinks.
    let mapped = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    Some(Locked { mapped, _file: file })
}

macro_rules! contender {
    ($open:ident, $close:ident, $type:ty, $opened:expr, $bytes:expr) => {
        /// # Safety
        /// `path` ends in NUL, `view` is live.
        #[no_mangle]
        pub unsafe extern "C" fn $open(path: *const c_char, view: *mut View) -> bool {
            let opened: fn(&Path) -> Option<$type> = $opened;
            unsafe { fill(&mut *view, opened(path_of(path)), $bytes) }
        }

        /// # Safety
        /// The counterpart has filled `view`.
        #[no_mangle]
        pub unsafe extern "C" fn $close(view: *mut View) {
            unsafe { give_back::<$type>(&mut *view) }
        }
    };
}

contender!(peers_memmap2_open, peers_memmap2_close, Locked, open_locked, |locked| &locked.mapped);
contender!(
    peers_mmap_guard_open,
    peers_mmap_guard_close,
    mmap_guard::FileData,
    |path| mmap_guard::map_file(path).ok(),
    |file| file
);
contender!(
    peers_compat_open,
    peers_compat_close,
    mmapguard_compat::FileData,
    |path| mmapguard_compat::map_file(path).ok(),
    |file| file
);
contender!(peers_fs_read_open, peers_fs_read_close, Vec<u8>, |path| std::fs::read(path).ok(), |bytes| bytes);

/// # Safety
/// The pointers are to so many bytes.
unsafe fn bytes<'a>(data: *const u8, size: u64) -> &'a [u8] {
    unsafe { std::slice::from_raw_parts(data, size as usize) }
}

/// Returns the first place of the needle, or `u64::MAX`.
///
/// # Safety
/// The pointers are to so many bytes.
#[no_mangle]
pub unsafe extern "C" fn peers_memmem(hay: *const u8, size: u64, needle: *const u8, length: u64) -> u64 {
    let (hay, needle) = unsafe { (bytes(hay, size), bytes(needle, length)) };
    memchr::memmem::find(hay, needle).map_or(u64::MAX, |at| at as u64)
}

/// Returns the number of places, found from hit to hit with one prepared search.
///
/// # Safety
/// The pointers are to so many bytes.
#[no_mangle]
pub unsafe extern "C" fn peers_memmem_count(
    hay: *const u8,
    size: u64,
    needle: *const u8,
    length: u64,
) -> u64 {
    let (hay, needle) = unsafe { (bytes(hay, size), bytes(needle, length)) };
    memchr::memmem::find_iter(hay, needle).count() as u64
}
