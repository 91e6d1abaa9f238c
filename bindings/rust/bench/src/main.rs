// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the cost of opening a file with each crate; see README.md.

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
        // The two modules start this program again with these arguments.
        ["measure", folder] => table::measure(Path::new(folder)),
        ["repeat", name, times, file] => {
            contenders::repeat(name, times.parse().expect("a number"), Path::new(file))
        }
        _ => panic!("usage: bench [instructions]"),
    }
}
