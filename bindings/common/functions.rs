// SPDX-License-Identifier: MIT OR Apache-2.0
// The calls of mmapguard.h. Written by ./dev abi --accept from abi/abi.json; do not edit.

functions! {
    /// Return the number of the ABI that the library implements: major in the upper, minor in the lower 16
    /// bits. A program works with every library that has the major number of its header (`MMG_ABI`) and the
    /// same or a later minor number.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_abi_version() -> u32;

    /// Make a region of a mapping that other code has made, such as a numpy.memmap or the mapping of a
    /// database. The handle is like any other, and the same calls take it. The call maps nothing anew and
    /// moves nothing.
    ///
    /// The caller promises that the range stays mapped until the handle is closed and its pins are gone. The
    /// library never unmaps the range. When a page is lost, zeros take its place, with the protection that
    /// the page had. Before the handler replaces a page, it asks the kernel, and leaves the page alone if it
    /// no longer shows the file. The kernel has no call that compares and replaces in one step. So an owner
    /// that breaks the promise at the very moment of a fault may lose pages of what it has mapped there
    /// instead.
    ///
    /// The library opens the file by the path that the kernel names. A caller gives a descriptor for a file
    /// that has no path any more, or that this process may not open. Bytes of the range behind the end of the
    /// file are no part of the region (`mmg_info.size`). The library takes a lock only if the options name
    /// one or require one. Bytes that the owner of a private mapping has written are part of the region, as
    /// they are at the moment of a read. The region records each loss that is found in any mapping of its
    /// bytes, also a loss that the process guard finds.
    ///
    /// With `MMG_GUARANTEE_STABLE` the means are those of `mmg_open()`, put in place: a lease, with a
    /// snapshot over the pages when the lease breaks, or a reflink or a snapshot over the pages at once. They
    /// cover all pages that the range touches, so that the owner reads the same bytes. A copy in memory is no
    /// means here, since it has another address. The call refuses STABLE if the owner can write to the
    /// mapping or has written to a private one, since the file does not have these bytes. If the owner has
    /// mapped something else over a part, changed its protection or written to a private page when the lease
    /// breaks, the library replaces nothing, and all bytes of the region count as lost: `MMG_E_UNSTABLE`. A
    /// change that the owner makes at the very moment of the replacement may be lost, as with a fault.
    ///
    /// - `data`: `size` bytes, at any alignment, which may lie in several neighbouring mappings of the same
    ///   file
    /// - `size`: how many bytes, at least 1
    /// - `fd`: a descriptor of the file, which stays the caller's; -1: the library opens the file by its path
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also: a descriptor that is not open
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_ABI_NEWER`
    /// - `MMG_E_RANGE`: the range is empty, or the mapping ends before the range does
    /// - `MMG_E_NOT_MAPPABLE`: nothing is mapped at `data`, memory that is no file, a device, several files,
    ///   huge pages, a mapping that is executable or cannot be read, a file that is executed anywhere in the
    ///   process, a shared writable mapping without `MMG_FLAG_SHARED_WRITABLE`, or a descriptor of another
    ///   file
    /// - `MMG_E_NOT_FOUND`: the path of the file is gone; give a descriptor
    /// - `MMG_E_PERMISSION`: the file may not be opened; give a descriptor
    /// - `MMG_E_TRUNCATED`: the file ends before the range begins
    /// - `MMG_E_WOULD_BLOCK`
    /// - `MMG_E_TOO_BIG`: the size of the file does not fit into this system
    /// - `MMG_E_LIMIT`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_UNSTABLE`: the owner can write to the mapping, or has written to a private one or the kernel
    ///   does not tell, or every means of STABLE failed
    /// - `MMG_E_IO`
    /// - `MMG_E_UNSUPPORTED`: the kernel does not tell what is mapped (no `MMG_FEATURE_FOREIGN`)
    /// - `MMG_E_GUARD`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk and the file system; on a lock for `lock_wait_ms`; while another program holds a
    /// write lease on the file. With `MMG_GUARANTEE_STABLE` also during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_adopt(data: *const c_void, size: u64, fd: i32, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Tell the kernel how a range will be used. The call has no effect on a copy. `MMG_ADVICE_DONTNEED` and
    /// `MMG_ADVICE_EVICT` have none on a region with a lease, and none on a private mapping that was adopted:
    /// pages that are not the file's would be lost.
    ///
    /// With `MMG_ADVICE_EVICT` a scan of a file that is larger than memory leaves the cached pages of other
    /// files where they are. The scan evicts what lies behind it every few MiB, each time from the start of
    /// the region on. No byte is lost, and a later touch reads the page again. The kernel keeps pages that
    /// other processes map, that are locked (mlock(2)), or that are dirty; it begins to write the dirty ones,
    /// and a later call can drop them. It also keeps pages of which the range holds only a part. Programs
    /// that read the file by read(2) lose its pages, too. The advice has no effect on a region that shows a
    /// snapshot or a reflink, and none on files that live in memory, such as those of tmpfs.
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
    /// - `MMG_E_TRUNCATED`: `MMG_ADVICE_POPULATE`: bytes of the range are lost
    /// - `MMG_E_IO`: `MMG_ADVICE_POPULATE`: the medium does not deliver bytes of the range;
    ///   `MMG_ADVICE_EVICT`: fstat(2) failed
    /// - `MMG_E_POISONED`: `MMG_ADVICE_POPULATE`: bytes of the range are lost
    /// - `MMG_E_UNSTABLE`: `MMG_ADVICE_POPULATE`: STABLE was demanded and no longer holds here
    /// - `MMG_E_UNSUPPORTED`: `MMG_ADVICE_POPULATE`: the kernel is older than Linux 5.14; `MMG_ADVICE_EVICT`:
    ///   the kernel has no posix_fadvise(2)
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_SYSTEM`: `MMG_ADVICE_EVICT` also: the host has closed the descriptor, or it names another
    ///   file now
    ///
    /// Blocks: With `MMG_ADVICE_POPULATE` on the disk and the file system, and during a hand-over; with
    /// `MMG_ADVICE_WILLNEED` while the kernel queues the reads; with `MMG_ADVICE_EVICT` on the file system,
    /// while the kernel queues the writes of dirty pages.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_advise(handle: mmg_handle, offset: u64, length: u64, advice: u32) -> mmg_status;

    /// Tell whether the file changed on disk since it was opened. The call compares size, mtime and ctime
    /// with those at open, and looks up whether the path still names the same inode.
    ///
    /// The file system decides how fine the times are: fine since Linux 6.13 where it has multigrain
    /// timestamps (ext4, xfs, btrfs, tmpfs), and as coarse as a clock tick elsewhere. The call does not see a
    /// second change within the same tick. It does not see a write through a mapping of another process
    /// before the kernel has stamped it (mmap(2), "Timestamps changes"). A region that was copied from a path
    /// has no descriptor any more. So when the path names another inode (`MMG_CHANGED_PATH`), the call tells
    /// nothing about the first one.
    ///
    /// - `what`: receives `MMG_CHANGED_...` bits; 0: no change
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_UNSUPPORTED`: the region is a stream, or a copy made from a descriptor
    /// - `MMG_E_IO`: fstat(2) failed, for example because a server is gone
    /// - `MMG_E_SYSTEM`: the host has closed the descriptor, or it names another file now
    ///
    /// Blocks: On the file system, which the call asks about the descriptor and about the path.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_changed(handle: mmg_handle, what: *mut u32) -> mmg_status;

    /// Tell whether bytes of the region were lost. The call compares the size of the file with the region, so
    /// it also finds a truncation inside the last page, whose bytes read as zeros without a fault. After a
    /// loss every later call reports it, too.
    ///
    /// The call asks the file system for the size by fstat(2). When fstat(2) fails, the call records no loss,
    /// since the bytes may be there. It returns `MMG_E_IO` or `MMG_E_SYSTEM`, and the next call asks again.
    /// If a server does not answer, the call waits as long as fstat(2) does, on some file systems without
    /// end. `mmg_unpin()` and `mmg_loss_counter()` do not wait for a server: the first asks the file system
    /// only about a lease, and only local file systems have leases.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_TRUNCATED`: the cause of the first loss, which is at `mmg_info.fault_offset`
    /// - `MMG_E_IO`: the cause of the first loss, which is at `mmg_info.fault_offset`; or fstat(2) failed,
    ///   for example because a server is gone, and `mmg_info.fault_cause` is `MMG_OK`
    /// - `MMG_E_POISONED`: the cause of the first loss, which is at `mmg_info.fault_offset`
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds from `mmg_info.fault_offset` on;
    ///   `mmg_info.shortfall` says why
    /// - `MMG_E_SYSTEM`: fstat(2) failed because the host has closed the descriptor, or it names another file
    ///   now
    ///
    /// Blocks: On the file system, as described above; during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_check(handle: mmg_handle) -> mmg_status;

    /// Close a handle. The handle is invalid at once, in every thread. The bytes, the descriptor and the lock
    /// live until the last pin ends. Without a pin they end with this call.
    ///
    /// - `flags`: `MMG_CLOSE_...` bits, or 0. With `MMG_CLOSE_STRICT` the call refuses while pins live, and
    ///   leaves the handle as it is.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`: also: the handle is closed already
    /// - `MMG_E_BUSY`: the close was strict, and a pin lives
    ///
    /// Blocks: With `MMG_CLOSE_STRICT`, for a moment while another thread begins a pin. A call that ends the
    /// region also blocks on the file system, as close(2) does; while a fault handler works on the region;
    /// and where a lease upholds STABLE, during a hand-over, or while the thread of the library reads one
    /// piece of the file (4 MiB) for this region.
    ///
    /// Threads: Safe; of two racing calls one gets `MMG_E_HANDLE`.
    ///
    /// Since 1.0.
    pub fn mmg_close(handle: mmg_handle, flags: u32) -> mmg_status;

    /// Say in one sentence what `mmg_verify()` finds: the path, the place of the first loss in the file, and
    /// what happened. If the file cannot be asked, and no loss is known, the sentence has the reason, and
    /// `error->os_code` the errno.
    ///
    /// - `error`: `struct_size` is read, everything else is written
    ///
    /// Returns as `mmg_verify()`, and:
    ///
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_ABI_SIZE`
    ///
    /// Blocks and threads: As `mmg_verify()`.
    ///
    /// Since 1.0.
    pub fn mmg_explain(handle: mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Export `length` bytes at `offset` by the Arrow C Data Interface, without a copy. The result is an
    /// array of `uint8` without nulls. Its bytes stay mapped until its release callback is called.
    ///
    /// The array is the caller's. It may be moved as that interface says, and its last holder releases it
    /// once, from any thread, before or after `mmg_close()`. A release cannot report a loss: lost bytes read
    /// as zeros, and `mmg_check()` reports them while the handle is open. The bytes are read-only. On failure
    /// the call writes nothing and pins nothing. `mmg_supports()` with `MMG_FEATURE_ARROW` tells whether this
    /// library has the call.
    ///
    /// - `length`: bytes; `MMG_TO_END`: to the end of the region; 0: an empty array, which has a pin like any
    ///   other
    /// - `array`: receives the array. The call overwrites what `*array` held before, and does not release it.
    /// - `schema`: receives the schema, which is released separately; or NULL if the caller knows the type
    ///
    /// Returns as `mmg_pin()`, and:
    ///
    /// - `MMG_E_ARGUMENT`: also: there is no place for the array
    /// - `MMG_E_NO_MEMORY`
    ///
    /// Blocks: During a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_export_arrow(handle: mmg_handle, offset: u64, length: u64, array: *mut ArrowArray, schema: *mut ArrowSchema) -> mmg_status;

    /// Find the first occurrence of a byte sequence without copying the region.
    ///
    /// The search stops within 256 KiB of the first loss that it meets, and reports the loss. The thread asks
    /// first whether the fault guard is in place. While it is not in place, because SIGBUS is blocked or
    /// another handler is on top, the kernel copies the bytes piece by piece, and no signal is raised. After
    /// the search the thread asks for the size of the file, so the call reports a truncation inside a page as
    /// well. For this thread and this region both answers hold for at most 8.4 ms and one tick of the
    /// kernel's clock, which is 1 to 10 ms. While they hold, a search that ends within 256 KiB makes no
    /// system call. The guard watches such a search as it watches the reads of the caller, and `mmg_verify()`
    /// finds what the search has missed.
    ///
    /// Where hits of two bytes or more are near each other, a call costs at most twice as much as memmem(3).
    /// A program that visits single bytes every few bytes pins the range once and calls memchr(3).
    ///
    /// - `offset`: where the range to search starts
    /// - `length`: bytes in that range; `MMG_TO_END`: to the end of the region
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
    /// - `MMG_E_IO`: bytes of the range were lost, before or during the search; or fstat(2) failed, as with
    ///   `mmg_check()`
    /// - `MMG_E_POISONED`: bytes of the range were lost, before or during the search
    /// - `MMG_E_UNSTABLE`: as `mmg_read()`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk and the file system; during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_find(handle: mmg_handle, offset: u64, length: u64, needle: *const c_void, needle_size: u64, position: *mut u64) -> mmg_status;

    /// Find the last occurrence of a byte sequence. In all other respects the call does what `mmg_find()`
    /// does.
    ///
    /// - `offset`: where the range to search starts
    /// - `length`: bytes in that range; `MMG_TO_END`: to the end of the region
    /// - `needle`: `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at the end of
    ///   the range)
    /// - `position`: receives the offset in the region, or `MMG_NOT_FOUND`
    ///
    /// Returns as `mmg_find()`
    ///
    /// Blocks and threads: As `mmg_find()`.
    ///
    /// Since 1.0.
    pub fn mmg_find_last(handle: mmg_handle, offset: u64, length: u64, needle: *const c_void, needle_size: u64, position: *mut u64) -> mmg_status;

    /// Put the fault guard on top of the handlers of SIGBUS. If another handler was installed since the last
    /// call, the guard passes foreign faults on to that handler from now on. Every open of a mapping does the
    /// same by itself. There is no uninstall, since a handler below another one cannot be removed without
    /// breaking that one. The guard can be put on top of 64 different handlers in the life of a process.
    ///
    /// Affects the whole process: the disposition of SIGBUS.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_GUARD`: the system refuses the handler, MMAPGUARD_NO_SIGNAL is set, or there were 64 handlers
    ///   before
    ///
    /// Blocks: While another thread puts the guard in place, which takes a few system calls.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_guard_install() -> mmg_status;

    /// Guard the mappings that other code of this process has made or will make. The handler contains a fault
    /// behind the end of their file, or one that the medium of the file causes, and writes it to the ledger.
    /// The ledger (`mmg_losses_get()`) is the only place that tells of it. Lost bytes read as zeros.
    ///
    /// At each fault the handler asks the kernel what is mapped at the address, and acts only on what `scope`
    /// and `flags` name. It gives the new pages the protection that their mapping had. Behind the end of the
    /// file it replaces the rest of the mapping in one step. Where one page could not be read, it replaces
    /// that page. The handler that was there before the guard gets everything else, as it would without the
    /// library: faults in executable mappings, in mappings of a file that is executed anywhere in the
    /// process, in devices, in memory that is no file, in huge pages (hugetlbfs), and failures of memory
    /// files, such as those that userfaultfd(2) raises. If that handler is known to repair its own mappings
    /// (OpenJDK, YARA, eina, RPM), it gets each fault first, as with `MMG_PROCESS_CHAIN_FIRST`.
    /// docs/SAFETY.md describes each of these cases.
    ///
    /// Calls nest: a call with `MMG_SCOPE_FILES` adds one, and a call with `MMG_SCOPE_NONE` and the same
    /// flags takes one away, from any thread. The process guards the union of all. The call puts the guard on
    /// top, as `mmg_guard_install()` does. A forked child is guarded as its parent is. The guard costs
    /// nothing until there is a fault. Without `MMG_FEATURE_FOREIGN_QUERY` a fault costs a read of the list
    /// of all mappings (27 ms for 60 000 of them, measured).
    ///
    /// Affects the whole process.
    ///
    /// - `scope`: `MMG_SCOPE_...`
    /// - `flags`: `MMG_PROCESS_...` bits, or 0
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: an unknown scope or flag; or `MMG_SCOPE_NONE`, and no earlier call with these
    ///   flags is left
    /// - `MMG_E_GUARD`: the guard cannot be put in place, as with `mmg_guard_install()`
    /// - `MMG_E_UNSUPPORTED`: there is no `MMG_FEATURE_FOREIGN`: the kernel does not say what is mapped (no
    ///   /proc), or a sandbox forbids the library to replace pages
    ///
    /// Blocks: As `mmg_guard_install()`.
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
    /// - `siginfo`: the `siginfo_t *` of an SA_SIGINFO handler; may be NULL, and the result is then 0
    /// - `ucontext`: the `ucontext_t *` of the handler; may be NULL
    ///
    /// Returns one of these:
    ///
    /// - 1: the call has contained the fault; return from the handler
    /// - 0: the fault is not the library's; go on with your own handling
    ///
    /// Blocks: On the disk and the file system, as the fault itself does; while another thread replaces pages
    /// of the same mapping.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe; preserves errno.
    ///
    /// Since 1.0.
    pub fn mmg_handle_fault(signo: i32, siginfo: *mut c_void, ucontext: *mut c_void) -> i32;

    /// Describe a region. The call writes only the first `info->struct_size` bytes.
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
    /// Blocks: During a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_info_get(handle: mmg_handle, info: *mut mmg_info) -> mmg_status;

    /// Open the file at `path` as `mmg_open()` does. If the path is exactly "-", read standard input as
    /// `mmg_read_fd()` does. A file with the name "-" is reached as "./-".
    ///
    /// - `path`: NUL-terminated, in the encoding of the file system. A relative path is resolved against the
    ///   current directory now, and again each time `mmg_changed()` or `mmg_verify()` looks the path up.
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
    /// A loop that should stop at the first loss reads the counter after each chunk. A program in C reads
    /// `*(const volatile uint32_t *)counter`, since a signal handler changes the counter. The counter does
    /// not show a truncation inside the last page, and no write to the file. After the kernel has taken a
    /// lease by force, the counter grows when a call on the region finds that. So call `mmg_verify()` at the
    /// end.
    ///
    /// - `counter`: receives the address of the counter, which may be read while the region has a pin
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

    /// Read the ledger. It has one record for each loss that was found in this process since it started, in
    /// regions, in adopted mappings and in mappings that `mmg_guard_process()` guards. A region that loses
    /// the same bytes again adds no record.
    ///
    /// The ledger keeps the newest 1024 records. A mark is the number of the last record that a caller has
    /// seen. The call stores the records behind the mark `since`, oldest first, as many as there is room for,
    /// and stores in `*next` the mark to go on from. `*next - since - *count` records between the two marks
    /// are gone, because newer records have overwritten them, or because the entry was in use when they were
    /// to be written. So every missing record is counted. With no room (`losses` NULL, `capacity` 0) the call
    /// stores 0 in `*count` and the mark of this moment in `*next`. Records behind that mark are news.
    ///
    /// A forked child has the records that its parent had at the fork.
    ///
    /// - `since`: a mark: 0 for everything, or what an earlier call stored in `*next`
    /// - `losses`: an array, the caller's; may be NULL if `capacity` is 0. The call reads `struct_size` of
    ///   the first element, which holds for all, and writes as many elements as `*count` says
    /// - `capacity`: how many records there is room for
    /// - `count`: receives how many records were stored
    /// - `next`: receives the mark of the last record that was stored or is gone
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_RANGE`: `since` is larger than any mark yet
    ///
    /// Blocks: While another thread writes a record: for microseconds. After about a tenth of a second the
    /// call leaves the record out.
    ///
    /// Threads: Safe; a thread that writes a record never waits.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_losses_get(since: u64, losses: *mut mmg_loss, capacity: u64, count: *mut u64, next: *mut u64) -> mmg_status;

    /// Open the file at `path` for reading.
    ///
    /// The call copies a regular file up to the copy threshold into memory: a copy is faster than a mapping
    /// there, and nothing that happens to the file can touch it. The call maps a larger file, or a block
    /// device, under the advisory lock. It reads FIFOs, terminals and files of /proc and /sys to their end,
    /// up to `max_bytes`. An empty file is a region of size 0.
    ///
    /// The first mapping that needs the fault guard installs the SIGBUS handler of the process. The handler
    /// acts on faults in this library's mappings only, and passes everything else to the handler that was
    /// there (see docs/SAFETY.md). Every later mapping puts the guard back on top if another handler was
    /// installed since. `MMG_FLAG_NO_FAULT_GUARD` keeps the guard out, and so does the environment variable
    /// MMAPGUARD_NO_SIGNAL (not empty, not "0"). A program that runs with more rights than its caller
    /// (set-user-ID) does not obey the variable.
    ///
    /// With `MMG_GUARANTEE_STABLE` the library takes the first means that keeps the bytes as they are
    /// (`mmg_info.means`). The means may be a lease, which other programs notice. A program that opens the
    /// file for writing waits, in open(2) or truncate(2), until the bytes are secured. If it opens the file
    /// with O_NONBLOCK (coreutils' truncate, tar --overwrite, dd oflag=nonblock), it fails with EAGAIN. While
    /// this process is stopped, a writer waits until the kernel takes the lease away (after 45 s by default).
    /// `MMG_FLAG_NO_LEASE` keeps leases out, and so does the environment variable MMAPGUARD_NO_LEASE (not
    /// empty, not "0"). The first lease starts a thread of the library, with all signals blocked. The thread
    /// ends 100 ms after the last lease.
    ///
    /// The environment variable MMAPGUARD_LOCK ("none", "auto" or "shared") takes the place of
    /// `MMG_LOCK_AUTO`. It does not change any other value of `lock`.
    ///
    /// - `path`: NUL-terminated, in the encoding of the file system. A relative path is resolved against the
    ///   current directory now, and again each time `mmg_changed()` or `mmg_verify()` looks the path up.
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also for a path of PATH_MAX bytes or more
    /// - `MMG_E_ABI_SIZE`: of `options` or `error`
    /// - `MMG_E_ABI_NEWER`: of `options`
    /// - `MMG_E_RANGE`: the window is not inside the file
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
    /// - `MMG_E_UNSUPPORTED`: a lock was required and the file system has none; or see `MMG_FLAG_NO_WRITERS`
    /// - `MMG_E_GUARD`: `MMG_BACKING_MAP` was given, and the guard is refused, or required and switched off;
    ///   or the guard is required and cannot be put in place, and STABLE allows no copy
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: On the disk and the file system; on a lock for `lock_wait_ms`; on a stream until its end, or
    /// for `stream_wait_ms`; while another program holds a write lease on the file, as open(2) does. With
    /// `MMG_GUARANTEE_STABLE` also during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_open(path: *const c_char, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Open the file behind a descriptor. The descriptor stays the caller's: the call does not close it, does
    /// not move its position, and does not lock it.
    ///
    /// The library opens a regular file or a block device a second time, by its path in /proc/thread-self/fd,
    /// and so gets a descriptor of its own, with a lock of its own. A lock that the caller holds on `fd` then
    /// counts as a lock of another program: the call returns `MMG_E_WOULD_BLOCK` if that lock is exclusive.
    /// Pass `MMG_LOCK_NONE` to rely on your own lock. The library duplicates `fd` where it cannot open the
    /// file a second time (/proc is not mounted, or the process may not open the file itself), and where the
    /// options name `MMG_LOCK_NONE` and neither STABLE nor `MMG_FLAG_NO_WRITERS`. It takes no lock then,
    /// since a duplicate shares its lock with the caller. The call reads a stream from its position on.
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
    /// - `options`: receives the defaults; at least `struct_size` bytes, and the call writes all of them
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
    /// Any thread may use the pointer until the pin ends. What you computed from a region holds if
    /// `mmg_verify` reports nothing afterwards. `mmg_unpin()` reports losses only: a file that was rewritten
    /// in place, or cut and grown again between two reads, loses nothing. A long scan that should stop at the
    /// first loss pins, scans and unpins chunk by chunk, or looks at `mmg_loss_counter()`.
    ///
    /// - `length`: bytes; `MMG_TO_END`: to the end of the region; 0: an empty span, which has a pin like any
    ///   other
    /// - `span`: receives the view, which the caller must give to `mmg_unpin()`. The call overwrites what
    ///   `*span` held before, and does not unpin it.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`
    /// - `MMG_E_NO_MEMORY`: there is no memory for one more pin
    /// - `MMG_E_TRUNCATED`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_IO`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_POISONED`: a byte of this range is already known to be lost; nothing is pinned
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds here; nothing is pinned
    ///
    /// Blocks: During a hand-over.
    ///
    /// Threads: Safe; lock-free where the call does not block.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_pin(handle: mmg_handle, offset: u64, length: u64, span: *mut mmg_span) -> mmg_status;

    /// Copy bytes out of the region. Where the region is mapped, the kernel copies them. So a lost byte gives
    /// a short count and a status, and never a signal.
    ///
    /// - `offset`: where in the region; the size of the region is allowed, and reads nothing
    /// - `buffer`: at least `size` bytes, the caller's; may be NULL if `size` is 0
    /// - `got`: receives how many bytes were copied, also when `MMG_E_TRUNCATED`, `MMG_E_IO`,
    ///   `MMG_E_POISONED` or `MMG_E_SYSTEM` is returned, and 0 with `MMG_E_UNSTABLE`; fewer than `size` with
    ///   `MMG_OK` means the end of the region
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_RANGE`: `offset` beyond the region
    /// - `MMG_E_TRUNCATED`: the file ends before the region does
    /// - `MMG_E_IO`: the medium does not deliver bytes that are inside the file; `mmg_info.os_error` has the
    ///   errno, if there is one
    /// - `MMG_E_POISONED`
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds here
    /// - `MMG_E_SYSTEM`: the descriptor is gone or names another file, because the host has closed it; or the
    ///   buffer cannot be written to
    ///
    /// Blocks: On the disk and the file system; during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_read(handle: mmg_handle, offset: u64, buffer: *mut c_void, size: u64, got: *mut u64) -> mmg_status;

    /// Read any descriptor from its position to its end into memory. The descriptor stays the caller's. If
    /// there are more than `max_bytes` bytes, the call returns `MMG_E_TOO_BIG` and keeps none of them. It
    /// resumes interrupted reads, and waits for bytes on a non-blocking descriptor. With a window it first
    /// skips `offset` bytes, and then reads `length` bytes.
    ///
    /// - `fd`: an open descriptor
    /// - `options`: how, or NULL for the defaults
    /// - `handle`: receives the handle, which the caller must give to `mmg_close()`; 0 on failure
    /// - `error`: receives the details, or NULL
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_ARGUMENT`: also: `fd` is not an open descriptor
    /// - `MMG_E_ABI_SIZE`
    /// - `MMG_E_ABI_NEWER`
    /// - `MMG_E_RANGE`: the stream ended before the window did
    /// - `MMG_E_PERMISSION`: `fd` is open for writing only
    /// - `MMG_E_EMPTY`
    /// - `MMG_E_NOT_MAPPABLE`: a directory, `MMG_BACKING_MAP`, or no regular file with
    ///   `MMG_FLAG_REGULAR_ONLY`
    /// - `MMG_E_UNSUPPORTED`: `MMG_FLAG_REQUIRE_LOCK`, since the call locks nothing; or see
    ///   `MMG_FLAG_NO_WRITERS`
    /// - `MMG_E_WOULD_BLOCK`: the stream did not end within `stream_wait_ms`
    /// - `MMG_E_TOO_BIG`
    /// - `MMG_E_LIMIT`
    /// - `MMG_E_NO_MEMORY`
    /// - `MMG_E_IO`
    /// - `MMG_E_SYSTEM`
    ///
    /// Blocks: Until the end of the stream, or for `stream_wait_ms`.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_read_fd(fd: i32, options: *const mmg_options, handle: *mut mmg_handle, error: *mut mmg_error) -> mmg_status;

    /// Tell how much of a range is in memory now (mincore(2)). A copy is always resident.
    ///
    /// - `bytes`: receives how many bytes of the range are resident
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

    /// Read the counters of the whole process. The call writes only the first `stats->struct_size` bytes. It
    /// counts handles and mappings when it is called, which takes about ten milliseconds for a million of
    /// them.
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

    /// Return what a status means: a short phrase in English without a full stop. The text is static ASCII,
    /// never NULL.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_status_message(status: mmg_status) -> *const c_char;

    /// Return the name of a status, such as "`MMG_E_TRUNCATED`", or "`MMG_E_UNKNOWN`" for any other number.
    /// The text is static ASCII, never NULL.
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

    /// Return the word for a value in `mmg_info`, in `mmg_loss`, of `mmg_changed()` or of
    /// `mmg_guard_state()`, such as "lease", so that no binding needs a list of its own.
    ///
    /// - `vocabulary`: `MMG_TERM_...`
    /// - `value`: the number
    ///
    /// Returns the word, lower-case, static ASCII, never NULL; "unknown" for a value that the library does
    /// not know
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
    /// - `MMG_E_UNSTABLE`: bytes inside it may have changed, although STABLE was demanded. The pin has ended
    ///   after this status, as after the three above
    /// - `MMG_E_ARGUMENT`
    /// - `MMG_E_HANDLE`
    ///
    /// Blocks: During a hand-over. The last unpin of a closed region ends the region, and blocks as
    /// `mmg_close()` does.
    ///
    /// Threads: Safe; lock-free where the call does not block.
    ///
    /// Signal safety: Safe as long as the handle is open.
    ///
    /// Since 1.0.
    pub fn mmg_unpin(span: *mut mmg_span) -> mmg_status;

    /// Tell whether bytes of the region were lost, or the file was written to. The call does what
    /// `mmg_check()` and `mmg_changed()` do, in one.
    ///
    /// What you computed from a region holds if `mmg_verify` reports nothing afterwards. The times of a file
    /// set a limit: `mmg_verify` does not see a write within the same clock tick, a write through a shared
    /// mapping that the kernel has not stamped yet, or times that were set back.
    ///
    /// The call compares size and mtime of the file with those at open. A rename, a link or a change of
    /// rights is no change. A STABLE region does not change with its file, and neither does a copy in memory,
    /// which is STABLE, too. There the call reports losses, and a copy that may mix two versions, because the
    /// file was written to while it was copied. Where STABLE was demanded, no copy mixes versions.
    ///
    /// Returns one of these:
    ///
    /// - `MMG_OK`
    /// - `MMG_E_CHANGED`: the file was written to since it was opened, or its size has changed; or it was
    ///   written to while it was copied: a file of up to 64 KiB in each of three attempts
    /// - `MMG_E_HANDLE`
    /// - `MMG_E_TRUNCATED`: the cause of the first loss
    /// - `MMG_E_IO`: the cause of the first loss; or fstat(2) failed, as with `mmg_check()`
    /// - `MMG_E_POISONED`: the cause of the first loss
    /// - `MMG_E_UNSTABLE`: STABLE was demanded and no longer holds
    /// - `MMG_E_SYSTEM`: the descriptor is gone or names another file; see `mmg_info.os_error`
    ///
    /// Blocks: On the file system, as `mmg_check()` and `mmg_changed()` do; during a hand-over.
    ///
    /// Threads: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_verify(handle: mmg_handle) -> mmg_status;

    /// Return the release of the library as a text, such as "1.0.0". The text is static ASCII, never NULL.
    ///
    /// Threads: Safe.
    ///
    /// Signal safety: Safe.
    ///
    /// Since 1.0.
    pub fn mmg_version() -> *const c_char;
}
