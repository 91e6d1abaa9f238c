// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs real tools on a file that is cut short meanwhile. With memmap2 they die; with `mmapguard-memmap2`
//! they name the file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SIGBUS: i32 = 7;
/// The file is a hole, and so large that the cut comes while the tool reads it.
const SIZE: u64 = 1 << 30;
const LEFT: u64 = 8192;

/// A folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mmapguard-real-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the tool with `mmapguard-memmap2` and the tool with memmap2, which the function builds.
fn tools(name: &str) -> [PathBuf; 2] {
    let ours = match name {
        "b3sum" => env!("CARGO_BIN_EXE_b3sum"),
        _ => env!("CARGO_BIN_EXE_search"),
    };
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../original");
    let built = Command::new(env!("CARGO")).args(["build", "--locked", "--quiet"]).current_dir(&original).status();
    assert!(built.expect("cargo runs").success());
    [ours.into(), original.join("../../../../build/rust/real/original/debug").join(name)]
}

fn is_mapped(process: u32, path: &Path) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    maps.lines().any(|line| line.ends_with(path.to_str().expect("a name in UTF-8")))
}

/// Runs a tool on a large file, and cuts the file short as soon as it is mapped.
fn cut_under(tool: &Path, arguments: &[&str], path: &Path) -> Output {
    File::create(path).and_then(|file| file.set_len(SIZE)).expect("a file that is a hole");
    let mut command = Command::new(tool);
    command.args(arguments).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool starts");
    let given_up = Instant::now() + Duration::from_secs(60);
    while !is_mapped(child.id(), path) {
        assert!(child.try_wait().expect("a child").is_none(), "{tool:?} ended before it mapped the file");
        assert!(Instant::now() < given_up, "{tool:?} maps no file");
    }
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(LEFT)).expect("cut short");
    child.wait_with_output().expect("it ends")
}

fn dies_alone_and_tells_with_ours(name: &str, arguments: &[&str]) {
    let folder = Folder::new(name);
    let path = folder.0.join("a large file");
    let [ours, theirs] = tools(name);

    let ended = cut_under(&theirs, arguments, &path);
    assert_eq!(ended.status.signal(), Some(SIGBUS), "{ended:?}");

    let ended = cut_under(&ours, arguments, &path);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(74), "{ended:?}");
    assert!(told.contains(path.to_str().expect("UTF-8")), "{told}");
    assert!(told.contains(&format!("from byte {LEFT} on")), "{told}");
    assert_eq!(ended.stdout, b"", "nothing is said about a file of which bytes were missing");
}

#[test]
fn b3sum_names_the_file_in_place_of_a_wrong_hash() {
    dies_alone_and_tells_with_ours("b3sum", &[]);
}

#[test]
fn a_search_names_the_file_in_place_of_a_wrong_count() {
    dies_alone_and_tells_with_ours("search", &["needle"]);
}

#[test]
fn undisturbed_they_answer_the_same() {
    let folder = Folder::new("undisturbed");
    let mut paths = Vec::new();
    for (name, size) in [("empty", 0), ("small", 1000), ("70 kB", 70_000), ("1 MB", 1_000_000)] {
        let path = folder.0.join(name);
        let line = |number: usize| format!("line {number} with{} needle\n", if number % 7 == 0 { "out" } else { "" });
        fs::write(&path, (0..).flat_map(|n| line(n).into_bytes()).take(size).collect::<Vec<u8>>()).expect("written");
        paths.push(path);
    }
    // The tools read files that cannot be mapped.
    paths.push("/proc/self/limits".into());
    for (name, arguments) in [("b3sum", &[][..]), ("search", &["without needle"][..])] {
        let [ours, theirs] = tools(name).map(|tool| {
            let output = Command::new(tool).args(arguments).args(&paths).output().expect("the tool runs");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        });
        assert_eq!(ours, theirs);
        assert_eq!(ours.lines().count(), paths.len());
    }
}
