// SPDX-License-Identifier: MIT OR Apache-2.0
//! Appends the tests of mmap-guard, as published on crates.io, to the sources of `mmapguard-compat`. The
//! tests come from cargo's cache, since the package beside this one depends on a fixed version of mmap-guard.
//! The repository contains none of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const VERSION: &str = "mmap-guard-0.2.2";
const MODULES: [&str; 3] = ["file_data", "load", "map"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let theirs = published();
    let ours = Path::new("../../mmapguard-compat/src");
    let mut grafted = String::new();
    for module in MODULES {
        let ours = read(&ours.join(module).with_extension("rs"));
        let theirs = read(&theirs.join("src").join(module).with_extension("rs"));
        let tests = theirs.find("#[cfg(test)]").expect("tests at the end of the file");
        grafted += &format!("mod {module} {{\n{ours}\n{}\n}}\n", &theirs[tests..]);
    }
    grafted += "pub use file_data::{FileData, Mapping};\npub use load::{load, load_stdin};\npub use map::map_file;\n";
    fs::write(out.join("grafted.rs"), grafted).expect("OUT_DIR can be written");

    // Inner attributes and comments of a file are not allowed where another file includes it.
    let properties = read(&theirs.join("tests/prop_map_file.rs"));
    let lines: Vec<_> =
        properties.lines().filter(|line| !line.starts_with("//!") && !line.starts_with("#![")).collect();
    fs::write(out.join("prop_map_file.rs"), lines.join("\n")).expect("OUT_DIR can be written");
}

fn read(path: &Path) -> String {
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder of the package in cargo's cache.
fn published() -> PathBuf {
    let cargo = env::var_os("CARGO").expect("set by cargo");
    // Packages for other systems are not in the cache, so the query is for this target only.
    let target = env::var("TARGET").expect("set by cargo");
    let arguments = ["metadata", "--format-version=1", "--offline", "--filter-platform", &target];
    let output = Command::new(cargo).args(arguments).output().expect("cargo runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let end = told
        .find(&format!("{VERSION}/Cargo.toml"))
        .unwrap_or_else(|| panic!("no {VERSION}: {}", String::from_utf8_lossy(&output.stderr)));
    let start = told[..end].rfind('"').expect("a string") + 1;
    Path::new(&told[start..end]).join(VERSION)
}
