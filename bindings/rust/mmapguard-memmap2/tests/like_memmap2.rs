// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the same calls on the same files with memmap2 and with this crate, and compares the results.

use std::fs::{self, File};
use std::io;
use std::os::unix::io::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};

use mmapguard_memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mmapguard-memmap2-{name}-{}", std::process::id()));
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

/// The bytes, or the kind of the error.
type Answer = Result<Vec<u8>, io::ErrorKind>;

fn ours(path: &Path, offset: u64, length: Option<usize>) -> Answer {
    let file = File::open(path).map_err(|error| error.kind())?;
    let mut options = MmapOptions::new();
    options.offset(offset);
    length.map(|length| options.len(length));
    // SAFETY: nobody writes to the file.
    unsafe { options.map(&file) }.map(|map| map.to_vec()).map_err(|error| error.kind())
}

fn theirs(path: &Path, offset: u64, length: Option<usize>) -> Answer {
    let file = File::open(path).map_err(|error| error.kind())?;
    let mut options = memmap2::MmapOptions::new();
    options.offset(offset);
    length.map(|length| options.len(length));
    // SAFETY: nobody writes to the file.
    unsafe { options.map(&file) }.map(|map| map.to_vec()).map_err(|error| error.kind())
}

#[test]
fn files_windows_and_what_cannot_be_mapped() {
    let folder = Folder::new("same");
    let bytes: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
    let (large, small) = (folder.file("large", &bytes), folder.file("small", b"a few bytes"));
    let empty = folder.file("empty", b"");
    let mut cases: Vec<(&Path, u64, Option<usize>)> = vec![
        (&large, 0, None),
        (&large, 4097, None),
        (&large, 0, Some(10)),
        (&large, 70_001, Some(100_000)),
        (&large, 300_000, None),
        (&large, 300_001, None),
        (&large, 0, Some(0)),
        (&small, 0, None),
        (&small, 2, Some(3)),
        (&empty, 0, None),
        (&folder.0, 0, None),
    ];
    for path in ["/proc/self/status", "/sys/kernel/uevent_seqnum", "/dev/null"] {
        cases.push((Path::new(path), 0, None));
    }
    let unmappable = ["/proc/self/status", "/sys/kernel/uevent_seqnum", "/dev/null"].map(Path::new);
    for path in unmappable.into_iter().chain([&*folder.0, &*empty, &*small]) {
        cases.extend([(path, 0, Some(0)), (path, 20_000, Some(0)), (path, 0, Some(usize::MAX / 2 + 1))]);
    }
    cases.extend([(&*large, 0, Some(usize::MAX)), (&large, 1, Some(usize::MAX))]);
    for (path, offset, length) in cases {
        let expected = theirs(path, offset, length);
        assert_eq!(ours(path, offset, length), expected, "{} from {offset}, {length:?}", path.display());
    }
}

#[test]
fn a_descriptor_that_is_not_for_reading_is_not_allowed() {
    let folder = Folder::new("writer");
    let file = fs::OpenOptions::new().write(true).open(folder.file("file", &[7; 100_000])).unwrap();
    for length in [0, 10, 100_000] {
        // SAFETY: the maps are never read.
        let (theirs, ours) = unsafe {
            let theirs = memmap2::MmapOptions::new().len(length).map(&file).unwrap_err();
            (theirs, MmapOptions::new().len(length).map(&file).unwrap_err())
        };
        assert_eq!(ours.raw_os_error(), Some(libc::EACCES), "{length}: {ours}");
        assert_eq!(ours.kind(), theirs.kind());
    }
}

#[test]
fn a_pipe_keeps_its_bytes() {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors, and each file owns one of them.
    let (mut reader, mut writer) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    io::Write::write_all(&mut writer, b"twelve bytes").unwrap();
    drop(writer);
    // SAFETY: a pipe is not mapped.
    assert_eq!(unsafe { Mmap::map(&reader) }.unwrap_err().raw_os_error(), Some(libc::ENODEV));
    let mut rest = String::new();
    io::Read::read_to_string(&mut reader, &mut rest).unwrap();
    assert_eq!(rest, "twelve bytes");
}

#[test]
fn descriptors_of_every_kind_and_none() {
    let folder = Folder::new("descriptors");
    let path = folder.file("file", &[7; 100_000]);
    let file = File::open(&path).unwrap();
    let raw = file.as_raw_fd();
    // SAFETY: nobody writes to the file, and a number that is not a descriptor is refused.
    let (map, private) = unsafe {
        assert_eq!(Mmap::map(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
        (Mmap::map(raw).unwrap(), MmapOptions::new().map_copy_read_only(&file).unwrap())
    };
    drop(file);
    fs::remove_file(&path).unwrap();
    assert!(map[..] == [7; 100_000] && private[..] == map[..]);
    let moved = std::thread::spawn(move || (map.as_ref()[99_999], map)).join().unwrap();
    assert_eq!(moved.0, 7);
    assert!(format!("{:?}", moved.1).starts_with("Mmap"));
}

#[test]
fn advice_about_reading_is_carried_out() {
    let folder = Folder::new("advice");
    let file = File::open(folder.file("file", &[7; 200_000])).unwrap();
    // SAFETY: nobody writes to the file.
    let map = unsafe { Mmap::map(&file) }.unwrap();
    for advice in [Advice::Normal, Advice::Random, Advice::Sequential, Advice::WillNeed, Advice::HugePage] {
        map.advise(advice).unwrap();
        map.advise_range(advice, 4096, 100_000).unwrap();
    }
    // SAFETY: this advice changes no byte.
    unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) }.unwrap();
    assert_eq!(map[199_999], 7);
    assert_eq!(map.advise(Advice::DontFork).unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_eq!(map.advise_range(Advice::Normal, 1, 200_000).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    map.check().unwrap();
}

#[test]
fn mapping_without_an_obligation_is_for_what_nobody_can_change() {
    let folder = Folder::new("safe");
    let error = Mmap::map_if_safe(&File::open(folder.file("file", &[7; 200_000])).unwrap()).unwrap_err();
    assert!(error.not_safe() && !error.map_failed(), "{error}");
    // SAFETY: the name ends in NUL; the descriptor is owned by `sealed` alone.
    let mut sealed = unsafe {
        let fd = libc::memfd_create(b"sealed\0".as_ptr().cast(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        File::from_raw_fd(fd)
    };
    io::Write::write_all(&mut sealed, &[7; 200_000]).unwrap();
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE;
    // SAFETY: the arguments are numbers.
    assert_eq!(unsafe { libc::fcntl(sealed.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    assert!(Mmap::map_if_safe(&sealed).unwrap()[..] == [7; 200_000]);
}
