// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that the bytes of a stable region do not change, whatever is written to the file.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use common::{sample, Folder, LARGE};
use mmapguard::{Advice, Contained, Leased, Means, Options, Pinned, Promise, Region, Stable, Status};

fn overwrite(path: &std::path::Path) {
    // Opening for writing breaks a lease, and waits until the bytes are secured.
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(&vec![0xEE; LARGE / 2]).unwrap();
    file.seek(SeekFrom::Start(10)).unwrap();
    file.write_all(b"other bytes").unwrap();
    file.set_len(LARGE as u64 / 4).unwrap();
}

#[test]
fn a_rewrite_does_not_change_a_byte() {
    let folder = Folder::new();
    for (name, size) in [("small", 1000), ("large", LARGE)] {
        let bytes = sample(size);
        let path = folder.file(name, &bytes);
        let region = Region::<Stable>::open(&path).unwrap();
        println!("{name}: {}", region.info().unwrap());
        let slice: &[u8] = &region;
        let address = slice.as_ptr();
        assert_eq!(slice, bytes);
        overwrite(&path);
        assert_ne!(fs::read(&path).unwrap(), bytes);
        assert!(slice == bytes && slice.as_ptr() == address);
        assert!(region.find(&bytes[size - 100..]).unwrap().is_some());
        assert_eq!(region.read_to_vec(0, size).unwrap(), bytes);
        assert_eq!(region.info().unwrap().guarantee(), Promise::STABLE);
        assert!(region.changed().unwrap().any());
        region.close().unwrap();
    }
}

#[test]
fn a_slice_never_rests_on_a_lease() {
    let folder = Folder::new();
    let bytes = sample(LARGE);
    let path = folder.file("file", &bytes);
    let region = Region::<Stable>::open(&path).unwrap();
    assert_ne!(region.info().unwrap().means(), Means::LEASE);
    overwrite(&path);
    assert_eq!(&*region, bytes);
}

#[test]
fn what_only_a_copy_could_hold_is_refused_above_the_cap() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let means = Region::<Stable>::open(&path).unwrap().info().unwrap().means();
    let capped = Options::new().max_snapshot_bytes(Some(1000)).open::<Stable>(&path);
    match means {
        Means::SNAPSHOT | Means::PRIVATE_COPY => {
            let error = capped.unwrap_err();
            assert_eq!((error.status(), error.kind()), (Status::UNSTABLE, std::io::ErrorKind::Unsupported));
            assert!(error.to_string().contains("max_snapshot_bytes"), "{error}");
        }
        // No bytes are copied for these, so the limit does not matter.
        means => assert_eq!(capped.unwrap().info().unwrap().means(), means),
    }
}

#[test]
fn a_lease_larger_than_what_it_may_secure_is_refused() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let means = Region::<Leased>::open(&path).unwrap().info().unwrap().means();
    if means == Means::LEASE {
        let error = Options::new().max_snapshot_bytes(Some(1000)).open::<Leased>(&path).unwrap_err();
        assert_eq!(error.status(), Status::UNSTABLE);
        assert!(error.to_string().contains("max_snapshot_bytes"), "{error}");
    } else {
        println!("no lease is to be had here: {means}");
    }
}

#[test]
fn what_is_leased_reads_like_what_is_stable() {
    let folder = Folder::new();
    let bytes = sample(LARGE);
    let path = folder.file("file", &bytes);
    let region = Region::<Leased>::open(&path).unwrap().pinned().unwrap();
    // SAFETY: writers open the file in a way that breaks the lease, and this process is not stopped.
    let slice = unsafe { region.as_slice() };
    assert_eq!(slice, bytes);
    overwrite(&path);
    assert_eq!(slice, bytes);
    assert_eq!(region.read_to_vec(0, LARGE).unwrap(), bytes);
    region.check().unwrap();
    let region = region.into_inner();
    match region.try_into_stable() {
        Ok(stable) => assert_eq!(&*stable, bytes),
        Err(leased) => leased.close().unwrap(),
    }
}

#[test]
fn a_window_is_the_slice_that_it_names() {
    let folder = Folder::new();
    let bytes = sample(LARGE);
    let path = folder.file("file", &bytes);
    let region = Options::new().window(4097, 200_000).open::<Stable>(&path).unwrap();
    assert_eq!(region.as_ref(), &bytes[4097..204_097]);
    let empty = Region::<Stable>::open(folder.file("empty", b"")).unwrap();
    assert_eq!(&*empty, b"");
    assert!(empty.iter().next().is_none());
}

#[test]
fn threads_share_a_region_while_the_file_is_rewritten() {
    fn is_send_and_sync<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    is_send_and_sync::<Region<Stable>>();
    is_send_and_sync::<Region<Contained>>();
    is_send_and_sync::<Region<Leased>>();
    is_send_and_sync::<Pinned<Contained>>();
    is_send_and_sync::<mmapguard::Span<'static>>();

    let folder = Folder::new();
    let bytes = Arc::new(sample(LARGE));
    let path = folder.file("file", &bytes);
    let region = Arc::new(Region::<Stable>::open(&path).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (bytes, region, stop) = (bytes.clone(), region.clone(), stop.clone());
            thread::spawn(move || loop {
                let last = stop.load(Ordering::Acquire);
                assert!(region[..] == bytes[..]);
                region.check().unwrap();
                if last {
                    break;
                }
            })
        })
        .collect();
    overwrite(&path);
    stop.store(true, Ordering::Release);
    for reader in readers {
        reader.join().unwrap();
    }
    // The region is moved to another thread and dropped there.
    let region = Arc::try_unwrap(region).unwrap();
    thread::spawn(move || assert_eq!(region.len(), LARGE)).join().unwrap();
}

#[test]
fn no_advice_changes_a_byte() {
    let folder = Folder::new();
    let bytes = sample(LARGE);
    let path = folder.file("file", &bytes);
    let region = Region::<Stable>::open(&path).unwrap();
    overwrite(&path);
    for advice in [Advice::DONTNEED, Advice::RANDOM, Advice::HUGEPAGE, Advice::WILLNEED] {
        region.advise(0, u64::MAX, advice).unwrap();
        assert_eq!(&*region, bytes);
    }
    assert_eq!(region.advise(1, LARGE as u64, Advice::NORMAL).unwrap_err().status(), Status::RANGE);
}
