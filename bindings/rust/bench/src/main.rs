// SPDX-License-Identifier: MIT OR Apache-2.0
//! What opening a file costs with each crate: see README.md.

mod contenders;
mod instructions;
mod table;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => table::print(),
        ["instructions"] => instructions::print(),
        // What these two start themselves with.
        ["measure", folder] => table::measure(Path::new(folder)),
        ["repeat", name, times, file] => {
            contenders::repeat(name, times.parse().expect("a number"), Path::new(file))
        }
        _ => panic!("usage: bench [instructions]"),
    }
}
