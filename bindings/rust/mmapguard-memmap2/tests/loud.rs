// SPDX-License-Identifier: MIT OR Apache-2.0
//! A loss is reported, in whatever way the mapping or the process ends. With memmap2 the process dies.
#![cfg(not(feature = "stable"))]

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use mmapguard_memmap2::{on_loss, Mmap, OnLoss};

const SIZE: usize = 1 << 20;
const LEFT: u64 = 4096;

fn given() -> PathBuf {
    std::env::var_os("MMAPGUARD_TEST_FILE").expect("run by a test, not by hand").into()
}

/// Runs a part in a child, with a file of its own, and with a choice in the environment.
fn run(part: &str, choice: Option<&str>) -> (Output, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("mmapguard-loud-{part}-{}-{number}", std::process::id()));
    fs::write(&path, vec![7; SIZE]).expect("a file is written");
    let mut command = Command::new(std::env::current_exe().expect("a test program"));
    command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", part]);
    command.env("MMAPGUARD_TEST_FILE", &path).envs(choice.map(|choice| ("MMAPGUARD_ON_LOSS", choice)));
    let output = command.output().expect("a child");
    let _ = fs::remove_file(&path);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{part} {choice:?}: {}\n{told}", output.status);
    (output, told)
}

fn names_the_file(told: &str, part: &str) -> bool {
    told.contains(&format!("mmapguard-loud-{part}-")) && told.contains(&format!("from byte {LEFT} on"))
}

fn cut(left: u64) {
    OpenOptions::new().write(true).open(given()).unwrap().set_len(left).unwrap();
}

/// Maps the file, cuts it, and reads a lost byte.
fn lose() -> Mmap {
    let file = File::open(given()).unwrap();
    // SAFETY: bytes of the map are lost on purpose, and the test does not rely on their values.
    let map = unsafe { Mmap::map(&file) }.unwrap();
    cut(LEFT);
    // SAFETY: the byte is inside the map.
    assert_eq!(unsafe { map.as_ptr().add(SIZE - 1).read_volatile() }, 0);
    map
}

#[test]
fn memmap2_is_killed() {
    let (output, _) = run("part_memmap2", None);
    assert_eq!(output.status.signal(), Some(libc::SIGBUS));
}

#[test]
#[ignore = "part of memmap2_is_killed, run by it in a child"]
fn part_memmap2() {
    let file = File::open(given()).unwrap();
    // SAFETY: this is not safe; the child should die of it.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    cut(LEFT);
    println!("{}", std::hint::black_box(&map)[SIZE - 1]);
}

#[test]
fn dropping_the_mapping_ends_the_process_with_74() {
    let (output, told) = run("part_dropped", None);
    assert_eq!(output.status.code(), Some(74));
    assert!(names_the_file(&told, "part_dropped"), "{told}");
}

#[test]
#[ignore = "part of the tests of what dropping does, run by them in a child"]
fn part_dropped() {
    drop(lose());
    println!("\nwent on");
}

#[test]
fn the_environment_chooses_otherwise() {
    let (output, told) = run("part_dropped", Some("report"));
    assert!(output.status.success() && names_the_file(&told, "part_dropped"));
    let (output, told) = run("part_dropped", Some("silent"));
    assert!(output.status.success() && !told.contains("mmapguard:"), "{told}");
    let (output, told) = run("part_dropped", Some("panic"));
    assert_eq!(output.status.code(), Some(101)); // the status of the test harness after a panic
    assert!(told.contains("panicked") && names_the_file(&told, "part_dropped"));
}

#[test]
fn the_program_chooses_otherwise() {
    let (output, told) = run("part_panic_is_caught", None);
    assert!(output.status.success(), "{told}");
}

#[test]
#[ignore = "part of the_program_chooses_otherwise, run by it in a child"]
fn part_panic_is_caught() {
    on_loss(OnLoss::Panic);
    let panic = std::panic::catch_unwind(|| drop(lose())).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains(given().to_str().unwrap()));
    on_loss(OnLoss::Silent);
    fs::write(given(), vec![7; SIZE]).unwrap();
    drop(lose());
    // A program that has got the error from check() does not get a report, too.
    on_loss(OnLoss::Exit);
    fs::write(given(), vec![7; SIZE]).unwrap();
    let map = lose();
    assert_eq!(map.check().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    drop(map);
}

#[test]
fn a_mapping_that_is_never_dropped_is_told_of_at_the_end() {
    let (output, told) = run("part_leaked", None);
    assert_eq!(output.status.code(), Some(74));
    assert!(names_the_file(&told, "part_leaked"), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("went on"));
}

#[test]
#[ignore = "part of a_mapping_that_is_never_dropped_is_told_of_at_the_end, run by it in a child"]
fn part_leaked() {
    std::mem::forget(lose());
    println!("\nwent on");
}

#[test]
fn a_mapping_in_thread_local_storage_is_told_of() {
    for part in ["part_local_to_main", "part_local_to_a_thread"] {
        let (output, told) = run(part, None);
        assert_eq!(output.status.code(), Some(74), "{told}");
        assert!(names_the_file(&told, part), "{told}");
    }
}

thread_local! {
    static KEPT: RefCell<Option<Mmap>> = const { RefCell::new(None) };
}

/// The harness runs the only test of a child in the main thread, whose storage is dropped when the process ends.
#[test]
#[ignore = "part of a_mapping_in_thread_local_storage_is_told_of, run by it in a child"]
fn part_local_to_main() {
    KEPT.with(|kept| *kept.borrow_mut() = Some(lose()));
}

#[test]
#[ignore = "part of a_mapping_in_thread_local_storage_is_told_of, run by it in a child"]
fn part_local_to_a_thread() {
    std::thread::spawn(part_local_to_main).join().unwrap();
}

#[test]
fn what_was_read_before_the_cut_is_no_loss() {
    let (output, told) = run("part_read_before", None);
    assert!(output.status.success(), "{told}");
}

#[test]
#[ignore = "part of what_was_read_before_the_cut_is_no_loss, run by it in a child"]
fn part_read_before() {
    let file = File::open(given()).unwrap();
    // SAFETY: nothing is read once the file has been cut.
    let map = unsafe { Mmap::map(&file) }.unwrap();
    assert!(map.iter().all(|&byte| byte == 7));
    cut(0);
    // check() returns the error nevertheless.
    assert!(map.check().is_err());
}
