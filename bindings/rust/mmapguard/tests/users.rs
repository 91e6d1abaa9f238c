// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that what other crates make of a stable region stays as it is: values that borrow from the bytes, and owners that
//! keep the region. What must not compile is in `src/borrows.rs`.
#![forbid(unsafe_code)]

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use common::{sample, Folder, LARGE};
use mmapguard::{Region, Stable};

/// Writes a document of more bytes than the library copies by itself. No string of it needs to be changed, so each can be
/// borrowed.
fn document(folder: &Folder) -> (std::path::PathBuf, usize) {
    let entries: Vec<_> = (0..20_000).map(|i| format!("\"key {i}\": \"value {i}\"")).collect();
    (folder.file("document", format!("{{{}}}", entries.join(", ")).as_bytes()), entries.len())
}

/// Does to a file what another program may do.
fn ruin(path: &Path) {
    let size = fs::metadata(path).unwrap().len() as usize;
    fs::write(path, vec![b'#'; size]).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1).unwrap();
}

/// Returns true when a slice lies inside another one, so that it was borrowed and not copied.
fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    let Range { start, end } = whole.as_ptr_range();
    part.as_ptr() >= start && part.as_ptr() <= end
}

#[test]
fn what_serde_has_borrowed_stays_when_the_file_is_ruined() {
    let folder = Folder::new();
    let (path, entries) = document(&folder);
    let region = Region::<Stable>::open(&path).unwrap();
    let values: BTreeMap<&str, &str> = serde_json::from_slice(&region).unwrap();
    ruin(&path);
    assert_eq!(values.len(), entries);
    for (key, value) in values {
        assert!(lies_in(key.as_bytes(), &region) && lies_in(value.as_bytes(), &region));
        assert_eq!(key.strip_prefix("key "), value.strip_prefix("value "));
    }
    region.close().unwrap();
}

#[test]
fn bytes_own_the_region_as_long_as_one_of_them_lives() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let whole = Bytes::from_owner(Region::<Stable>::open(&path).unwrap());
    let mut parts: Vec<Bytes> = (0..16).map(|i| whole.slice(i * LARGE / 16..(i + 1) * LARGE / 16)).collect();
    let end = parts[15].split_off(10);
    drop(whole);
    ruin(&path);
    let readers: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(i, mut part)| {
            std::thread::spawn(move || {
                let first = part.get_u8();
                assert_eq!(first, sample(LARGE)[i * LARGE / 16]);
                assert!(part == sample(LARGE)[i * LARGE / 16 + 1..][..part.len()]);
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(end == sample(LARGE)[LARGE * 15 / 16 + 10..]);
}

#[test]
fn a_cow_borrows_until_it_must_own() {
    let folder = Folder::new();
    let (path, _) = document(&folder);
    let region = Region::<Stable>::open(&path).unwrap();
    let text = String::from_utf8_lossy(&region);
    assert!(matches!(text, Cow::Borrowed(_)));
    ruin(&path);
    assert!(text.starts_with("{\"key 0\"") && text.ends_with('}'));
    let size = text.len();
    let kept: Cow<'static, str> = Cow::Owned(text.into_owned());
    drop(region);
    assert_eq!(kept.len(), size);
}

#[test]
fn a_cursor_and_an_arc_take_a_region_as_they_take_a_vector() {
    let folder = Folder::new();
    let (path, entries) = document(&folder);
    let mut cursor = Cursor::new(Region::<Stable>::open(&path).unwrap());
    assert_eq!(cursor.seek(SeekFrom::End(-1)).unwrap(), cursor.get_ref().len() as u64 - 1);
    cursor.set_position(0);
    ruin(&path);
    assert_eq!(cursor.by_ref().split(b',').count(), entries);
    let shared: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(cursor.into_inner());
    let reader = {
        let shared = shared.clone();
        std::thread::spawn(move || (*shared).as_ref().len())
    };
    assert_eq!(reader.join().unwrap(), (*shared).as_ref().len());
}
