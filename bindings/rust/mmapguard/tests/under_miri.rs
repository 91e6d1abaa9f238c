// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the safe crate under Miri, which finds undefined behaviour in Rust code but cannot run C. A model
//! with the same contract (handles, pins, structs with a size) takes the place of the C library.
#![cfg(miri)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::sync::{Arc, Mutex};

use mmapguard::{Contained, Leased, Means, Options, Region, Stable, Status};
use mmapguard_sys as sys;

// ------------------------------------------------------------------------------------------------------ the model ---

struct Model {
    next: u64,
    regions: BTreeMap<u64, (Arc<Vec<u8>>, u32)>,
    pins: BTreeMap<u64, Arc<Vec<u8>>>,
    /// Regions that are opened from now on count as lost.
    lost: bool,
}

static MODEL: Mutex<Model> =
    Mutex::new(Model { next: 1, regions: BTreeMap::new(), pins: BTreeMap::new(), lost: false });

fn issue(bytes: Vec<u8>, means: u32) -> u64 {
    let mut model = MODEL.lock().unwrap();
    model.next += 1;
    let number = model.next;
    model.regions.insert(number, (Arc::new(bytes), means));
    number
}

#[no_mangle]
unsafe extern "C" fn mmg_open(
    path: *const c_char,
    options: *const sys::mmg_options,
    handle: *mut u64,
    error: *mut sys::mmg_error,
) -> i32 {
    let path = CStr::from_ptr(path).to_str().unwrap();
    let options = &*options;
    assert_eq!(options.struct_size, sys::MMG_OPTIONS_INIT.struct_size);
    assert_eq!((*error).struct_size, sys::MMG_ERROR_INIT.struct_size);
    if path == "missing" {
        let mut told = sys::MMG_ERROR_INIT;
        (told.status, told.os_code) = (sys::MMG_E_NOT_FOUND, 2);
        for (place, byte) in told.operation.iter_mut().zip(b"open") {
            *place = *byte as c_char;
        }
        for (place, byte) in told.message.iter_mut().zip(b"'missing': open: No such file or directory") {
            *place = *byte as c_char;
        }
        *error = told;
        return sys::MMG_E_NOT_FOUND;
    }
    let means = match (options.guarantee, options.backing, path) {
        (_, sys::MMG_BACKING_COPY, _) | (_, _, "small") => sys::MMG_MEANS_PRIVATE_COPY,
        (sys::MMG_GUARANTEE_STABLE, ..) if options.flags & sys::MMG_FLAG_NO_LEASE == 0 => {
            sys::MMG_MEANS_LEASE
        }
        (sys::MMG_GUARANTEE_STABLE, ..) => sys::MMG_MEANS_SNAPSHOT,
        _ => sys::MMG_MEANS_FAULT_GUARD,
    };
    *handle = issue(path.bytes().cycle().take(1000).collect(), means);
    *error = sys::MMG_ERROR_INIT;
    sys::MMG_OK
}

#[no_mangle]
unsafe extern "C" fn mmg_close(handle: u64, _flags: u32) -> i32 {
    match MODEL.lock().unwrap().regions.remove(&handle) {
        Some(_) => sys::MMG_OK,
        None => sys::MMG_E_HANDLE,
    }
}

#[no_mangle]
unsafe extern "C" fn mmg_pin(handle: u64, offset: u64, length: u64, span: *mut sys::mmg_span) -> i32 {
    let mut model = MODEL.lock().unwrap();
    let Some((bytes, _)) = model.regions.get(&handle).cloned() else { return sys::MMG_E_HANDLE };
    let rest = match bytes.len() as u64 {
        size if offset > size => return sys::MMG_E_RANGE,
        size => size - offset,
    };
    let size = if length == sys::MMG_TO_END { rest } else { length };
    if size > rest {
        return sys::MMG_E_RANGE;
    }
    if model.lost {
        return sys::MMG_E_TRUNCATED;
    }
    model.next += 1;
    let pin = model.next;
    *span = sys::mmg_span { data: bytes.as_ptr().add(offset as usize), size, pin };
    model.pins.insert(pin, bytes);
    sys::MMG_OK
}

#[no_mangle]
unsafe extern "C" fn mmg_unpin(span: *mut sys::mmg_span) -> i32 {
    let pin = (*span).pin;
    *span = sys::mmg_span { data: std::ptr::NonNull::dangling().as_ptr(), size: 0, pin: 0 };
    let mut model = MODEL.lock().unwrap();
    match pin {
        0 => sys::MMG_OK,
        _ if model.pins.remove(&pin).is_none() => sys::MMG_E_HANDLE,
        _ if model.lost => sys::MMG_E_TRUNCATED,
        _ => sys::MMG_OK,
    }
}

#[no_mangle]
unsafe extern "C" fn mmg_info_get(handle: u64, info: *mut sys::mmg_info) -> i32 {
    let model = MODEL.lock().unwrap();
    let Some((bytes, means)) = model.regions.get(&handle) else { return sys::MMG_E_HANDLE };
    assert_eq!((*info).struct_size, sys::MMG_INFO_INIT.struct_size);
    let is_copy = *means == sys::MMG_MEANS_PRIVATE_COPY;
    let is_contained = *means == sys::MMG_MEANS_FAULT_GUARD;
    *info = sys::mmg_info {
        backing: if is_copy { sys::MMG_BACKING_COPY } else { sys::MMG_BACKING_MAP },
        guarantee: if is_contained { sys::MMG_GUARANTEE_CONTAINED } else { sys::MMG_GUARANTEE_STABLE },
        means: *means,
        size: bytes.len() as u64,
        fault_offset: if model.lost { 100 } else { sys::MMG_TO_END },
        ..sys::MMG_INFO_INIT
    };
    sys::MMG_OK
}

#[no_mangle]
unsafe extern "C" fn mmg_read(
    handle: u64,
    offset: u64,
    buffer: *mut c_void,
    size: u64,
    got: *mut u64,
) -> i32 {
    let model = MODEL.lock().unwrap();
    let Some((bytes, _)) = model.regions.get(&handle) else { return sys::MMG_E_HANDLE };
    let Some(rest) = bytes.get(offset as usize..) else { return sys::MMG_E_RANGE };
    *got = size.min(rest.len() as u64);
    std::ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast(), *got as usize);
    sys::MMG_OK
}

#[no_mangle]
unsafe extern "C" fn mmg_check(_handle: u64) -> i32 {
    if MODEL.lock().unwrap().lost {
        sys::MMG_E_TRUNCATED
    } else {
        sys::MMG_OK
    }
}

#[no_mangle]
unsafe extern "C" fn mmg_verify(handle: u64) -> i32 {
    unsafe { mmg_check(handle) }
}

#[no_mangle]
unsafe extern "C" fn mmg_guard_state() -> i32 {
    sys::MMG_GUARD_TOP
}

#[no_mangle]
unsafe extern "C" fn mmg_status_message(_status: i32) -> *const c_char {
    b"a status\0".as_ptr().cast()
}

#[no_mangle]
unsafe extern "C" fn mmg_status_name(_status: i32) -> *const c_char {
    b"MMG_E\0".as_ptr().cast()
}

#[no_mangle]
unsafe extern "C" fn mmg_term(_vocabulary: u32, _value: u32) -> *const c_char {
    b"word\0".as_ptr().cast()
}

fn nothing_is_left() {
    let model = MODEL.lock().unwrap();
    assert!(model.regions.is_empty() && model.pins.is_empty());
}

// ------------------------------------------------------------------------------------------------------ the tests ---

/// The tests run one after another, since they share the model.
#[test]
fn slices_spans_and_what_they_are_made_of() {
    stable_regions_are_slices();
    contained_and_leased_regions();
    spans_and_losses();
    errors();
    nothing_is_left();
}

fn stable_regions_are_slices() {
    for path in ["small", "large"] {
        let region = Region::<Stable>::open(path).unwrap();
        assert_eq!(region.info().unwrap().means(), Means::PRIVATE_COPY);
        let slice: &[u8] = &region;
        assert!(slice.starts_with(path.as_bytes()) && slice.len() == 1000);
        // The region is shared while other threads read through the library, and then moved to a thread.
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(slice[999], region.read_to_vec(999, 1).unwrap()[0]));
            scope.spawn(|| region.check().unwrap());
        });
        let region = std::thread::spawn(move || region).join().unwrap();
        assert_eq!(region.as_ref().last(), region.last());
        region.close().unwrap();
        nothing_is_left();
    }
}

fn contained_and_leased_regions() {
    let region = Region::<Leased>::open("large").unwrap();
    assert_eq!(region.info().unwrap().means(), Means::LEASE);
    let region = region.try_into_stable().unwrap_err();
    drop(region.pinned().unwrap());
    let small = Region::<Contained>::open("small").unwrap().try_into_stable().unwrap();
    assert_eq!(small[0], b's');
    drop(small);
    let pinned = Options::new().name("a name").open_pinned::<Contained>("large").unwrap();
    // SAFETY: the model changes no byte.
    assert_eq!(unsafe { pinned.as_slice() }[..5], b"large"[..]);
    assert_eq!(pinned.into_inner().read_to_vec(1, 4).unwrap(), b"arge");
    nothing_is_left();
}

fn spans_and_losses() {
    let region = Region::<Contained>::open("large").unwrap();
    let (first, second) = (region.span(0, 10).unwrap(), region.span(5, u64::MAX).unwrap());
    // SAFETY: both are pinned, and the model changes no bytes.
    unsafe { assert_eq!(first.as_ptr().add(5).read_volatile(), second.as_ptr().read_volatile()) };
    first.unpin().unwrap();
    MODEL.lock().unwrap().lost = true;
    let error = second.unpin().unwrap_err();
    assert_eq!((error.status(), error.offset()), (Status::TRUNCATED, Some(100)));
    assert_eq!(region.lost().unwrap_err().offset(), Some(100));
    assert_eq!(region.close().unwrap_err().status(), Status::TRUNCATED);
    MODEL.lock().unwrap().lost = false;
    nothing_is_left();
}

fn errors() {
    let error = Region::<Stable>::open("missing").unwrap_err();
    assert_eq!((error.status(), error.os_code(), error.operation()), (Status::NOT_FOUND, Some(2), "open"));
    assert!(error.to_string().starts_with("'missing': open: "));
    let named = Options::new().name("it").open::<Stable>("missing").unwrap_err();
    assert!(named.to_string().starts_with("'it': open: "), "{named}");
    assert!(Region::<Contained>::open("a\0b").is_err());
    let region = Region::<Contained>::open("small").unwrap();
    assert_eq!(region.read_to_vec(990, 11).unwrap_err().status(), Status::RANGE);
    assert_eq!(region.span(1001, 0).unwrap_err().status(), Status::RANGE);
}
