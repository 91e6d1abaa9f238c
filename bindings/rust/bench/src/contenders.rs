// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contenders: each one opens a file, reads its first byte, and closes the file.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use mmapguard::{Contained, Leased, Options, Region, Stable};
use mmapguard_sys as sys;

pub struct Contender {
    pub name: &'static str,
    pub run: fn(&Path) -> u8,
}

/// So many contenders come first that take no lease.
pub const RIVALS: usize = 5;

/// The contenders in the order of the table. Each crate of this project comes after the crate that it is
/// compared with.
pub const ALL: [Contender; 7] = [
    Contender { name: "mmap-guard", run: |path| mmap_guard::map_file(path).expect("mapped")[0] },
    Contender { name: "mmapguard-compat", run: |path| mmapguard_compat::map_file(path).expect("mapped")[0] },
    Contender {
        name: "memmap2",
        // SAFETY: nobody writes to the file.
        run: |path| unsafe { memmap2::Mmap::map(&File::open(path).expect("opened")) }.expect("mapped")[0],
    },
    Contender {
        name: "mmapguard-memmap2",
        // SAFETY: nobody writes to the file.
        run: |path| {
            unsafe { mmapguard_memmap2::Mmap::map(&File::open(path).expect("opened")) }.expect("mapped")[0]
        },
    },
    Contender {
        name: "`Region<Contained>`",
        run: |path| {
            let region = Region::<Contained>::open(path).expect("opened");
            let mut byte = [0];
            region.read_exact_at(0, &mut byte).expect("read");
            byte[0]
        },
    },
    Contender {
        name: "`Region<Leased>`",
        run: |path| {
            let region = Options::new().max_snapshot_bytes(None).open::<Leased>(path).expect("opened");
            let mut byte = [0];
            region.read_exact_at(0, &mut byte).expect("read");
            byte[0]
        },
    },
    Contender { name: "`Region<Stable>`", run: |path| Region::<Stable>::open(path).expect("opened")[0] },
];

/// Repeats the work of which instructions are counted.
pub const COUNTED: [&str; 7] =
    ["nothing", "mmap-guard", "compat", "memmap2", "contained", "stable", "guarded memmap2"];

pub fn repeat(name: &str, times: u32, path: &Path) {
    let region = Region::<Contained>::open(path).expect("opened");
    let mut handle = 0;
    let c_path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the path ends in NUL, and the other pointers are to live values or NULL where that is allowed.
    let opened =
        unsafe { sys::mmg_open(c_path.as_ptr(), &sys::MMG_OPTIONS_INIT, &mut handle, std::ptr::null_mut()) };
    assert_eq!(opened, sys::MMG_OK);
    for _ in 0..times {
        match name {
            "nothing" => drop(black_box(path)),
            "mmap-guard" => drop(black_box(mmap_guard::map_file(path).expect("mapped"))),
            "compat" => drop(black_box(mmapguard_compat::map_file(path).expect("mapped"))),
            "memmap2" => drop(black_box((ALL[2].run)(path))),
            "guarded memmap2" => drop(black_box((ALL[3].run)(path))),
            "contained" => drop(black_box(Region::<Contained>::open(path).expect("opened"))),
            "stable" => drop(black_box(Region::<Stable>::open(path).expect("opened"))),
            "span" => black_box(&region).span(0, 64).expect("pinned").unpin().expect("nothing is lost"),
            "pin" => {
                let mut span = sys::MMG_SPAN_INIT;
                // SAFETY: `span` is live.
                unsafe {
                    assert_eq!(sys::mmg_pin(handle, 0, 64, &mut span), sys::MMG_OK);
                    assert_eq!(sys::mmg_unpin(&mut span), sys::MMG_OK);
                }
            }
            _ => panic!("there is no {name}"),
        }
    }
}
