// SPDX-License-Identifier: MIT OR Apache-2.0
// The calls of mmapguard.h. Written by ./dev abi --accept from abi/abi.json; do not edit.

functions! {
    /// The ABI that the library implements: major in the upper, minor in the lower 16 bits. A program works
    /// with every library of the same major and the same or a later minor than its header (`MMG_ABI`).
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_abi_version() -> u32;

    /// Take a mapping that somebody else has made as a region: of a C program, a numpy.memmap, a database.
    /// The handle is like any other, with the same calls. Nothing is mapped anew, and nothing moves.
    ///
    /// The caller promises that the range stays mapped until the handle is closed and its pins are gone. The
    /// library never unmaps it. When a page is lost, zeros take its place, with the protection that the page
    /// had. The handler asks the kernel before it does so, and leaves alone what is no longer the file. The
    /// kernel has no call that compares and replaces in one step: an owner that breaks the promise at the
    /// very moment of a fault may lose pages of what it maps there instead.
    ///
    /// The file is found by itself and opened by its path, or is given as a descriptor, which is duplicated:
    /// for a file that has no path any more, or that this process may not open. What of the range lies behind
    /// the end of the file is left out (`mmg_info.size`). Without a lock by name in the options no lock is
    /// taken. Bytes that the owner of a private mapping has written are part of the region as they are when
    /// they are read.
    ///
    /// With `MMG_GUARANTEE_STABLE` the means are those of `mmg_open()`, put in place: a lease, and over the
    /// pages a snapshot when it breaks, or a reflink or a snapshot at once, over all pages that the range
    /// touches, so that the owner reads the same bytes. A copy in memory is no means, since it lies
    /// elsewhere.
    ///
    /// - `data`: `size` bytes, at any alignment, which may lie in several neighbouring mappings of the same
    ///   file
    /// - `size`: how many bytes, at least 1
    /// - `fd`: a descriptor of the file, which stays the caller's; -1: none
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also: NULL, or a descriptor that is not open
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_ABI_NEWER`
    /// - `MMG_E_RANGE`: the range is empty, or a part of it is not mapped
    /// - `MMG_E_NOT_MAPPABLE`: memory that is no file, a device, several files, huge pages, an executable
    ///   mapping, a file that is executed anywhere in the process, a shared writable mapping without
    ///   `MMG_FLAG_SHARED_WRITABLE`, or a descriptor of another file
    /// - `MMG_E_NOT_FOUND`: the path of the file is gone; give a descriptor
    /// - `MMG_E_PERMISSION`: the file may not be opened; give a descriptor
    /// - `MMG_E_TRUNCATED`: the file ends before the range begins
    /// - `MMG_E_WOULD_BLOCK`
    /// - `MMG_E_LIMIT`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_UNSTABLE`: STABLE cannot be put in place: the owner can write to the mapping, or every means
    ///   failed
    /// - `MMG_E_IO`
    /// - `MMG_E_UNSUPPORTED`: the kernel does not tell what is mapped (no `MMG_FEATURE_FOREIGN`)
    /// - `MMG_E_GUARD`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk; on a lock for `lock_wait_ms`.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_adopt(data: *const c_void, size: u64, fd: i32, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Tell the kernel how a range will be used. Has no effect on a copy.
    ///
    /// - `length`: bytes; `MMG_TO_END`: to the end
    /// - `advice`: `MMG_ADVICE_...`
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`
    /// - `MMG_E_TRUNCATED`: POPULATE: could not be read in
    /// - `MMG_E_IO`: POPULATE: could not be read in
    /// - `MMG_E_UNSUPPORTED`: POPULATE: needs Linux 5.14
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk with POPULATE.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_advise(handle: mmg_handle, offset: u64, length: u64, advice: u32) -> mmg_status;

    /// Tell whether the file changed on disk since it was opened. The call compares size, mtime and ctime
    /// with those at open, and looks up whether the path still names the same inode.
    ///
    /// The times have the resolution that the file system gives them: fine-grained since Linux 6.13 on file
    /// systems with multigrain timestamps (ext4, xfs, btrfs, tmpfs), a clock tick before. A change within the
    /// same tick is then not seen; nor is a write through another process's mapping until the kernel has
    /// stamped it (mmap(2), "Timestamps changes"). A region copied from a path has no descriptor any more:
    /// when the path names another inode (`MMG_CHANGED_PATH`), nothing is known of the first one.
    ///
    /// - `what`: receives `MMG_CHANGED_...` bits; 0: no change
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_UNSUPPORTED`: a stream, or a copy made from a descriptor
    /// - `MMG_E_IO`: fstat failed, as when a server is gone
    /// - `MMG_E_SYSTEM`: the descriptor is gone or names another file: the host has closed it
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_changed(handle: mmg_handle, what: *mut u32) -> mmg_status;

    /// Tell whether bytes of the region were lost. The call compares the size of the file with the region, so
    /// it also finds a truncation inside the last page, whose bytes read as zeros without a fault. After a
    /// loss every later call reports it, too.
    ///
    /// The size is asked of the file system by fstat(2). When that fails, nothing is recorded: the bytes may
    /// be there, the call says that it cannot tell, and the next call asks again. A server that does not
    /// answer lets the call wait for as long as fstat(2) does, on some file systems without end.
    /// `mmg_unpin()` and `mmg_loss_counter()` ask nobody, and never wait.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_TRUNCATED`: the cause of the first loss (where: `mmg_info.fault_offset`)
    /// - `MMG_E_IO`: the cause of the first loss (where: `mmg_info.fault_offset`); or fstat failed
    ///   (`mmg_info.fault_cause` is `MMG_OK` then), as when a server is gone
    /// - `MMG_E_POISONED`: the cause of the first loss (where: `mmg_info.fault_offset`)
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds (from where: `mmg_info.fault_offset`; why:
    ///   `mmg_info.shortfall`)
    /// - `MMG_E_SYSTEM`: fstat failed because the descriptor is gone or names another file: the host has
    ///   closed it
    ///
    /// Blocks: On the file system, as told above.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_check(handle: mmg_handle) -> mmg_status;

    /// Close a handle. The handle is invalid at once, in every thread. The bytes, the descriptor and the lock
    /// live until the last pin has ended, or end with this call if there is no pin.
    ///
    /// - `flags`: `MMG_CLOSE_...` bits, or 0. With `MMG_CLOSE_STRICT` the call refuses while pins live, and
    ///   leaves the handle as it is.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: flags
    /// - `MMG_E_HANDLE`: also: already closed
    /// - `MMG_E_BUSY`: strict only
    ///
    /// Threads: Safe; of two racing calls one gets `MMG_E_HANDLE`.
    ///
    /// Since 1.0.
    pub fn mmg_close(handle: mmg_handle, flags: u32) -> mmg_status;

    /// Say in a sentence what `mmg_verify()` finds: the path, the place of the first loss in the file, and
    /// what happened.
    ///
    /// - `error`: `struct_size` is read, everything else is written
    ///
    /// Returns as `mmg_verify()`, and:
    ///
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_ABI_SIZE`
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_explain(handle: mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Hand `length` bytes at `offset` over by the Arrow C Data Interface, without a copy: as an array of
    /// `uint8` without nulls, whose bytes stay mapped until its release callback is called.
    ///
    /// The array is the caller's, to be moved and released as that interface says: by whoever holds it last,
    /// once, from any thread, before or after `mmg_close()`. A release cannot report a loss: bytes that are
    /// lost in the meantime read as zeros, and `mmg_check()` reports them as long as the handle is open. The
    /// bytes are read-only. On failure the call writes nothing and pins nothing. `mmg_supports()` with
    /// `MMG_FEATURE_ARROW` tells whether this library has the call.
    ///
    /// - `length`: bytes; `MMG_TO_END`: to the end of the region; 0: an empty array, which pins all the same
    /// - `array`: receives the array. What it held before is overwritten, not released.
    /// - `schema`: receives the schema, released separately; or NULL where the type is known
    ///
    /// Returns as `mmg_pin()`, and:
    ///
    /// - `MMG_E_ARGUMENT`: no place for the array
    /// - `MMG_E_NO_MEMORY`
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_export_arrow(handle: mmg_handle, offset: u64, length: u64, array: *mut ArrowArray, schema: *mut ArrowSchema) -> mmg_status;

    /// Find the first occurrence of a byte sequence without copying the region.
    ///
    /// The search stops within 256 KiB of the first loss that it meets, and tells of it. A thread that has
    /// not searched the region within the last 10 ms asks first whether the fault guard is in place. While it
    /// is not, because SIGBUS is blocked or another handler is on top, the kernel copies the bytes piecewise,
    /// and no signal is raised. After the search the thread asks for the size of the file, so a truncation
    /// inside a page is told as well. Within the next 10 ms, a search that ends within 256 KiB makes no
    /// system call: it is guarded as the caller's own reads are, and `mmg_verify()` tells what it missed.
    ///
    /// - `offset`: the range to search; `MMG_TO_END` as length: to the end
    /// - `length`: the range to search; `MMG_TO_END` as length: to the end
    /// - `needle`: `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at `offset`)
    /// - `position`: receives the offset in the region, or `MMG_NOT_FOUND`
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`: found or not
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`
    /// - `MMG_E_TRUNCATED`: bytes of the range were lost, before or during the search
    /// - `MMG_E_IO`: bytes of the range were lost, before or during the search
    /// - `MMG_E_POISONED`: bytes of the range were lost, before or during the search
    /// - `MMG_E_UNSTABLE`: as `mmg_read()`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_find(handle: mmg_handle, offset: u64, length: u64, needle: *const c_void, needle_size: u64, position: *mut u64) -> mmg_status;

    /// Find the last occurrence of a byte sequence, otherwise as `mmg_find()`.
    ///
    /// - `offset`: the range to search; `MMG_TO_END` as length: to the end
    /// - `length`: the range to search; `MMG_TO_END` as length: to the end
    /// - `needle`: `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at the end of
    ///   the range)
    /// - `position`: receives the offset in the region, or `MMG_NOT_FOUND`
    ///
    /// Returns as `mmg_find()`
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_find_last(handle: mmg_handle, offset: u64, length: u64, needle: *const c_void, needle_size: u64, position: *mut u64) -> mmg_status;

    /// Put the SIGBUS handler on top, or back on top when another was installed since; that one then becomes
    /// the handler to which foreign faults are passed. Every open of a mapping does this by itself. There is
    /// no uninstall, since a handler below another cannot be removed without breaking that one. The guard can
    /// be put on top of 64 different handlers in the life of a process.
    ///
    /// Affects the whole process: the disposition of SIGBUS.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_GUARD`: refused by the system, MMAPGUARD_NO_SIGNAL is set, or there were 64 handlers before
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_guard_install() -> mmg_status;

    /// Guard the mappings that other code of this process makes, from now on and whoever makes them: a fault
    /// behind the end of their file, or one that its medium causes, is contained and written to the ledger
    /// (`mmg_losses_get()`), which is the only place where it is told. Lost bytes read as zeros.
    ///
    /// At each fault the handler asks the kernel what is mapped at the address, and acts on what `scope` and
    /// `flags` name only. Pages are replaced with the protection that their mapping had: the rest of the
    /// mapping in one step behind the end of the file, one page where a page could not be read. Everything
    /// else goes to the handler that was there before, as without the library: executable mappings, mappings
    /// of a file that is executed anywhere in the process, devices, memory that is no file, huge pages
    /// (hugetlbfs), and failures of memory files, such as those that userfaultfd(2) raises. Where that
    /// handler is known to repair its own mappings (OpenJDK, YARA, eina, RPM), a fault goes there first, as
    /// with `MMG_PROCESS_CHAIN_FIRST`. See docs/SAFETY.md for each of them.
    ///
    /// Calls nest: each with `MMG_SCOPE_FILES` adds one, each with `MMG_SCOPE_NONE` and the same flags takes
    /// one away, from any thread. What is guarded is the union of all. The call puts the guard on top, as
    /// `mmg_guard_install()`. A forked child is guarded as its parent is. Nothing costs anything until there
    /// is a fault; without `MMG_FEATURE_FOREIGN_QUERY` a fault costs a read of the list of all mappings (27
    /// ms for 60 000 of them, measured).
    ///
    /// Affects the whole process.
    ///
    /// - `scope`: `MMG_SCOPE_...`
    /// - `flags`: `MMG_PROCESS_...` bits, or 0
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: an unknown scope or flag; or `MMG_SCOPE_NONE` with flags that no earlier call is
    ///   left of
    /// - `MMG_E_GUARD`: the guard cannot be put in place, as with `mmg_guard_install()`
    /// - `MMG_E_UNSUPPORTED`: the kernel does not say what is mapped (no /proc), or a sandbox forbids to
    ///   replace pages: no `MMG_FEATURE_FOREIGN`
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_guard_process(scope: u32, flags: u32) -> mmg_status;

    /// Get the state of the fault guard for the calling thread.
    ///
    /// Returns `MMG_GUARD_...`
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_guard_state() -> i32;

    /// Contain a fault from a handler of the host. A host whose own SIGBUS handler stays on top calls this
    /// function first in that handler, with the three arguments of the handler.
    ///
    /// - `siginfo`: the `siginfo_t *` and `ucontext_t *` of an SA_SIGINFO handler
    /// - `ucontext`: the `siginfo_t *` and `ucontext_t *` of an SA_SIGINFO handler
    ///
    /// Returns one of these:
    ///
    /// - 1: a fault in a region, contained; return from the handler
    /// - 0: not ours, go on with your own handling
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe; preserves errno.
    ///
    /// Since 1.0.
    pub fn mmg_handle_fault(signo: i32, siginfo: *mut c_void, ucontext: *mut c_void) -> i32;

    /// Describe a region. Only the first `info->struct_size` bytes are written.
    ///
    /// - `info`: `struct_size` is read, everything else is written
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_ABI_SIZE`
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_info_get(handle: mmg_handle, info: *mut mmg_info) -> mmg_status;

    /// Like `mmg_open()`, except that the path "-", exactly, is standard input, read as by `mmg_read_fd()`. A
    /// file of that name is "./-".
    ///
    /// - `path`: NUL-terminated, in the encoding of the file system. A relative path is resolved against the
    ///   current directory now, and again whenever `mmg_changed()` looks the path up.
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns as `mmg_open()` or `mmg_read_fd()`
    ///
    /// Blocks and threads: As `mmg_open()` or `mmg_read_fd()`.
    ///
    /// Since 1.0.
    pub fn mmg_load(path: *const c_char, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Get the address of a counter, so that a loop can notice a loss without a call. The counter is 0 as
    /// long as no byte of the region is lost. It grows before the loop can read the first zero of a lost
    /// page.
    ///
    /// A loop that should stop at the first loss reads the counter after each chunk; in C as `*(const
    /// volatile uint32_t *)counter`, since a signal handler changes it. The counter does not show a
    /// truncation inside the last page, nor a file that was written to. So call `mmg_verify()` at the end.
    ///
    /// - `counter`: receives the place of the counter, which may be read while the region has a pin
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_loss_counter(handle: mmg_handle, counter: *mut *const u32) -> mmg_status;

    /// Read the ledger: one record for each loss that was found in this process since it started, in regions,
    /// in adopted mappings and in those that `mmg_guard_process()` guards. A region that loses the same bytes
    /// again adds no record.
    ///
    /// The newest 1024 records are kept. A mark is a number of records: that of the last record one has seen.
    /// The records behind the mark `since` are stored, oldest first, as many as there is room for, and
    /// `*next` is the mark to go on from. `*next - since - *count` records between the two marks are gone,
    /// because newer ones have overwritten them (or could not wait for them to be read): none is missing
    /// uncounted. With no room (`losses` NULL, `capacity` 0) the call stores 0 and the mark of this moment,
    /// at which everything that comes later is news.
    ///
    /// The records of a parent process are those of a forked child as well, up to the fork.
    ///
    /// - `since`: a mark: 0 for everything, or what an earlier call stored in `*next`
    /// - `losses`: an array, the caller's; may be NULL if `capacity` is 0. `struct_size` of the first one is
    ///   read and holds for all; as many as `*count` says are written
    /// - `capacity`: how many records there is room for
    /// - `count`: receives how many records were stored
    /// - `next`: receives the mark behind the last of them
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_RANGE`: `since` is larger than any mark yet
    ///
    /// Blocks: For as long as another thread needs to write a record down: microseconds, a tenth of a second
    /// at most.
    ///
    /// Threads: Safe, lock-free for those who write records.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_losses_get(since: u64, losses: *mut mmg_loss, capacity: u64, count: *mut u64, next: *mut u64) -> mmg_status;

    /// Open the file at `path` for reading.
    ///
    /// A regular file up to the copy threshold is copied into memory (faster than mapping it, and immune to
    /// whatever happens to the file); a larger one, or a block device, is mapped under the advisory lock.
    /// FIFOs, terminals and files of /proc and /sys are read to their end, up to `max_bytes`. An empty file
    /// is a region of size 0.
    ///
    /// The first mapping that needs it installs the process-wide SIGBUS handler, which acts on faults in this
    /// library's mappings only and passes everything else to the handler that was there (see docs/SAFETY.md).
    /// Every later mapping puts it back on top if another handler was installed since. It is not installed
    /// when `MMG_FLAG_NO_FAULT_GUARD` or the environment variable MMAPGUARD_NO_SIGNAL (not empty, not "0")
    /// says so; a program that runs with more rights than its caller (set-user-ID) does not obey the
    /// variable.
    ///
    /// With `MMG_GUARANTEE_STABLE` the library takes the cheapest means that keeps the bytes as they are
    /// (`mmg_info.means`). A means may be a lease, which is not free for others: whoever opens the file for
    /// writing waits, in open(2) or truncate(2), while the bytes are secured; whoever does so with O_NONBLOCK
    /// (coreutils' truncate, tar --overwrite, dd oflag=nonblock) fails with EAGAIN; and while this process is
    /// stopped, a writer waits for the kernel to take the lease away (45 s by default). `MMG_FLAG_NO_LEASE`,
    /// or the environment variable MMAPGUARD_NO_LEASE (not empty, not "0"), keeps leases out. The first lease
    /// starts a thread of the library's own, with all signals blocked, which ends 100 ms after the last.
    ///
    /// The environment variable MMAPGUARD_LOCK ("none", "auto" or "shared") replaces `MMG_LOCK_AUTO`; whoever
    /// asks for a lock by name gets that.
    ///
    /// - `path`: NUL-terminated, in the encoding of the file system. A relative path is resolved against the
    ///   current directory now, and again whenever `mmg_changed()` looks the path up.
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also for a path of PATH_MAX bytes or more
    /// - `MMG_E_ABI_SIZE`: `options` or `error`
    /// - `MMG_E_ABI_NEWER`: `options`
    /// - `MMG_E_RANGE`: window outside the file
    /// - `MMG_E_NOT_FOUND`
    /// - `MMG_E_PERMISSION`
    /// - `MMG_E_EMPTY`
    /// - `MMG_E_NOT_MAPPABLE`
    /// - `MMG_E_WOULD_BLOCK`
    /// - `MMG_E_TOO_BIG`
    /// - `MMG_E_LIMIT`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_UNSTABLE`
    /// - `MMG_E_TRUNCATED`: the file kept shrinking while it was read
    /// - `MMG_E_IO`
    /// - `MMG_E_UNSUPPORTED`: a lock was required and the file system has none
    /// - `MMG_E_GUARD`: MAP was asked, or `MMG_FLAG_REQUIRE_GUARD` given, and the guard is refused
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk; on a lock for `lock_wait_ms`; on a stream until its end.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_open(path: *const c_char, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Open the file behind a descriptor. The descriptor stays the caller's: the call does not close it, does
    /// not move its position, and does not lock it.
    ///
    /// The library opens a regular file a second time, by its path in /proc/thread-self/fd, and so gets a
    /// descriptor of its own, with a position and a lock of its own. A lock that the caller holds on `fd`
    /// then counts as a lock of another program: the call returns `MMG_E_WOULD_BLOCK` if that lock is
    /// exclusive. Pass `MMG_LOCK_NONE` to rely on your own lock. Where the library cannot open the file a
    /// second time (/proc is not mounted, or the process may not open the file itself), it duplicates `fd`
    /// and takes no lock, since a duplicate shares its lock with the caller. A stream is read from its
    /// position on.
    ///
    /// - `fd`: an open descriptor
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns as `mmg_open()`, and:
    ///
    /// - `MMG_E_ARGUMENT`: also: `fd` is not an open descriptor; `MMG_FLAG_NOFOLLOW`, which has no meaning
    ///   here
    /// - `MMG_E_PERMISSION`: `fd` is open for writing only
    ///
    /// Blocks and threads: As `mmg_open()`.
    ///
    /// Since 1.0.
    pub fn mmg_open_fd(fd: i32, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Fill `*options` with defaults, for callers that cannot use `MMG_OPTIONS_INIT`.
    ///
    /// - `options`: where; at least `struct_size` bytes, all of them written
    /// - `struct_size`: sizeof(`mmg_options`) as the caller knows it
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: NULL
    /// - `MMG_E_ABI_SIZE`
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_options_init(options: *mut mmg_options, struct_size: u32) -> mmg_status;

    /// View `length` bytes at `offset` of the region without a copy, and keep them mapped until
    /// `mmg_unpin()`.
    ///
    /// The pointer may be used from any thread, until the pin ends. What you computed from a region holds if
    /// `mmg_verify` reports nothing afterwards. `mmg_unpin()` reports losses only: a file that was rewritten
    /// in place, or cut and grown again between two reads, loses nothing. A long scan that should stop at the
    /// first loss pins, scans and unpins chunk by chunk, or looks at `mmg_loss_counter()`.
    ///
    /// - `length`: bytes; `MMG_TO_END`: to the end of the region; 0: an empty span, which pins all the same
    /// - `span`: receives the view, which the caller must give to `mmg_unpin()`. What it held before is
    ///   overwritten, not unpinned.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`
    /// - `MMG_E_NO_MEMORY`: very many pins at once
    /// - `MMG_E_TRUNCATED`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_IO`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_POISONED`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds here; nothing is pinned
    ///
    /// Threads: Safe, lock-free.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_pin(handle: mmg_handle, offset: u64, length: u64, span: *mut mmg_span) -> mmg_status;

    /// Copy bytes out of the region. Where the region is mapped, the kernel copies them, so a lost byte is a
    /// short count and a status, and never a signal.
    ///
    /// - `offset`: where in the region; its size is allowed and reads nothing
    /// - `buffer`: at least `size` bytes, the caller's; may be NULL if `size` is 0
    /// - `got`: receives the bytes copied, also when `MMG_E_TRUNCATED`, `MMG_E_IO` or `MMG_E_POISONED` is
    ///   returned; fewer than `size` with `MMG_OK` means the end of the region
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`: `offset` beyond the region
    /// - `MMG_E_TRUNCATED`: the file ends before the region does
    /// - `MMG_E_IO`: the medium does not deliver bytes that are inside the file; whatever errno its server
    ///   answers is in `mmg_info.os_error`
    /// - `MMG_E_POISONED`
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds here
    /// - `MMG_E_SYSTEM`: the descriptor is gone or names another file, because the host has closed it; or the
    ///   buffer cannot be written to
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_read(handle: mmg_handle, offset: u64, buffer: *mut c_void, size: u64, got: *mut u64) -> mmg_status;

    /// Read any descriptor from its position to its end into memory. The descriptor stays the caller's. If
    /// there are more than `max_bytes` bytes, the call returns `MMG_E_TOO_BIG` and keeps none of them. It
    /// resumes interrupted reads, and waits for a non-blocking descriptor. With a window it first skips
    /// `offset` bytes, and then reads `length` bytes.
    ///
    /// - `fd`: an open descriptor
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also: not an open descriptor
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_ABI_NEWER`
    /// - `MMG_E_RANGE`: ended before the window did
    /// - `MMG_E_PERMISSION`: open for writing only
    /// - `MMG_E_EMPTY`
    /// - `MMG_E_NOT_MAPPABLE`: a directory
    /// - `MMG_E_TOO_BIG`
    /// - `MMG_E_LIMIT`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_IO`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: Until the end of the stream.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_read_fd(fd: i32, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// How much of a range is in memory now (mincore(2)). A copy is always resident.
    ///
    /// - `bytes`: receives the resident bytes of the range
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`
    /// - `MMG_E_SYSTEM`
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_resident(handle: mmg_handle, offset: u64, length: u64, bytes: *mut u64) -> mmg_status;

    /// Counters of the whole process. Only the first `stats->struct_size` bytes are written. Handles and
    /// mappings are counted when this is called, and not as they come and go: about ten milliseconds for a
    /// million of them.
    ///
    /// - `stats`: `struct_size` is read, everything else is written
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_ABI_SIZE`
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_stats_get(stats: *mut mmg_stats) -> mmg_status;

    /// What a status means, a short phrase in English without a full stop. Static ASCII, never NULL.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_status_message(status: mmg_status) -> *const c_char;

    /// The name of a status, such as "`MMG_E_TRUNCATED`"; "`MMG_E_UNKNOWN`" for a number that is none. Static
    /// ASCII, never NULL.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_status_name(status: mmg_status) -> *const c_char;

    /// Tell whether this library has a feature on this system.
    ///
    /// - `feature`: `MMG_FEATURE_...`; any other number is "no"
    ///
    /// Returns 1 or 0
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_supports(feature: u32) -> i32;

    /// The word for a value in `mmg_info`, in `mmg_changed()` or of `mmg_guard_state()`, such as "lease", so
    /// that no binding keeps a list of its own.
    ///
    /// - `vocabulary`: `MMG_TERM_...`
    /// - `value`: the number
    ///
    /// Returns lower-case, static ASCII, never NULL; "unknown" for what the library does not know
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_term(vocabulary: u32, value: u32) -> *const c_char;

    /// End a view, and report losses inside it. The call works after `mmg_close()` as well. The last unpin of
    /// a closed region gives its memory back.
    ///
    /// On return `*span` is empty: `size` and `pin` are 0, and `data` is a valid pointer. For an empty span
    /// the call returns `MMG_OK`, so it may be repeated. For a second *copy* of a span it returns
    /// `MMG_E_HANDLE`, and ends no pin.
    ///
    /// - `span`: the view; empty afterwards
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`: no loss was found inside the span
    /// - `MMG_E_TRUNCATED`: bytes inside it were lost, and read as zeros
    /// - `MMG_E_IO`: bytes inside it were lost, and read as zeros
    /// - `MMG_E_POISONED`: bytes inside it were lost, and read as zeros
    /// - `MMG_E_UNSTABLE`: bytes inside it may have changed, although STABLE was demanded; with all of these
    ///   the pin is ended all the same
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    ///
    /// Threads: Safe, lock-free; the last unpin of a closed region unmaps.
    ///
    /// Signal safety: Safe as long as the handle is open.
    ///
    /// Since 1.0.
    pub fn mmg_unpin(span: *mut mmg_span) -> mmg_status;

    /// Tell whether bytes of the region were lost, or the file was written to. This is `mmg_check()` and
    /// `mmg_changed()` in one.
    ///
    /// What you computed from a region holds if `mmg_verify` reports nothing afterwards. The times of a file
    /// set a limit: `mmg_verify` does not see a write within the same clock tick, a write through a shared
    /// mapping that the kernel has not stamped yet, or times that were set back.
    ///
    /// The call compares size and mtime of the file with those at open. A rename, a link or a change of
    /// rights is no change. A region that is STABLE, which includes every copy in memory, does not change
    /// with its file, so there the call reports losses only.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_CHANGED`: the file was written to, or is longer than it was
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_TRUNCATED`: the cause of the first loss
    /// - `MMG_E_IO`: the cause of the first loss
    /// - `MMG_E_POISONED`: the cause of the first loss
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds
    /// - `MMG_E_SYSTEM`: the file cannot be asked; see `mmg_info.os_error`
    ///
    /// Blocks: On the disk.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_verify(handle: mmg_handle) -> mmg_status;

    /// The release as a string, such as "1.0.0". Static ASCII, never NULL.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_version() -> *const c_char;
}
