// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that safe code cannot change a live `&str` over a stable region, whatever it does to the file, to
//! the process, or to the files that the library keeps open.
#![forbid(unsafe_code)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{child, given, Folder};
use mmapguard::{Leased, Means, Options, Region, Stable};

/// Two sizes: a file that is copied when it is opened, and a larger one.
const SIZES: [usize; 3] = [1000, 200_000, 3 << 20];

/// Returns text with no two equal pages.
fn text(size: usize) -> String {
    (0..).flat_map(|line| format!("line {line}\n").into_bytes()).take(size).map(char::from).collect()
}

/// Opens files with text, by path and by descriptor, and checks that their `&str` survives an attack.
fn under(name: &str, attack: impl Fn(&Path)) {
    let folder = Folder::new();
    for size in SIZES {
        let expected = text(size);
        for by_path in [true, false] {
            let path = folder.file(name, expected.as_bytes());
            let region = if by_path {
                Region::<Stable>::open(&path).unwrap()
            } else {
                Options::new().open_fd::<Stable>(File::open(&path).unwrap()).unwrap()
            };
            let means = region.info().unwrap().means();
            assert_ne!(means, Means::LEASE);
            let live: &str = std::str::from_utf8(&region).unwrap();
            assert!(live == expected);
            attack(&path);
            assert!(live == expected, "{name}: {size} bytes by {means} have changed");
            region.close().unwrap();
        }
    }
}

fn flags(bits: i32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(bits);
    options
}

#[test]
fn writing_in_place_changes_nothing() {
    under("written", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&vec![b'#'; fs::metadata(path).unwrap().len() as usize], 0).unwrap();
        file.sync_all().unwrap();
    });
}

#[test]
fn cutting_and_growing_changes_nothing() {
    under("cut", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
        file.set_len(8 << 20).unwrap();
    });
    // These attacks break no lease, since they do not open the file for writing.
    under("emptied by a reader", |path| {
        flags(libc::O_TRUNC).open(path).unwrap();
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
    });
    under("cut without waiting", |path| {
        // A lease would make this open fail. Without a lease the writer goes on.
        let file = flags(libc::O_NONBLOCK).write(true).open(path).unwrap();
        file.set_len(1).unwrap();
    });
}

#[test]
fn replacing_and_removing_changes_nothing() {
    under("replaced", |path| {
        let other = path.with_extension("other");
        fs::write(&other, vec![b'%'; 4 << 20]).unwrap();
        fs::rename(&other, path).unwrap();
    });
    under("removed", |path| fs::remove_file(path).unwrap());
}

/// Returns the files that this process has open or mapped, by their names in /proc.
fn held() -> Vec<PathBuf> {
    let folders = ["/proc/self/fd", "/proc/self/map_files"];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries
        .map(|entry| entry.path())
        .filter(|path| fs::metadata(path).map_or(false, |file| file.is_file()))
        .collect()
}

#[test]
fn writing_to_what_the_library_keeps_open_changes_nothing() {
    // The part runs in its own process, since other tests have files open that must not change.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
        "part_everything_is_overwritten",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "part of writing_to_what_the_library_keeps_open_changes_nothing, run by it in a child"]
fn part_everything_is_overwritten() {
    let temporary = std::env::temp_dir();
    under("kept", |_| {
        for path in held() {
            let Ok(target) = fs::read_link(&path) else { continue };
            let is_nameless = target.to_string_lossy().ends_with("(deleted)");
            if !is_nameless && !target.starts_with(&temporary) {
                continue; // the program itself and its libraries
            }
            let Ok(mut file) = OpenOptions::new().write(true).open(&path) else { continue };
            let _ = file.seek(SeekFrom::Start(0));
            let _ = file.write_all(&[b'!'; 5000]);
            let _ = file.set_len(10);
        }
    });
}

#[test]
fn a_child_sees_what_its_parent_sees() {
    let folder = Folder::new();
    for size in SIZES {
        let expected = text(size);
        let path = folder.file("forked", expected.as_bytes());
        let region = Region::<Stable>::open(&path).unwrap();
        let live: &str = std::str::from_utf8(&region).unwrap();
        // This function is safe to call, in a widely used crate.
        match fork::fork().unwrap() {
            fork::Fork::Child => {
                // The child has no thread that secures leases.
                fs::write(&path, vec![b'?'; 4 << 20]).unwrap();
                std::process::exit(i32::from(live != expected));
            }
            fork::Fork::Parent(child) => assert_eq!(status_of(child), 0, "{size} bytes in the child"),
        }
        assert!(live == expected);
    }
}

/// Returns the exit status of a child process.
fn status_of(child: i32) -> i32 {
    match fork::waitpid(child) {
        Ok(status) => format!("{status:?}").trim().parse().unwrap_or(0),
        Err(error) => panic!("waitpid: {error:?}"),
    }
}

#[test]
fn the_switch_that_turns_the_guard_off_kills_no_slice() {
    let folder = Folder::new();
    for size in SIZES {
        let path = folder.file("unguarded", text(size).as_bytes());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--test-threads=1", "part_a_slice_without_the_guard"]);
        command.env("MMAPGUARD_NO_SIGNAL", "1").env("MMAPGUARD_TEST_FILE", &path);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{size}: {output:?}");
    }
}

#[test]
#[ignore = "part of the_switch_that_turns_the_guard_off_kills_no_slice, run by it in a child"]
fn part_a_slice_without_the_guard() {
    assert_eq!(mmapguard::guard_state(), mmapguard::GuardState::DISABLED);
    let expected = fs::read_to_string(given()).unwrap();
    let region = Region::<Stable>::open(given()).unwrap();
    let live: &str = std::str::from_utf8(&region).unwrap();
    OpenOptions::new().write(true).open(given()).unwrap().set_len(0).unwrap();
    assert!(live == expected);
}

#[test]
fn a_process_that_was_stopped_sees_the_same_text_when_it_goes_on() {
    let folder = Folder::new();
    let path = folder.file("stopped", text(3 << 20).as_bytes());
    let mut reader = child("part_a_slice_in_a_stopped_process", &path);
    let mut word = [0; 7];
    let mut output = reader.stdout.take().unwrap();
    // Skip the first lines, which come from the test harness.
    while &word != b"mapped\n" {
        word.rotate_left(1);
        output.read_exact(&mut word[6..]).unwrap();
    }
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &reader.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    // With a lease, the kernel would make this open wait while the process is stopped, and then let it
    // through.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![b'~'; 3 << 20], 0).unwrap();
    signal("-CONT");
    reader.stdin.take().unwrap().write_all(b"cut\n").unwrap();
    assert!(reader.wait().unwrap().success());
}

#[test]
#[ignore = "part of a_process_that_was_stopped_sees_the_same_text_when_it_goes_on, run by it in a child"]
fn part_a_slice_in_a_stopped_process() {
    let expected = text(3 << 20);
    let region = Region::<Stable>::open(given()).unwrap();
    let live: &str = std::str::from_utf8(&region).unwrap();
    println!("\nmapped");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    assert!(live == expected);
}

#[test]
fn a_leased_region_says_when_its_lease_was_lost() {
    let folder = Folder::new();
    let expected = text(3 << 20);
    let path = folder.file("leased", expected.as_bytes());
    let region = Region::<Leased>::open(&path).unwrap();
    let means = region.info().unwrap().means();
    println!("leased by {means}");
    // A lease does not hold this cut back.
    flags(libc::O_TRUNC).open(&path).unwrap();
    match region.read_to_vec(0, expected.len()) {
        Ok(bytes) => assert!(bytes == expected.as_bytes(), "{means}: other bytes, and no error"),
        Err(error) => {
            assert_eq!(means, Means::LEASE, "{error}");
            assert!(error.offset().is_some(), "{error}");
        }
    }
}

/// A loop device makes a read-only medium of a file, to which its owner may write.
#[test]
fn an_image_that_its_owner_changes_changes_nothing() {
    let folder = Folder::new();
    let tree = folder.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), text(3 << 20)).unwrap();
    let script = r#"cd "$0" && mkdir mounted && mksquashfs tree image -noI -noD -noF -no-xattrs -quiet >/dev/null &&
        mount -t squashfs -o loop,ro image mounted || exit 77
        MMAPGUARD_TEST_FILE=$0 "$1" --exact --ignored --nocapture part_an_image_is_overwritten"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder.path("")).arg(std::env::current_exe().unwrap());
    match command.output() {
        Ok(output) if output.status.code() == Some(77) => {
            println!("not run: needs root, mksquashfs and a loop device");
        }
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => println!("not run: {error}"),
    }
}

#[test]
#[ignore = "part of an_image_that_its_owner_changes_changes_nothing, run by it in a child"]
fn part_an_image_is_overwritten() {
    let expected = text(3 << 20);
    let region = Region::<Stable>::open(given().join("mounted/file")).unwrap();
    let live: &[u8] = &region; // no page of it is in memory yet, if it is a mapping
    let image = OpenOptions::new().write(true).open(given().join("image")).unwrap();
    // The start of the image tells the kernel where everything is, and stays.
    image.write_all_at(&vec![b'#'; 3 << 20], 4096).unwrap();
    image.sync_all().unwrap();
    let means = region.info().unwrap().means();
    assert!(live == expected.as_bytes(), "{means}: the bytes have changed");
}
