/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/**
 * @file mmapguard.h
 * Map files for reading and stay alive whatever happens to them.
 *
 * This header is the whole public interface. A caller holds three kinds of things:
 *
 *  - a **handle** (`mmg_handle`), a number that names a *region*: the bytes of one window of one file;
 *  - a **span** (`mmg_span`), a zero-copy view of part of a region. The span holds a *pin*: the bytes it shows stay
 *    mapped until `mmg_unpin`, even when the handle is closed in the meantime;
 *  - a **status** (`mmg_status`), 0 or a negative number that never changes its meaning.
 *
 * Conventions that hold for every call unless its own comment says otherwise:
 *
 *  - *Arguments*: a call returns `MMG_E_ARGUMENT` for a NULL that it does not allow, and for flag bits and enumeration
 *    values that it does not know. Offsets, lengths and sizes are in bytes.
 *  - *Handles*: a call returns `MMG_E_HANDLE` for a handle that was never issued, is closed, or was rounded or forged. The
 *    numbers start at random in each process, so a handle of another process is hardly ever a handle here, unless one
 *    process was forked from the other. No value of a handle can crash the process.
 *  - *Outputs*: a call writes them on success only, unless its comment says otherwise.
 *  - *Sizes*: a mapping needs address space, of which a process has 2^47 bytes on x86-64. A larger window is
 *    `MMG_E_LIMIT`, and so is one for which too little address space is left. If `max_bytes` allows a copy in its place, and
 *    there is no memory for that, the window is `MMG_E_NO_MEMORY`. If STABLE was demanded, and no means takes so many bytes,
 *    it is `MMG_E_UNSTABLE`. On a 32-bit system a window of 2^31 bytes or more is `MMG_E_TOO_BIG`. A copy that was asked for
 *    is `MMG_E_TOO_BIG` above its cap, and `MMG_E_NO_MEMORY` where there is no memory for it.
 *  - *Threads*: every function may be called from every thread, on the same handle too.
 *  - *Fork*: a child may use and close the handles that it inherited; parent and child do not affect each other's handles.
 *    They share each lock, which ends when both have closed the handle. A pin of a thread that the child does not have
 *    keeps its region mapped in the child.
 *  - *Pins*: a call on a handle pins the region while it runs. From the ninth pin of a handle on, a pin may need memory. If
 *    there is none, the call returns `MMG_E_NO_MEMORY`. If another thread closes the handle meanwhile, the last call to
 *    return ends the region. That call then blocks as mmg_close() does, and is not signal-safe.
 *  - *Blocking*: a call waits for a disk, a file system or another thread only if its comment has a paragraph "Blocks".
 *  - *Hand-over*: where a lease upholds STABLE (MMG_MEANS_LEASE), a thread of the library copies the bytes when another
 *    program wants to write to the file. At the end that thread puts the copy in place and gives the lease up, which takes a
 *    few system calls for each region of the file. A call "during a hand-over" waits for that end, and never for the copy.
 *    If the process has no descriptor left, such a call may also wait until that thread has noticed the other program, for
 *    one second at most. In a forked child, the first such call on a region does not wait, but opens the file again.
 *  - *Signals*: a call is async-signal-safe only if its comment says "Signal safety: Safe".
 *  - *Cancellation*: do not cancel a thread inside a call that blocks (pthread_cancel(3)): whatever the call holds at that
 *    moment is never given back. The same happens when a signal handler that interrupted a call leaves by longjmp(3).
 *  - *Processes*: a child of _Fork(3) or of a raw clone(2) gets no preparation. It may make only the calls that are
 *    signal-safe.
 *  - *Stack*: a call that opens may need 96 KiB of stack, and any other call less than 32 KiB. A contained fault needs less
 *    than 32 KiB, too, on the stack of the thread or on its alternate signal stack.
 *  - *Environment*: the calls that open, mmg_guard_install(), mmg_guard_process(), mmg_guard_state(), mmg_stats_get(),
 *    mmg_supports(), mmg_find() and mmg_find_last() may read MMAPGUARD_NO_SIGNAL. The calls that open read
 *    MMAPGUARD_NO_LEASE, and the first of them that needs it reads MMAPGUARD_LOCK, once. Do not change the environment
 *    (setenv(3)) in another thread meanwhile, or in code that a signal handler with such a call may interrupt.
 *  - *Ignored*: a call ignores an option that has no meaning for the file, unless a comment says otherwise. Examples are
 *    `access` for a copy, and `stream_wait_ms` for a regular file.
 *  - *errno* is not part of the interface; its value after a call is unspecified.
 *  - *Since*: everything exists since version 1.0 if its comment names no other version.
 *
 * The part between MMG_CDEF_BEGIN and MMG_CDEF_END contains no preprocessor line. LuaJIT's ffi.cdef, cffi and other
 * readers of declarations can take it as it stands, if they know `uint8_t`, `int32_t`, `uint32_t` and `uint64_t`.
 */
#ifndef MMAPGUARD_H
#define MMAPGUARD_H

#include <stdint.h>

/** First number of the release of this header; mmg_version() tells the release of the library. */
#define MMG_VERSION_MAJOR UINT32_C(1)
/** Second number of the release. */
#define MMG_VERSION_MINOR UINT32_C(0)
/** Third number of the release. */
#define MMG_VERSION_PATCH UINT32_C(0)

/** ABI number of this header, comparable with mmg_abi_version(): major in the upper, minor in the lower 16 bits. */
#define MMG_ABI UINT32_C(0x00010000)

/** As a `length`: all bytes from `offset` to the end of the region. */
#define MMG_TO_END UINT64_MAX
/** As a cap in bytes: no cap. */
#define MMG_NO_LIMIT UINT64_MAX
/** What mmg_find() stores when the needle does not occur. */
#define MMG_NOT_FOUND UINT64_MAX
/** As `mmg_options.lock_wait_ms`: wait for the lock as long as it takes. */
#define MMG_WAIT_FOREVER UINT32_MAX

/** @{
 * Initialiser. It sets `struct_size` to the size that this header knows, and every other member to 0, the default. */
/* clang-format off */
#ifdef __cplusplus
#define MMG_SPAN_INIT {nullptr, 0, 0}
#else
#define MMG_SPAN_INIT {0, 0, 0}
#endif
#define MMG_OPTIONS_INIT {sizeof(mmg_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define MMG_ERROR_INIT {sizeof(mmg_error), 0, 0, 0, 0, {0}, {0}}
#define MMG_INFO_INIT \
    {sizeof(mmg_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}}
#define MMG_STATS_INIT \
    {sizeof(mmg_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define MMG_LOSS_INIT {sizeof(mmg_loss), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}}
/** @} */
/* clang-format on */

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* MMG_CDEF_BEGIN */

/** @defgroup types Types
 * @{ */

/** The number that names a region. It is never 0, and always below 2^53, so that it survives in languages whose numbers
 *  are doubles. */
typedef uint64_t mmg_handle;

/** The result of a call: 0 (`MMG_OK`), or a negative number (`MMG_E_...`). */
typedef int32_t mmg_status;

/**
 * A zero-copy view of `size` bytes at `data`. mmg_pin() fills it, and mmg_unpin() ends it.
 *
 * `data` is never NULL after mmg_pin() or mmg_unpin(), not even when `size` is 0. The bytes are read-only: a write to
 * them is an access violation where they are mapped, and undefined where they are copied. `pin` is the token of the
 * pin, and only mmg_unpin() reads it. A span may be copied. All copies share one pin: mmg_unpin() of one copy ends the pin
 * for all of them.
 *
 * The offsets of the members are those of the C compiler. On i386, where a 64-bit member needs an alignment of 4 bytes,
 * `size` is at offset 4; on every other system it is at offset 8.
 */
typedef struct mmg_span {
    const uint8_t *data; /**< the bytes, read-only */
    uint64_t size;       /**< how many */
    uint64_t pin;        /**< token of the pin; 0: no pin */
} mmg_span;

/**
 * How to open a file. The caller sets `struct_size`, or uses `MMG_OPTIONS_INIT` or mmg_options_init(). In every other
 * member 0 means the default. A NULL pointer in place of the options means all defaults.
 */
typedef struct mmg_options {
    uint32_t struct_size;        /**< sizeof(mmg_options) as the caller was compiled */
    uint32_t backing;            /**< MMG_BACKING_...: what holds the bytes */
    uint32_t guarantee;          /**< MMG_GUARANTEE_STABLE: the region is STABLE, or the call fails. 0, _CONTAINED: the
                                      region is CONTAINED, unless a flag or the environment switches the guard off */
    uint32_t lock;               /**< MMG_LOCK_...: the advisory lock to take before the file is mapped or copied */
    uint32_t lock_wait_ms;       /**< how long to wait for that lock, in milliseconds; 0: try once */
    uint32_t access;             /**< MMG_ADVICE_NORMAL to _HUGEPAGE: expected pattern of access */
    uint64_t flags;              /**< MMG_FLAG_... bits */
    uint64_t offset;             /**< start of the window in the file, at any byte */
    uint64_t length;             /**< length of the window; MMG_TO_END or 0: to the end of the file */
    uint64_t copy_threshold;     /**< a window of at most so many bytes is copied, and not mapped. 0: 64 KiB. While
                                      copies of files above 4 KiB hold more than 256 KiB together, and fewer than 256
                                      files of at most 64 KiB are mapped, 0 means 4 KiB, except for STABLE */
    uint64_t max_bytes;          /**< cap for what is read into memory, but for the copy that STABLE may need; 0: 1 GiB;
                                      MMG_NO_LIMIT: none */
    uint64_t max_snapshot_bytes; /**< cap for the copy that STABLE may need, on disk or in memory, at open or when a
                                      lease breaks. For a copy by MMG_BACKING_COPY the cap is `max_bytes`. 0: 1 GiB;
                                      MMG_NO_LIMIT: none */
    uint32_t max_leases;         /**< the call takes no lease while the process holds so many; 0: 10 000 */
    uint32_t max_lease_wait_ms;  /**< how long a writer may wait while the bytes are secured, in milliseconds. The bytes
                                      that are not secured by then are no longer STABLE. 0: as long as the kernel allows
                                      (/proc/sys/fs/lease-break-time). A stopped process cannot keep this limit */
    uint32_t stream_wait_ms;     /**< how long a stream may take to its end, in milliseconds; the call then returns
                                      MMG_E_WOULD_BLOCK. 0: as long as it takes */
    uint32_t reserved;           /**< 0 */
} mmg_options;

/**
 * Details of a failure. The calls that take one fill it; a caller that needs no details passes NULL. The struct is the
 * caller's, so nothing in it depends on the thread. The caller sets `struct_size` before each call, which reads nothing
 * else in it. The call fills a part that the library does not know with zeros. On success it stores MMG_OK in `status`, 0
 * in the other numbers, and empty texts.
 */
typedef struct mmg_error {
    uint32_t struct_size; /**< sizeof(mmg_error) as the caller was compiled */
    mmg_status status;    /**< the status that the call returned */
    int32_t os_code;      /**< errno as the kernel gave it, or 0 when the library itself refused */
    uint32_t reserved;    /**< 0 */
    uint64_t offset;      /**< the place in the file, when the failure has one; else 0 */
    char operation[24];   /**< what failed, such as "open", "flock", "mmap" or "options"; NUL-terminated ASCII */
    char message[464];    /**< one sentence for people, which names the path; NUL-terminated UTF-8. Control characters
                               and undecodable bytes of a path appear in hexadecimal. An overlong path is shortened in
                               its middle */
} mmg_error;

/** What is known about one region. mmg_info_get() fills it. */
typedef struct mmg_info {
    uint32_t struct_size;       /**< sizeof(mmg_info) as the caller was compiled */
    uint32_t backing;           /**< MMG_BACKING_MAP, _COPY or _ADOPTED: what holds the bytes */
    uint32_t backing_reason;    /**< MMG_REASON_...: why the region has that backing */
    uint32_t guarantee;         /**< MMG_GUARANTEE_...: the guarantee that holds for the bytes */
    uint32_t means;             /**< MMG_MEANS_...: what upholds the guarantee */
    uint32_t shortfall;         /**< MMG_SHORT_...: why the region is not STABLE; 0: it is STABLE */
    uint32_t lock;              /**< MMG_LOCK_...: the lock that is held now */
    mmg_status fault_cause;     /**< cause of the first loss: MMG_E_TRUNCATED, _IO, _POISONED, _UNSTABLE; 0: none */
    uint64_t size;              /**< bytes in the region */
    uint64_t offset;            /**< where in the file the region starts */
    uint64_t file_size;         /**< size of the file at open; for a stream, the bytes read from it */
    uint64_t device;            /**< st_dev at open */
    uint64_t inode;             /**< st_ino at open */
    int64_t mtime_seconds;      /**< modification time at open, seconds since the Epoch */
    int64_t ctime_seconds;      /**< status change time at open, seconds since the Epoch */
    uint32_t mtime_nanoseconds; /**< 0 to 999 999 999 */
    uint32_t ctime_nanoseconds; /**< 0 to 999 999 999 */
    uint64_t faults;            /**< signals contained in this region */
    uint64_t fault_offset;      /**< first byte of the region that was found lost; MMG_TO_END: no loss */
    uint64_t pins;              /**< pins that live now */
    uint64_t mapped_bytes;      /**< address space held for the region, whole pages; 0 for a copy */
    uint64_t heap_bytes;        /**< heap held for the region, its bookkeeping included */
    int32_t lock_error;         /**< errno of a lock that the file system could not give; 0 otherwise */
    int32_t os_error;           /**< last errno for which a call on this region returned MMG_E_SYSTEM or MMG_E_IO;
                                     0: none. A loss has no errno, and leaves the number as it is */
    uint64_t page_size;         /**< granularity of loss: a fault takes at least this many bytes; 0 for a copy */
    uint32_t lock_reason;       /**< MMG_LOCKING_...: why there is that lock, or none */
    uint32_t exceptions;        /**< MMG_EXCEPT_... bits: what the means of STABLE does not hold back */
    uint64_t means_order;       /**< the means of STABLE in the order in which the library tries them for a window of
                                     this size: MMG_MEANS_..., four bits each, the first in the lowest. It is 0 unless
                                     the means is a lease, a reflink or a snapshot */
    char file_system[24]; /**< name of the file system at open, such as "ext4"; NUL-terminated ASCII, cut if longer,
                                     empty where it is not known */
} mmg_info;

/** Counters of the whole process. mmg_stats_get() fills the struct. It reads each counter atomically, and not all of them
 *  at once. */
typedef struct mmg_stats {
    uint32_t struct_size;     /**< sizeof(mmg_stats) as the caller was compiled */
    int32_t guard_state;      /**< MMG_GUARD_...: what mmg_guard_state() returns */
    uint64_t handles;         /**< open handles */
    uint64_t opened;          /**< regions ever opened */
    uint64_t regions;         /**< regions alive: open handles, and closed ones whose bytes are still pinned */
    uint64_t mappings;        /**< the regions among them that are mapped */
    uint64_t mapped_bytes;    /**< address space in these mappings */
    uint64_t heap_bytes;      /**< heap in regions */
    uint64_t faults;          /**< signals contained since the process started */
    uint64_t foreign_faults;  /**< SIGBUS signals passed on to the handler that was there before */
    uint64_t retired_slots;   /**< handle slots whose generations are used up */
    uint64_t leases;          /**< leases held now */
    uint64_t leases_breaking; /**< leased files for which a writer waits now */
    uint64_t lease_breaks;    /**< how often a writer has broken the leases of a file */
    uint64_t lease_refusals;  /**< how often an open for STABLE tried to take a lease, and did not get it */
    uint64_t fallbacks_cap;   /**< regions that are no longer STABLE because of `max_snapshot_bytes` */
    uint64_t fallbacks_time;  /**< ... because the time for securing them ran out */
    uint64_t fallbacks_space; /**< ... because there was no room for their bytes, or an adopted mapping was changed */
    uint64_t fallbacks_read;  /**< ... because their bytes could not be read */
    uint64_t snapshot_bytes;  /**< bytes copied for STABLE, at open and when leases broke */
    uint64_t snapshots;       /**< snapshots taken for STABLE, reflinks included */
    uint64_t writer_wait_ns;  /**< how long writers waited for leases, as far as this process knows, in nanoseconds */
    uint64_t writer_wait_max_ns; /**< the longest of these waits */
    uint64_t losses;             /**< records ever written to the ledger; see mmg_losses_get() */
    uint64_t losses_truncated;   /**< the records among them with the cause MMG_E_TRUNCATED */
    uint64_t losses_io;          /**< ... MMG_E_IO */
    uint64_t losses_poisoned;    /**< ... MMG_E_POISONED */
    uint64_t losses_unstable;    /**< ... MMG_E_UNSTABLE */
    uint64_t losses_foreign;     /**< the records of mappings that have no handle */
} mmg_stats;

/**
 * One record of the ledger: bytes of a mapping that were found lost. mmg_losses_get() fills it. A record tells of one
 * moment and never changes. Its offset counts bytes of the file, and not of a region.
 */
typedef struct mmg_loss {
    uint32_t struct_size; /**< sizeof(mmg_loss) as the caller was compiled */
    mmg_status cause;     /**< MMG_E_TRUNCATED, _IO or _POISONED; MMG_E_UNSTABLE: STABLE bytes may have changed */
    uint64_t sequence;    /**< number of the record: 1, 2, 3, ... since the process started */
    mmg_handle handle; /**< the region that lost the bytes, which may be closed by now; 0: the mapping has no region */
    uint64_t device;   /**< st_dev of the file, as far as it is known */
    uint64_t inode;    /**< st_ino of the file, as far as it is known */
    uint64_t offset;   /**< first lost byte, counted from the start of the file */
    uint64_t length;   /**< how many bytes of the mapping are lost from there */
    uint64_t address;  /**< where the first lost byte was mapped */
    int64_t time_ns;   /**< moment of the discovery, in nanoseconds of CLOCK_MONOTONIC */
    uint32_t thread;   /**< the thread that found the loss, as gettid(2) numbers threads */
    uint32_t origin;   /**< MMG_ORIGIN_...: who made the mapping */
    char path[432];    /**< path of the file; NUL-terminated, in the encoding of the file system. An overlong path is
                               shortened in its middle; empty: the path is not known */
} mmg_loss;

/** The array of Arrow's C Data Interface, for mmg_export_arrow(). Arrow's header, or a copy of it, defines the struct. */
struct ArrowArray;
/** The schema of Arrow's C Data Interface. Arrow's header, or a copy of it, defines the struct. */
struct ArrowSchema;

/** @} */

/** @defgroup constants Constants
 * @{ */

/** Status codes. The numbers are frozen. The gaps between the groups are for later members of each group. */
enum {
    MMG_OK = 0, /**< success */
    /* the call itself */
    MMG_E_ARGUMENT = -1,  /**< NULL, an unknown flag or value, a contradiction, or a bad descriptor */
    MMG_E_HANDLE = -2,    /**< not a live handle, or not a live pin */
    MMG_E_RANGE = -3,     /**< offset or length outside the region or the file */
    MMG_E_ABI_SIZE = -4,  /**< `struct_size` is a size that the struct never had and cannot get */
    MMG_E_ABI_NEWER = -5, /**< the options are newer than the library, and set a member that it does not know */
    /* opening */
    MMG_E_NOT_FOUND = -20,    /**< no such file, or a dangling link */
    MMG_E_PERMISSION = -21,   /**< the process may not read the file */
    MMG_E_EMPTY = -22,        /**< the file or the window is empty, and MMG_FLAG_REJECT_EMPTY was given */
    MMG_E_NOT_MAPPABLE = -23, /**< a directory, a socket or something else without bytes to map */
    MMG_E_WOULD_BLOCK = -24,  /**< a lock is held elsewhere, a FIFO has no writer, or a stream does not end in time */
    MMG_E_TOO_BIG = -25,      /**< over a cap, or over what the address space can hold */
    MMG_E_LIMIT = -26,        /**< no descriptor, no mapping (vm.max_map_count) or no address space is left */
    MMG_E_NO_MEMORY = -27,    /**< out of memory */
    MMG_E_UNSTABLE = -28,     /**< STABLE was demanded and is not possible, or no longer holds */
    MMG_E_SYSTEM = -29,       /**< any other failure of the system; see mmg_error.os_code */
    /* contents */
    MMG_E_TRUNCATED = -40, /**< the file was cut short: bytes of the region are gone */
    MMG_E_IO = -41,        /**< the device or the file system failed to deliver bytes */
    MMG_E_POISONED = -42,  /**< a hardware memory error hit the bytes */
    MMG_E_CHANGED = -43,   /**< the file was written to since it was opened */
    /* state */
    MMG_E_BUSY = -60,        /**< pins are live and the close was strict */
    MMG_E_UNSUPPORTED = -61, /**< not possible for this region or on this system */
    MMG_E_GUARD = -62        /**< the fault guard could not be put in place */
};

/** `mmg_options.backing` and `mmg_info.backing`. */
enum {
    MMG_BACKING_AUTO = 0,   /**< copy what is small or cannot be mapped, map the rest */
    MMG_BACKING_MAP = 1,    /**< a mapping of the file, or an error; a region without bytes needs none */
    MMG_BACKING_COPY = 2,   /**< a private copy in memory, within `max_bytes` */
    MMG_BACKING_ADOPTED = 3 /**< a mapping that somebody else has made; see mmg_adopt(). Not a value for options */
};

/** `mmg_info.backing_reason`. */
enum {
    MMG_REASON_ASKED = 0,         /**< the caller asked for this backing */
    MMG_REASON_SMALL = 1,         /**< copied: at most the copy threshold */
    MMG_REASON_LARGE = 2,         /**< mapped: above the copy threshold */
    MMG_REASON_EMPTY = 3,         /**< the region has no bytes */
    MMG_REASON_STREAM = 4,        /**< copied: a pipe, socket, terminal or other stream */
    MMG_REASON_VIRTUAL = 5,       /**< copied: the size that the file system reports is not that of the contents */
    MMG_REASON_MAP_REFUSED = 6,   /**< copied: the file system refused both kinds of mapping */
    MMG_REASON_MAP_PRIVATE = 7,   /**< mapped MAP_PRIVATE: the file system refused MAP_SHARED */
    MMG_REASON_STABLE = 8,        /**< STABLE was demanded, and this backing upholds it */
    MMG_REASON_NO_GUARD = 9,      /**< copied: the fault guard could not be put in place */
    MMG_REASON_BLOCK_DEVICE = 10, /**< mapped: a block device */
    MMG_REASON_NO_ROOM = 11       /**< copied: the process had no mapping or no address space left */
};

/** `mmg_options.guarantee` and `mmg_info.guarantee`. A larger number promises more. */
enum {
    MMG_GUARANTEE_NONE = 0,      /**< a mapping that the fault guard does not watch; mmg_info.shortfall says why. As an
                                      option: the default */
    MMG_GUARANTEE_CONTAINED = 1, /**< nothing that happens to the file kills the process; losses are reported */
    MMG_GUARANTEE_STABLE = 2     /**< the bytes do not change and do not vanish while the handle or a pin lives */
};

/** `mmg_info.means`. */
enum {
    MMG_MEANS_NONE = 0,             /**< NONE: nothing upholds a guarantee */
    MMG_MEANS_FAULT_GUARD = 1,      /**< CONTAINED: the SIGBUS guard */
    MMG_MEANS_PRIVATE_COPY = 2,     /**< STABLE: a copy in memory; of one version if STABLE was demanded */
    MMG_MEANS_SEALED = 3,           /**< STABLE: a memfd sealed against shrinking and writing */
    MMG_MEANS_READ_ONLY_MEDIUM = 4, /**< STABLE: a medium that nobody can write */
    MMG_MEANS_LEASE = 5,            /**< STABLE: a read lease, and a snapshot when it breaks */
    MMG_MEANS_REFLINK = 6,          /**< STABLE: a reflinked, unlinked snapshot */
    MMG_MEANS_SNAPSHOT = 7          /**< STABLE: a full, unlinked snapshot */
};

/** `mmg_info.shortfall`. */
enum {
    MMG_SHORT_NONE = 0,        /**< STABLE holds */
    MMG_SHORT_NOT_ASKED = 1,   /**< STABLE was not demanded, and would have cost something */
    MMG_SHORT_GUARD_OFF = 2,   /**< the fault guard is off as well: MMG_FLAG_NO_FAULT_GUARD */
    MMG_SHORT_ENVIRONMENT = 3, /**< the fault guard is off as well: MMAPGUARD_NO_SIGNAL in the environment */
    MMG_SHORT_CAP = 4,         /**< a lease broke, and the window is larger than `max_snapshot_bytes` */
    MMG_SHORT_TIME = 5,        /**< a lease broke, and the kernel's time ran out (/proc/sys/fs/lease-break-time) */
    MMG_SHORT_SPACE = 6,       /**< a lease broke, and there was no room for the bytes, on disk or in memory, or the
                                    owner of an adopted mapping had changed it */
    MMG_SHORT_READ = 7,        /**< a lease broke, and the bytes could not be read */
    MMG_SHORT_FORKED = 8,      /**< the lease belongs to the parent process */
    MMG_SHORT_LOST = 9,        /**< bytes were lost in spite of the means; see `fault_cause` */
    MMG_SHORT_DISPLACED = 10,  /**< another handler is on top of the fault guard; see mmg_guard_install() */
    MMG_SHORT_BLOCKED = 11     /**< SIGBUS is blocked in the calling thread */
};

/** `mmg_options.lock` and `mmg_info.lock`. */
enum {
    MMG_LOCK_AUTO = 0, /**< MMG_LOCK_SHARED where a lock is advisory, local and cannot hang; elsewhere none. A value for
                              options only */
    MMG_LOCK_SHARED = 1, /**< flock(2) LOCK_SH: meets every user of flock, and the mmap-guard crate */
    MMG_LOCK_OFD = 2,    /**< fcntl(2) F_OFD_SETLK, a read lock over the whole file: meets users of POSIX locks */
    MMG_LOCK_NONE = 3    /**< no lock */
};

/** `mmg_info.lock_reason`. */
enum {
    MMG_LOCKING_HELD = 0,       /**< a lock is held */
    MMG_LOCKING_ASKED = 1,      /**< none: MMG_LOCK_NONE, or MMAPGUARD_LOCK=none in the environment */
    MMG_LOCKING_NO_NEED = 2,    /**< none: the bytes are no longer the file's, or never were a file's */
    MMG_LOCKING_MANDATORY = 3,  /**< none: a lock here would be mandatory, so that writers fail (CIFS, SMB) */
    MMG_LOCKING_COULD_HANG = 4, /**< none: a lock here could hang (NFS without a lock manager, FUSE) */
    MMG_LOCKING_NOT_LOCAL = 5,  /**< none: a lock here is not this kernel's own (9p, virtiofs, cluster file systems) */
    MMG_LOCKING_MISSING = 6,    /**< none: the file system has no such lock; see `lock_error` */
    MMG_LOCKING_NOT_OURS = 7 /**< none: the library could not open the file again, and its duplicate shares locks with
                                  the descriptor of the caller */
};

/** Bits of `mmg_info.exceptions`. MMG_FLAG_NO_LEASE avoids both. */
enum {
    MMG_EXCEPT_READ_ONLY_TRUNCATION = 1, /**< open(2) with O_RDONLY and O_TRUNC empties a leased file without breaking
                                              the lease. This is reported as MMG_E_TRUNCATED, and not held back. So is
                                              truncate(2) through an overlay above the file, unless the file has its
                                              size again when the library asks: that is not seen */
    MMG_EXCEPT_PINNED_PAGES = 2          /**< another process or a device may store into pages of the file that it had
                                              pinned before the lease (direct I/O in flight, RDMA). This is neither held
                                              back nor seen */
};

/** Bits of `mmg_options.flags`. */
enum {
    MMG_FLAG_REJECT_EMPTY = 1,   /**< an empty file is MMG_E_EMPTY, and so is a window that starts at its end */
    MMG_FLAG_NOFOLLOW = 2,       /**< a symbolic link as the last component is MMG_E_NOT_MAPPABLE (O_NOFOLLOW) */
    MMG_FLAG_NO_FAULT_GUARD = 4, /**< install no signal handler for this region; the guarantee NONE takes the place of
                                      CONTAINED */
    MMG_FLAG_POPULATE = 8,       /**< read the whole mapping in at open (MAP_POPULATE) */
    MMG_FLAG_FIFO_WAIT = 16,     /**< wait for a writer when opening a FIFO, instead of MMG_E_WOULD_BLOCK */
    MMG_FLAG_REQUIRE_LOCK = 32,  /**< a file that cannot be locked is MMG_E_UNSUPPORTED, and no unlocked region is made.
                                      With MMG_LOCK_AUTO the call locks on every file system. A copy keeps its lock and
                                      a descriptor until it is closed. A file of /proc or /sys that cannot be mapped is
                                      refused before a byte is read */
    MMG_FLAG_NO_LEASE = 64,      /**< take no lease: no writer is ever delayed or refused, at the price of a copy. The
                                      environment variable MMAPGUARD_NO_LEASE has this effect on all regions */
    MMG_FLAG_REGULAR_ONLY = 128, /**< anything but a regular file is MMG_E_NOT_MAPPABLE, so that no FIFO and no device
                                      can make the call wait */
    MMG_FLAG_NO_WRITERS = 256,   /**< a file that any process has open for writing at this moment is MMG_E_WOULD_BLOCK.
                                      A file of which the kernel does not tell that is MMG_E_UNSUPPORTED: one of another
                                      user, one on a file system without leases, one that mmg_read_fd() reads, and a
                                      block device. A later writer is not kept out, and a stream may have writers */
    MMG_FLAG_REQUIRE_GUARD = 512,   /**< never give out a mapping that the guard does not watch, for example because of
                                      MMAPGUARD_NO_SIGNAL: copy the file instead, or, where a mapping was demanded,
                                      return MMG_E_GUARD */
    MMG_FLAG_SHARED_WRITABLE = 1024 /**< mmg_adopt() also takes shared mappings that can be written to. What is stored
                                      into a page that was replaced does not reach the file */
};

/** `mmg_options.access` (up to HUGEPAGE) and the advice of mmg_advise(); see madvise(2). */
enum {
    MMG_ADVICE_NORMAL = 0,     /**< nothing in particular */
    MMG_ADVICE_SEQUENTIAL = 1, /**< read ahead more, drop behind; as `access` up to 4 MiB ahead, where the kernel can */
    MMG_ADVICE_RANDOM = 2,     /**< do not read ahead */
    MMG_ADVICE_WILLNEED = 3,   /**< start reading in now, do not wait */
    MMG_ADVICE_HUGEPAGE = 4,   /**< use huge pages where the kernel can; ignored where it cannot */
    MMG_ADVICE_DONTNEED = 5,   /**< drop the pages from this process; they are read again when touched */
    MMG_ADVICE_POPULATE = 6,   /**< read in now and wait; what cannot be read is a status, not a signal */
    MMG_ADVICE_EVICT = 7       /**< as DONTNEED; also drop the pages from the page cache, unless others map them */
};

/** Bits for mmg_close(). */
enum {
    MMG_CLOSE_STRICT = 1 /**< refuse with MMG_E_BUSY while pins live */
};

/** Bits that mmg_changed() reports. */
enum {
    MMG_CHANGED_SIZE = 1,  /**< the size differs from that at open */
    MMG_CHANGED_MTIME = 2, /**< the contents were modified: st_mtim differs */
    MMG_CHANGED_CTIME = 4, /**< contents or attributes (owner, mode, links) were changed: st_ctim differs */
    MMG_CHANGED_PATH = 8   /**< the path names another inode now, or none */
};

/** What mmg_guard_state() returns. */
enum {
    MMG_GUARD_NONE = 0,      /**< not installed: nothing needed it yet */
    MMG_GUARD_TOP = 1,       /**< installed, and the first to see a SIGBUS */
    MMG_GUARD_DISPLACED = 2, /**< installed, but another handler is on top now, which may or may not pass faults on */
    MMG_GUARD_REFUSED = 3,   /**< the system refuses the handler, as a sandbox may, or there were too many handlers */
    MMG_GUARD_BLOCKED = 4,   /**< on top, but SIGBUS is blocked in the calling thread: a fault here kills the process */
    MMG_GUARD_DISABLED = 5   /**< MMAPGUARD_NO_SIGNAL is set in the environment */
};

/** What mmg_guard_process() guards. */
enum {
    MMG_SCOPE_NONE = 0, /**< ends one earlier call */
    MMG_SCOPE_FILES = 1 /**< private mappings of regular files, and shared ones that cannot be written to, unless they
                             are executable or part of a program or a library */
};

/** Bits of the flags of mmg_guard_process(). */
enum {
    MMG_PROCESS_SHARED_WRITABLE = 1, /**< guards shared mappings that can be written to as well. What is stored into a
                                          page that was replaced does not reach the file */
    MMG_PROCESS_CHAIN_FIRST = 2      /**< passes each fault to the handler that was there before the guard, for a host
                                          whose handler repairs its own mappings. The guard acts if the fault is still
                                          there when that handler has returned */
};

/** `mmg_loss.origin`. */
enum {
    MMG_ORIGIN_OWN = 0,     /**< the library made the mapping: a region that was opened */
    MMG_ORIGIN_ADOPTED = 1, /**< other code made the mapping, and mmg_adopt() took it */
    MMG_ORIGIN_FOREIGN = 2  /**< other code made the mapping, and mmg_guard_process() guards it */
};

/** Features for mmg_supports(). */
enum {
    MMG_FEATURE_FAULT_GUARD = 1,    /**< SIGBUS containment on this system */
    MMG_FEATURE_OFD_LOCK = 2,       /**< MMG_LOCK_OFD */
    MMG_FEATURE_STABLE_COPY = 3,    /**< STABLE by a private copy */
    MMG_FEATURE_STABLE_LEASE = 4,   /**< STABLE by a lease with snapshot on break */
    MMG_FEATURE_STABLE_REFLINK = 5, /**< STABLE by a reflinked snapshot */
    MMG_FEATURE_ARROW = 6,          /**< mmg_export_arrow() */
    MMG_FEATURE_FOREIGN = 7,        /**< mmg_guard_process() and mmg_adopt(): the kernel says what is mapped where, and
                                         lets lost pages be replaced */
    MMG_FEATURE_FOREIGN_QUERY = 8   /**< the kernel answers for one mapping alone (PROCMAP_QUERY, Linux 6.11); without
                                         this feature each fault reads the list of all mappings */
};

/** Vocabularies for mmg_term(). */
enum {
    MMG_TERM_BACKING = 1,   /**< `mmg_info.backing` */
    MMG_TERM_REASON = 2,    /**< `mmg_info.backing_reason` */
    MMG_TERM_GUARANTEE = 3, /**< `mmg_info.guarantee` */
    MMG_TERM_MEANS = 4,     /**< `mmg_info.means` */
    MMG_TERM_SHORTFALL = 5, /**< `mmg_info.shortfall` */
    MMG_TERM_LOCK = 6,      /**< `mmg_info.lock` */
    MMG_TERM_GUARD = 7,     /**< what mmg_guard_state() returns */
    MMG_TERM_CHANGED = 8,   /**< a bit that mmg_changed() reports, one at a time */
    MMG_TERM_LOCKING = 9,   /**< `mmg_info.lock_reason` */
    MMG_TERM_EXCEPT = 10,   /**< a bit of `mmg_info.exceptions`, one at a time */
    MMG_TERM_ORIGIN = 11    /**< `mmg_loss.origin` */
};

/** @} */

/** @defgroup opening Opening
 * @{ */

/**
 * Fill `*options` with defaults, for callers that cannot use MMG_OPTIONS_INIT.
 *
 * @param[out] options  receives the defaults; at least `struct_size` bytes, and the call writes all of them
 * @param[in] struct_size  sizeof(mmg_options) as the caller knows it
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT NULL
 * @retval MMG_E_ABI_SIZE
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_options_init(mmg_options *options, uint32_t struct_size);

/**
 * Open the file at `path` for reading.
 *
 * The call copies a regular file up to the copy threshold into memory: a copy is faster than a mapping there, and nothing
 * that happens to the file can touch it. The call maps a larger file, or a block device, under the advisory lock. It reads
 * FIFOs, terminals and files of /proc and /sys to their end, up to `max_bytes`. An empty file is a region of size 0.
 *
 * The first mapping that needs the fault guard installs the SIGBUS handler of the process. The handler acts on faults in
 * this library's mappings only, and passes everything else to the handler that was there (see docs/SAFETY.md). Every
 * later mapping puts the guard back on top if another handler was installed since. MMG_FLAG_NO_FAULT_GUARD keeps the guard
 * out, and so does the environment variable MMAPGUARD_NO_SIGNAL (not empty, not "0"). A program that runs with more rights
 * than its caller (set-user-ID) does not obey the variable.
 *
 * With MMG_GUARANTEE_STABLE the library takes the first means that keeps the bytes as they are (mmg_info.means). The means
 * may be a lease, which other programs notice. A program that opens the file for writing waits, in open(2) or truncate(2),
 * until the bytes are secured. If it opens the file with O_NONBLOCK (coreutils' truncate, tar --overwrite, dd
 * oflag=nonblock), it fails with EAGAIN. While this process is stopped, a writer waits until the kernel takes the lease
 * away (after 45 s by default). MMG_FLAG_NO_LEASE keeps leases out, and so does the environment variable
 * MMAPGUARD_NO_LEASE (not empty, not "0"). The first lease starts a thread of the library, with all signals blocked. The
 * thread ends 100 ms after the last lease.
 *
 * The environment variable MMAPGUARD_LOCK ("none", "auto" or "shared") takes the place of MMG_LOCK_AUTO. It does not change
 * any other value of `lock`.
 *
 * @param[in] path  NUL-terminated, in the encoding of the file system. A relative path is resolved against the current
 *   directory now, and again each time mmg_changed() or mmg_verify() looks the path up.
 * @param[in] options  how, or NULL for the defaults
 * @param[out] handle  receives the handle, which the caller must give to mmg_close(); 0 on failure
 * @param[in,out] error  receives the details, or NULL
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also for a path of PATH_MAX bytes or more
 * @retval MMG_E_ABI_SIZE of `options` or `error`
 * @retval MMG_E_ABI_NEWER of `options`
 * @retval MMG_E_RANGE the window is not inside the file
 * @retval MMG_E_NOT_FOUND
 * @retval MMG_E_PERMISSION
 * @retval MMG_E_EMPTY
 * @retval MMG_E_NOT_MAPPABLE
 * @retval MMG_E_WOULD_BLOCK
 * @retval MMG_E_TOO_BIG
 * @retval MMG_E_LIMIT
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_UNSTABLE
 * @retval MMG_E_TRUNCATED the file kept shrinking while it was read
 * @retval MMG_E_IO
 * @retval MMG_E_UNSUPPORTED a lock was required and the file system has none; or see MMG_FLAG_NO_WRITERS
 * @retval MMG_E_GUARD MMG_BACKING_MAP was given, and the guard is refused, or required and switched off; or the guard is
 *   required and cannot be put in place, and STABLE allows no copy
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk and the file system; on a lock for `lock_wait_ms`; on a stream until its end, or for `stream_wait_ms`; while
 *   another program holds a write lease on the file, as open(2) does. With MMG_GUARANTEE_STABLE also during a hand-over.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_open(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Open the file behind a descriptor. The descriptor stays the caller's: the call does not close it, does not move its
 * position, and does not lock it.
 *
 * The library opens a regular file or a block device a second time, by its path in /proc/thread-self/fd, and so gets a
 * descriptor of its own, with a lock of its own. A lock that the caller holds on `fd` then counts as a lock of another
 * program: the call returns MMG_E_WOULD_BLOCK if that lock is exclusive. Pass MMG_LOCK_NONE to rely on your own lock. The
 * library duplicates `fd` where it cannot open the file a second time (/proc is not mounted, or the process may not open
 * the file itself), and where the options name MMG_LOCK_NONE and neither STABLE nor MMG_FLAG_NO_WRITERS. It takes no lock
 * then, since a duplicate shares its lock with the caller. The call reads a stream from its position on.
 *
 * @param[in] fd  an open descriptor
 * @param[in] options  as for mmg_open()
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @return as mmg_open(), and:
 * @retval MMG_E_ARGUMENT also: `fd` is not an open descriptor; MMG_FLAG_NOFOLLOW, which has no meaning here
 * @retval MMG_E_PERMISSION `fd` is open for writing only
 * @par Blocks and threads
 *   As mmg_open().
 * @since 1.0
 */
mmg_status mmg_open_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Open the file at `path` as mmg_open() does. If the path is exactly "-", read standard input as mmg_read_fd() does. A file
 * with the name "-" is reached as "./-".
 *
 * @param[in] path  as for mmg_open()
 * @param[in] options  as for mmg_open()
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @return as mmg_open() or mmg_read_fd()
 * @par Blocks and threads
 *   As mmg_open() or mmg_read_fd().
 * @since 1.0
 */
mmg_status mmg_load(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Read any descriptor from its position to its end into memory. The descriptor stays the caller's. If there are more than
 * `max_bytes` bytes, the call returns MMG_E_TOO_BIG and keeps none of them. It resumes interrupted reads, and waits for
 * bytes on a non-blocking descriptor. With a window it first skips `offset` bytes, and then reads `length` bytes.
 *
 * @param[in] fd  an open descriptor
 * @param[in] options  as for mmg_open()
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also: `fd` is not an open descriptor
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_ABI_NEWER
 * @retval MMG_E_RANGE the stream ended before the window did
 * @retval MMG_E_PERMISSION `fd` is open for writing only
 * @retval MMG_E_EMPTY
 * @retval MMG_E_NOT_MAPPABLE a directory, MMG_BACKING_MAP, or no regular file with MMG_FLAG_REGULAR_ONLY
 * @retval MMG_E_UNSUPPORTED MMG_FLAG_REQUIRE_LOCK, since the call locks nothing; or see MMG_FLAG_NO_WRITERS
 * @retval MMG_E_WOULD_BLOCK the stream did not end within `stream_wait_ms`
 * @retval MMG_E_TOO_BIG
 * @retval MMG_E_LIMIT
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_IO
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   Until the end of the stream, or for `stream_wait_ms`.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_read_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Make a region of a mapping that other code has made, such as a numpy.memmap or the mapping of a database. The handle is
 * like any other, and the same calls take it. The call maps nothing anew and moves nothing.
 *
 * The caller promises that the range stays mapped until the handle is closed and its pins are gone. The library never
 * unmaps the range. When a page is lost, zeros take its place, with the protection that the page had. Before the handler
 * replaces a page, it asks the kernel, and leaves the page alone if it no longer shows the file. The kernel has no call that
 * compares and replaces in one step. So an owner that breaks the promise at the very moment of a fault may lose pages of
 * what it has mapped there instead.
 *
 * The library opens the file by the path that the kernel names. A caller gives a descriptor for a file that has no path any
 * more, or that this process may not open. Bytes of the range behind the end of the file are no part of the region
 * (mmg_info.size). The library takes a lock only if the options name one or require one. Bytes that the owner of a private
 * mapping has written are part of the region, as they are at the moment of a read. The region records each loss that is
 * found in any mapping of its bytes, also a loss that the process guard finds.
 *
 * With MMG_GUARANTEE_STABLE the means are those of mmg_open(), put in place: a lease, with a snapshot over the pages when
 * the lease breaks, or a reflink or a snapshot over the pages at once. They cover all pages that the range touches, so that
 * the owner reads the same bytes. A copy in memory is no means here, since it has another address. The call refuses STABLE if
 * the owner can write to the mapping or has written to a private one, since the file does not have these bytes. If the owner
 * has mapped something else over a part, changed its protection or written to a private page when the lease breaks, the
 * library replaces nothing, and all bytes of the region count as lost: MMG_E_UNSTABLE. A change that the owner makes at the
 * very moment of the replacement may be lost, as with a fault.
 *
 * @param[in] data  `size` bytes, at any alignment, which may lie in several neighbouring mappings of the same file
 * @param[in] size  how many bytes, at least 1
 * @param[in] fd  a descriptor of the file, which stays the caller's; -1: the library opens the file by its path
 * @param[in] options  as for mmg_open(), or NULL. `offset` and `backing` must be 0, and `length` 0 or MMG_TO_END
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also: a descriptor that is not open
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_ABI_NEWER
 * @retval MMG_E_RANGE the range is empty, or the mapping ends before the range does
 * @retval MMG_E_NOT_MAPPABLE nothing is mapped at `data`, memory that is no file, a device, several files, huge pages, a
 *   mapping that is executable or cannot be read, a file that is executed anywhere in the process, a shared writable
 *   mapping without MMG_FLAG_SHARED_WRITABLE, or a descriptor of another file
 * @retval MMG_E_NOT_FOUND the path of the file is gone; give a descriptor
 * @retval MMG_E_PERMISSION the file may not be opened; give a descriptor
 * @retval MMG_E_TRUNCATED the file ends before the range begins
 * @retval MMG_E_WOULD_BLOCK
 * @retval MMG_E_TOO_BIG the size of the file does not fit into this system
 * @retval MMG_E_LIMIT
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_UNSTABLE the owner can write to the mapping, or has written to a private one or the kernel does not tell, or
 *   every means of STABLE failed
 * @retval MMG_E_IO
 * @retval MMG_E_UNSUPPORTED the kernel does not tell what is mapped (no MMG_FEATURE_FOREIGN)
 * @retval MMG_E_GUARD
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk and the file system; on a lock for `lock_wait_ms`; while another program holds a write lease on the file.
 *   With MMG_GUARANTEE_STABLE also during a hand-over.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_adopt(const void *data, uint64_t size, int32_t fd, const mmg_options *options, mmg_handle *handle,
                     mmg_error *error);

/**
 * Close a handle. The handle is invalid at once, in every thread. The bytes, the descriptor and the lock live until the
 * last pin ends. Without a pin they end with this call.
 *
 * @param[in] flags  MMG_CLOSE_... bits, or 0. With MMG_CLOSE_STRICT the call refuses while pins live, and leaves the
 *   handle as it is.
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE also: the handle is closed already
 * @retval MMG_E_BUSY the close was strict, and a pin lives
 * @par Blocks
 *   With MMG_CLOSE_STRICT, for a moment while another thread begins a pin. A call that ends the region also blocks on the
 *   file system, as close(2) does; while a fault handler works on the region; and where a lease upholds STABLE, during a
 *   hand-over, or while the thread of the library reads one piece of the file (4 MiB) for this region.
 * @par Threads
 *   Safe; of two racing calls one gets MMG_E_HANDLE.
 * @since 1.0
 */
mmg_status mmg_close(mmg_handle handle, uint32_t flags);

/** @} */

/** @defgroup reading Reading
 * @{ */

/**
 * View `length` bytes at `offset` of the region without a copy, and keep them mapped until mmg_unpin().
 *
 * Any thread may use the pointer until the pin ends. What you computed from a region holds if mmg_verify reports nothing
 * afterwards. mmg_unpin() reports losses only: a file that was rewritten in place, or cut and grown again between two
 * reads, loses nothing. A long scan that should stop at the first loss pins, scans and unpins chunk by chunk, or looks at
 * mmg_loss_counter().
 *
 * @param[in] length  bytes; MMG_TO_END: to the end of the region; 0: an empty span, which has a pin like any other
 * @param[out] span  receives the view, which the caller must give to mmg_unpin(). The call overwrites what `*span` held
 *   before, and does not unpin it.
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_NO_MEMORY there is no memory for one more pin
 * @retval MMG_E_TRUNCATED a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_IO a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_POISONED a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds here; nothing is pinned
 * @par Blocks
 *   During a hand-over.
 * @par Threads
 *   Safe; lock-free where the call does not block.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_pin(mmg_handle handle, uint64_t offset, uint64_t length, mmg_span *span);

/**
 * End a view, and report losses inside it. The call works after mmg_close() as well. The last unpin of a closed region
 * gives its memory back.
 *
 * On return `*span` is empty: `size` and `pin` are 0, and `data` is a valid pointer. For an empty span the call returns
 * MMG_OK, so it may be repeated. For a second *copy* of a span it returns MMG_E_HANDLE, and ends no pin.
 *
 * @param[in,out] span  the view; empty afterwards
 * @retval MMG_OK no loss was found inside the span
 * @retval MMG_E_TRUNCATED bytes inside it were lost, and read as zeros
 * @retval MMG_E_IO bytes inside it were lost, and read as zeros
 * @retval MMG_E_POISONED bytes inside it were lost, and read as zeros
 * @retval MMG_E_UNSTABLE bytes inside it may have changed, although STABLE was demanded. The pin has ended after this
 *   status, as after the three above
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @par Blocks
 *   During a hand-over. The last unpin of a closed region ends the region, and blocks as mmg_close() does.
 * @par Threads
 *   Safe; lock-free where the call does not block.
 * @par Signal safety
 *   Safe as long as the handle is open.
 * @since 1.0
 */
mmg_status mmg_unpin(mmg_span *span);

/**
 * Copy bytes out of the region. Where the region is mapped, the kernel copies them. So a lost byte gives a short count and
 * a status, and never a signal.
 *
 * @param[in] offset  where in the region; the size of the region is allowed, and reads nothing
 * @param[out] buffer  at least `size` bytes, the caller's; may be NULL if `size` is 0
 * @param[out] got  receives how many bytes were copied, also when MMG_E_TRUNCATED, MMG_E_IO, MMG_E_POISONED or MMG_E_SYSTEM
 *   is returned, and 0 with MMG_E_UNSTABLE; fewer than `size` with MMG_OK means the end of the region
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE `offset` beyond the region
 * @retval MMG_E_TRUNCATED the file ends before the region does
 * @retval MMG_E_IO the medium does not deliver bytes that are inside the file; mmg_info.os_error has the errno, if there is
 *   one
 * @retval MMG_E_POISONED
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds here
 * @retval MMG_E_SYSTEM the descriptor is gone or names another file, because the host has closed it; or the buffer cannot
 *   be written to
 * @par Blocks
 *   On the disk and the file system; during a hand-over.
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_read(mmg_handle handle, uint64_t offset, void *buffer, uint64_t size, uint64_t *got);

/**
 * Find the first occurrence of a byte sequence without copying the region.
 *
 * The search stops within 256 KiB of the first loss that it meets, and reports the loss. The thread asks first whether the
 * fault guard is in place. While it is not in place, because SIGBUS is blocked or another handler is on top, the kernel
 * copies the bytes piece by piece, and no signal is raised. After the search the thread asks for the size of the file, so the
 * call reports a truncation inside a page as well. For this thread and this region both answers hold for at most 8.4 ms and
 * one tick of the kernel's clock, which is 1 to 10 ms. While they hold, a search that ends within 256 KiB makes no system
 * call. The guard watches such a search as it watches the reads of the caller, and mmg_verify() finds what the search has
 * missed.
 *
 * Where hits of two bytes or more are near each other, a call costs at most twice as much as memmem(3). A program that
 * visits single bytes every few bytes pins the range once and calls memchr(3).
 *
 * @param[in] offset  where the range to search starts
 * @param[in] length  bytes in that range; MMG_TO_END: to the end of the region
 * @param[in] needle  `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at `offset`)
 * @param[out] position  receives the offset in the region, or MMG_NOT_FOUND
 * @retval MMG_OK found or not
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_TRUNCATED bytes of the range were lost, before or during the search
 * @retval MMG_E_IO bytes of the range were lost, before or during the search; or fstat(2) failed, as with mmg_check()
 * @retval MMG_E_POISONED bytes of the range were lost, before or during the search
 * @retval MMG_E_UNSTABLE as mmg_read()
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk and the file system; during a hand-over.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_find(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
                    uint64_t *position);

/**
 * Find the last occurrence of a byte sequence. In all other respects the call does what mmg_find() does.
 *
 * @param[in] offset  where the range to search starts
 * @param[in] length  bytes in that range; MMG_TO_END: to the end of the region
 * @param[in] needle  `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at the end of the range)
 * @param[out] position  receives the offset in the region, or MMG_NOT_FOUND
 * @return as mmg_find()
 * @par Blocks and threads
 *   As mmg_find().
 * @since 1.0
 */
mmg_status mmg_find_last(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
                         uint64_t *position);

/**
 * Export `length` bytes at `offset` by the Arrow C Data Interface, without a copy. The result is an array of `uint8` without
 * nulls. Its bytes stay mapped until its release callback is called.
 *
 * The array is the caller's. It may be moved as that interface says, and its last holder releases it once, from any thread,
 * before or after mmg_close(). A release cannot report a loss: lost bytes read as zeros, and mmg_check() reports them while
 * the handle is open. The bytes are read-only. On failure the call writes nothing and pins nothing. mmg_supports() with
 * MMG_FEATURE_ARROW tells whether this library has the call.
 *
 * @param[in] length  bytes; MMG_TO_END: to the end of the region; 0: an empty array, which has a pin like any other
 * @param[out] array  receives the array. The call overwrites what `*array` held before, and does not release it.
 * @param[out] schema  receives the schema, which is released separately; or NULL if the caller knows the type
 * @return as mmg_pin(), and:
 * @retval MMG_E_ARGUMENT also: there is no place for the array
 * @retval MMG_E_NO_MEMORY
 * @par Blocks
 *   During a hand-over.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_export_arrow(mmg_handle handle, uint64_t offset, uint64_t length, struct ArrowArray *array,
                            struct ArrowSchema *schema);

/** @} */

/** @defgroup state_of_a_region State of a region
 * @{ */

/**
 * Tell whether bytes of the region were lost. The call compares the size of the file with the region, so it also finds a
 * truncation inside the last page, whose bytes read as zeros without a fault. After a loss every later call reports it, too.
 *
 * The call asks the file system for the size by fstat(2). When fstat(2) fails, the call records no loss, since the bytes may
 * be there. It returns MMG_E_IO or MMG_E_SYSTEM, and the next call asks again. If a server does not answer, the call waits as
 * long as fstat(2) does, on some file systems without end. mmg_unpin() and mmg_loss_counter() do not wait for a server: the
 * first asks the file system only about a lease, and only local file systems have leases.
 *
 * @retval MMG_OK
 * @retval MMG_E_HANDLE
 * @retval MMG_E_TRUNCATED the cause of the first loss, which is at mmg_info.fault_offset
 * @retval MMG_E_IO the cause of the first loss, which is at mmg_info.fault_offset; or fstat(2) failed, for example because a
 *   server is gone, and mmg_info.fault_cause is MMG_OK
 * @retval MMG_E_POISONED the cause of the first loss, which is at mmg_info.fault_offset
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds from mmg_info.fault_offset on; mmg_info.shortfall says why
 * @retval MMG_E_SYSTEM fstat(2) failed because the host has closed the descriptor, or it names another file now
 * @par Blocks
 *   On the file system, as described above; during a hand-over.
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_check(mmg_handle handle);

/**
 * Tell whether bytes of the region were lost, or the file was written to. The call does what mmg_check() and mmg_changed()
 * do, in one.
 *
 * What you computed from a region holds if mmg_verify reports nothing afterwards. The times of a file set a limit:
 * mmg_verify does not see a write within the same clock tick, a write through a shared mapping that the kernel has not
 * stamped yet, or times that were set back.
 *
 * The call compares size and mtime of the file with those at open. A rename, a link or a change of rights is no change. A
 * STABLE region does not change with its file, and neither does a copy in memory, which is STABLE, too. There the call
 * reports losses, and a copy that may mix two versions, because the file was written to while it was copied. Where STABLE
 * was demanded, no copy mixes versions.
 *
 * @retval MMG_OK
 * @retval MMG_E_CHANGED the file was written to since it was opened, or its size has changed; or it was written to while it
 *   was copied: a file of up to 64 KiB in each of three attempts
 * @retval MMG_E_HANDLE
 * @retval MMG_E_TRUNCATED the cause of the first loss
 * @retval MMG_E_IO the cause of the first loss; or fstat(2) failed, as with mmg_check()
 * @retval MMG_E_POISONED the cause of the first loss
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds
 * @retval MMG_E_SYSTEM the descriptor is gone or names another file; see mmg_info.os_error
 * @par Blocks
 *   On the file system, as mmg_check() and mmg_changed() do; during a hand-over.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_verify(mmg_handle handle);

/**
 * Say in one sentence what mmg_verify() finds: the path, the place of the first loss in the file, and what happened. If the
 * file cannot be asked, and no loss is known, the sentence has the reason, and `error->os_code` the errno.
 *
 * @param[in,out] error  `struct_size` is read, everything else is written
 * @return as mmg_verify(), and:
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_ABI_SIZE
 * @par Blocks and threads
 *   As mmg_verify().
 * @since 1.0
 */
mmg_status mmg_explain(mmg_handle handle, mmg_error *error);

/**
 * Get the address of a counter, so that a loop can notice a loss without a call. The counter is 0 as long as no byte of
 * the region is lost. It grows before the loop can read the first zero of a lost page.
 *
 * A loop that should stop at the first loss reads the counter after each chunk. A program in C reads
 * `*(const volatile uint32_t *)counter`, since a signal handler changes the counter. The counter does not show a truncation
 * inside the last page, and no write to the file. After the kernel has taken a lease by force, the counter grows when a call
 * on the region finds that. So call mmg_verify() at the end.
 *
 * @param[out] counter  receives the address of the counter, which may be read while the region has a pin
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_loss_counter(mmg_handle handle, const uint32_t **counter);

/**
 * Tell whether the file changed on disk since it was opened. The call compares size, mtime and ctime with those at open,
 * and looks up whether the path still names the same inode.
 *
 * The file system decides how fine the times are: fine since Linux 6.13 where it has multigrain timestamps (ext4, xfs,
 * btrfs, tmpfs), and as coarse as a clock tick elsewhere. The call does not see a second change within the same tick. It
 * does not see a write through a mapping of another process before the kernel has stamped it (mmap(2), "Timestamps
 * changes"). A region that was copied from a path has no descriptor any more. So when the path names another inode
 * (MMG_CHANGED_PATH), the call tells nothing about the first one.
 *
 * @param[out] what  receives MMG_CHANGED_... bits; 0: no change
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_UNSUPPORTED the region is a stream, or a copy made from a descriptor
 * @retval MMG_E_IO fstat(2) failed, for example because a server is gone
 * @retval MMG_E_SYSTEM the host has closed the descriptor, or it names another file now
 * @par Blocks
 *   On the file system, which the call asks about the descriptor and about the path.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_changed(mmg_handle handle, uint32_t *what);

/**
 * Describe a region. The call writes only the first `info->struct_size` bytes.
 *
 * @param[in,out] info  `struct_size` is read, everything else is written
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_ABI_SIZE
 * @par Blocks
 *   During a hand-over.
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_info_get(mmg_handle handle, mmg_info *info);

/**
 * Read the counters of the whole process. The call writes only the first `stats->struct_size` bytes. It counts handles and
 * mappings when it is called, which takes about ten milliseconds for a million of them.
 *
 * @param[in,out] stats  `struct_size` is read, everything else is written
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_ABI_SIZE
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_stats_get(mmg_stats *stats);

/**
 * Tell the kernel how a range will be used. The call has no effect on a copy. MMG_ADVICE_DONTNEED and MMG_ADVICE_EVICT have
 * none on a region with a lease, and none on a private mapping that was adopted: pages that are not the file's would be lost.
 *
 * With MMG_ADVICE_EVICT a scan of a file that is larger than memory leaves the cached pages of other files where they are.
 * The scan evicts what lies behind it every few MiB, each time from the start of the region on. No byte is lost, and a later
 * touch reads the page again. The kernel keeps pages that other processes map, that are locked (mlock(2)), or that are dirty;
 * it begins to write the dirty ones, and a later call can drop them. It also keeps pages of which the range holds only a
 * part. Programs that read the file by read(2) lose its pages, too. The advice has no effect on a region that shows a
 * snapshot or a reflink, and none on files that live in memory, such as those of tmpfs.
 *
 * @param[in] length  bytes; MMG_TO_END: to the end
 * @param[in] advice  MMG_ADVICE_...
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_TRUNCATED MMG_ADVICE_POPULATE: bytes of the range are lost
 * @retval MMG_E_IO MMG_ADVICE_POPULATE: the medium does not deliver bytes of the range; MMG_ADVICE_EVICT: fstat(2) failed
 * @retval MMG_E_POISONED MMG_ADVICE_POPULATE: bytes of the range are lost
 * @retval MMG_E_UNSTABLE MMG_ADVICE_POPULATE: STABLE was demanded and no longer holds here
 * @retval MMG_E_UNSUPPORTED MMG_ADVICE_POPULATE: the kernel is older than Linux 5.14; MMG_ADVICE_EVICT: the kernel has no
 *   posix_fadvise(2)
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_SYSTEM MMG_ADVICE_EVICT also: the host has closed the descriptor, or it names another file now
 * @par Blocks
 *   With MMG_ADVICE_POPULATE on the disk and the file system, and during a hand-over; with MMG_ADVICE_WILLNEED while the
 *   kernel queues the reads; with MMG_ADVICE_EVICT on the file system, while the kernel queues the writes of dirty pages.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_advise(mmg_handle handle, uint64_t offset, uint64_t length, uint32_t advice);

/**
 * Tell how much of a range is in memory now (mincore(2)). A copy is always resident.
 *
 * @param[out] bytes  receives how many bytes of the range are resident
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_SYSTEM
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_resident(mmg_handle handle, uint64_t offset, uint64_t length, uint64_t *bytes);

/** @} */

/** @defgroup fault_guard Fault guard
 * @{ */

/**
 * Get the state of the fault guard for the calling thread.
 *
 * @return MMG_GUARD_...
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
int32_t mmg_guard_state(void);

/**
 * Put the fault guard on top of the handlers of SIGBUS. If another handler was installed since the last call, the guard
 * passes foreign faults on to that handler from now on. Every open of a mapping does the same by itself. There is no
 * uninstall, since a handler below another one cannot be removed without breaking that one. The guard can be put on top of
 * 64 different handlers in the life of a process.
 *
 * Affects the whole process: the disposition of SIGBUS.
 *
 * @retval MMG_OK
 * @retval MMG_E_GUARD the system refuses the handler, MMAPGUARD_NO_SIGNAL is set, or there were 64 handlers before
 * @par Blocks
 *   While another thread puts the guard in place, which takes a few system calls.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_guard_install(void);

/**
 * Contain a fault from a handler of the host. A host whose own SIGBUS handler stays on top calls this function first in
 * that handler, with the three arguments of the handler.
 *
 * @param[in] siginfo  the `siginfo_t *` of an SA_SIGINFO handler; may be NULL, and the result is then 0
 * @param[in] ucontext  the `ucontext_t *` of the handler; may be NULL
 * @retval 1 the call has contained the fault; return from the handler
 * @retval 0 the fault is not the library's; go on with your own handling
 * @par Blocks
 *   On the disk and the file system, as the fault itself does; while another thread replaces pages of the same mapping.
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe; preserves errno.
 * @since 1.0
 */
int32_t mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext);

/**
 * Guard the mappings that other code of this process has made or will make. The handler contains a fault behind the end of
 * their file, or one that the medium of the file causes, and writes it to the ledger. The ledger (mmg_losses_get()) is the
 * only place that tells of it. Lost bytes read as zeros.
 *
 * At each fault the handler asks the kernel what is mapped at the address, and acts only on what `scope` and `flags` name.
 * It gives the new pages the protection that their mapping had. Behind the end of the file it replaces the rest of the
 * mapping in one step. Where one page could not be read, it replaces that page. The handler that was there before the guard
 * gets everything else, as it would without the library: faults in executable mappings, in mappings of a file that is
 * executed anywhere in the process, in devices, in memory that is no file, in huge pages (hugetlbfs), and failures of memory
 * files, such as those that userfaultfd(2) raises. If that handler is known to repair its own mappings (OpenJDK, YARA,
 * eina, RPM), it gets each fault first, as with MMG_PROCESS_CHAIN_FIRST. docs/SAFETY.md describes each of these cases.
 *
 * Calls nest: a call with MMG_SCOPE_FILES adds one, and a call with MMG_SCOPE_NONE and the same flags takes one away, from
 * any thread. The process guards the union of all. The call puts the guard on top, as mmg_guard_install() does. A forked
 * child is guarded as its parent is. The guard costs nothing until there is a fault. Without MMG_FEATURE_FOREIGN_QUERY a
 * fault costs a read of the list of all mappings (27 ms for 60 000 of them, measured).
 *
 * Affects the whole process.
 *
 * @param[in] scope  MMG_SCOPE_...
 * @param[in] flags  MMG_PROCESS_... bits, or 0
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT an unknown scope or flag; or MMG_SCOPE_NONE, and no earlier call with these flags is left
 * @retval MMG_E_GUARD the guard cannot be put in place, as with mmg_guard_install()
 * @retval MMG_E_UNSUPPORTED there is no MMG_FEATURE_FOREIGN: the kernel does not say what is mapped (no /proc), or a sandbox
 *   forbids the library to replace pages
 * @par Blocks
 *   As mmg_guard_install().
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_guard_process(uint32_t scope, uint32_t flags);

/** @} */

/** @defgroup ledger Ledger
 * @{ */

/**
 * Read the ledger. It has one record for each loss that was found in this process since it started, in regions, in adopted
 * mappings and in mappings that mmg_guard_process() guards. A region that loses the same bytes again adds no record.
 *
 * The ledger keeps the newest 1024 records. A mark is the number of the last record that a caller has seen. The call stores
 * the records behind the mark `since`, oldest first, as many as there is room for, and stores in `*next` the mark to go on
 * from. `*next - since - *count` records between the two marks are gone, because newer records have overwritten them, or
 * because the entry was in use when they were to be written. So every missing record is counted. With no room (`losses`
 * NULL, `capacity` 0) the call stores 0 in `*count` and the mark of this moment in `*next`. Records behind that mark are
 * news.
 *
 * A forked child has the records that its parent had at the fork.
 *
 * @param[in] since  a mark: 0 for everything, or what an earlier call stored in `*next`
 * @param[in,out] losses  an array, the caller's; may be NULL if `capacity` is 0. The call reads `struct_size` of the first
 *   element, which holds for all, and writes as many elements as `*count` says
 * @param[in] capacity  how many records there is room for
 * @param[out] count  receives how many records were stored
 * @param[out] next  receives the mark of the last record that was stored or is gone
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_RANGE `since` is larger than any mark yet
 * @par Blocks
 *   While another thread writes a record: for microseconds. After about a tenth of a second the call leaves the record out.
 * @par Threads
 *   Safe; a thread that writes a record never waits.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_losses_get(uint64_t since, mmg_loss *losses, uint64_t capacity, uint64_t *count, uint64_t *next);

/** @} */

/** @defgroup vocabulary Vocabulary
 * @{ */

/**
 * Return the name of a status, such as "MMG_E_TRUNCATED", or "MMG_E_UNKNOWN" for any other number. The text is static ASCII,
 * never NULL.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_status_name(mmg_status status);

/**
 * Return what a status means: a short phrase in English without a full stop. The text is static ASCII, never NULL.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_status_message(mmg_status status);

/**
 * Return the word for a value in mmg_info, in mmg_loss, of mmg_changed() or of mmg_guard_state(), such as "lease", so that
 * no binding needs a list of its own.
 *
 * @param[in] vocabulary  MMG_TERM_...
 * @param[in] value  the number
 * @return the word, lower-case, static ASCII, never NULL; "unknown" for a value that the library does not know
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_term(uint32_t vocabulary, uint32_t value);

/**
 * Return the number of the ABI that the library implements: major in the upper, minor in the lower 16 bits. A program works
 * with every library that has the major number of its header (MMG_ABI) and the same or a later minor number.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
uint32_t mmg_abi_version(void);

/**
 * Return the release of the library as a text, such as "1.0.0". The text is static ASCII, never NULL.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_version(void);

/**
 * Tell whether this library has a feature on this system.
 *
 * @param[in] feature  MMG_FEATURE_...; any other number is "no"
 * @return 1 or 0
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
int32_t mmg_supports(uint32_t feature);

/** @} */
/* MMG_CDEF_END */

/* These declarations tell the compiler more about the calls. It warns where a program forgets a status, since the call may
   have failed, and where a program passes a NULL that the call refuses with MMG_E_ARGUMENT. A program that defines
   MMG_NO_ATTRIBUTES gets neither warning. */
#if defined(__GNUC__) && !defined(MMG_NO_ATTRIBUTES)
#define MMG_MUST_CHECK_ __attribute__((__warn_unused_result__))
#define MMG_NONNULL_(...) __attribute__((__nonnull__(__VA_ARGS__)))
MMG_NONNULL_(1) mmg_status mmg_options_init(mmg_options *, uint32_t);
MMG_MUST_CHECK_ MMG_NONNULL_(1, 3) mmg_status mmg_open(const char *, const mmg_options *, mmg_handle *, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(3) mmg_status mmg_open_fd(int32_t, const mmg_options *, mmg_handle *, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(1, 3) mmg_status mmg_load(const char *, const mmg_options *, mmg_handle *, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(3) mmg_status mmg_read_fd(int32_t, const mmg_options *, mmg_handle *, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(1, 5) mmg_status
    mmg_adopt(const void *, uint64_t, int32_t, const mmg_options *, mmg_handle *, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(4) mmg_status mmg_pin(mmg_handle, uint64_t, uint64_t, mmg_span *);
MMG_MUST_CHECK_ MMG_NONNULL_(1) mmg_status mmg_unpin(mmg_span *);
MMG_MUST_CHECK_ MMG_NONNULL_(5) mmg_status mmg_read(mmg_handle, uint64_t, void *, uint64_t, uint64_t *);
MMG_MUST_CHECK_ MMG_NONNULL_(6) mmg_status mmg_find(mmg_handle, uint64_t, uint64_t, const void *, uint64_t, uint64_t *);
MMG_MUST_CHECK_ MMG_NONNULL_(6) mmg_status
    mmg_find_last(mmg_handle, uint64_t, uint64_t, const void *, uint64_t, uint64_t *);
MMG_MUST_CHECK_ MMG_NONNULL_(4) mmg_status
    mmg_export_arrow(mmg_handle, uint64_t, uint64_t, struct ArrowArray *, struct ArrowSchema *);
MMG_MUST_CHECK_ mmg_status mmg_check(mmg_handle);
MMG_MUST_CHECK_ mmg_status mmg_verify(mmg_handle);
MMG_MUST_CHECK_ MMG_NONNULL_(2) mmg_status mmg_changed(mmg_handle, uint32_t *);
MMG_NONNULL_(2) mmg_status mmg_explain(mmg_handle, mmg_error *);
MMG_MUST_CHECK_ MMG_NONNULL_(2) mmg_status mmg_loss_counter(mmg_handle, const uint32_t **);
MMG_NONNULL_(2) mmg_status mmg_info_get(mmg_handle, mmg_info *);
MMG_NONNULL_(1) mmg_status mmg_stats_get(mmg_stats *);
MMG_MUST_CHECK_ mmg_status mmg_guard_install(void);
MMG_MUST_CHECK_ mmg_status mmg_guard_process(uint32_t, uint32_t);
MMG_MUST_CHECK_ MMG_NONNULL_(4, 5) mmg_status mmg_losses_get(uint64_t, mmg_loss *, uint64_t, uint64_t *, uint64_t *);
MMG_NONNULL_(4) mmg_status mmg_resident(mmg_handle, uint64_t, uint64_t, uint64_t *);
#undef MMG_MUST_CHECK_
#undef MMG_NONNULL_
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* MMAPGUARD_H */
