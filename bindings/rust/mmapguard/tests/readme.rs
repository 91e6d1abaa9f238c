// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that the Rust example in the README of the repository is the one in the README of the crate, which
//! runs as a doc test.

use std::fs;
use std::path::Path;

fn first_example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, rest) = text.split_once("```rust\n").unwrap_or_else(|| panic!("{}: no Rust", path.display()));
    rest.split_once("```\n").expect("an end of the example").0.to_owned()
}

#[test]
fn the_repository_shows_the_example_that_is_tested() {
    assert_eq!(first_example("../../../README.md"), first_example("README.md"));
}
