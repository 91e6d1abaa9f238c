// SPDX-License-Identifier: MIT OR Apache-2.0
//! The difference from mmap-guard: a cut does not kill, and `check()` reports it. `compat/` tests everything
//! else.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

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
    for size in [5000, 1 << 20] {
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

#[test]
fn nothing_is_copied() {
    // The file is a hole that is too large for a copy.
    let sample = Sample::new("sparse", 1);
    sample.cut(3 << 30);
    let data = map_file(&sample.0).unwrap();
    assert_eq!((data.len(), data[0], data[data.len() - 1]), (3 << 30, 7, 0));
    match &data {
        FileData::Mapped(mapping) => {
            assert_eq!(mapping.region().info().unwrap().backing(), mmapguard::Backing::MAP)
        }
        other => panic!("{other:?}"),
    }
}
