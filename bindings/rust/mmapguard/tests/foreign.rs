// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests mappings of another crate: with memmap2 a cut kills the process, unless the process is guarded.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use common::{child, given, sample, Folder, LARGE};
use mmapguard::{adopt, guard_process, losses, Contained, GuardOptions, Loss, Mark, Origin, Region, Status};

const LEFT: usize = 3 << 12;

/// These tests count losses of the whole process, so only one runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Maps a file with memmap2, cuts the file, and reads its last byte.
fn lose(path: &Path) -> u8 {
    let file = File::open(path).unwrap();
    // SAFETY: bytes of the map are lost on purpose, and the test does not rely on their values.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    OpenOptions::new().write(true).open(path).unwrap().set_len(LEFT as u64).unwrap();
    // SAFETY: the byte is inside the map.
    unsafe { map.as_ptr().add(LARGE - 1).read_volatile() }
}

#[test]
fn a_guarded_process_outlives_what_kills_another() {
    let _alone = alone();
    let folder = Folder::new();
    let bare = child("part_nothing_is_guarded", &folder.file("bare", &sample(LARGE))).wait().unwrap();
    assert_eq!(bare.signal(), Some(libc::SIGBUS), "{bare}");

    let path = folder.file("guarded", &sample(LARGE));
    let guard = guard_process().unwrap();
    assert!(guard.check().is_ok());
    assert_eq!(lose(&path), 0);
    let lost = guard.finish().unwrap_err();
    let [loss] = lost.records() else { panic!("{lost}") };
    let status = std::fs::metadata(&path).unwrap();
    assert_eq!(loss.path().as_deref(), Some(&*path));
    assert_eq!((loss.cause(), loss.origin()), (Status::TRUNCATED, Origin::FOREIGN));
    assert_eq!((loss.offset(), loss.length()), (LEFT as u64, (LARGE - LEFT) as u64));
    assert_eq!((loss.device(), loss.inode()), (status.dev(), status.ino()));
    assert!(lost.to_string().contains(path.to_str().unwrap()), "{lost}");
    assert!(lost.to_string().ends_with(&format!("from byte {LEFT} on")), "{lost}");

    let after = child("part_a_guard_has_ended", &folder.file("after", &sample(LARGE))).wait().unwrap();
    assert_eq!(after.signal(), Some(libc::SIGBUS), "{after}");
}

#[test]
#[ignore = "part of a_guarded_process_outlives_what_kills_another, run by it in a child"]
fn part_nothing_is_guarded() {
    println!("survived, with {}", lose(&given()));
}

#[test]
#[ignore = "part of a_guarded_process_outlives_what_kills_another, run by it in a child"]
fn part_a_guard_has_ended() {
    drop(guard_process().unwrap());
    println!("survived, with {}", lose(&given()));
}

#[test]
fn guards_nest_and_each_tells_what_it_saw() {
    let _alone = alone();
    let folder = Folder::new();
    let outer = GuardOptions::new().shared_writable(true).start().unwrap();
    let inner = GuardOptions::new().chain_first(true).start().unwrap();
    lose(&folder.file("first", &sample(LARGE)));
    assert_eq!(inner.finish().unwrap_err().records().len(), 1);
    lose(&folder.file("second", &sample(LARGE)));
    let lost = outer.finish().unwrap_err();
    assert_eq!((lost.records().len(), lost.overwritten()), (2, 0));
}

#[test]
fn a_region_tells_of_its_own_losses() {
    let _alone = alone();
    let folder = Folder::new();
    let path = folder.file("a\nfile", &sample(LARGE));
    let mark = Mark::now();
    let guard = guard_process().unwrap();
    let region = Region::<Contained>::open(&path).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(LEFT as u64).unwrap();
    let pinned = region.pinned().unwrap();
    // SAFETY: the byte is inside the region, and is read once.
    assert_eq!(unsafe { pinned.as_ptr().add(LARGE - 1).read_volatile() }, 0);
    assert!(pinned.check().is_err());
    guard.finish().unwrap();
    let found = losses(mark).unwrap();
    assert_eq!(found.records.iter().map(Loss::origin).collect::<Vec<_>>(), [Origin::OWN]);
    let words = found.records[0].to_string();
    assert!(words.contains("/a\\x0Afile': ") && words.starts_with('\''), "{words}");
    assert_eq!(found.mark, Mark::now());
    assert!(losses(found.mark).unwrap().records.is_empty());
}

#[test]
fn an_adopted_mapping_is_a_region_in_place() {
    let _alone = alone();
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let file = File::open(&path).unwrap();
    // SAFETY: bytes of the map are lost on purpose, and the test does not rely on their values.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    let mark = Mark::now();
    let region = adopt(&map[100..]).unwrap();
    assert_eq!(region.size(), (LARGE - 100) as u64);
    assert_eq!(region.read_to_vec(0, LARGE - 100).unwrap(), sample(LARGE)[100..]);
    assert!(region.check().is_ok());
    OpenOptions::new().write(true).open(&path).unwrap().set_len(LEFT as u64).unwrap();
    // SAFETY: the byte is inside the map.
    assert_eq!(unsafe { map.as_ptr().add(LARGE - 1).read_volatile() }, 0);
    let error = region.read_to_vec(0, LARGE - 100).unwrap_err();
    assert_eq!((error.status(), error.offset()), (Status::TRUNCATED, Some((LEFT - 100) as u64)));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(region.finish().unwrap_err().status(), Status::TRUNCATED);
    let found = losses(mark).unwrap().records;
    assert_eq!(found.iter().map(Loss::origin).collect::<Vec<_>>(), [Origin::ADOPTED]);
}

#[test]
fn what_is_no_mapping_of_a_file_is_refused() {
    let error = adopt(&[1; 5000]).unwrap_err();
    assert_eq!(error.status(), Status::NOT_MAPPABLE, "{error}");
}
