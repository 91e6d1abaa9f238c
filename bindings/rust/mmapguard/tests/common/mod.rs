// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sample files, each in a folder of its own, and child processes for tests that may kill.
#![allow(dead_code)] // not every test program needs all of it

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A size above the threshold for copies.
pub const LARGE: usize = 1 << 20;

/// A folder that is removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mmapguard-rust-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file is written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns bytes other than zero, with no two equal pages.
pub fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8 ^ (i >> 12) as u8 | 1).collect()
}

/// Starts this test program again, with the ignored test named `part`, and with pipes as its standard
/// streams.
pub fn child(part: &str, file: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().expect("a test program"))
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", part])
        .env("MMAPGUARD_TEST_FILE", file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Returns the file of the parent. The child calls this function.
pub fn given() -> PathBuf {
    std::env::var_os("MMAPGUARD_TEST_FILE").expect("run by a test, not by hand").into()
}
