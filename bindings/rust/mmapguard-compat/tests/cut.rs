// SPDX-License-Identifier: MIT OR Apache-2.0
//! The difference from mmap-guard: a cut does not kill, and `check()` reports it. `compat/` tests everything
//! else.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Mutex;

use mmapguard::Backing;
use mmapguard_compat::{map_file, FileData};

/// A file that is removed with the value.
struct Sample(PathBuf);

impl Sample {
    fn new(name: &str, size: usize) -> Sample {
        let path = std::env::temp_dir().join(format!("mmapguard-compat-{name}-{}", std::process::id()));
        fs::write(&path, vec![7; size]).expect("a file is written");
        Sample(path)
    }

    fn cut(&self, size: u64) {
        OpenOptions::new().write(true).open(&self.0).and_then(|file| file.set_len(size)).expect("cut short");
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_cut_below_the_mapping_is_an_error_of_check() {
    for size in [70_000, 1 << 20] {
        let sample = Sample::new("cut", size);
        let data = map_file(&sample.0).unwrap();
        data.check().unwrap();
        sample.cut(4096);
        assert_eq!((data[4095], data[size - 1]), (7, 0));
        let error = data.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains(sample.0.to_str().unwrap()), "{error}");
        assert!(error.to_string().ends_with("from byte 4096 on"), "{error}");
    }
    FileData::Loaded(vec![1]).check().unwrap();
}

/// Whether a small file is copied depends on the copies that other tests of this process hold.
static COPIES: Mutex<()> = Mutex::new(());

fn backing(data: &FileData) -> Backing {
    match data {
        FileData::Mapped(mapping) => mapping.region().info().unwrap().backing(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_file_is_a_copy_that_no_cut_reaches() {
    let _alone = COPIES.lock().unwrap();
    for size in [1, 4096, 65_536] {
        let sample = Sample::new("small", size);
        let data = map_file(&sample.0).unwrap();
        assert_eq!(backing(&data), Backing::COPY);
        sample.cut(0);
        assert_eq!(&*data, vec![7; size]);
        data.check().unwrap();
    }
}

/// Copies take memory of the process, so when many are held, a file of more than a page is mapped.
#[test]
fn of_many_small_files_at_a_time_few_are_copied() {
    let _alone = COPIES.lock().unwrap();
    let sample = Sample::new("many", 65_536);
    let held: Vec<_> = (0..400).map(|_| map_file(&sample.0).unwrap()).collect();
    let copies = held.iter().filter(|data| backing(data) == Backing::COPY).count();
    assert!(copies <= 16, "{copies} copies");
    assert!(held.iter().all(|data| data.len() == 65_536 && data[65_535] == 7));
}

#[test]
fn a_large_file_is_not_copied() {
    // The file is a hole that is too large for a copy.
    let sample = Sample::new("sparse", 1);
    sample.cut(3 << 30);
    let data = map_file(&sample.0).unwrap();
    assert_eq!((data.len(), data[0], data[data.len() - 1]), (3 << 30, 7, 0));
    assert_eq!(backing(&data), Backing::MAP);
}
