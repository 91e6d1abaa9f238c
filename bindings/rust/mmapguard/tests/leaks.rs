// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that nothing leaks. The file has only one test, so that no other test runs at the same time.

mod common;

use std::fs;

use common::{sample, Folder, LARGE};
use mmapguard::{Contained, Leased, Region, Stable};

fn held() -> (usize, usize, u64, u64) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains("mmapguard-rust-")).count();
    let stats = mmapguard::stats();
    (fs::read_dir("/proc/self/fd").unwrap().count(), ours, stats.handles, stats.regions)
}

#[test]
fn nothing_is_left_behind() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let small = folder.file("small", b"small");
    let before = held();
    for _ in 0..100 {
        let stable = Region::<Stable>::open(&path).unwrap();
        let contained = Region::<Contained>::open(&path).unwrap();
        let span = contained.span(0, 10).unwrap();
        drop(span);
        drop(contained.pinned().unwrap());
        Region::<Leased>::open(&path).unwrap();
        stable.close().unwrap();
        Region::<Contained>::open(&small).unwrap().try_into_stable().unwrap();
        Region::<Contained>::open(&path).unwrap().try_into_stable().unwrap_err();
        Region::<Stable>::open(folder.path("none")).unwrap_err();
        let bytes = bytes::Bytes::from_owner(Region::<Stable>::open(&path).unwrap());
        drop((bytes.slice(1..2), bytes));
    }
    assert_eq!(held(), before);
}
