// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests what the crate does where there is no room: the disk is full, or the process may have no more memory, no larger
//! files, or no more descriptors. No byte is a zero in silence, nothing kills, and each error names its cause.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{given, sample, Folder};
use mmapguard::{Backing, Contained, Leased, Means, Options, Region, Stable, Status};

const SIZE: usize = 3 << 20;

/// Runs a part of this program in a child, on a new file system of 16 MiB. The child fills the file system.
fn on_a_small_disk(kind: &str, part: &str) {
    let folder = Folder::new();
    let script = r#"cd "$0" && mkdir disk || exit 1
        if [ "$2" = tmpfs ]; then
            mount -t tmpfs -o size=16m none disk || exit 77
        else
            truncate --size=16M image && mkfs."$2" -q image && mount -o loop image disk || exit 77
        fi
        TMPDIR=$0/disk MMAPGUARD_TEST_FILE=$0/disk "$1" --exact --ignored --nocapture --test-threads=1 "$3""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder.path(""));
    command.arg(std::env::current_exe().unwrap()).args([kind, part]);
    match command.output() {
        Ok(output) if output.status.code() == Some(77) => {
            println!("not run on {kind}: needs root, and for ext4 mkfs.ext4 and a loop device");
        }
        Ok(output) => {
            println!("{kind}: {}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{kind}: {output:?}");
        }
        Err(error) => println!("not run on {kind}: {error}"),
    }
}

/// Writes to a file until nothing more fits on its disk.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write(&vec![b'-'; size]).is_ok() {}
    }
    let error = file.write(b"-").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
    let _ = file.sync_all();
}

/// Makes two files on the disk and fills it: one with bytes, and one that is a hole.
fn files_on_a_full_disk() -> [(PathBuf, Vec<u8>); 2] {
    let (bytes, hole) = (given().join("bytes"), given().join("hole"));
    fs::write(&bytes, sample(SIZE)).unwrap();
    File::create(&hole).unwrap().set_len(SIZE as u64).unwrap();
    fill(&given().join("rest"));
    [(bytes, sample(SIZE)), (hole, vec![0; SIZE])]
}

#[test]
fn a_full_disk_takes_no_byte_from_a_stable_region() {
    for kind in ["tmpfs", "ext4"] {
        on_a_small_disk(kind, "part_stable_on_a_full_disk");
    }
}

#[test]
#[ignore = "part of a_full_disk_takes_no_byte_from_a_stable_region, run by it in a child"]
fn part_stable_on_a_full_disk() {
    for (path, expected) in files_on_a_full_disk() {
        let region = Region::<Stable>::open(&path).unwrap();
        assert_eq!(region.info().unwrap().means(), Means::PRIVATE_COPY);
        assert!(*region == expected);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!(*region == expected);
        region.check().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(SIZE as u64).unwrap();
    }
}

#[test]
fn a_full_disk_is_an_error_of_a_contained_region() {
    for kind in ["tmpfs", "ext4"] {
        on_a_small_disk(kind, "part_contained_on_a_full_disk");
    }
}

#[test]
#[ignore = "part of a_full_disk_is_an_error_of_a_contained_region, run by it in a child"]
fn part_contained_on_a_full_disk() {
    for (path, expected) in files_on_a_full_disk() {
        let region = Region::<Contained>::open(&path).unwrap();
        // The kernel copies for these calls, which needs no new page of the file.
        assert!(region.read_to_vec(0, SIZE).unwrap() == expected);
        region.check().unwrap();
        let span = region.span(0, u64::MAX).unwrap();
        // SAFETY: the byte is inside the span.
        let byte = unsafe { span.as_ptr().add(SIZE / 2).read_volatile() };
        assert_eq!(byte, expected[SIZE / 2]);
        // To fill a hole, tmpfs needs a page. The page that could not be had is lost, and the span says so.
        match (span.unpin(), region.check()) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(later)) => {
                println!("{error}; {later}");
                assert!(path.ends_with("hole"), "{error}");
                assert_eq!((error.status(), error.offset()), (Status::IO, Some(SIZE as u64 / 2)), "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Lets this process have no more address space than now, and so much.
fn limit_memory(more: u64) {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    limit(libc::RLIMIT_AS, pages * 4096 + more);
}

fn limit(what: libc::__rlimit_resource_t, most: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is live.
    assert_eq!(unsafe { libc::getrlimit(what, &mut now) }, 0);
    now.rlim_cur = most.min(now.rlim_max);
    // SAFETY: `now` is live.
    assert_eq!(unsafe { libc::setrlimit(what, &now) }, 0);
}

#[test]
fn a_lease_that_nothing_can_secure_is_an_error_of_every_read() {
    on_a_small_disk("ext4", "part_a_lease_without_room");
}

#[test]
#[ignore = "part of a_lease_that_nothing_can_secure_is_an_error_of_every_read, run by it in a child"]
fn part_a_lease_without_room() {
    let [(path, expected), _] = files_on_a_full_disk();
    let region = Region::<Leased>::open(&path).unwrap();
    assert_eq!(region.info().unwrap().means(), Means::LEASE);
    let mut buffer = vec![0; SIZE];
    region.read_exact_at(0, &mut buffer).unwrap();
    assert!(buffer == expected);
    limit_memory(1 << 20);
    // The open waits until the lease is given up.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![b'#'; SIZE], 0).unwrap();
    let error = region.read_exact_at(0, &mut buffer).unwrap_err();
    println!("{error}");
    assert_eq!((error.status(), error.offset()), (Status::UNSTABLE, Some(0)), "{error}");
    assert!(error.to_string().contains("no room when the lease broke"), "{error}");
    assert_eq!(region.check().unwrap_err().status(), Status::UNSTABLE);
}

/// Runs a part of this program in a child, on a file.
fn in_a_child(part: &str, size: u64) {
    let folder = Folder::new();
    let path = folder.file("file", &sample(SIZE));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", part]);
    let output = command.env("MMAPGUARD_TEST_FILE", &path).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{output:?}");
}

fn names_the_file(error: &mmapguard::Error) -> bool {
    println!("{error}");
    error.to_string().contains(given().to_str().unwrap())
}

#[test]
fn without_memory_an_open_is_an_error() {
    // The threads of a program have reserved room for 64 MiB each, in which a smaller copy would fit.
    in_a_child("part_without_memory", 80 << 20);
}

#[test]
#[ignore = "part of without_memory_an_open_is_an_error, run by it in a child"]
fn part_without_memory() {
    let small = Region::<Contained>::open("Cargo.toml").unwrap();
    limit_memory(4 << 20);
    for error in [
        Region::<Contained>::open(given()).unwrap_err(),
        Region::<Leased>::open(given()).unwrap_err(),
        Region::<Stable>::open(given()).unwrap_err(),
        Options::new().backing(Backing::COPY).open::<Contained>(given()).unwrap_err(),
        Options::new().open_pinned::<Contained>(given()).unwrap_err(),
    ] {
        assert!(names_the_file(&error));
        assert!(matches!(error.status(), Status::LIMIT | Status::NO_MEMORY), "{error:?}");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error:?}");
    }
    // A part of the file fits, and what was open before still works.
    let window = Options::new().window(1 << 20, 1 << 20).open::<Stable>(given()).unwrap();
    assert!(*window == sample(2 << 20)[1 << 20..]);
    assert_eq!(small.read_to_vec(0, 6).unwrap(), b"# SPDX");
    limit(libc::RLIMIT_AS, u64::MAX);
    assert!(Region::<Stable>::open(given()).unwrap()[..SIZE] == sample(SIZE));
}

#[test]
fn where_no_file_may_grow_bytes_are_kept_in_memory() {
    in_a_child("part_without_files", SIZE as u64);
    in_a_child("part_without_files", 40 << 20);
}

#[test]
#[ignore = "part of where_no_file_may_grow_bytes_are_kept_in_memory, run by it in a child"]
fn part_without_files() {
    let expected = fs::read(given()).unwrap();
    // A write beyond this limit would be a SIGXFSZ, which kills.
    limit(libc::RLIMIT_FSIZE, 0);
    let stable = Region::<Stable>::open(given()).unwrap();
    assert!(*stable == expected);
    let leased = Region::<Leased>::open(given()).unwrap();
    println!("{}", leased.info().unwrap());
    drop(OpenOptions::new().write(true).open(given()).unwrap());
    assert!(leased.read_to_vec(0, expected.len()).unwrap() == expected);
    leased.check().unwrap();
}

/// A slice never rests on a file that another process could open, so it would be of no use to write one.
#[test]
fn no_file_is_written_for_a_slice() {
    // Above 32 MiB the library prefers a snapshot in a file to a copy in memory.
    in_a_child("part_a_slice_of_a_large_file", 40 << 20);
}

#[test]
#[ignore = "part of no_file_is_written_for_a_slice, run by it in a child"]
fn part_a_slice_of_a_large_file() {
    let size = fs::metadata(given()).unwrap().len();
    let region = Region::<Stable>::open(given()).unwrap();
    assert_eq!(region.info().unwrap().means(), Means::PRIVATE_COPY);
    assert!(region.len() as u64 == size && region[..SIZE] == sample(SIZE));
    drop(region);
    assert_eq!(mmapguard::stats().snapshots, 0);
    // Where only a mapping is allowed, nothing is copied to find out that none will do.
    let mut options = Options::new();
    let error = options.backing(Backing::MAP).open::<Stable>(given()).unwrap_err();
    assert!(names_the_file(&error));
    assert_eq!(error.status(), Status::UNSTABLE);
    assert!(error.to_string().ends_with("only a copy is possible, and a mapping was asked for"), "{error}");
    let error = options
        .backing(Backing::AUTO)
        .max_snapshot_bytes(Some(size - 1))
        .open::<Stable>(given())
        .unwrap_err();
    assert!(names_the_file(&error));
    assert_eq!(error.status(), Status::UNSTABLE);
    assert!(error.to_string().contains("max_snapshot_bytes"), "{error}");
    assert_eq!(mmapguard::stats().snapshots, 0);
}

#[test]
fn without_descriptors_an_open_is_an_error() {
    in_a_child("part_without_descriptors", SIZE as u64);
}

#[test]
#[ignore = "part of without_descriptors_an_open_is_an_error, run by it in a child"]
fn part_without_descriptors() {
    let file = File::open(given()).unwrap();
    limit(libc::RLIMIT_NOFILE, 32);
    let mut held = Vec::new();
    while let Ok(file) = File::open(given()) {
        held.push(file);
    }
    for error in [
        Region::<Contained>::open(given()).unwrap_err(),
        Region::<Leased>::open(given()).unwrap_err(),
        Region::<Stable>::open(given()).unwrap_err(),
        Options::new().open_fd::<Contained>(&file).unwrap_err(),
        Options::new().open_fd::<Stable>(&file).unwrap_err(),
    ] {
        assert!(names_the_file(&error));
        assert_eq!(error.os_code(), Some(libc::EMFILE), "{error:?}");
        assert!(error.to_string().contains("no descriptors left"), "{error}");
    }
    // One descriptor suffices for a copy, which gives it back.
    drop(held.pop());
    for _ in 0..10 {
        assert!(*Region::<Stable>::open(given()).unwrap() == sample(SIZE));
    }
}

/// The kernel kills who takes more memory than its control group has.
#[test]
fn a_limit_of_memory_is_an_error_and_kills_nobody() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(SIZE));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(160 << 20).unwrap();
    let script = r#"groups=/sys/fs/cgroup/memory limit=memory.limit_in_bytes
        if ! [ -e "$groups/$limit" ]; then
            groups=/sys/fs/cgroup limit=memory.max
            grep --quiet --word-regexp memory $groups/cgroup.subtree_control || exit 77
        fi
        group=$groups/mmapguard-rust-$$
        mkdir "$group" || exit 77
        echo 64M >"$group/$limit"
        (echo 0 >"$group/cgroup.procs" && exec "$0" "$@")
        status=$?
        rmdir "$group"
        exit $status"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", "part_in_a_small_group"]);
    let output = command.env("MMAPGUARD_TEST_FILE", &path).output().unwrap();
    if output.status.code() == Some(77) {
        println!("not run: needs root, and control groups that limit memory");
        return;
    }
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "part of a_limit_of_memory_is_an_error_and_kills_nobody, run by it in a child"]
fn part_in_a_small_group() {
    let error = Region::<Stable>::open(given()).unwrap_err();
    assert!(names_the_file(&error));
    assert!(error.to_string().contains("no memory to spare"), "{error}");
    Region::<Contained>::open(given()).unwrap().check().unwrap();
    let window = Options::new().window(0, 5 << 20).open::<Stable>(given()).unwrap();
    assert!(window[..SIZE] == sample(SIZE));
    // A lease takes no memory before somebody writes.
    Region::<Leased>::open(given()).unwrap();
}
