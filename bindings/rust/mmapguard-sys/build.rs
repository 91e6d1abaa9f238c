// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the C library: builds its sources (feature `bundled`), or links the one that is installed.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MMAPGUARD_LIB_DIR");
    println!("cargo:rerun-if-env-changed=DOCS_RS");
    // docs.rs builds documentation without linking, so neither a compiler nor the library is needed.
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        give_up(&format!(
            "mmapguard is a library for Linux; the target is for {system}. The README of the crate mmapguard shows how \
             to depend on it for Linux only."
        ));
    }
    #[cfg(feature = "bundled")]
    bundled();
    #[cfg(not(feature = "bundled"))]
    installed();
}

fn give_up(reason: &str) -> ! {
    eprintln!("mmapguard-sys: {reason}");
    std::process::exit(1)
}

/// The sources in `c/`, compiled as the library's own build compiles them, into a static library.
#[cfg(feature = "bundled")]
fn bundled() {
    use std::path::Path;

    let sources = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("c/src");
    let include = sources.with_file_name("include");
    let mut files = Vec::new();
    if let Err(error) = c_files(&sources, &mut files) {
        give_up(&format!("cannot read the C sources in {}: {error}", sources.display()));
    }
    files.sort_by_key(|file| (!opens_and_closes(file), file.clone()));
    // Each file is listed, since a folder behind a symbolic link has the times of the link.
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    // These files are for the shared library only. The linker of a program chooses the versions of glibc's
    // functions.
    files.retain(|file| {
        file.extension().map_or(false, |extension| extension == "c")
            && file.file_name().map_or(true, |name| name != "glibc_compat.c")
            // The stub supports nothing. It is for tests and as a start for ports.
            && !file.components().any(|part| part.as_os_str() == "stub")
    });
    println!("cargo:rerun-if-changed={}", include.join("mmapguard.h").display());
    println!("cargo:include={}", include.display());
    let version = format!("\"{}\"", env::var("CARGO_PKG_VERSION").unwrap_or_default());
    cc::Build::new()
        .files(files)
        .include(&include)
        .include(&sources)
        .define("_GNU_SOURCE", None)
        .define("_FILE_OFFSET_BITS", "64")
        .define("MMAPGUARD_VERSION", version.as_str())
        .flag("-std=c11")
        .flag("-fvisibility=hidden")
        .flag_if_supported("-fstack-protector-strong")
        .flag_if_supported("-fstack-clash-protection")
        .warnings(false)
        .compile("mmapguard");
    // The lease keeper is a thread, and before 2.34 glibc has threads in a separate library.
    println!("cargo:rustc-link-lib=pthread");
}

/// Returns true when opening and closing run code of the file. These files come first and side by side,
/// because unmapping empties the translation cache, so that each page of code that is used costs a walk of
/// the page table.
#[cfg(feature = "bundled")]
fn opens_and_closes(file: &std::path::Path) -> bool {
    const NAMES: [&str; 25] = [
        "calls.c",
        "open_calls.c",
        "struct_size.c",
        "source.c",
        "source_lock.c",
        "shared_lock.c",
        "file_lock.c",
        "file_system.c",
        "contained.c",
        "fault_guard.c",
        "chain.c",
        "signal.c",
        "backing.c",
        "map.c",
        "file.c",
        "addr_hint.c",
        "region.c",
        "promise.c",
        "adoption.c",
        "registry.c",
        "registry_losses.c",
        "vouch.c",
        "table.c",
        "handle.c",
        "pin.c",
    ];
    file.file_name().map_or(false, |name| NAMES.iter().any(|known| name == *known))
}

/// Collects every file in a folder and in the folders below it.
#[cfg(feature = "bundled")]
fn c_files(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) -> std::io::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            // The folder os/ has a folder for each system.
            if folder.ends_with("os") && !path.ends_with("linux") {
                continue;
            }
            c_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The first release of the library that has everything declared here. Each release that adds to the ABI has
/// a node with its name in the symbol versions of the library.
#[cfg(not(feature = "bundled"))]
const OLDEST: &str = "1.0";

/// Links the library in the folder that `MMAPGUARD_LIB_DIR` names, or else the one that pkg-config finds.
#[cfg(not(feature = "bundled"))]
fn installed() {
    if let Some(folder) = env::var_os("MMAPGUARD_LIB_DIR") {
        return installed_in(std::path::Path::new(&folder));
    }
    if let Err(error) = pkg_config::Config::new().range_version(OLDEST.."2.0").probe("mmapguard") {
        give_up(&format!(
            "no installed library of version {OLDEST} or later was found. Install it, or name its folder in \
             MMAPGUARD_LIB_DIR, or enable the feature `bundled`.\n{error}"
        ));
    }
}

#[cfg(not(feature = "bundled"))]
fn installed_in(folder: &std::path::Path) {
    if folder.as_os_str().is_empty() {
        give_up("MMAPGUARD_LIB_DIR is empty. Unset it, or set it to the folder of libmmapguard.so.");
    }
    let library = folder.join("libmmapguard.so");
    let bytes = match std::fs::read(&library) {
        Ok(bytes) => bytes,
        Err(error) => give_up(&format!(
            "MMAPGUARD_LIB_DIR names a folder without the library: {}: {error}",
            library.display()
        )),
    };
    let node = format!("MMAPGUARD_{OLDEST}\0");
    if !bytes.windows(node.len()).any(|place| place == node.as_bytes()) {
        give_up(&format!(
            "{} is not a library of mmapguard, or is older than {OLDEST}, which this crate needs",
            library.display()
        ));
    }
    println!("cargo:rerun-if-changed={}", library.display());
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=dylib=mmapguard");
}
