// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the lines of a file that cannot change while they are counted.
//!
//! usage: lines FILE

use mmapguard::{Region, Stable};

fn main() -> mmapguard::Result<()> {
    let path = std::env::args_os().nth(1).expect("usage: lines FILE");
    let region = Region::<Stable>::open(path)?;
    println!("{} lines, held by {}", region.split(|&byte| byte == b'\n').count(), region.info()?.means());
    region.close()
}
