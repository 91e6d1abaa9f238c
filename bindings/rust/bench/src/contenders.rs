// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contenders: each one opens a file, reads its first byte, and closes the file.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use mmapguard::{Contained, Guarantee, Leased, Options, Region, Stable};
use mmapguard_sys as sys;

/// Which bytes a contender reads.
#[derive(Clone, Copy)]
pub enum Reading {
    First,
    EveryPage,
}

pub struct Contender {
    pub name: &'static str,
    pub run: fn(&Path, Reading) -> u8,
}

/// Reads bytes of a slice.
fn read(bytes: &[u8], what: Reading) -> u8 {
    match what {
        Reading::First => bytes[0],
        Reading::EveryPage => bytes.iter().step_by(4096).fold(0, |sum, byte| sum ^ byte),
    }
}

/// Reads bytes of a region by calls, which copy them.
fn read_by_calls<G: Guarantee>(region: &Region<G>, what: Reading) -> u8 {
    let mut block = [0; 1 << 16];
    let wanted = if matches!(what, Reading::First) { 1 } else { region.size() };
    let mut sum = 0;
    let mut at = 0;
    while at < wanted {
        let size = block.len().min((wanted - at) as usize);
        region.read_exact_at(at, &mut block[..size]).expect("read");
        sum ^= read(&block[..size], what);
        at += size as u64;
    }
    sum
}

/// So many contenders come first that take no lease.
pub const RIVALS: usize = 5;

/// The contenders in the order of the table. Each crate of this project comes after the crate that it is
/// compared with.
pub const ALL: [Contender; 7] = [
    Contender {
        name: "mmap-guard",
        run: |path, what| read(&mmap_guard::map_file(path).expect("mapped"), what),
    },
    Contender {
        name: "mmapguard-compat",
        run: |path, what| read(&mmapguard_compat::map_file(path).expect("mapped"), what),
    },
    Contender {
        name: "memmap2",
        run: |path, what| {
            // SAFETY: nobody writes to the file.
            let map = unsafe { memmap2::Mmap::map(&File::open(path).expect("opened")) };
            read(&map.expect("mapped"), what)
        },
    },
    Contender {
        name: "mmapguard-memmap2",
        run: |path, what| {
            // SAFETY: nobody writes to the file.
            let map = unsafe { mmapguard_memmap2::Mmap::map(&File::open(path).expect("opened")) };
            read(&map.expect("mapped"), what)
        },
    },
    Contender {
        name: "`Region<Contained>`",
        run: |path, what| read_by_calls(&Region::<Contained>::open(path).expect("opened"), what),
    },
    Contender {
        name: "`Region<Leased>`",
        run: |path, what| {
            let region = Options::new().max_snapshot_bytes(None).open::<Leased>(path).expect("opened");
            read_by_calls(&region, what)
        },
    },
    Contender {
        name: "`Region<Stable>`",
        run: |path, what| read(&Region::<Stable>::open(path).expect("opened"), what),
    },
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
            "memmap2" => drop(black_box((ALL[2].run)(path, Reading::First))),
            "guarded memmap2" => drop(black_box((ALL[3].run)(path, Reading::First))),
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
