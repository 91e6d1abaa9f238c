// SPDX-License-Identifier: MIT OR Apache-2.0
// The structures of mmapguard.h. Written by ./dev abi --accept from abi/abi.json; do not edit.

structs! {
    /// A zero-copy view of `size` bytes at `data`. `mmg_pin()` fills it, and `mmg_unpin()` ends it. `data` is
    /// never NULL after `mmg_pin()` or `mmg_unpin()`, not even when `size` is 0. The bytes are read-only: a
    /// write to them is an access violation where they are mapped, and undefined where they are copied. `pin`
    /// is the token of the pin, and only `mmg_unpin()` reads it. A span may be copied. All copies share one
    /// pin: `mmg_unpin()` of one copy ends the pin for all of them. The offsets of the members are those of
    /// the C compiler. On i386, where a 64-bit member needs an alignment of 4 bytes, `size` is at offset 4;
    /// on every other system it is at offset 8.
    pub struct mmg_span {
        /// the bytes, read-only
        data: *const u8,
        /// how many
        size: u64,
        /// token of the pin; 0: no pin
        pin: u64,
    }

    /// How to open a file. The caller sets `struct_size`, or uses `MMG_OPTIONS_INIT` or `mmg_options_init()`.
    /// In every other member 0 means the default. A NULL pointer in place of the options means all defaults.
    pub struct mmg_options {
        /// sizeof(`mmg_options`) as the caller was compiled
        struct_size: u32,
        /// `MMG_BACKING_...`: what holds the bytes
        backing: u32,
        /// `MMG_GUARANTEE_STABLE`: the region is STABLE, or the call fails. 0, _CONTAINED: the region is
        /// CONTAINED, unless a flag or the environment switches the guard off
        guarantee: u32,
        /// `MMG_LOCK_...`: the advisory lock to take before the file is mapped or copied
        lock: u32,
        /// how long to wait for that lock, in milliseconds; 0: try once
        lock_wait_ms: u32,
        /// `MMG_ADVICE_NORMAL` to _HUGEPAGE: expected pattern of access
        access: u32,
        /// `MMG_FLAG_...` bits
        flags: u64,
        /// start of the window in the file, at any byte
        offset: u64,
        /// length of the window; `MMG_TO_END` or 0: to the end of the file
        length: u64,
        /// a window of at most so many bytes is copied, and not mapped. 0: 64 KiB. While copies of files
        /// above 4 KiB hold more than 256 KiB together, and fewer than 256 files of at most 64 KiB are
        /// mapped, 0 means 4 KiB, except for STABLE
        copy_threshold: u64,
        /// cap for what is read into memory, but for the copy that STABLE may need; 0: 1 GiB; `MMG_NO_LIMIT`:
        /// none
        max_bytes: u64,
        /// cap for the copy that STABLE may need, on disk or in memory, at open or when a lease breaks. For a
        /// copy by `MMG_BACKING_COPY` the cap is `max_bytes`. 0: 1 GiB; `MMG_NO_LIMIT`: none
        max_snapshot_bytes: u64,
        /// the call takes no lease while the process holds so many; 0: 10 000
        max_leases: u32,
        /// how long a writer may wait while the bytes are secured, in milliseconds. The bytes that are not
        /// secured by then are no longer STABLE. 0: as long as the kernel allows
        /// (/proc/sys/fs/lease-break-time). A stopped process cannot keep this limit
        max_lease_wait_ms: u32,
        /// how long a stream may take to its end, in milliseconds; the call then returns `MMG_E_WOULD_BLOCK`.
        /// 0: as long as it takes
        stream_wait_ms: u32,
        /// 0
        reserved: u32,
    }

    /// Details of a failure. The calls that take one fill it; a caller that needs no details passes NULL. The
    /// struct is the caller's, so nothing in it depends on the thread. The caller sets `struct_size` before
    /// each call, which reads nothing else in it. The call fills a part that the library does not know with
    /// zeros. On success it stores `MMG_OK` in `status`, 0 in the other numbers, and empty texts.
    pub struct mmg_error {
        /// sizeof(`mmg_error`) as the caller was compiled
        struct_size: u32,
        /// the status that the call returned
        status: mmg_status,
        /// errno as the kernel gave it, or 0 when the library itself refused
        os_code: i32,
        /// 0
        reserved: u32,
        /// the place in the file, when the failure has one; else 0
        offset: u64,
        /// what failed, such as "open", "flock", "mmap" or "options"; NUL-terminated ASCII
        operation: [c_char; 24],
        /// one sentence for people, which names the path; NUL-terminated UTF-8. Control characters and
        /// undecodable bytes of a path appear in hexadecimal. An overlong path is shortened in its middle
        message: [c_char; 464],
    }

    /// What is known about one region. `mmg_info_get()` fills it.
    pub struct mmg_info {
        /// sizeof(`mmg_info`) as the caller was compiled
        struct_size: u32,
        /// `MMG_BACKING_MAP`, _COPY or _ADOPTED: what holds the bytes
        backing: u32,
        /// `MMG_REASON_...`: why the region has that backing
        backing_reason: u32,
        /// `MMG_GUARANTEE_...`: the guarantee that holds for the bytes
        guarantee: u32,
        /// `MMG_MEANS_...`: what upholds the guarantee
        means: u32,
        /// `MMG_SHORT_...`: why the region is not STABLE; 0: it is STABLE
        shortfall: u32,
        /// `MMG_LOCK_...`: the lock that is held now
        lock: u32,
        /// cause of the first loss: `MMG_E_TRUNCATED`, _IO, _POISONED, _UNSTABLE; 0: none
        fault_cause: mmg_status,
        /// bytes in the region
        size: u64,
        /// where in the file the region starts
        offset: u64,
        /// size of the file at open; for a stream, the bytes read from it
        file_size: u64,
        /// st_dev at open
        device: u64,
        /// st_ino at open
        inode: u64,
        /// modification time at open, seconds since the Epoch
        mtime_seconds: i64,
        /// status change time at open, seconds since the Epoch
        ctime_seconds: i64,
        /// 0 to 999 999 999
        mtime_nanoseconds: u32,
        /// 0 to 999 999 999
        ctime_nanoseconds: u32,
        /// signals contained in this region
        faults: u64,
        /// first byte of the region that was found lost; `MMG_TO_END`: no loss
        fault_offset: u64,
        /// pins that live now
        pins: u64,
        /// address space held for the region, whole pages; 0 for a copy
        mapped_bytes: u64,
        /// heap held for the region, its bookkeeping included
        heap_bytes: u64,
        /// errno of a lock that the file system could not give; 0 otherwise
        lock_error: i32,
        /// last errno for which a call on this region returned `MMG_E_SYSTEM` or `MMG_E_IO`; 0: none. A loss
        /// has no errno, and leaves the number as it is
        os_error: i32,
        /// granularity of loss: a fault takes at least this many bytes; 0 for a copy
        page_size: u64,
        /// `MMG_LOCKING_...`: why there is that lock, or none
        lock_reason: u32,
        /// `MMG_EXCEPT_...` bits: what the means of STABLE does not hold back
        exceptions: u32,
        /// the means of STABLE in the order in which the library tries them for a window of this size:
        /// `MMG_MEANS_...`, four bits each, the first in the lowest. It is 0 unless the means is a lease, a
        /// reflink or a snapshot
        means_order: u64,
        /// name of the file system at open, such as "ext4"; NUL-terminated ASCII, cut if longer, empty where
        /// it is not known
        file_system: [c_char; 24],
    }

    /// Counters of the whole process. `mmg_stats_get()` fills the struct. It reads each counter atomically,
    /// and not all of them at once.
    pub struct mmg_stats {
        /// sizeof(`mmg_stats`) as the caller was compiled
        struct_size: u32,
        /// `MMG_GUARD_...`: what `mmg_guard_state()` returns
        guard_state: i32,
        /// open handles
        handles: u64,
        /// regions ever opened
        opened: u64,
        /// regions alive: open handles, and closed ones whose bytes are still pinned
        regions: u64,
        /// the regions among them that are mapped
        mappings: u64,
        /// address space in these mappings
        mapped_bytes: u64,
        /// heap in regions
        heap_bytes: u64,
        /// signals contained since the process started
        faults: u64,
        /// SIGBUS signals passed on to the handler that was there before
        foreign_faults: u64,
        /// handle slots whose generations are used up
        retired_slots: u64,
        /// leases held now
        leases: u64,
        /// leased files for which a writer waits now
        leases_breaking: u64,
        /// how often a writer has broken the leases of a file
        lease_breaks: u64,
        /// how often an open for STABLE tried to take a lease, and did not get it
        lease_refusals: u64,
        /// regions that are no longer STABLE because of `max_snapshot_bytes`
        fallbacks_cap: u64,
        /// ... because the time for securing them ran out
        fallbacks_time: u64,
        /// ... because there was no room for their bytes, or an adopted mapping was changed
        fallbacks_space: u64,
        /// ... because their bytes could not be read
        fallbacks_read: u64,
        /// bytes copied for STABLE, at open and when leases broke
        snapshot_bytes: u64,
        /// snapshots taken for STABLE, reflinks included
        snapshots: u64,
        /// how long writers waited for leases, as far as this process knows, in nanoseconds
        writer_wait_ns: u64,
        /// the longest of these waits
        writer_wait_max_ns: u64,
        /// records ever written to the ledger; see `mmg_losses_get()`
        losses: u64,
        /// the records among them with the cause `MMG_E_TRUNCATED`
        losses_truncated: u64,
        /// ... `MMG_E_IO`
        losses_io: u64,
        /// ... `MMG_E_POISONED`
        losses_poisoned: u64,
        /// ... `MMG_E_UNSTABLE`
        losses_unstable: u64,
        /// the records of mappings that have no handle
        losses_foreign: u64,
    }

    /// One record of the ledger: bytes of a mapping that were found lost. `mmg_losses_get()` fills it. A
    /// record tells of one moment and never changes. Its offset counts bytes of the file, and not of a
    /// region.
    pub struct mmg_loss {
        /// sizeof(`mmg_loss`) as the caller was compiled
        struct_size: u32,
        /// `MMG_E_TRUNCATED`, _IO or _POISONED; `MMG_E_UNSTABLE`: STABLE bytes may have changed
        cause: mmg_status,
        /// number of the record: 1, 2, 3, ... since the process started
        sequence: u64,
        /// the region that lost the bytes, which may be closed by now; 0: the mapping has no region
        handle: mmg_handle,
        /// st_dev of the file, as far as it is known
        device: u64,
        /// st_ino of the file, as far as it is known
        inode: u64,
        /// first lost byte, counted from the start of the file
        offset: u64,
        /// how many bytes of the mapping are lost from there
        length: u64,
        /// where the first lost byte was mapped
        address: u64,
        /// moment of the discovery, in nanoseconds of CLOCK_MONOTONIC
        time_ns: i64,
        /// the thread that found the loss, as gettid(2) numbers threads
        thread: u32,
        /// `MMG_ORIGIN_...`: who made the mapping
        origin: u32,
        /// path of the file; NUL-terminated, in the encoding of the file system. An overlong path is
        /// shortened in its middle; empty: the path is not known
        path: [c_char; 432],
    }
}

/// Every member of a `mmg_span` its default.
pub const MMG_SPAN_INIT: mmg_span = mmg_span {
    data: std::ptr::null(),
    size: 0,
    pin: 0,
};

/// Every member of a `mmg_options` its default.
pub const MMG_OPTIONS_INIT: mmg_options = mmg_options {
    struct_size: std::mem::size_of::<mmg_options>() as u32,
    backing: 0,
    guarantee: 0,
    lock: 0,
    lock_wait_ms: 0,
    access: 0,
    flags: 0,
    offset: 0,
    length: 0,
    copy_threshold: 0,
    max_bytes: 0,
    max_snapshot_bytes: 0,
    max_leases: 0,
    max_lease_wait_ms: 0,
    stream_wait_ms: 0,
    reserved: 0,
};

/// Every member of a `mmg_error` its default.
pub const MMG_ERROR_INIT: mmg_error = mmg_error {
    struct_size: std::mem::size_of::<mmg_error>() as u32,
    status: 0,
    os_code: 0,
    reserved: 0,
    offset: 0,
    operation: [0; 24],
    message: [0; 464],
};

/// Every member of a `mmg_info` its default.
pub const MMG_INFO_INIT: mmg_info = mmg_info {
    struct_size: std::mem::size_of::<mmg_info>() as u32,
    backing: 0,
    backing_reason: 0,
    guarantee: 0,
    means: 0,
    shortfall: 0,
    lock: 0,
    fault_cause: 0,
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
    os_error: 0,
    page_size: 0,
    lock_reason: 0,
    exceptions: 0,
    means_order: 0,
    file_system: [0; 24],
};

/// Every member of a `mmg_stats` its default.
pub const MMG_STATS_INIT: mmg_stats = mmg_stats {
    struct_size: std::mem::size_of::<mmg_stats>() as u32,
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
    leases: 0,
    leases_breaking: 0,
    lease_breaks: 0,
    lease_refusals: 0,
    fallbacks_cap: 0,
    fallbacks_time: 0,
    fallbacks_space: 0,
    fallbacks_read: 0,
    snapshot_bytes: 0,
    snapshots: 0,
    writer_wait_ns: 0,
    writer_wait_max_ns: 0,
    losses: 0,
    losses_truncated: 0,
    losses_io: 0,
    losses_poisoned: 0,
    losses_unstable: 0,
    losses_foreign: 0,
};

/// Every member of a `mmg_loss` its default.
pub const MMG_LOSS_INIT: mmg_loss = mmg_loss {
    struct_size: std::mem::size_of::<mmg_loss>() as u32,
    cause: 0,
    sequence: 0,
    handle: 0,
    device: 0,
    inode: 0,
    offset: 0,
    length: 0,
    address: 0,
    time_ns: 0,
    thread: 0,
    origin: 0,
    path: [0; 432],
};
