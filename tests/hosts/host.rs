// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loses bytes of the library's mappings in a Rust program. Rust's runtime has a handler for SIGBUS from the start, which
//! takes what is no stack overflow for deadly: `own` ends the program with that signal, with and without the library.

use std::{env, fs, ptr, thread};

#[repr(C)]
struct Span {
    data: *const u8,
    size: u64,
    pin: u64,
}

extern "C" {
    fn mmg_open(path: *const i8, options: *const u8, handle: *mut u64, error: *mut u8) -> i32;
    fn mmg_close(handle: u64, flags: u32) -> i32;
    fn mmg_pin(handle: u64, offset: u64, length: u64, span: *mut Span) -> i32;
    fn mmg_unpin(span: *mut Span) -> i32;
    fn mmg_guard_install() -> i32;
    fn mmg_guard_state() -> i32;
    fn mmap(start: *mut u8, length: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
}

const SIZE: usize = 1 << 20;

fn sum(data: *const u8) -> usize {
    (0..SIZE).map(|at| unsafe { ptr::read_volatile(data.add(at)) } as usize).sum()
}

fn lose(name: &str) {
    let path = format!("{name}\0");
    fs::write(name, vec![1u8; SIZE]).unwrap();
    let mut handle = 0;
    let mut span = Span { data: ptr::null(), size: 0, pin: 0 };
    unsafe {
        assert_eq!(mmg_open(path.as_ptr().cast(), ptr::null(), &mut handle, ptr::null_mut()), 0);
        assert_eq!(mmg_guard_state(), 1);
        assert_eq!(mmg_pin(handle, 0, u64::MAX, &mut span), 0);
        fs::OpenOptions::new().write(true).open(name).unwrap().set_len(4096).unwrap();
        assert_eq!(sum(span.data), 4096);
        assert_eq!(mmg_unpin(&mut span), -40);
        assert_eq!(mmg_close(handle, 0), 0);
    }
}

fn own() {
    use std::os::fd::AsRawFd;
    let file = fs::File::create_new("own").or_else(|_| fs::File::options().read(true).write(true).open("own")).unwrap();
    drop(file);
    let file = fs::File::options().read(true).write(true).open("own").unwrap();
    file.set_len(SIZE as u64).unwrap();
    let data = unsafe { mmap(ptr::null_mut(), SIZE, 1, 1, file.as_raw_fd(), 0) };
    file.set_len(0).unwrap();
    println!("own {}", sum(data));
}

fn main() {
    for step in env::args().skip(1) {
        match step.as_str() {
            "lose" => lose("lost"),
            "thread" => thread::spawn(|| lose("lost-in-thread")).join().unwrap(),
            "guard" => assert_eq!(unsafe { mmg_guard_install() }, 0),
            "own" => own(),
            _ => panic!("unknown step"),
        }
    }
    println!("end");
}
