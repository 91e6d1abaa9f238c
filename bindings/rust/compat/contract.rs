// SPDX-License-Identifier: MIT OR Apache-2.0
//! The behaviour that users of mmap-guard 0.2 may rely on. This file is compiled against that crate, and
//! against `mmapguard-compat` in its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::os::unix::io::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mmap_guard::{load, load_stdin, map_file, FileData};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mmapguard-compat-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file is written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// Opens a file in both ways, which must fail in the same way, and returns the error.
fn failure(path: impl AsRef<Path>) -> io::Error {
    let path = path.as_ref();
    let mapped = map_file(path).expect_err("it is not to be mapped");
    let loaded = load(path).expect_err("it is not to be loaded");
    assert_eq!((mapped.kind(), mapped.raw_os_error()), (loaded.kind(), loaded.raw_os_error()));
    mapped
}

#[test]
fn a_file_of_any_size_is_mapped_and_reads_as_it_is() {
    let folder = Folder::new();
    for size in [1, 2, 4095, 4096, 4097, 65_536, 65_537, 1 << 20, (3 << 20) + 1] {
        let bytes = sample(size);
        let path = folder.file("file", &bytes);
        for data in [map_file(&path).unwrap(), load(&path).unwrap(), load(path.to_str().unwrap()).unwrap()] {
            assert!(matches!(data, FileData::Mapped(..)));
            assert_eq!(data.len(), size);
            assert_eq!(&*data, bytes);
            assert_eq!(data.as_ref(), bytes);
            let slice: &[u8] = &data;
            assert_eq!((slice.first(), slice.last()), (bytes.first(), bytes.last()));
        }
    }
}

#[test]
fn data_can_be_matched_made_shown_and_sent() {
    fn is_send_and_sync<T: Send + Sync + std::fmt::Debug + AsRef<[u8]> + 'static>(_: &T) {}
    let made = FileData::Loaded(vec![1, 2, 3]);
    is_send_and_sync(&made);
    assert_eq!(&*made, [1, 2, 3]);
    assert!(FileData::Loaded(Vec::new()).is_empty());
    match made {
        FileData::Mapped(..) => panic!("it was loaded"),
        FileData::Loaded(bytes) => assert_eq!(bytes, [1, 2, 3]),
        _ => panic!("a variant that this program does not know"),
    }
    let folder = Folder::new();
    let data = map_file(folder.file("file", &sample(100_000))).unwrap();
    assert!(!format!("{data:?}").is_empty());
    let elsewhere = std::thread::spawn(move || data.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    assert_eq!(elsewhere.join().unwrap(), sample(100_000).iter().map(|&byte| u64::from(byte)).sum());
}

#[test]
fn the_functions_have_these_types() {
    let _: fn(&'static str) -> io::Result<FileData> = map_file;
    let _: fn(PathBuf) -> io::Result<FileData> = map_file;
    let _: fn(&'static Path) -> io::Result<FileData> = load;
    let _: fn(Option<usize>) -> io::Result<FileData> = load_stdin;
}

#[test]
fn an_empty_file_is_invalid_input_and_said_to_be_empty() {
    let folder = Folder::new();
    let path = folder.file("void", b"");
    let error = failure(&path);
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::InvalidInput, None));
    assert!(
        error.to_string().contains("empty") && error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = Folder::new();
    let error = failure(folder.0.join("none"));
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NotFound, Some(libc::ENOENT)));
    symlink("nowhere", folder.0.join("dangling")).unwrap();
    assert_eq!(failure(folder.0.join("dangling")).kind(), ErrorKind::NotFound);
    assert_eq!(failure("").kind(), ErrorKind::NotFound);
    let error = failure(folder.file("file", b"x").join("below"));
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NotADirectory, Some(libc::ENOTDIR)));
}

#[test]
fn paths_that_cannot_be_are_refused() {
    assert_eq!(failure("nul\0inside").kind(), ErrorKind::InvalidInput);
    let error = failure("x".repeat(256));
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    let error = failure("x/".repeat(4096));
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    let folder = Folder::new();
    symlink(folder.0.join("loop"), folder.0.join("loop")).unwrap();
    assert_eq!(failure(folder.0.join("loop")).raw_os_error(), Some(libc::ELOOP));
}

#[test]
fn links_are_followed() {
    let folder = Folder::new();
    folder.file("file", b"behind a link");
    symlink("file", folder.0.join("link")).unwrap();
    assert_eq!(&*map_file(folder.0.join("link")).unwrap(), b"behind a link");
}

#[test]
fn what_has_no_bytes_to_map_is_refused() {
    let folder = Folder::new();
    folder.file("file", b"so that the folder is not of size 0");
    let error = failure(&folder.0);
    assert_eq!((error.kind(), error.raw_os_error()), (not_mappable(), Some(libc::ENODEV)));
    let socket = folder.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(failure(&socket).raw_os_error(), Some(libc::ENXIO));
    for stream in ["/dev/null", "/dev/zero", "/proc/self/status", "/proc"] {
        assert_eq!(failure(stream).kind(), ErrorKind::InvalidInput, "{stream}");
    }
    // A folder has a size, but it cannot be mapped.
    let attribute = "/sys/kernel/uevent_seqnum";
    if Path::new(attribute).exists() {
        assert_eq!(failure(attribute).raw_os_error(), Some(libc::ENODEV));
    }
}

/// The kernel reports a size of 0 for every block device.
#[test]
fn a_block_device_is_invalid_input() {
    let devices = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let devices = devices.map(|device| Path::new("/dev").join(device.file_name()));
    let Some(device) = devices.into_iter().find(|device| fs::File::open(device).is_ok()) else {
        eprintln!("not tried: this user may read no block device of this machine");
        return;
    };
    assert_eq!(failure(&device).kind(), ErrorKind::InvalidInput, "{}", device.display());
}

#[test]
fn a_stream_keeps_its_bytes_for_who_reads_it_next() {
    let folder = Folder::new();
    let path = folder.0.join("fifo");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // The FIFO has a writer, so that opening it does not wait.
    let mut both = File::options().read(true).write(true).open(&path).unwrap();
    both.write_all(b"twelve bytes").unwrap();
    assert_eq!(failure(&path).kind(), ErrorKind::InvalidInput);
    let mut bytes = [0; 12];
    io::Read::read_exact(&mut both, &mut bytes).unwrap();
    assert_eq!(&bytes, b"twelve bytes");

    let mut child =
        part("part_the_fallback_reads_what_was_refused", &path).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().expect("a pipe").write_all(b"twelve").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "part of a_stream_keeps_its_bytes_for_who_reads_it_next, run by it in a child"]
fn part_the_fallback_reads_what_was_refused() {
    assert_eq!(failure("/dev/stdin").kind(), ErrorKind::InvalidInput);
    assert_eq!(&*load_stdin(None).unwrap(), b"twelve");
}

fn not_mappable() -> ErrorKind {
    io::Error::from_raw_os_error(libc::ENODEV).kind()
}

#[test]
fn what_may_not_be_read_is_permission_denied() {
    let folder = Folder::new();
    let path = folder.file("secret", b"secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read every file, so a child of this test runs as another user.
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    // The test program may be in a folder that other users cannot enter, so the child runs a copy of it.
    let copy = folder.0.join("program");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["--exact", "--ignored", "part_permission_denied"]).env("MMAPGUARD_COMPAT", &path);
    command.stdout(Stdio::null());
    // SAFETY: the call has no arguments.
    if unsafe { libc::geteuid() } == 0 {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534);
    }
    assert!(command.status().unwrap().success());
}

#[test]
#[ignore = "part of what_may_not_be_read_is_permission_denied, run by it in a child"]
fn part_permission_denied() {
    let error = failure(given());
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::PermissionDenied, Some(libc::EACCES)));
}

#[test]
fn a_file_locked_elsewhere_would_block_and_a_shared_lock_does_not_matter() {
    let folder = Folder::new();
    for size in [10, 1 << 20] {
        let path = folder.file("file", &sample(size));
        let holder = File::open(&path).unwrap();
        // SAFETY: the descriptor is open.
        let flock = |how| assert_eq!(unsafe { libc::flock(holder.as_raw_fd(), how) }, 0);
        flock(libc::LOCK_EX);
        let error = failure(&path);
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        flock(libc::LOCK_SH);
        assert_eq!(map_file(&path).unwrap().len(), size);
        flock(libc::LOCK_UN);
        let first = map_file(&path).unwrap();
        let second = map_file(&path).unwrap();
        assert_eq!(*first, *second);
        // The lock lives as long as the data.
        assert_ne!(unsafe { libc::flock(holder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
        drop((first, second));
        // No lock is held any more, unless a child of another test is between its fork and its exec.
        let held = || unsafe { libc::flock(holder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0;
        let given_up = Instant::now() + Duration::from_secs(20);
        while held() && Instant::now() < given_up {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!held());
    }
}

#[test]
fn data_outlives_the_name_of_its_file() {
    let folder = Folder::new();
    let bytes = sample(1 << 20);
    let path = folder.file("file", &bytes);
    let data = map_file(&path).unwrap();
    fs::remove_file(&path).unwrap();
    folder.file("file", b"another one");
    assert_eq!(&*data, bytes);
}

/// Returns the path of a descriptor of this process, under which any program can open the same file again.
fn path_of(descriptor: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into()
}

#[test]
fn a_file_without_a_name_is_mapped_like_any_other() {
    let folder = Folder::new();
    for size in [10, 1 << 20] {
        let bytes = sample(size);
        let path = folder.file("file", &bytes);
        let deleted = File::open(&path).unwrap();
        // SAFETY: the name ends in NUL.
        let number =
            unsafe { libc::open(c"/tmp".as_ptr(), libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC, 0o600) };
        if number >= 0 {
            // SAFETY: nobody else has the descriptor.
            let mut unnamed = unsafe { File::from_raw_fd(number) };
            unnamed.write_all(&bytes).unwrap();
            assert_eq!(*map_file(path_of(&unnamed)).unwrap(), bytes);
        }
        // SAFETY: the name ends in NUL.
        let located = unsafe {
            let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            File::from_raw_fd(libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC))
        };
        fs::remove_file(&path).unwrap();
        for descriptor in [&deleted, &located] {
            assert_eq!(*map_file(path_of(descriptor)).unwrap(), bytes);
        }
    }
}

#[test]
fn a_file_in_memory_is_mapped_sealed_or_not() {
    for size in [10, 1 << 20] {
        let bytes = sample(size);
        // SAFETY: the name ends in NUL, and nobody else has the descriptor.
        let mut file = unsafe {
            let number = libc::memfd_create(c"memory".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            assert!(number >= 0);
            File::from_raw_fd(number)
        };
        file.write_all(&bytes).unwrap();
        assert_eq!(*map_file(path_of(&file)).unwrap(), bytes);
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
        let data = map_file(path_of(&file)).unwrap();
        drop(file);
        assert_eq!(*data, bytes);
    }
}

#[test]
fn a_pipe_behind_a_descriptor_keeps_its_bytes() {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors, which nobody else has.
    let [mut reader, mut writer] = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        ends.map(|end| File::from_raw_fd(end))
    };
    writer.write_all(b"twelve bytes").unwrap();
    assert_eq!(failure(path_of(&reader)).kind(), ErrorKind::InvalidInput);
    drop(writer);
    assert_eq!(io::read_to_string(&mut reader).unwrap(), "twelve bytes");
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(failure(path_of(&one)).raw_os_error(), Some(libc::ENXIO));
    // The bytes of a terminal or a random device never end, so nothing may wait for their end.
    assert_eq!(failure("/dev/urandom").kind(), ErrorKind::InvalidInput);
}

#[test]
fn one_line_of_the_manifest_is_what_a_project_changes() {
    let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with("name = "));
    let (theirs, ours) = (include_str!("reference/Cargo.toml"), include_str!("ours/Cargo.toml"));
    let changed: Vec<_> = lines(theirs).zip(lines(ours)).filter(|(theirs, ours)| theirs != ours).collect();
    assert_eq!((changed.len(), lines(theirs).count()), (1, lines(ours).count()));
    assert_eq!(changed[0].0, "mmap-guard = \"=0.2.2\"");
    assert!(changed[0].1.starts_with("mmap-guard = { package = \"mmapguard-compat\", version = \"1\""));
}

// ----------------------------------------------------------------------------------------------------- no room ---

/// Lets this process have no more of a resource.
fn limit(what: libc::__rlimit_resource_t, most: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is live.
    assert_eq!(unsafe { libc::getrlimit(what, &mut now) }, 0);
    now.rlim_cur = most.min(now.rlim_max);
    // SAFETY: `now` is live.
    assert_eq!(unsafe { libc::setrlimit(what, &now) }, 0);
}

#[test]
fn without_memory_or_descriptors_the_error_is_that_of_the_system() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(70_000));
    File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    for name in ["part_without_memory", "part_without_descriptors"] {
        assert!(part(name, &path).status().unwrap().success(), "{name}");
    }
}

#[test]
#[ignore = "part of without_memory_or_descriptors_the_error_is_that_of_the_system, run by it in a child"]
fn part_without_memory() {
    limit(libc::RLIMIT_AS, 1 << 30);
    let error = failure(given());
    assert_eq!((error.raw_os_error(), error.kind()), (Some(libc::ENOMEM), ErrorKind::OutOfMemory), "{error}");
    limit(libc::RLIMIT_AS, u64::MAX);
    assert_eq!(map_file(given()).unwrap()[..70_000], sample(70_000));
}

#[test]
#[ignore = "part of without_memory_or_descriptors_the_error_is_that_of_the_system, run by it in a child"]
fn part_without_descriptors() {
    limit(libc::RLIMIT_NOFILE, 32);
    let mut held: Vec<_> = std::iter::from_fn(|| File::open(given()).ok()).collect();
    assert_eq!(failure(given()).raw_os_error(), Some(libc::EMFILE));
    drop(held.pop());
    assert_eq!(map_file(given()).unwrap()[..70_000], sample(70_000));
}

// ------------------------------------------------------------------------------------------------ standard input ---

fn part(name: &str, given: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test program"));
    command
        .args(["--exact", "--ignored", "--test-threads=1", name])
        .env("MMAPGUARD_COMPAT", given)
        .stdout(Stdio::null());
    command
}

fn given() -> PathBuf {
    std::env::var_os("MMAPGUARD_COMPAT").expect("run by a test, not by hand").into()
}

/// Runs a part with these bytes as its standard input. The part also gets them in a file, to compare.
fn with_input(name: &str, bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("input", bytes);
    let mut child = part(name, &path).stdin(Stdio::piped()).spawn().unwrap();
    // A part may end before it has read all bytes, so a failed write is not an error.
    let _ = child.stdin.take().expect("a pipe").write_all(bytes);
    assert!(child.wait().unwrap().success(), "{name} with {} bytes", bytes.len());
    // The same with a file as standard input.
    let status = part(name, &path).stdin(File::open(&path).unwrap()).status().unwrap();
    assert!(status.success(), "{name} with a file of {} bytes", bytes.len());
}

fn is_loaded(data: FileData) {
    assert!(matches!(data, FileData::Loaded(_)));
    assert_eq!(&*data, fs::read(given()).unwrap());
}

#[test]
fn a_dash_is_standard_input_and_may_be_empty() {
    for size in [0, 1, 8192, 100_000] {
        with_input("part_load_dash", &sample(size));
        with_input("part_load_stdin_without_a_limit", &sample(size));
    }
}

#[test]
#[ignore = "part of a_dash_is_standard_input_and_may_be_empty, run by it in a child"]
fn part_load_dash() {
    is_loaded(load("-").unwrap());
    // At its end standard input is empty, which is not an error.
    assert!(load(Path::new("-")).unwrap().is_empty());
}

#[test]
#[ignore = "part of a_dash_is_standard_input_and_may_be_empty, run by it in a child"]
fn part_load_stdin_without_a_limit() {
    is_loaded(load_stdin(None).unwrap());
}

#[test]
fn a_limit_is_the_most_that_is_taken() {
    for size in [1, 8192, 100_000] {
        with_input("part_limits_above_and_equal", &sample(size));
        with_input("part_limit_below", &sample(size));
        with_input("part_limit_zero", &sample(size));
    }
    with_input("part_limits_above_and_equal", b"");
}

#[test]
#[ignore = "part of a_limit_is_the_most_that_is_taken, run by it in a child"]
fn part_limits_above_and_equal() {
    let size = fs::metadata(given()).unwrap().len() as usize;
    is_loaded(load_stdin(Some(size)).unwrap());
    assert!(load_stdin(Some(usize::MAX)).unwrap().is_empty());
    assert!(load_stdin(Some(0)).unwrap().is_empty());
}

#[test]
#[ignore = "part of a_limit_is_the_most_that_is_taken, run by it in a child"]
fn part_limit_below() {
    let size = fs::metadata(given()).unwrap().len() as usize;
    assert_eq!(load_stdin(Some(size - 1)).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
#[ignore = "part of a_limit_is_the_most_that_is_taken, run by it in a child"]
fn part_limit_zero() {
    assert_eq!(load_stdin(Some(0)).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_file_named_dash_has_another_path() {
    let folder = Folder::new();
    let path = folder.file("-", b"a file after all");
    assert_eq!(&*load(path).unwrap(), b"a file after all");
    let path = folder.file("-extra", b"no option, either");
    let status =
        part("part_dash_is_for_load_only", &path).current_dir(&folder.0).stdin(Stdio::null()).status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "part of a_file_named_dash_has_another_path, run by it in a child"]
fn part_dash_is_for_load_only() {
    assert_eq!(&*map_file("-").unwrap(), b"a file after all");
    assert_eq!(&*load("./-").unwrap(), b"a file after all");
    assert_eq!(&*load("-extra").unwrap(), b"no option, either");
    assert!(matches!(load("-").unwrap(), FileData::Loaded(_)));
}
