// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases in Rust, with nothing but `extern "C"`. Programs take the crate in bindings/rust instead.
use std::ffi::{CStr, CString};
use std::io::{self, BufRead, Write};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::io::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

#[repr(C)]
#[derive(Default)]
struct Options {
    struct_size: u32,
    backing: u32,
    guarantee: u32,
    lock: u32,
    lock_wait_ms: u32,
    access: u32,
    rest: [u64; 8],
}

#[repr(C)]
struct Error {
    struct_size: u32,
    codes: [i32; 3],
    offset: u64,
    operation: [c_char; 24],
    message: [c_char; 464],
}

#[repr(C)]
#[derive(Default)]
struct Info {
    struct_size: u32,
    backing: u32,
    others: [u32; 6],
    size: u64,
    file: [u64; 6],
    nanoseconds: [u32; 2],
    faults: u64,
    fault_offset: u64,
    rest: [u64; 10],
}

#[repr(C)]
struct Span {
    data: *const u8,
    size: u64,
    pin: u64,
}

extern "C" {
    fn mmg_open(path: *const c_char, options: *const Options, handle: *mut u64, error: *mut Error) -> i32;
    fn mmg_close(handle: u64, flags: u32) -> i32;
    fn mmg_pin(handle: u64, offset: u64, length: u64, span: *mut Span) -> i32;
    fn mmg_unpin(span: *mut Span) -> i32;
    fn mmg_read(handle: u64, offset: u64, buffer: *mut c_void, size: u64, got: *mut u64) -> i32;
    fn mmg_find(h: u64, offset: u64, length: u64, needle: *const c_void, size: u64, position: *mut u64) -> i32;
    fn mmg_info_get(handle: u64, info: *mut Info) -> i32;
    fn mmg_guard_process(scope: u32, flags: u32) -> i32;
    fn mmg_losses_get(since: u64, losses: *mut c_void, capacity: u64, count: *mut u64, next: *mut u64) -> i32;
    fn mmg_status_name(status: i32) -> *const c_char;
    fn mmg_term(vocabulary: u32, value: u32) -> *const c_char;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn mmap(a: *mut c_void, size: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *const u8;
}

const TO_END: u64 = u64::MAX;
const SIGUSR1: c_int = 10;
static HANDLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(number: c_int) {
    HANDLED.store(number, Ordering::SeqCst);
}

fn text(from: *const c_char) -> String {
    unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned()
}

fn name(status: i32) -> String {
    text(unsafe { mmg_status_name(status) })
}

// Reads byte by byte and volatile. A `&[u8]` would be wrong, since other processes write to the file.
fn sum(data: *const u8, size: u64) -> u32 {
    (0..size as usize).fold(0, |total, i| total.wrapping_add(unsafe { data.add(i).read_volatile() }.into()))
}

fn ready() {
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().lock().read_line(&mut String::new()).unwrap();
}

fn twin(path: &str, guarded: bool) -> String {
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let bytes = unsafe { mmap(std::ptr::null_mut(), size as usize, 1, 1, file.as_raw_fd(), 0) };
    if guarded && unsafe { mmg_guard_process(1, 0) } != 0 {
        return "error".to_owned();
    }
    ready();
    let total = sum(bytes, size);
    if !guarded {
        return format!("ok {total}");
    }
    let (mut count, mut losses) = (0, 0);
    unsafe { mmg_losses_get(0, std::ptr::null_mut(), 0, &mut count, &mut losses) };
    format!("ok {total} {losses}")
}

fn run(what: &str, path: &str) -> String {
    if what == "twin" || what == "guarded" {
        return twin(path, what == "guarded");
    }
    let options = Options {
        struct_size: std::mem::size_of::<Options>() as u32,
        guarantee: if what == "stable" { 2 } else { 0 },
        ..Options::default()
    };
    let mut error: Error = unsafe { std::mem::zeroed() };
    error.struct_size = std::mem::size_of::<Error>() as u32;
    let mut info = Info { struct_size: std::mem::size_of::<Info>() as u32, ..Info::default() };
    let mut span = Span { data: std::ptr::null(), size: 0, pin: 0 };
    let (mut file, mut number) = (0, 0);
    let path = CString::new(path).unwrap();
    unsafe {
        let status = mmg_open(path.as_ptr(), &options, &mut file, &mut error);
        if status != 0 {
            return format!("error {} {}", name(status), text(error.message.as_ptr()));
        }
        mmg_info_get(file, &mut info);
        match what {
            "open" => return format!("ok {}", info.size),
            "info" => return format!("ok {} {}", info.size, text(mmg_term(1, info.backing))),
            "read" => {
                let mut buffer = [0u8; 16];
                mmg_read(file, 5, buffer.as_mut_ptr().cast(), 16, &mut number);
                let hex: String = buffer[..number as usize].iter().map(|byte| format!("{byte:02x}")).collect();
                return format!("ok {hex}");
            }
            "find" => {
                mmg_find(file, 0, TO_END, b"NEEDLE".as_ptr().cast(), 6, &mut number);
                return format!("ok {number}");
            }
            "close" => return format!("ok {} {}", name(mmg_close(file, 0)), name(mmg_close(file, 0))),
            "use-after-close" => {
                mmg_close(file, 0);
                return format!("error {}", name(mmg_pin(file, 0, TO_END, &mut span)));
            }
            _ => (),
        }
        mmg_pin(file, 0, TO_END, &mut span);
        match what {
            "pin" => return format!("ok {}", sum(span.data, span.size)),
            "empty" => return format!("{} {}", if span.data.is_null() { "null" } else { "ok" }, span.size),
            "unpin" => return format!("ok {} {}", name(mmg_unpin(&mut span)), name(mmg_unpin(&mut span))),
            "stable" => {
                let before = sum(span.data, span.size);
                ready();
                return format!("ok {}", if sum(span.data, span.size) == before { "same" } else { "other" });
            }
            _ => (),
        }
        ready();
        sum(span.data, span.size);
        let status = mmg_unpin(&mut span);
        mmg_info_get(file, &mut info);
        if what == "truncated" {
            return format!("error {} {}", name(status), info.fault_offset);
        }
        signal(SIGUSR1, on_signal);
        ready();
        format!("ok {}", if HANDLED.load(Ordering::SeqCst) == SIGUSR1 { "handled" } else { "unheard" })
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    println!("{}", run(&words[1], &words[2]));
}
