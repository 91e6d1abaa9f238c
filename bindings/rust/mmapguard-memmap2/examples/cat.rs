// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies a file to standard output. If the file is cut short meanwhile, the program prints a message and
//! ends with 74.
//!
//! usage: cat FILE

use std::fs::File;
use std::io::{self, Write};

use mmapguard_memmap2::Mmap;

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).expect("usage: cat FILE");
    let file = File::open(path)?;
    // SAFETY: the program only writes the bytes out. A loss is reported when the map is dropped.
    let map = unsafe { Mmap::map(&file)? };
    io::stdout().write_all(&map)
}
