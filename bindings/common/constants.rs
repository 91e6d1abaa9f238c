// SPDX-License-Identifier: MIT OR Apache-2.0
// The constants of mmapguard.h. Written by ./dev abi --accept from abi/abi.json; do not edit.

constants! {
    /// First number of the release of this header; `mmg_version()` tells the release of the library.
    MMG_VERSION_MAJOR: u32 = 1;
    /// Second number of the release.
    MMG_VERSION_MINOR: u32 = 0;
    /// Third number of the release.
    MMG_VERSION_PATCH: u32 = 0;
    /// ABI number of this header, comparable with `mmg_abi_version()`: major in the upper, minor in the lower
    /// 16 bits.
    MMG_ABI: u32 = 65536;
    /// As a `length`: all bytes from `offset` to the end of the region.
    MMG_TO_END: u64 = 18446744073709551615;
    /// As a cap in bytes: no cap.
    MMG_NO_LIMIT: u64 = 18446744073709551615;
    /// What `mmg_find()` stores when the needle does not occur.
    MMG_NOT_FOUND: u64 = 18446744073709551615;
    /// As `mmg_options.lock_wait_ms`: wait for the lock as long as it takes.
    MMG_WAIT_FOREVER: u32 = 4294967295;

    // Status codes. The numbers are frozen. The gaps between the groups are for later members of each
    // group.
    /// success
    MMG_OK: mmg_status = 0;
    /// NULL, an unknown flag or value, a contradiction, or a bad descriptor
    MMG_E_ARGUMENT: mmg_status = -1;
    /// not a live handle, or not a live pin
    MMG_E_HANDLE: mmg_status = -2;
    /// offset or length outside the region or the file
    MMG_E_RANGE: mmg_status = -3;
    /// `struct_size` is a size that the struct never had and cannot get
    MMG_E_ABI_SIZE: mmg_status = -4;
    /// the options are newer than the library, and set a member that it does not know
    MMG_E_ABI_NEWER: mmg_status = -5;
    /// no such file, or a dangling link
    MMG_E_NOT_FOUND: mmg_status = -20;
    /// the process may not read the file
    MMG_E_PERMISSION: mmg_status = -21;
    /// the file or the window is empty, and `MMG_FLAG_REJECT_EMPTY` was given
    MMG_E_EMPTY: mmg_status = -22;
    /// a directory, a socket or something else without bytes to map
    MMG_E_NOT_MAPPABLE: mmg_status = -23;
    /// a lock is held elsewhere, a FIFO has no writer, or a stream does not end in time
    MMG_E_WOULD_BLOCK: mmg_status = -24;
    /// over a cap, or over what the address space can hold
    MMG_E_TOO_BIG: mmg_status = -25;
    /// no descriptor, no mapping (vm.max_map_count) or no address space is left
    MMG_E_LIMIT: mmg_status = -26;
    /// out of memory
    MMG_E_NO_MEMORY: mmg_status = -27;
    /// STABLE was demanded and is not possible, or no longer holds
    MMG_E_UNSTABLE: mmg_status = -28;
    /// any other failure of the system; see `mmg_error.os_code`
    MMG_E_SYSTEM: mmg_status = -29;
    /// the file was cut short: bytes of the region are gone
    MMG_E_TRUNCATED: mmg_status = -40;
    /// the device or the file system failed to deliver bytes
    MMG_E_IO: mmg_status = -41;
    /// a hardware memory error hit the bytes
    MMG_E_POISONED: mmg_status = -42;
    /// the file was written to since it was opened
    MMG_E_CHANGED: mmg_status = -43;
    /// pins are live and the close was strict
    MMG_E_BUSY: mmg_status = -60;
    /// not possible for this region or on this system
    MMG_E_UNSUPPORTED: mmg_status = -61;
    /// the fault guard could not be put in place
    MMG_E_GUARD: mmg_status = -62;

    // `mmg_options.backing` and `mmg_info.backing`.
    /// copy what is small or cannot be mapped, map the rest
    MMG_BACKING_AUTO: u32 = 0;
    /// a mapping of the file, or an error; a region without bytes needs none
    MMG_BACKING_MAP: u32 = 1;
    /// a private copy in memory, within `max_bytes`
    MMG_BACKING_COPY: u32 = 2;
    /// a mapping that somebody else has made; see `mmg_adopt()`. Not a value for options
    MMG_BACKING_ADOPTED: u32 = 3;

    // `mmg_info.backing_reason`.
    /// the caller asked for this backing
    MMG_REASON_ASKED: u32 = 0;
    /// copied: at most the copy threshold
    MMG_REASON_SMALL: u32 = 1;
    /// mapped: above the copy threshold
    MMG_REASON_LARGE: u32 = 2;
    /// the region has no bytes
    MMG_REASON_EMPTY: u32 = 3;
    /// copied: a pipe, socket, terminal or other stream
    MMG_REASON_STREAM: u32 = 4;
    /// copied: the size that the file system reports is not that of the contents
    MMG_REASON_VIRTUAL: u32 = 5;
    /// copied: the file system refused both kinds of mapping
    MMG_REASON_MAP_REFUSED: u32 = 6;
    /// mapped MAP_PRIVATE: the file system refused MAP_SHARED
    MMG_REASON_MAP_PRIVATE: u32 = 7;
    /// STABLE was demanded, and this backing upholds it
    MMG_REASON_STABLE: u32 = 8;
    /// copied: the fault guard could not be put in place
    MMG_REASON_NO_GUARD: u32 = 9;
    /// mapped: a block device
    MMG_REASON_BLOCK_DEVICE: u32 = 10;
    /// copied: the process had no mapping or no address space left
    MMG_REASON_NO_ROOM: u32 = 11;

    // `mmg_options.guarantee` and `mmg_info.guarantee`. A larger number promises more.
    /// a mapping that the fault guard does not watch; `mmg_info.shortfall` says why. As an option: the
    /// default
    MMG_GUARANTEE_NONE: u32 = 0;
    /// nothing that happens to the file kills the process; losses are reported
    MMG_GUARANTEE_CONTAINED: u32 = 1;
    /// the bytes do not change and do not vanish while the handle or a pin lives
    MMG_GUARANTEE_STABLE: u32 = 2;

    // `mmg_info.means`.
    /// NONE: nothing upholds a guarantee
    MMG_MEANS_NONE: u32 = 0;
    /// CONTAINED: the SIGBUS guard
    MMG_MEANS_FAULT_GUARD: u32 = 1;
    /// STABLE: a copy in memory; of one version if STABLE was demanded
    MMG_MEANS_PRIVATE_COPY: u32 = 2;
    /// STABLE: a memfd sealed against shrinking and writing
    MMG_MEANS_SEALED: u32 = 3;
    /// STABLE: a medium that nobody can write
    MMG_MEANS_READ_ONLY_MEDIUM: u32 = 4;
    /// STABLE: a read lease, and a snapshot when it breaks
    MMG_MEANS_LEASE: u32 = 5;
    /// STABLE: a reflinked, unlinked snapshot
    MMG_MEANS_REFLINK: u32 = 6;
    /// STABLE: a full, unlinked snapshot
    MMG_MEANS_SNAPSHOT: u32 = 7;

    // `mmg_info.shortfall`.
    /// STABLE holds
    MMG_SHORT_NONE: u32 = 0;
    /// STABLE was not demanded, and would have cost something
    MMG_SHORT_NOT_ASKED: u32 = 1;
    /// the fault guard is off as well: `MMG_FLAG_NO_FAULT_GUARD`
    MMG_SHORT_GUARD_OFF: u32 = 2;
    /// the fault guard is off as well: MMAPGUARD_NO_SIGNAL in the environment
    MMG_SHORT_ENVIRONMENT: u32 = 3;
    /// a lease broke, and the window is larger than `max_snapshot_bytes`
    MMG_SHORT_CAP: u32 = 4;
    /// a lease broke, and the kernel's time ran out (/proc/sys/fs/lease-break-time)
    MMG_SHORT_TIME: u32 = 5;
    /// a lease broke, and there was no room for the bytes, on disk or in memory, or the owner of an adopted
    /// mapping had changed it
    MMG_SHORT_SPACE: u32 = 6;
    /// a lease broke, and the bytes could not be read
    MMG_SHORT_READ: u32 = 7;
    /// the lease belongs to the parent process
    MMG_SHORT_FORKED: u32 = 8;
    /// bytes were lost in spite of the means; see `fault_cause`
    MMG_SHORT_LOST: u32 = 9;
    /// another handler is on top of the fault guard; see `mmg_guard_install()`
    MMG_SHORT_DISPLACED: u32 = 10;
    /// SIGBUS is blocked in the calling thread
    MMG_SHORT_BLOCKED: u32 = 11;

    // `mmg_options.lock` and `mmg_info.lock`.
    /// `MMG_LOCK_SHARED` where a lock is advisory, local and cannot hang; elsewhere none. A value for options
    /// only
    MMG_LOCK_AUTO: u32 = 0;
    /// flock(2) LOCK_SH: meets every user of flock, and the mmap-guard crate
    MMG_LOCK_SHARED: u32 = 1;
    /// fcntl(2) F_OFD_SETLK, a read lock over the whole file: meets users of POSIX locks
    MMG_LOCK_OFD: u32 = 2;
    /// no lock
    MMG_LOCK_NONE: u32 = 3;

    // `mmg_info.lock_reason`.
    /// a lock is held
    MMG_LOCKING_HELD: u32 = 0;
    /// none: `MMG_LOCK_NONE`, or MMAPGUARD_LOCK=none in the environment
    MMG_LOCKING_ASKED: u32 = 1;
    /// none: the bytes are no longer the file's, or never were a file's
    MMG_LOCKING_NO_NEED: u32 = 2;
    /// none: a lock here would be mandatory, so that writers fail (CIFS, SMB)
    MMG_LOCKING_MANDATORY: u32 = 3;
    /// none: a lock here could hang (NFS without a lock manager, FUSE)
    MMG_LOCKING_COULD_HANG: u32 = 4;
    /// none: a lock here is not this kernel's own (9p, virtiofs, cluster file systems)
    MMG_LOCKING_NOT_LOCAL: u32 = 5;
    /// none: the file system has no such lock; see `lock_error`
    MMG_LOCKING_MISSING: u32 = 6;
    /// none: the library could not open the file again, and its duplicate shares locks with the descriptor of
    /// the caller
    MMG_LOCKING_NOT_OURS: u32 = 7;

    // Bits of `mmg_info.exceptions`. MMG_FLAG_NO_LEASE avoids both.
    /// open(2) with O_RDONLY and O_TRUNC empties a leased file without breaking the lease. This is reported
    /// as `MMG_E_TRUNCATED`, and not held back. So is truncate(2) through an overlay above the file, unless
    /// the file has its size again when the library asks: that is not seen
    MMG_EXCEPT_READ_ONLY_TRUNCATION: u32 = 1;
    /// another process or a device may store into pages of the file that it had pinned before the lease
    /// (direct I/O in flight, RDMA). This is neither held back nor seen
    MMG_EXCEPT_PINNED_PAGES: u32 = 2;

    // Bits of `mmg_options.flags`.
    /// an empty file is `MMG_E_EMPTY`, and so is a window that starts at its end
    MMG_FLAG_REJECT_EMPTY: u64 = 1;
    /// a symbolic link as the last component is `MMG_E_NOT_MAPPABLE` (O_NOFOLLOW)
    MMG_FLAG_NOFOLLOW: u64 = 2;
    /// install no signal handler for this region; the guarantee NONE takes the place of CONTAINED
    MMG_FLAG_NO_FAULT_GUARD: u64 = 4;
    /// read the whole mapping in at open (MAP_POPULATE)
    MMG_FLAG_POPULATE: u64 = 8;
    /// wait for a writer when opening a FIFO, instead of `MMG_E_WOULD_BLOCK`
    MMG_FLAG_FIFO_WAIT: u64 = 16;
    /// a file that cannot be locked is `MMG_E_UNSUPPORTED`, and no unlocked region is made. With
    /// `MMG_LOCK_AUTO` the call locks on every file system. A copy keeps its lock and a descriptor until it
    /// is closed. A file of /proc or /sys that cannot be mapped is refused before a byte is read
    MMG_FLAG_REQUIRE_LOCK: u64 = 32;
    /// take no lease: no writer is ever delayed or refused, at the price of a copy. The environment variable
    /// MMAPGUARD_NO_LEASE has this effect on all regions
    MMG_FLAG_NO_LEASE: u64 = 64;
    /// anything but a regular file is `MMG_E_NOT_MAPPABLE`, so that no FIFO and no device can make the call
    /// wait
    MMG_FLAG_REGULAR_ONLY: u64 = 128;
    /// a file that any process has open for writing at this moment is `MMG_E_WOULD_BLOCK`. A file of which
    /// the kernel does not tell that is `MMG_E_UNSUPPORTED`: one of another user, one on a file system
    /// without leases, one that `mmg_read_fd()` reads, and a block device. A later writer is not kept out,
    /// and a stream may have writers
    MMG_FLAG_NO_WRITERS: u64 = 256;
    /// never give out a mapping that the guard does not watch, for example because of MMAPGUARD_NO_SIGNAL:
    /// copy the file instead, or, where a mapping was demanded, return `MMG_E_GUARD`
    MMG_FLAG_REQUIRE_GUARD: u64 = 512;
    /// `mmg_adopt()` also takes shared mappings that can be written to. What is stored into a page that was
    /// replaced does not reach the file
    MMG_FLAG_SHARED_WRITABLE: u64 = 1024;

    // `mmg_options.access` (up to HUGEPAGE) and the advice of mmg_advise(); see madvise(2).
    /// nothing in particular
    MMG_ADVICE_NORMAL: u32 = 0;
    /// read ahead more, drop behind; as `access` up to 4 MiB ahead, where the kernel can
    MMG_ADVICE_SEQUENTIAL: u32 = 1;
    /// do not read ahead
    MMG_ADVICE_RANDOM: u32 = 2;
    /// start reading in now, do not wait
    MMG_ADVICE_WILLNEED: u32 = 3;
    /// use huge pages where the kernel can; ignored where it cannot
    MMG_ADVICE_HUGEPAGE: u32 = 4;
    /// drop the pages from this process; they are read again when touched
    MMG_ADVICE_DONTNEED: u32 = 5;
    /// read in now and wait; what cannot be read is a status, not a signal
    MMG_ADVICE_POPULATE: u32 = 6;
    /// as DONTNEED; also drop the pages from the page cache, unless others map them
    MMG_ADVICE_EVICT: u32 = 7;

    // Bits for mmg_close().
    /// refuse with `MMG_E_BUSY` while pins live
    MMG_CLOSE_STRICT: u32 = 1;

    // Bits that mmg_changed() reports.
    /// the size differs from that at open
    MMG_CHANGED_SIZE: u32 = 1;
    /// the contents were modified: st_mtim differs
    MMG_CHANGED_MTIME: u32 = 2;
    /// contents or attributes (owner, mode, links) were changed: st_ctim differs
    MMG_CHANGED_CTIME: u32 = 4;
    /// the path names another inode now, or none
    MMG_CHANGED_PATH: u32 = 8;

    // What mmg_guard_state() returns.
    /// not installed: nothing needed it yet
    MMG_GUARD_NONE: i32 = 0;
    /// installed, and the first to see a SIGBUS
    MMG_GUARD_TOP: i32 = 1;
    /// installed, but another handler is on top now, which may or may not pass faults on
    MMG_GUARD_DISPLACED: i32 = 2;
    /// the system refuses the handler, as a sandbox may, or there were too many handlers
    MMG_GUARD_REFUSED: i32 = 3;
    /// on top, but SIGBUS is blocked in the calling thread: a fault here kills the process
    MMG_GUARD_BLOCKED: i32 = 4;
    /// MMAPGUARD_NO_SIGNAL is set in the environment
    MMG_GUARD_DISABLED: i32 = 5;

    // What mmg_guard_process() guards.
    /// ends one earlier call
    MMG_SCOPE_NONE: u32 = 0;
    /// private mappings of regular files, and shared ones that cannot be written to, unless they are
    /// executable or part of a program or a library
    MMG_SCOPE_FILES: u32 = 1;

    // Bits of the flags of mmg_guard_process().
    /// guards shared mappings that can be written to as well. What is stored into a page that was replaced
    /// does not reach the file
    MMG_PROCESS_SHARED_WRITABLE: u32 = 1;
    /// passes each fault to the handler that was there before the guard, for a host whose handler repairs its
    /// own mappings. The guard acts if the fault is still there when that handler has returned
    MMG_PROCESS_CHAIN_FIRST: u32 = 2;

    // `mmg_loss.origin`.
    /// the library made the mapping: a region that was opened
    MMG_ORIGIN_OWN: u32 = 0;
    /// other code made the mapping, and `mmg_adopt()` took it
    MMG_ORIGIN_ADOPTED: u32 = 1;
    /// other code made the mapping, and `mmg_guard_process()` guards it
    MMG_ORIGIN_FOREIGN: u32 = 2;

    // Features for mmg_supports().
    /// SIGBUS containment on this system
    MMG_FEATURE_FAULT_GUARD: u32 = 1;
    /// `MMG_LOCK_OFD`
    MMG_FEATURE_OFD_LOCK: u32 = 2;
    /// STABLE by a private copy
    MMG_FEATURE_STABLE_COPY: u32 = 3;
    /// STABLE by a lease with snapshot on break
    MMG_FEATURE_STABLE_LEASE: u32 = 4;
    /// STABLE by a reflinked snapshot
    MMG_FEATURE_STABLE_REFLINK: u32 = 5;
    /// `mmg_export_arrow()`
    MMG_FEATURE_ARROW: u32 = 6;
    /// `mmg_guard_process()` and `mmg_adopt()`: the kernel says what is mapped where, and lets lost pages be
    /// replaced
    MMG_FEATURE_FOREIGN: u32 = 7;
    /// the kernel answers for one mapping alone (PROCMAP_QUERY, Linux 6.11); without this feature each fault
    /// reads the list of all mappings
    MMG_FEATURE_FOREIGN_QUERY: u32 = 8;

    // Vocabularies for mmg_term().
    /// `mmg_info.backing`
    MMG_TERM_BACKING: u32 = 1;
    /// `mmg_info.backing_reason`
    MMG_TERM_REASON: u32 = 2;
    /// `mmg_info.guarantee`
    MMG_TERM_GUARANTEE: u32 = 3;
    /// `mmg_info.means`
    MMG_TERM_MEANS: u32 = 4;
    /// `mmg_info.shortfall`
    MMG_TERM_SHORTFALL: u32 = 5;
    /// `mmg_info.lock`
    MMG_TERM_LOCK: u32 = 6;
    /// what `mmg_guard_state()` returns
    MMG_TERM_GUARD: u32 = 7;
    /// a bit that `mmg_changed()` reports, one at a time
    MMG_TERM_CHANGED: u32 = 8;
    /// `mmg_info.lock_reason`
    MMG_TERM_LOCKING: u32 = 9;
    /// a bit of `mmg_info.exceptions`, one at a time
    MMG_TERM_EXCEPT: u32 = 10;
    /// `mmg_loss.origin`
    MMG_TERM_ORIGIN: u32 = 11;
}
