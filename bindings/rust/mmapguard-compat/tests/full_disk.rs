// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests what a full disk does to a mapping. On tmpfs a hole of a file takes a page when it is read through a mapping,
//! and there is none. With mmap-guard the process dies of SIGBUS.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use mmapguard_compat::map_file;

const SIZE: usize = 1 << 20;

/// Runs a part of this program in a child, on a new file system of 4 MiB.
fn on_a_small_disk(kind: &str, part: &str) {
    let folder = std::env::temp_dir().join(format!("mmapguard-compat-disk-{kind}-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let script = r#"cd "$0" && mkdir disk || exit 1
        if [ "$2" = tmpfs ]; then
            mount -t tmpfs -o size=4m none disk || exit 77
        else
            truncate --size=4M image && mkfs."$2" -q image && mount -o loop image disk || exit 77
        fi
        MMAPGUARD_TEST_FILE=$0/disk "$1" --exact --ignored --nocapture --test-threads=1 "$3""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&folder);
    command.arg(std::env::current_exe().unwrap()).args([kind, part]);
    let output = command.output();
    fs::remove_dir_all(&folder).unwrap();
    match output {
        Ok(output) if output.status.code() == Some(77) => {
            println!("not run on {kind}: needs root, and for ext4 mkfs.ext4 and a loop device");
        }
        Ok(output) => assert!(output.status.success(), "{kind}: {output:?}"),
        Err(error) => println!("not run on {kind}: {error}"),
    }
}

#[test]
fn what_a_full_disk_cannot_deliver_is_an_error_of_check() {
    on_a_small_disk("tmpfs", "part_tmpfs");
    on_a_small_disk("ext4", "part_ext4");
}

/// Makes a file with bytes and one that is a hole, and fills the disk.
fn files_on_a_full_disk(size: usize) -> [PathBuf; 2] {
    let folder = PathBuf::from(std::env::var_os("MMAPGUARD_TEST_FILE").expect("run by a test, not by hand"));
    let (bytes, hole) = (folder.join(format!("bytes {size}")), folder.join(format!("hole {size}")));
    fs::write(&bytes, vec![7; size]).unwrap();
    File::create(&hole).unwrap().set_len(size as u64).unwrap();
    let mut rest = File::create(folder.join("rest")).unwrap();
    while rest.write(&[b'-'; 4096]).is_ok() {}
    [bytes, hole]
}

#[test]
#[ignore = "part of what_a_full_disk_cannot_deliver_is_an_error_of_check, run by it in a child"]
fn part_tmpfs() {
    let [bytes, hole] = files_on_a_full_disk(SIZE);
    let data = map_file(bytes).unwrap();
    assert_eq!(&*data, vec![7; SIZE]);
    data.check().unwrap();
    let data = map_file(&hole).unwrap();
    data.check().unwrap();
    assert_eq!(data[SIZE / 2], 0);
    let error = data.check().unwrap_err();
    assert!(error.to_string().contains(hole.to_str().unwrap()), "{error}");
    assert!(
        error.to_string().ends_with("the device failed to deliver bytes, from byte 524288 on"),
        "{error}"
    );
    // A small file is read, which needs no page.
    fs::remove_file(hole.with_file_name("rest")).unwrap();
    let [_, small] = files_on_a_full_disk(10_000);
    let data = map_file(small).unwrap();
    assert_eq!(&*data, vec![0; 10_000]);
    data.check().unwrap();
}

#[test]
#[ignore = "part of what_a_full_disk_cannot_deliver_is_an_error_of_check, run by it in a child"]
fn part_ext4() {
    for (path, byte) in files_on_a_full_disk(SIZE).into_iter().zip([7, 0]) {
        let data = map_file(path).unwrap();
        assert_eq!(&*data, vec![byte; SIZE]);
        data.check().unwrap();
    }
}
