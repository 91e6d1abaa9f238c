// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the source of b3sum in cargo's cache, where the manifest has it as a dependency of a fixed version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const VERSION: &str = "b3sum-1.8.7";
/// A library of the same registry. cargo tells the folder of a library, but not that of a package without a
/// library.
const NEIGHBOUR: &str = "/blake3-1.8.7/Cargo.toml";

fn main() {
    println!("cargo:rerun-if-changed=../build.rs");
    let cargo = env::var_os("CARGO").expect("set by cargo");
    // Packages for other systems are not in the cache, so the query is for this target only.
    let target = env::var("TARGET").expect("set by cargo");
    let arguments = ["metadata", "--format-version=1", "--offline", "--filter-platform", &target];
    let output = Command::new(cargo).args(arguments).output().expect("cargo runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let end = told.find(NEIGHBOUR).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let start = told[..end].rfind('"').expect("a string") + 1;
    let main = Path::new(&told[start..end]).join(VERSION).join("src/main.rs");
    let source = fs::read_to_string(&main).unwrap_or_else(|e| panic!("{}: {e}; run `cargo fetch` first", main.display()));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    // The unit tests of b3sum are in a separate file, and are not compiled.
    fs::write(out.join("b3sum.rs"), source).expect("OUT_DIR can be written");
}
