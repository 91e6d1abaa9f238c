// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that the reader of a contained region survives whatever happens to the file.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use common::{child, given, sample, Folder, LARGE};
use mmapguard::{Advice, Backing, Contained, Lock, Options, Promise, Region, Stable, Status};

/// Tells the parent that the file is mapped, and waits until it was cut short. The child calls this function.
fn wait_for_the_cut() {
    println!("\nmapped");
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("a word from the parent");
    assert_eq!(line, "cut\n");
}

/// Runs a child, cuts its file to `size` once the file is mapped, and returns how the child ends.
fn cut_under(part: &str, size: u64) -> ExitStatus {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let mut child = child(part, &path);
    let output = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output).lines();
    assert!(lines.any(|line| line.expect("text") == "mapped"), "{part}: the child ended early");
    OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(size)).expect("cut short");
    child.stdin.take().expect("a pipe").write_all(b"cut\n").expect("the child listens");
    let rest: Vec<_> = lines.collect();
    let status = child.wait().expect("the child ends");
    println!("{part}: {status}, {rest:?}");
    status
}

#[test]
fn a_truncation_kills_memmap2_and_not_us() {
    let theirs = cut_under("part_memmap2_reads_what_is_gone", 0);
    assert_eq!(theirs.signal(), Some(libc::SIGBUS), "{theirs}");
    let ours = cut_under("part_we_read_what_is_gone", 4096);
    assert!(ours.success(), "{ours}");
}

#[test]
#[ignore = "part of a_truncation_kills_memmap2_and_not_us, run by it in a child"]
fn part_memmap2_reads_what_is_gone() {
    let file = fs::File::open(given()).unwrap();
    // SAFETY: this is not safe; the child should die of it.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    wait_for_the_cut();
    let sum: u64 = map.iter().map(|&byte| u64::from(byte)).sum();
    println!("survived, with a sum of {sum}");
}

#[test]
fn a_fault_of_others_ends_as_it_would_without_us() {
    let ended = cut_under("part_memmap2_reads_what_is_gone_beside_us", 0);
    assert_eq!(ended.signal(), Some(libc::SIGBUS), "{ended}");
}

#[test]
#[ignore = "part of a_fault_of_others_ends_as_it_would_without_us, run by it in a child"]
fn part_memmap2_reads_what_is_gone_beside_us() {
    let _ours = Region::<Contained>::open(given()).unwrap();
    assert_eq!(mmapguard::guard_state(), mmapguard::GuardState::TOP);
    part_memmap2_reads_what_is_gone();
}

#[test]
#[ignore = "part of a_truncation_kills_memmap2_and_not_us, run by it in a child"]
fn part_we_read_what_is_gone() {
    let region = Region::<Contained>::open(given()).unwrap();
    assert_eq!(region.info().unwrap().backing(), Backing::MAP);
    let span = region.span(0, u64::MAX).unwrap();
    wait_for_the_cut();

    // A read by pointer, as in C, finds zeros, and the end of the view reports the loss. SAFETY: the span is
    // pinned, and volatile reads may read bytes that change.
    let last = unsafe { span.as_ptr().add(span.len() - 1).read_volatile() };
    assert_eq!(last, 0);
    let error = span.unpin().unwrap_err();
    assert_eq!((error.status(), error.offset()), (Status::TRUNCATED, Some(4096)), "{error}");
    assert!(error.to_string().contains(given().to_str().unwrap()), "{error}");

    let expected = sample(LARGE);
    let mut page = [0; 4096];
    region.read_exact_at(0, &mut page).unwrap();
    assert_eq!(page[..], expected[..4096]);
    for error in [
        region.read_at(4096, &mut page).unwrap_err(),
        region.read_exact_at(4000, &mut page).unwrap_err(),
        region.read_to_vec(LARGE as u64 - 10, 10).unwrap_err(),
        region.find(b"not in there").unwrap_err(),
        region.check().unwrap_err(),
        region.lost().unwrap_err(),
        region.span(0, u64::MAX).unwrap_err(),
        region.scan(|_| Ok::<_, mmapguard::Error>(())).unwrap_err(),
    ] {
        assert_eq!((error.status(), error.offset()), (Status::TRUNCATED, Some(4096)), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().ends_with("from byte 4096 on"), "{error}");
    }
    // The bytes before the loss are read first, as from any file.
    let mut bytes = Vec::new();
    let error = region.reader().read_to_end(&mut bytes).unwrap_err();
    assert_eq!((error.kind(), &bytes[..]), (io::ErrorKind::UnexpectedEof, &expected[..4096]));
    assert!(region.changed().unwrap().size);
    assert_eq!(region.close().unwrap_err().status(), Status::TRUNCATED);
    assert_eq!(mmapguard::stats().handles, 0);
}

/// Changes a file until its times show the change. On a coarse clock that is one tick later.
fn change_until_stamped(path: &std::path::Path, change: impl Fn(&fs::File)) {
    let stamp = |file: &fs::File| file.metadata().unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let before = stamp(&file);
    while stamp(&file) == before {
        change(&file);
    }
}

#[test]
fn a_scan_of_a_file_that_is_no_longer_what_it_was_is_an_error() {
    use std::os::unix::fs::FileExt;
    type Change<'a> = (&'a dyn Fn(&fs::File), &'a [Status]);
    let rewrite = |file: &fs::File| file.write_all_at(b"other", 0).unwrap();
    let cut_and_grow = |file: &fs::File| {
        file.set_len(LARGE as u64 / 2).unwrap();
        file.set_len(LARGE as u64).unwrap();
    };
    let cut_in_the_last_page = |file: &fs::File| file.set_len(LARGE as u64 - 1).unwrap();
    let changes: [Change<'_>; 3] = [
        (&rewrite, &[Status::CHANGED]),
        (&cut_and_grow, &[Status::CHANGED, Status::TRUNCATED]),
        (&cut_in_the_last_page, &[Status::TRUNCATED]),
    ];
    for (change, statuses) in changes {
        let folder = Folder::new();
        let path = folder.file("file", &sample(LARGE));
        let region = Region::<Contained>::open(&path).unwrap();
        region.verify().unwrap();
        let error = region
            .scan(|_| {
                change_until_stamped(&path, change);
                Ok::<_, mmapguard::Error>(())
            })
            .unwrap_err();
        assert!(statuses.contains(&error.status()), "{error}");
        assert_eq!(error.operation(), "verify");
        assert!(statuses.contains(&region.close().unwrap_err().status()));
    }
}

#[test]
fn without_the_guard_reads_are_results_all_the_same() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let region = Options::new().fault_guard(false).open::<Contained>(&path).unwrap();
    assert_eq!(region.info().unwrap().guarantee(), Promise::NONE);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(region.read_to_vec(0, 1).unwrap_err().status(), Status::TRUNCATED);
    assert_eq!(region.find(b"x").unwrap_err().status(), Status::TRUNCATED);
}

#[test]
fn reads_agree_with_the_file() {
    let folder = Folder::new();
    let mut bytes = sample(LARGE);
    bytes[LARGE - 7..].copy_from_slice(b"needle!");
    let path = folder.file("file", &bytes);
    for options in [Options::new(), Options::new().backing(Backing::COPY).clone()] {
        let region = options.open::<Contained>(&path).unwrap();
        assert_eq!(region.size(), LARGE as u64);
        assert_eq!(region.read_to_vec(0, LARGE).unwrap(), bytes);
        let mut end = [0; 100];
        assert_eq!(region.read_at(LARGE as u64 - 3, &mut end).unwrap(), 3);
        assert_eq!(region.read_at(LARGE as u64, &mut end).unwrap(), 0);
        assert_eq!(region.read_at(LARGE as u64 + 1, &mut end).unwrap_err().status(), Status::RANGE);
        assert_eq!(region.read_exact_at(u64::MAX, &mut end).unwrap_err().status(), Status::RANGE);
        assert_eq!(region.read_to_vec(1, LARGE).unwrap_err().status(), Status::RANGE);
        assert_eq!(region.read_to_vec(0, usize::MAX).unwrap_err().status(), Status::RANGE);
        assert_eq!(region.find(b"needle").unwrap(), Some(LARGE as u64 - 7));
        assert_eq!(region.find_in(0, LARGE as u64 - 2, b"needle").unwrap(), None);
        assert_eq!(region.find_in(5, 0, b"").unwrap(), Some(5));
        region.advise(0, u64::MAX, Advice::SEQUENTIAL).unwrap();
        assert!(region.resident(0, u64::MAX).unwrap() <= LARGE as u64);
        let mut reader = region.reader();
        assert_eq!(reader.seek(SeekFrom::End(-7)).unwrap(), LARGE as u64 - 7);
        let mut tail = String::new();
        reader.read_to_string(&mut tail).unwrap();
        assert_eq!(tail, "needle!");
        assert_eq!(reader.seek(SeekFrom::Current(-8)).unwrap(), LARGE as u64 - 8);
        assert!(reader.seek(SeekFrom::Current(i64::MIN)).is_err());
        assert_eq!(reader.seek(SeekFrom::Start(u64::MAX)).unwrap(), u64::MAX);
        assert_eq!(reader.read(&mut end).unwrap(), 0);
        assert!(reader.seek(SeekFrom::Current(1)).is_err());
        region.close().unwrap();
    }
}

#[test]
fn a_scan_returns_what_its_work_returns() {
    let folder = Folder::new();
    let region = Region::<Contained>::open(folder.file("file", b"some words")).unwrap();
    let words = region.scan(|reader| {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        Ok::<_, io::Error>(text.split(' ').count())
    });
    assert_eq!(words.unwrap(), 2);
    let failed = region.scan(|_| Err::<(), _>(io::Error::new(io::ErrorKind::InvalidData, "no words")));
    assert_eq!(failed.unwrap_err().to_string(), "no words");
}

#[test]
fn what_cannot_change_is_as_good_as_stable() {
    let folder = Folder::new();
    let small = Region::<Contained>::open(folder.file("small", b"small")).unwrap();
    assert_eq!(&*small.try_into_stable().unwrap(), b"small");
    let large = Region::<Contained>::open(folder.file("large", &sample(LARGE))).unwrap();
    let large: Result<Region<Stable>, _> = large.try_into_stable();
    assert_eq!(large.unwrap_err().read_to_vec(0, LARGE).unwrap(), sample(LARGE));
}

#[test]
fn a_program_may_demand_a_regular_file_that_nobody_writes() {
    let folder = Folder::new();
    let path = folder.file("file", &sample(LARGE));
    let strict = Options::new().regular_only(true).no_writers(true).require_guard(true).clone();
    assert_eq!(Options::new().regular_only(true).open::<Contained>(&path).unwrap().size(), LARGE as u64);
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let refused = strict.open::<Contained>(&path).unwrap_err().status();
    assert!([Status::WOULD_BLOCK, Status::UNSUPPORTED].contains(&refused), "{refused:?}");
    drop(writer);
    let error = Options::new().regular_only(true).open::<Contained>("/dev/zero").unwrap_err();
    assert_eq!(error.status(), Status::NOT_MAPPABLE);
    let waiting = Options::new().stream_wait(Some(std::time::Duration::from_millis(5))).clone();
    let (silent, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(waiting.open_fd::<Contained>(&silent).unwrap_err().status(), Status::WOULD_BLOCK);
}

#[test]
fn failures_name_status_operation_and_path() {
    let folder = Folder::new();
    let path = folder.file("locked", &sample(LARGE));
    let holder = fs::File::open(&path).unwrap();
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::flock(std::os::unix::io::AsRawFd::as_raw_fd(&holder), libc::LOCK_EX) }, 0);
    let error = Region::<Contained>::open(&path).unwrap_err();
    assert_eq!((error.status(), error.kind()), (Status::WOULD_BLOCK, io::ErrorKind::WouldBlock));
    assert_eq!(error.operation(), "flock");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert!(Options::new().lock(Lock::NONE).open::<Contained>(&path).is_ok());
    let waited = Options::new().lock_wait(Some(std::time::Duration::from_millis(1))).open::<Contained>(&path);
    assert_eq!(waited.unwrap_err().status(), Status::WOULD_BLOCK);

    let empty = folder.file("empty", b"");
    assert_eq!(Region::<Contained>::open(&empty).unwrap().size(), 0);
    let error = Options::new().reject_empty(true).open::<Contained>(&empty).unwrap_err();
    assert_eq!((error.status(), error.kind()), (Status::EMPTY, io::ErrorKind::InvalidInput));
    let error = Region::<Contained>::open(folder.path("")).unwrap_err();
    assert_eq!(error.status(), Status::NOT_MAPPABLE);
    let error = Region::<Contained>::open("nul\0inside").unwrap_err();
    assert_eq!((error.status(), error.kind()), (Status::ARGUMENT, io::ErrorKind::InvalidInput));
    let error = Options::new().window(5, 1).open::<Contained>(&empty).unwrap_err();
    assert_eq!((error.status(), error.kind()), (Status::RANGE, io::ErrorKind::InvalidInput));
    let error = Options::new().backing(Backing::COPY).max_bytes(Some(10)).open::<Contained>(&path);
    assert_eq!(error.unwrap_err().status(), Status::WOULD_BLOCK);
    drop(holder);
    let error = Options::new().backing(Backing::COPY).max_bytes(Some(10)).open::<Contained>(&path);
    let error = error.unwrap_err();
    assert_eq!((error.status(), error.kind()), (Status::TOO_BIG, io::ErrorKind::InvalidData));
}

#[test]
fn streams_are_read_to_their_end() {
    use std::os::unix::io::FromRawFd;
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which are then owned by exactly these two.
    let (reader, mut writer) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (fs::File::from_raw_fd(ends[0]), fs::File::from_raw_fd(ends[1]))
    };
    writer.write_all(b"through a pipe").unwrap();
    drop(writer);
    let region = Options::new().read_fd::<Stable>(&reader).unwrap();
    assert_eq!(&*region, b"through a pipe");
    assert!(region.changed().is_err());
}

#[test]
fn descriptors_are_called_by_the_path_of_their_file() {
    let folder = Folder::new();
    let path = folder.file("a\tname", &sample(LARGE));
    let shown = path.to_str().unwrap().replace('\t', "\\x09");
    let file = fs::File::open(&path).unwrap();
    let error = Options::new().window(1 << 40, 1).open_fd::<Contained>(&file).unwrap_err();
    assert!(error.to_string().starts_with(&format!("'{shown}': ")), "{error}");

    let region = Options::new().open_fd::<Contained>(&file).unwrap();
    let named = Options::new().name("the \u{7}index").open_fd::<Contained>(&file).unwrap();
    drop(file);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let error = region.check().unwrap_err();
    assert!(error.to_string().starts_with(&format!("'{shown}': ")), "{error}");
    assert_eq!((error.status(), error.offset()), (Status::TRUNCATED, Some(0)));
    assert!(named.check().unwrap_err().to_string().starts_with("'the \\x07index': "));
    // The text is the same for a region that was opened by path.
    let ours = region.read_to_vec(1, 1).unwrap_err().to_string();
    assert!(ours.starts_with(&format!("'{shown}': ")), "{ours}");
    let theirs = Options::new().window(1 << 40, 1).open::<Contained>(&path).unwrap_err().to_string();
    assert!(theirs.starts_with(&format!("'{shown}': ")), "{theirs}");
}
