// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sample files, each in a folder of its own, and children to try in what may kill.
#![allow(dead_code)] // not every test program needs all of it

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Above the threshold up to which files are copied.
pub const LARGE: usize = 1 << 20;

/// A folder that goes with the value.
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

/// Bytes of which no page is like another, and none is zero.
pub fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8 ^ (i >> 12) as u8 | 1).collect()
}

/// This test program again, running the one (ignored) test named `part`, with pipes to talk through.
pub fn child(part: &str, file: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().expect("a test program"))
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", part])
        .env("MMAPGUARD_TEST_FILE", file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// In the child: the file it was given.
pub fn given() -> PathBuf {
    std::env::var_os("MMAPGUARD_TEST_FILE").expect("run by a test, not by hand").into()
}
