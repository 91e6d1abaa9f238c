// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the last line of a log file that other programs may write to or cut short meanwhile.
//!
//! usage: last_line FILE

use std::io::{BufRead, BufReader};

use mmapguard::{Contained, Region};

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).expect("usage: last_line FILE");
    let log = Region::<Contained>::open(path)?;
    let last = log.scan(|reader| BufReader::new(reader).lines().last().transpose())?;
    println!("{}", last.unwrap_or_default()); // not reached if a byte was lost
    Ok(())
}
