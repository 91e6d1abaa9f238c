// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(non_camel_case_types)]

#[macro_use]
mod macros;
mod constants;
mod functions;
mod structs;
#[cfg(test)]
mod test_abi;

pub use constants::*;
pub use functions::*;
pub use structs::*;

/// Names a region. 0 is never valid; always below 2^53.
pub type mmg_handle = u64;

/// 0 (`MMG_OK`) or a negative `MMG_E_...`.
pub type mmg_status = i32;

/// The array of Arrow's C Data Interface, for `mmg_export_arrow()`: any crate's own declaration of it, by a cast.
#[repr(C)]
pub struct ArrowArray {
    _opaque: [u8; 0],
}

/// The schema that goes with it; likewise.
#[repr(C)]
pub struct ArrowSchema {
    _opaque: [u8; 0],
}

/// An empty span, which `mmg_unpin()` accepts.
pub const MMG_SPAN_INIT: mmg_span = mmg_span { data: std::ptr::null(), size: 0, pin: 0 };

/// Options with every member its default.
pub const MMG_OPTIONS_INIT: mmg_options = mmg_options {
    struct_size: size_of_u32::<mmg_options>(),
    backing: MMG_BACKING_AUTO,
    guarantee: MMG_GUARANTEE_CONTAINED,
    lock: MMG_LOCK_SHARED,
    lock_wait_ms: 0,
    access: MMG_ADVICE_NORMAL,
    flags: 0,
    offset: 0,
    length: 0,
    copy_threshold: 0,
    max_bytes: 0,
    max_snapshot_bytes: 0,
};

/// Room for the details of a failure.
pub const MMG_ERROR_INIT: mmg_error = mmg_error {
    struct_size: size_of_u32::<mmg_error>(),
    status: MMG_OK,
    os_code: 0,
    reserved: 0,
    offset: 0,
    operation: [0; 24],
    message: [0; 464],
};

/// Room for what is known about a region.
pub const MMG_INFO_INIT: mmg_info = mmg_info {
    struct_size: size_of_u32::<mmg_info>(),
    backing: 0,
    backing_reason: 0,
    guarantee: 0,
    means: 0,
    shortfall: 0,
    lock: 0,
    fault_cause: MMG_OK,
    size: 0,
    offset: 0,
    file_size: 0,
    device: 0,
    inode: 0,
    mtime_seconds: 0,
    ctime_seconds: 0,
    mtime_nanoseconds: 0,
    ctime_nanoseconds: 0,
    faults: 0,
    fault_offset: 0,
    pins: 0,
    mapped_bytes: 0,
    heap_bytes: 0,
    lock_error: 0,
    page_size: 0,
};

/// Room for the counters of the process.
pub const MMG_STATS_INIT: mmg_stats = mmg_stats {
    struct_size: size_of_u32::<mmg_stats>(),
    guard_state: 0,
    handles: 0,
    opened: 0,
    regions: 0,
    mappings: 0,
    mapped_bytes: 0,
    heap_bytes: 0,
    faults: 0,
    foreign_faults: 0,
    retired_slots: 0,
};

/// Sizes cross the border as 32 bits; no struct here comes near that.
const fn size_of_u32<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}
