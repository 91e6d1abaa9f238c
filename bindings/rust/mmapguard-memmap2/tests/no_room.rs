// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests what happens where there is no room: the disk is full, or the process may have no more memory or descriptors.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mmapguard_memmap2::Mmap;

const SIZE: usize = 1 << 20;

fn given() -> PathBuf {
    std::env::var_os("MMAPGUARD_TEST_FILE").expect("run by a test, not by hand").into()
}

/// Runs a command that starts a part of this program in a child, in a folder of its own.
fn run(command: &mut Command, part: &str) -> Output {
    let folder = std::env::temp_dir().join(format!("mmapguard-memmap2-{part}-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", part]);
    let output = command.env("MMAPGUARD_TEST_FILE", &folder).output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    println!("{part}: {output:?}");
    output
}

/// Runs a part on a full tmpfs. Returns `None` where nothing can be mounted.
fn on_a_full_disk(part: &str) -> Option<Output> {
    let script = r#"mount -t tmpfs -o size=4m none "$MMAPGUARD_TEST_FILE" || exit 77; "$0" "$@""#;
    let output = run(Command::new("unshare").args(["--mount", "sh", "-c", script]), part);
    if output.status.code() == Some(77) {
        println!("not run: needs root, which mounts file systems");
        return None;
    }
    Some(output)
}

/// Makes a file that is a hole, and fills the disk. On tmpfs a hole takes a page when it is read through a mapping.
fn hole_on_a_full_disk() -> File {
    let path = given().join("hole");
    File::create(&path).unwrap().set_len(SIZE as u64).unwrap();
    let mut rest = File::create(given().join("rest")).unwrap();
    while rest.write(&[b'-'; 4096]).is_ok() {}
    File::open(path).unwrap()
}

#[test]
fn what_a_full_disk_cannot_deliver_is_loud() {
    let Some(output) = on_a_full_disk("part_memmap2_on_a_full_disk") else { return };
    assert_eq!(output.status.code(), Some(128 + libc::SIGBUS)); // as the shell says it
    let output = on_a_full_disk("part_a_hole_on_a_full_disk").expect("it could be mounted before");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if cfg!(feature = "stable") {
        assert!(output.status.success(), "{told}"); // the hole was read, and not mapped
    } else {
        assert_eq!(output.status.code(), Some(74), "{told}");
        assert!(
            told.contains("/hole': pin: the device failed to deliver bytes, from byte 524288 on"),
            "{told}"
        );
    }
}

#[test]
#[ignore = "part of what_a_full_disk_cannot_deliver_is_loud, run by it in a child"]
fn part_memmap2_on_a_full_disk() {
    // SAFETY: nobody writes to the file. The child should die all the same.
    let map = unsafe { memmap2::Mmap::map(&hole_on_a_full_disk()) }.unwrap();
    println!("{}", std::hint::black_box(&map)[SIZE / 2]);
}

#[test]
#[ignore = "part of what_a_full_disk_cannot_deliver_is_loud, run by it in a child"]
fn part_a_hole_on_a_full_disk() {
    // SAFETY: nobody writes to the file.
    let map = unsafe { Mmap::map(&hole_on_a_full_disk()) }.unwrap();
    assert_eq!(std::hint::black_box(&map)[SIZE / 2], 0);
}

/// Makes a file of 1 GiB, which takes little room.
fn large_file() -> File {
    let path = given().join("file");
    fs::write(&path, b"some bytes").unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    File::open(path).unwrap()
}

fn theirs(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: nobody writes to the file.
    unsafe { memmap2::Mmap::map(file) }
}

fn ours(file: &File) -> io::Result<Mmap> {
    // SAFETY: nobody writes to the file.
    unsafe { Mmap::map(file) }
}

#[test]
fn without_memory_the_error_is_that_of_memmap2() {
    let output = run(Command::new("prlimit").args(["--as=600000000", "--"]), "part_without_memory");
    assert!(output.status.success());
}

#[test]
#[ignore = "part of without_memory_the_error_is_that_of_memmap2, run by it in a child"]
fn part_without_memory() {
    let file = large_file();
    let (theirs, ours) = (theirs(&file).unwrap_err(), ours(&file).unwrap_err());
    assert_eq!(theirs.raw_os_error(), Some(libc::ENOMEM));
    assert_eq!((ours.raw_os_error(), ours.kind()), (theirs.raw_os_error(), theirs.kind()), "{ours}");
}

/// A mapping of ours keeps a descriptor, by which the library looks at the file after a fault.
#[test]
fn without_descriptors_a_mapping_is_an_error() {
    let output = run(Command::new("prlimit").args(["--nofile=32", "--"]), "part_without_descriptors");
    assert!(output.status.success());
}

#[test]
#[ignore = "part of without_descriptors_a_mapping_is_an_error, run by it in a child"]
fn part_without_descriptors() {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| file.try_clone().ok()).collect();
    let expected = theirs(&file).unwrap();
    assert_eq!(ours(&file).unwrap_err().raw_os_error(), Some(libc::EMFILE));
    drop(held.pop());
    assert!(*ours(&file).unwrap() == *expected);
}

/// The test program itself is a file that is there, and nobody writes to it.
#[test]
fn a_mapping_gives_its_descriptor_back() {
    let output = run(Command::new("prlimit").args(["--nofile=32", "--"]), "part_again_and_again");
    assert!(output.status.success());
}

#[test]
#[ignore = "part of a_mapping_gives_its_descriptor_back, run by it in a child"]
fn part_again_and_again() {
    let path: &Path = &std::env::current_exe().unwrap();
    for _ in 0..100 {
        let map = ours(&File::open(path).unwrap()).unwrap();
        assert_eq!(&map[1..4], b"ELF");
    }
}
