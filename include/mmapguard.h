/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/**
 * @file mmapguard.h
 * Map files for reading and stay alive whatever happens to them.
 *
 * The whole public interface. A caller holds three kinds of thing:
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
 *  - *Handles*: a call returns `MMG_E_HANDLE` for a handle that was never issued, is closed, or was rounded or forged. A
 *    handle of another process is `MMG_E_HANDLE`, too, unless one process was forked from the other. No value of a handle
 *    can crash the process.
 *  - *Outputs*: a call writes them on success only, unless its comment says otherwise.
 *  - *Sizes*: a mapping needs address space, of which a process has 2^47 bytes on x86-64. A larger window is
 *    `MMG_E_LIMIT`, and so is one for which too little address space is left. On a 32-bit system a window of 2^31 bytes
 *    or more is `MMG_E_TOO_BIG`. A copy of more than its cap is `MMG_E_TOO_BIG` everywhere.
 *  - *Threads*: every function may be called from every thread, on the same handle too.
 *  - *Fork*: a child may use and close what it inherited; parent and child do not affect each other's handles. A lock is
 *    held until both have closed. Pins of threads that are not in the child keep their regions mapped there.
 *  - *Signals*: not async-signal-safe unless the comment says "Signal safety: safe".
 *  - *Cancellation*: do not cancel a thread inside a call that blocks (pthread_cancel(3)): what the call holds at that
 *    moment is lost. Likewise do not leave a signal handler that interrupted a call by longjmp(3).
 *  - *Processes* made by _Fork(3) or a raw clone(2) get no preparation: there, only calls that are signal-safe are allowed.
 *  - *Stack*: a call that opens may need 96 KiB, any other less than 32 KiB; so does a contained fault, on the stack of
 *    the thread or its alternate signal stack.
 *  - *Environment*: MMAPGUARD_NO_SIGNAL, MMAPGUARD_LOCK and MMAPGUARD_NO_LEASE are read by the calls that open and by
 *    mmg_guard_state(); do not change the environment from another thread meanwhile (setenv(3)).
 *  - *Ignored*: an option that has no meaning for what is opened is ignored where no comment says otherwise, such as
 *    `access` for a copy, or `stream_wait_ms` for a file.
 *  - *errno* is not part of the interface; its value after a call is unspecified.
 *  - *Since*: 1.0 for everything that names no other version.
 *
 * The part between MMG_CDEF_BEGIN and MMG_CDEF_END contains no preprocessor line, so LuaJIT's ffi.cdef, cffi and
 * other declaration readers can take it as it stands (after `uint8_t`, `int32_t`, `uint32_t`, `uint64_t`).
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

/** As a `length`: everything from `offset` to the end of the region. */
#define MMG_TO_END UINT64_MAX
/** As a cap in bytes: no cap. */
#define MMG_NO_LIMIT UINT64_MAX
/** What mmg_find() stores when the needle does not occur. */
#define MMG_NOT_FOUND UINT64_MAX
/** As `mmg_options.lock_wait_ms`: wait for the lock as long as it takes. */
#define MMG_WAIT_FOREVER UINT32_MAX

/** @{
 * Initialiser: every member its default, `struct_size` as this header knows it. */
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

/** Names a region. 0 is never valid; always below 2^53, so that it survives in a language whose numbers are doubles. */
typedef uint64_t mmg_handle;

/** 0 (`MMG_OK`) or a negative `MMG_E_...`. */
typedef int32_t mmg_status;

/**
 * A zero-copy view of `size` bytes at `data`. Filled by mmg_pin(), ended by mmg_unpin().
 *
 * `data` is never NULL after mmg_pin() or mmg_unpin(), not even when `size` is 0. The bytes are read-only: writing to
 * them is an access violation where they are mapped, and undefined where they are copied. `pin` is the token of the
 * pin, and only mmg_unpin() reads it. A span may be copied, but all copies have one pin: to unpin one copy ends the pin for
 * all of them.
 *
 * The offsets of the members are those of the C compiler. On i386, where a 64-bit member needs an alignment of 4 bytes,
 * `size` is at offset 4; on every other system it is at offset 8.
 */
typedef struct mmg_span {
    const uint8_t *data; /**< the bytes, read-only */
    uint64_t size;       /**< how many */
    uint64_t pin;        /**< token of the pin; 0 when there is none */
} mmg_span;

/**
 * How to open. Set `struct_size` (or use `MMG_OPTIONS_INIT` or mmg_options_init()); 0 is the default everywhere else.
 * A NULL pointer in place of the options means all defaults.
 */
typedef struct mmg_options {
    uint32_t struct_size;        /**< sizeof(mmg_options) as the caller was compiled */
    uint32_t backing;            /**< MMG_BACKING_...: what holds the bytes */
    uint32_t guarantee;          /**< MMG_GUARANTEE_STABLE: nothing less will do. 0 or _CONTAINED: contained, where no
                                      flag and no environment variable switches the guard off */
    uint32_t lock;               /**< MMG_LOCK_...: the advisory lock taken before mapping */
    uint32_t lock_wait_ms;       /**< how long to wait for that lock, in milliseconds; 0: try once */
    uint32_t access;             /**< MMG_ADVICE_NORMAL to _HUGEPAGE: expected pattern of access */
    uint64_t flags;              /**< MMG_FLAG_... bits */
    uint64_t offset;             /**< start of the window in the file; any byte, no alignment asked */
    uint64_t length;             /**< length of the window; MMG_TO_END or 0: to the end of the file */
    uint64_t copy_threshold;     /**< windows up to this many bytes are copied, not mapped; 0: 64 KiB,
                                      and, unless for STABLE, 4 KiB while copies above that size hold more than
                                      256 KiB together and fewer than 256 such files are mapped. */
    uint64_t max_bytes;          /**< cap for anything read into memory; 0: 1 GiB; MMG_NO_LIMIT: none */
    uint64_t max_snapshot_bytes; /**< cap for the copy that STABLE may need; 0: 1 GiB; MMG_NO_LIMIT: none */
    uint32_t max_leases;         /**< take no lease while the process holds so many; 0: 10 000 */
    uint32_t max_lease_wait_ms;  /**< longest that a writer may be kept waiting while the bytes are secured, in
                                      milliseconds; what is not secured then is no longer STABLE. 0: as long as the
                                      kernel allows (/proc/sys/fs/lease-break-time). A stopped process cannot keep to it */
    uint32_t stream_wait_ms;     /**< longest that a stream may take to its end, in milliseconds; then
                                      MMG_E_WOULD_BLOCK. 0: as long as it takes */
    uint32_t reserved;           /**< 0 */
} mmg_options;

/**
 * Details of a failure, filled by the calls that take one. Optional (NULL) and owned by the caller, so nothing here
 * depends on the thread. Set `struct_size` before each call; the call reads nothing else in it. A part that the library does
 * not know becomes zeros. On success the call stores MMG_OK in `status` and clears the rest.
 */
typedef struct mmg_error {
    uint32_t struct_size; /**< sizeof(mmg_error) as the caller was compiled */
    mmg_status status;    /**< the status that the call returned */
    int32_t os_code;      /**< errno as the kernel gave it, or 0 when the library itself refused */
    uint32_t reserved;    /**< 0 */
    uint64_t offset;      /**< where in the file, when the failure has a place; else 0 */
    char operation[24];   /**< what failed, e.g. "open", "flock", "mmap", "options"; NUL-terminated ASCII */
    char message[464];    /**< one sentence for people, naming the path; NUL-terminated UTF-8. Undecodable bytes of a
                               path appear in hexadecimal, and an overlong path is shortened in its middle */
} mmg_error;

/** What is known about one region, filled by mmg_info_get(). */
typedef struct mmg_info {
    uint32_t struct_size;       /**< sizeof(mmg_info) as the caller was compiled */
    uint32_t backing;           /**< MMG_BACKING_MAP, _COPY or _ADOPTED: what holds the bytes */
    uint32_t backing_reason;    /**< MMG_REASON_...: why that one */
    uint32_t guarantee;         /**< MMG_GUARANTEE_...: the guarantee that holds for the bytes */
    uint32_t means;             /**< MMG_MEANS_...: by what it is upheld */
    uint32_t shortfall;         /**< MMG_SHORT_...: why it is not STABLE; 0 when it is */
    uint32_t lock;              /**< MMG_LOCK_...: the lock that is held now */
    mmg_status fault_cause;     /**< of the first loss: MMG_E_TRUNCATED, _IO, _POISONED or _UNSTABLE; MMG_OK: none */
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
    uint64_t fault_offset;      /**< first byte of the region found lost; MMG_TO_END when nothing was */
    uint64_t pins;              /**< pins live now */
    uint64_t mapped_bytes;      /**< address space held for the region, whole pages; 0 for a copy */
    uint64_t heap_bytes;        /**< heap held for the region, its bookkeeping included */
    int32_t lock_error;         /**< errno of a lock that the file system could not give; 0 otherwise */
    int32_t os_error;           /**< errno behind the last MMG_E_SYSTEM or MMG_E_IO that a call on this region returned;
                                     0: none */
    uint64_t page_size;         /**< granularity of loss: a fault takes at least this many bytes; 0 for a copy */
    uint32_t lock_reason;       /**< MMG_LOCKING_...: why there is that lock, or none */
    uint32_t exceptions;        /**< MMG_EXCEPT_... bits: what the means of STABLE does not hold back */
    uint64_t means_order;       /**< the means of STABLE in the order in which they were tried for a file of this kind
                                     and size: MMG_MEANS_..., four bits each, the first in the lowest; 0: not STABLE */
    char file_system[24]; /**< name of the file system at open, such as "ext4"; NUL-terminated ASCII, cut if longer,
                                     empty where it could not be found out */
} mmg_info;

/** Counters of the whole process, filled by mmg_stats_get(). Each is read atomically, not all of them at once. */
typedef struct mmg_stats {
    uint32_t struct_size;     /**< sizeof(mmg_stats) as the caller was compiled */
    int32_t guard_state;      /**< MMG_GUARD_...: what mmg_guard_state() returns */
    uint64_t handles;         /**< open handles */
    uint64_t opened;          /**< regions ever opened */
    uint64_t regions;         /**< regions alive: open handles, and closed ones whose bytes are still pinned */
    uint64_t mappings;        /**< of these, the ones that are mapped */
    uint64_t mapped_bytes;    /**< address space in these mappings */
    uint64_t heap_bytes;      /**< heap in regions */
    uint64_t faults;          /**< signals contained since the process started */
    uint64_t foreign_faults;  /**< SIGBUS signals passed on to the handler that was there before */
    uint64_t retired_slots;   /**< handle slots whose generations are used up */
    uint64_t leases;          /**< leases held now */
    uint64_t leases_breaking; /**< leased files that a writer is waiting for now */
    uint64_t lease_breaks;    /**< how often a writer has broken the leases of a file */
    uint64_t lease_refusals;  /**< STABLE opens that wanted a lease and were refused one */
    uint64_t fallbacks_cap;   /**< regions no longer STABLE because of `max_snapshot_bytes` */
    uint64_t fallbacks_time;  /**< ... because the time for securing them ran out */
    uint64_t fallbacks_space; /**< ... because there was no room for their bytes, on disk or in memory */
    uint64_t fallbacks_read;  /**< ... because their bytes could not be read */
    uint64_t snapshot_bytes;  /**< bytes copied for STABLE, at open and when leases broke */
    uint64_t snapshots;       /**< snapshots taken for STABLE, reflinks included */
    uint64_t writer_wait_ns;  /**< time that writers waited for a lease, as seen from here, in nanoseconds, added up */
    uint64_t writer_wait_max_ns; /**< the longest of these waits */
    uint64_t losses;             /**< records ever written to the ledger; see mmg_losses_get() */
    uint64_t losses_truncated;   /**< of these, the ones with the cause MMG_E_TRUNCATED */
    uint64_t losses_io;          /**< ... MMG_E_IO */
    uint64_t losses_poisoned;    /**< ... MMG_E_POISONED */
    uint64_t losses_unstable;    /**< ... MMG_E_UNSTABLE */
    uint64_t losses_foreign;     /**< of all records, the ones of mappings that have no handle */
} mmg_stats;

/**
 * One record of the ledger: bytes of a mapping that were lost, and found lost; filled by mmg_losses_get(). A record is of
 * one moment and is never changed. Offsets count bytes of the file, not of a region.
 */
typedef struct mmg_loss {
    uint32_t struct_size; /**< sizeof(mmg_loss) as the caller was compiled */
    mmg_status cause;  /**< MMG_E_TRUNCATED, _IO or _POISONED; MMG_E_UNSTABLE: bytes that were to be STABLE changed */
    uint64_t sequence; /**< number of the record: 1, 2, 3, ... since the process started */
    mmg_handle handle; /**< the region that lost the bytes, which may be closed by now; 0: nobody's region */
    uint64_t device;   /**< st_dev of the file, as far as it is known */
    uint64_t inode;    /**< st_ino of the file, as far as it is known */
    uint64_t offset;   /**< first lost byte, counted from the start of the file */
    uint64_t length;   /**< how many bytes of the mapping are lost from there */
    uint64_t address;  /**< where the first lost byte was mapped */
    int64_t time_ns;   /**< when, in nanoseconds of CLOCK_MONOTONIC */
    uint32_t thread;   /**< the thread that found the loss, as gettid(2) numbers threads */
    uint32_t origin;   /**< MMG_ORIGIN_...: who made the mapping */
    char path[432];    /**< path of the file as far as it is known; NUL-terminated, in the encoding of the file system,
                               an overlong one shortened in its middle; empty where it is not known */
} mmg_loss;

/** The array of Arrow's C Data Interface, for mmg_export_arrow(). Declared here, defined by Arrow's header or a copy. */
struct ArrowArray;
/** The schema that goes with it; likewise. */
struct ArrowSchema;

/** @} */

/** @defgroup constants Constants
 * @{ */

/** Status codes. The numbers are frozen; the gaps are for later members of each group. */
enum {
    MMG_OK = 0, /**< success */
    /* the call itself */
    MMG_E_ARGUMENT = -1,  /**< NULL, an unknown flag or value, a contradiction, or a bad descriptor */
    MMG_E_HANDLE = -2,    /**< not a live handle, or not a live pin */
    MMG_E_RANGE = -3,     /**< offset or length outside the region or the file */
    MMG_E_ABI_SIZE = -4,  /**< `struct_size` is no size this struct ever had or could have */
    MMG_E_ABI_NEWER = -5, /**< the options are newer than the library and use what the library does not know */
    /* opening */
    MMG_E_NOT_FOUND = -20,    /**< no such file, or a dangling link */
    MMG_E_PERMISSION = -21,   /**< not allowed to read it */
    MMG_E_EMPTY = -22,        /**< empty, and MMG_FLAG_REJECT_EMPTY was given */
    MMG_E_NOT_MAPPABLE = -23, /**< a directory, a socket or something else without bytes to map */
    MMG_E_WOULD_BLOCK = -24,  /**< a lock is held elsewhere, or a FIFO has no writer */
    MMG_E_TOO_BIG = -25,      /**< over a cap, or over what the address space can hold */
    MMG_E_LIMIT = -26,        /**< out of descriptors, of mappings (vm.max_map_count) or of address space */
    MMG_E_NO_MEMORY = -27,    /**< out of memory */
    MMG_E_UNSTABLE = -28,     /**< STABLE was demanded and cannot be had */
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
    MMG_BACKING_MAP = 1,    /**< a mapping of the file, or an error */
    MMG_BACKING_COPY = 2,   /**< a private copy in memory, within `max_bytes` */
    MMG_BACKING_ADOPTED = 3 /**< a mapping that somebody else has made; see mmg_adopt(). No option */
};

/** `mmg_info.backing_reason`. */
enum {
    MMG_REASON_ASKED = 0,         /**< the caller asked for this backing */
    MMG_REASON_SMALL = 1,         /**< copied: at most the copy threshold */
    MMG_REASON_LARGE = 2,         /**< mapped: above the copy threshold */
    MMG_REASON_EMPTY = 3,         /**< nothing to hold */
    MMG_REASON_STREAM = 4,        /**< copied: a pipe, socket, terminal or other stream */
    MMG_REASON_VIRTUAL = 5,       /**< copied: the size that the file system reports is not that of the contents */
    MMG_REASON_MAP_REFUSED = 6,   /**< copied: the file system refused both kinds of mapping */
    MMG_REASON_MAP_PRIVATE = 7,   /**< mapped MAP_PRIVATE: the file system refused MAP_SHARED */
    MMG_REASON_STABLE = 8,        /**< STABLE was demanded and this is what upholds it */
    MMG_REASON_NO_GUARD = 9,      /**< copied: the fault guard could not be put in place */
    MMG_REASON_BLOCK_DEVICE = 10, /**< mapped: a block device */
    MMG_REASON_NO_ROOM = 11       /**< copied: the process had no mapping or no address space left */
};

/** `mmg_options.guarantee` and `mmg_info.guarantee`. A larger number promises more. */
enum {
    MMG_GUARANTEE_NONE = 0,      /**< a mapping without the fault guard, as asked by flag or environment. As an option:
                                      nothing beyond the default is demanded */
    MMG_GUARANTEE_CONTAINED = 1, /**< nothing that happens to the file kills the process; losses are reported */
    MMG_GUARANTEE_STABLE = 2     /**< the bytes do not change and do not vanish while the handle or a pin lives */
};

/** `mmg_info.means`. */
enum {
    MMG_MEANS_NONE = 0,             /**< nothing upholds anything */
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
    MMG_SHORT_GUARD_OFF = 2,   /**< even the fault guard is off: MMG_FLAG_NO_FAULT_GUARD */
    MMG_SHORT_ENVIRONMENT = 3, /**< even the fault guard is off: MMAPGUARD_NO_SIGNAL in the environment */
    MMG_SHORT_CAP = 4,         /**< a lease broke, and the window is larger than `max_snapshot_bytes` */
    MMG_SHORT_TIME = 5,        /**< a lease broke, and the kernel's time ran out (/proc/sys/fs/lease-break-time) */
    MMG_SHORT_SPACE = 6,       /**< a lease broke, and there was no room for the bytes, on disk or in memory */
    MMG_SHORT_READ = 7,        /**< a lease broke, and the bytes could not be read */
    MMG_SHORT_FORKED = 8,      /**< the lease is the parent process's */
    MMG_SHORT_LOST = 9,        /**< bytes were lost all the same; see `fault_cause` */
    MMG_SHORT_DISPLACED = 10,  /**< another handler is on top of the fault guard; see mmg_guard_install() */
    MMG_SHORT_BLOCKED = 11     /**< SIGBUS is blocked in the calling thread */
};

/** `mmg_options.lock` and `mmg_info.lock`. */
enum {
    MMG_LOCK_AUTO = 0,   /**< MMG_LOCK_SHARED where a lock is advisory, local and cannot hang; elsewhere none. An option
                              only */
    MMG_LOCK_SHARED = 1, /**< flock(2) LOCK_SH: meets every user of flock, and the mmap-guard crate */
    MMG_LOCK_OFD = 2,    /**< fcntl(2) F_OFD_SETLK read lock over the whole file: meets users of POSIX locks */
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
    MMG_LOCKING_NOT_OURS = 7 /**< none: the descriptor could not be opened anew, and its lock would be the caller's */
};

/** Bits of `mmg_info.exceptions`. MMG_FLAG_NO_LEASE avoids both. */
enum {
    MMG_EXCEPT_READ_ONLY_TRUNCATION = 1, /**< open(2) with O_RDONLY and O_TRUNC empties a leased file without breaking
                                              the lease: reported as MMG_E_TRUNCATED, not held back */
    MMG_EXCEPT_PINNED_PAGES = 2          /**< stores into pages of the file that another process or device had pinned
                                              before the lease (direct I/O in flight, RDMA): neither held back nor seen */
};

/** Bits of `mmg_options.flags`. */
enum {
    MMG_FLAG_REJECT_EMPTY = 1,   /**< an empty file is MMG_E_EMPTY */
    MMG_FLAG_NOFOLLOW = 2,       /**< a symbolic link as the last component is MMG_E_NOT_MAPPABLE (O_NOFOLLOW) */
    MMG_FLAG_NO_FAULT_GUARD = 4, /**< install no signal handler for this region; the guarantee becomes NONE */
    MMG_FLAG_POPULATE = 8,       /**< read the whole mapping in at open (MAP_POPULATE) */
    MMG_FLAG_FIFO_WAIT = 16,     /**< wait for a writer when opening a FIFO, instead of MMG_E_WOULD_BLOCK */
    MMG_FLAG_REQUIRE_LOCK = 32, /**< no lock is an error, not an unlocked region; with MMG_LOCK_AUTO, lock everywhere */
    MMG_FLAG_NO_LEASE = 64,     /**< take no lease: no writer is ever delayed or refused, at the price of a copy. Also
                                      for all regions by MMAPGUARD_NO_LEASE in the environment */
    MMG_FLAG_REGULAR_ONLY = 128,  /**< anything but a regular file is MMG_E_NOT_MAPPABLE, so that no FIFO and no device
                                      can make the call wait */
    MMG_FLAG_NO_WRITERS = 256,    /**< a file that is open for writing anywhere at this moment is MMG_E_WOULD_BLOCK, and
                                      MMG_E_UNSUPPORTED where the kernel does not tell: a file of another user, or a
                                      file system without leases. Who opens it later is not kept out */
    MMG_FLAG_REQUIRE_GUARD = 512, /**< where the guard cannot watch, also because of MMAPGUARD_NO_SIGNAL, a mapping is
                                      MMG_E_GUARD and not one without a guarantee */
    MMG_FLAG_SHARED_WRITABLE = 1024 /**< mmg_adopt() takes shared mappings that can be written to as well: what is
                                      stored into a page that was replaced goes nowhere */
};

/** `mmg_options.access` (up to HUGEPAGE) and the advice of mmg_advise(); see madvise(2). */
enum {
    MMG_ADVICE_NORMAL = 0,     /**< nothing in particular */
    MMG_ADVICE_SEQUENTIAL = 1, /**< read ahead more, drop behind */
    MMG_ADVICE_RANDOM = 2,     /**< do not read ahead */
    MMG_ADVICE_WILLNEED = 3,   /**< start reading in now, do not wait */
    MMG_ADVICE_HUGEPAGE = 4,   /**< use huge pages where the kernel can; ignored where it cannot */
    MMG_ADVICE_DONTNEED = 5,   /**< drop the pages from this process; they are read again when touched */
    MMG_ADVICE_POPULATE = 6    /**< read in now and wait; what cannot be read is a status, not a signal */
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
    MMG_GUARD_NONE = 0, /**< not installed: nothing needed it yet */
    MMG_GUARD_TOP = 1,  /**< installed, and the first to see a SIGBUS */
    MMG_GUARD_DISPLACED =
        2,                 /**< installed, but another handler was put on top since; it may or may not pass faults on */
    MMG_GUARD_REFUSED = 3, /**< the system refuses the handler, as a sandbox may, or there were too many handlers */
    MMG_GUARD_BLOCKED = 4, /**< on top, but SIGBUS is blocked in the calling thread: a fault here kills the process */
    MMG_GUARD_DISABLED = 5 /**< MMAPGUARD_NO_SIGNAL is set in the environment */
};

/** What mmg_guard_process() guards. */
enum {
    MMG_SCOPE_NONE = 0, /**< ends one earlier call */
    MMG_SCOPE_FILES = 1 /**< mappings of regular files, private ones and those shared ones that cannot be written to,
                             unless they are executable or part of a program or a library */
};

/** Bits of the flags of mmg_guard_process(). */
enum {
    MMG_PROCESS_SHARED_WRITABLE = 1, /**< shared mappings that can be written to as well: what is stored into a page
                                          that was replaced goes nowhere */
    MMG_PROCESS_CHAIN_FIRST = 2      /**< a fault goes to the handler that was there before first, for a host whose
                                          handler repairs its own mappings. The guard acts when the fault is still
                                          there once that handler has returned */
};

/** `mmg_loss.origin`. */
enum {
    MMG_ORIGIN_OWN = 0,     /**< the library: a region that was opened */
    MMG_ORIGIN_ADOPTED = 1, /**< somebody else, who had the mapping adopted */
    MMG_ORIGIN_FOREIGN = 2  /**< somebody else in this process: mmg_guard_process() */
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
    MMG_FEATURE_FOREIGN_QUERY = 8   /**< ... by one call for one mapping (PROCMAP_QUERY, Linux 6.11); without it by
                                         reading the list of all mappings at each fault */
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
 * @param[out] options  where; at least `struct_size` bytes, all of them written
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
 * A regular file up to the copy threshold is copied into memory (faster than mapping it, and immune to whatever
 * happens to the file); a larger one, or a block device, is mapped under the advisory lock. FIFOs, terminals and
 * files of /proc and /sys are read to their end, up to `max_bytes`. An empty file is a region of size 0.
 *
 * The first mapping that needs it installs the process-wide SIGBUS handler, which acts on faults in this library's
 * mappings only and passes everything else to the handler that was there (see docs/SAFETY.md). Every
 * later mapping puts it back on top if another handler was installed since. It is not installed when
 * MMG_FLAG_NO_FAULT_GUARD or the environment variable MMAPGUARD_NO_SIGNAL (not empty, not "0") says so; a program that
 * runs with more rights than its caller (set-user-ID) does not obey the variable.
 *
 * With MMG_GUARANTEE_STABLE the library takes the cheapest means that keeps the bytes as they are (mmg_info.means).
 * A means may be a lease, which is not free for others: whoever opens the file for writing waits, in open(2) or
 * truncate(2), while the bytes are secured; whoever does so with O_NONBLOCK (coreutils' truncate, tar --overwrite, dd
 * oflag=nonblock) fails with EAGAIN; and while this process is stopped, a writer waits for the kernel to take the lease
 * away (45 s by default). MMG_FLAG_NO_LEASE, or the environment variable MMAPGUARD_NO_LEASE (not empty, not "0"), keeps
 * leases out. The first lease starts a thread of the library's own, with all signals blocked, which ends 100 ms after
 * the last.
 *
 * The environment variable MMAPGUARD_LOCK ("none", "auto" or "shared") replaces MMG_LOCK_AUTO; whoever asks for a lock
 * by name gets that.
 *
 * @param[in] path  NUL-terminated, in the encoding of the file system. A relative path is resolved against the
 *   current directory now, and again whenever mmg_changed() looks the path up.
 * @param[in] options  how, or NULL for the defaults
 * @param[out] handle  receives the handle, which the caller must give to mmg_close(); 0 on failure
 * @param[in,out] error  receives the details, or NULL
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also for a path of PATH_MAX bytes or more
 * @retval MMG_E_ABI_SIZE `options` or `error`
 * @retval MMG_E_ABI_NEWER `options`
 * @retval MMG_E_RANGE window outside the file
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
 * @retval MMG_E_UNSUPPORTED a lock was required and the file system has none
 * @retval MMG_E_GUARD MAP was asked, or MMG_FLAG_REQUIRE_GUARD given, and the guard is refused
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk; on a lock for `lock_wait_ms`; on a stream until its end.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_open(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Open the file behind a descriptor. The descriptor stays the caller's: the call does not close it, does not move its
 * position, and does not lock it.
 *
 * The library opens a regular file a second time, by its path in /proc/thread-self/fd, and so gets a descriptor of its own,
 * with a position and a lock of its own. A lock that the caller holds on `fd` then counts as a lock of another program: the
 * call returns MMG_E_WOULD_BLOCK if that lock is exclusive. Pass MMG_LOCK_NONE to rely on your own lock. Where the library
 * cannot open the file a second time (/proc is not mounted, or the process may not open the file itself), it duplicates
 * `fd` and takes no lock, since a duplicate shares its lock with the caller. A stream is read from its position on.
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
 * Like mmg_open(), except that the path "-", exactly, is standard input, read as by mmg_read_fd(). A file of that name
 * is "./-".
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
 * `max_bytes` bytes, the call returns MMG_E_TOO_BIG and keeps none of them. It resumes interrupted reads, and waits for a
 * non-blocking descriptor. With a window it first skips `offset` bytes, and then reads `length` bytes.
 *
 * @param[in] fd  an open descriptor
 * @param[in] options  as for mmg_open()
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also: not an open descriptor
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_ABI_NEWER
 * @retval MMG_E_RANGE ended before the window did
 * @retval MMG_E_PERMISSION open for writing only
 * @retval MMG_E_EMPTY
 * @retval MMG_E_NOT_MAPPABLE a directory
 * @retval MMG_E_TOO_BIG
 * @retval MMG_E_LIMIT
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_IO
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   Until the end of the stream.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_read_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error);

/**
 * Take a mapping that somebody else has made as a region: of a C program, a numpy.memmap, a database. The handle is like any
 * other, with the same calls. Nothing is mapped anew, and nothing moves.
 *
 * The caller promises that the range stays mapped until the handle is closed and its pins are gone. The library never
 * unmaps it. When a page is lost, zeros take its place, with the protection that the page had. The handler asks the
 * kernel before it does so, and leaves alone what is no longer the file. The kernel has no call that compares and replaces
 * in one step: an owner that breaks the promise at the very moment of a fault may lose pages of what it maps there instead.
 *
 * The file is found by itself and opened by its path, or is given as a descriptor, which is duplicated: for a file that has
 * no path any more, or that this process may not open. What of the range lies behind the end of the file is left out
 * (mmg_info.size). Without a lock by name in the options no lock is taken. Bytes that the owner of a private mapping has
 * written are part of the region as they are when they are read.
 *
 * With MMG_GUARANTEE_STABLE the means are those of mmg_open(), put in place: a lease, and over the pages a snapshot when it
 * breaks, or a reflink or a snapshot at once, over all pages that the range touches, so that the owner reads the same
 * bytes. A copy in memory is no means, since it lies elsewhere.
 *
 * @param[in] data  `size` bytes, at any alignment, which may lie in several neighbouring mappings of the same file
 * @param[in] size  how many bytes, at least 1
 * @param[in] fd  a descriptor of the file, which stays the caller's; -1: none
 * @param[in] options  as for mmg_open(), or NULL. `offset`, `length` and `backing` must be 0
 * @param[out] handle  as for mmg_open()
 * @param[in,out] error  as for mmg_open()
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT also: NULL, or a descriptor that is not open
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_ABI_NEWER
 * @retval MMG_E_RANGE the range is empty, or a part of it is not mapped
 * @retval MMG_E_NOT_MAPPABLE memory that is no file, a device, several files, huge pages, an executable mapping, a file
 *   that is executed anywhere in the process, a shared writable mapping without MMG_FLAG_SHARED_WRITABLE, or a descriptor
 *   of another file
 * @retval MMG_E_NOT_FOUND the path of the file is gone; give a descriptor
 * @retval MMG_E_PERMISSION the file may not be opened; give a descriptor
 * @retval MMG_E_TRUNCATED the file ends before the range begins
 * @retval MMG_E_WOULD_BLOCK
 * @retval MMG_E_LIMIT
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_UNSTABLE STABLE cannot be put in place: the owner can write to the mapping, or every means failed
 * @retval MMG_E_IO
 * @retval MMG_E_UNSUPPORTED the kernel does not tell what is mapped (no MMG_FEATURE_FOREIGN)
 * @retval MMG_E_GUARD
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk; on a lock for `lock_wait_ms`.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_adopt(const void *data, uint64_t size, int32_t fd, const mmg_options *options, mmg_handle *handle,
                     mmg_error *error);

/**
 * Close a handle. The handle is invalid at once, in every thread. The bytes, the descriptor and the lock live until the
 * last pin has ended, or end with this call if there is no pin.
 *
 * @param[in] flags  MMG_CLOSE_... bits, or 0. With MMG_CLOSE_STRICT the call refuses while pins live, and leaves the
 *   handle as it is.
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT flags
 * @retval MMG_E_HANDLE also: already closed
 * @retval MMG_E_BUSY strict only
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
 * The pointer may be used from any thread, until the pin ends. What you computed from a region holds if mmg_verify reports
 * nothing afterwards. mmg_unpin() reports losses only: a file that was rewritten in place, or cut and grown again between
 * two reads, loses nothing. A long scan that should stop at the first loss pins, scans and unpins chunk by chunk, or looks
 * at mmg_loss_counter().
 *
 * @param[in] length  bytes; MMG_TO_END: to the end of the region; 0: an empty span, which pins all the same
 * @param[out] span  receives the view, which the caller must give to mmg_unpin(). What it held before is overwritten, not
 *   unpinned.
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_NO_MEMORY very many pins at once
 * @retval MMG_E_TRUNCATED a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_IO a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_POISONED a byte of this range is already known to be lost; nothing is pinned
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds here; nothing is pinned
 * @par Threads
 *   Safe, lock-free.
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
 * @retval MMG_E_UNSTABLE bytes inside it may have changed, although STABLE was demanded; with all of these the pin
 *   is ended all the same
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @par Threads
 *   Safe, lock-free; the last unpin of a closed region unmaps.
 * @par Signal safety
 *   Safe as long as the handle is open.
 * @since 1.0
 */
mmg_status mmg_unpin(mmg_span *span);

/**
 * Copy bytes out of the region. Where the region is mapped, the kernel copies them, so a lost byte is a short count and a
 * status, and never a signal.
 *
 * @param[in] offset  where in the region; its size is allowed and reads nothing
 * @param[out] buffer  at least `size` bytes, the caller's; may be NULL if `size` is 0
 * @param[out] got  receives the bytes copied, also when MMG_E_TRUNCATED, MMG_E_IO or MMG_E_POISONED is returned;
 *   fewer than `size` with MMG_OK means the end of the region
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE `offset` beyond the region
 * @retval MMG_E_TRUNCATED the file ends before the region does
 * @retval MMG_E_IO the medium does not deliver bytes that are inside the file; whatever errno its server answers is in
 *   mmg_info.os_error
 * @retval MMG_E_POISONED
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds here
 * @retval MMG_E_SYSTEM the descriptor is gone or names another file, because the host has closed it; or the buffer cannot
 *   be written to
 * @par Blocks
 *   On the disk.
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
 * The search stops within 256 KiB of the first loss that it meets, and tells of it. A thread that has not searched the
 * region within the last 10 ms asks first whether the fault guard is in place. While it is not, because SIGBUS is blocked
 * or another handler is on top, the kernel copies the bytes piecewise, and no signal is raised. After the search the thread
 * asks for the size of the file, so a truncation inside a page is told as well. Within the next 10 ms, a search that ends
 * within 256 KiB makes no system call: it is guarded as the caller's own reads are, and mmg_verify() tells what it missed.
 *
 * @param[in] offset,length  the range to search; MMG_TO_END as length: to the end
 * @param[in] needle  `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at `offset`)
 * @param[out] position  receives the offset in the region, or MMG_NOT_FOUND
 * @retval MMG_OK found or not
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_TRUNCATED bytes of the range were lost, before or during the search
 * @retval MMG_E_IO bytes of the range were lost, before or during the search
 * @retval MMG_E_POISONED bytes of the range were lost, before or during the search
 * @retval MMG_E_UNSTABLE as mmg_read()
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_find(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
                    uint64_t *position);

/**
 * Find the last occurrence of a byte sequence, otherwise as mmg_find().
 *
 * @param[in] offset,length  the range to search; MMG_TO_END as length: to the end
 * @param[in] needle  `needle_size` bytes, the caller's; may be NULL if `needle_size` is 0 (found at the end of the range)
 * @param[out] position  receives the offset in the region, or MMG_NOT_FOUND
 * @return as mmg_find()
 * @par Blocks
 *   On the disk.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_find_last(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
                         uint64_t *position);

/**
 * Hand `length` bytes at `offset` over by the Arrow C Data Interface, without a copy: as an array of `uint8` without
 * nulls, whose bytes stay mapped until its release callback is called.
 *
 * The array is the caller's, to be moved and released as that interface says: by whoever holds it last, once, from any
 * thread, before or after mmg_close(). A release cannot report a loss: bytes that are lost in the meantime read as zeros,
 * and mmg_check() reports them as long as the handle is open. The bytes are read-only. On failure the call writes nothing
 * and pins nothing. mmg_supports() with MMG_FEATURE_ARROW tells whether this library has the call.
 *
 * @param[in] length  bytes; MMG_TO_END: to the end of the region; 0: an empty array, which pins all the same
 * @param[out] array  receives the array. What it held before is overwritten, not released.
 * @param[out] schema  receives the schema, released separately; or NULL where the type is known
 * @return as mmg_pin(), and:
 * @retval MMG_E_ARGUMENT no place for the array
 * @retval MMG_E_NO_MEMORY
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
 * The size is asked of the file system by fstat(2). When that fails, nothing is recorded: the bytes may be there, the call
 * says that it cannot tell, and the next call asks again. A server that does not answer lets the call wait for as long as
 * fstat(2) does, on some file systems without end. mmg_unpin() and mmg_loss_counter() ask nobody, and never wait.
 *
 * @retval MMG_OK
 * @retval MMG_E_HANDLE
 * @retval MMG_E_TRUNCATED the cause of the first loss (where: mmg_info.fault_offset)
 * @retval MMG_E_IO the cause of the first loss (where: mmg_info.fault_offset); or fstat failed (mmg_info.fault_cause is
 *   MMG_OK then), as when a server is gone
 * @retval MMG_E_POISONED the cause of the first loss (where: mmg_info.fault_offset)
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds (from where: mmg_info.fault_offset; why:
 *   mmg_info.shortfall)
 * @retval MMG_E_SYSTEM fstat failed because the descriptor is gone or names another file: the host has closed it
 * @par Blocks
 *   On the file system, as told above.
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_check(mmg_handle handle);

/**
 * Tell whether bytes of the region were lost, or the file was written to. This is mmg_check() and mmg_changed() in one.
 *
 * What you computed from a region holds if mmg_verify reports nothing afterwards. The times of a file set a limit:
 * mmg_verify does not see a write within the same clock tick, a write through a shared mapping that the kernel has not
 * stamped yet, or times that were set back.
 *
 * The call compares size and mtime of the file with those at open. A rename, a link or a change of rights is no change. A
 * region that is STABLE, which includes every copy in memory, does not change with its file, so there the call reports
 * losses only.
 *
 * @retval MMG_OK
 * @retval MMG_E_CHANGED the file was written to, or is longer than it was
 * @retval MMG_E_HANDLE
 * @retval MMG_E_TRUNCATED the cause of the first loss
 * @retval MMG_E_IO the cause of the first loss
 * @retval MMG_E_POISONED the cause of the first loss
 * @retval MMG_E_UNSTABLE STABLE was demanded and no longer holds
 * @retval MMG_E_SYSTEM the file cannot be asked; see mmg_info.os_error
 * @par Blocks
 *   On the disk.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_verify(mmg_handle handle);

/**
 * Say in a sentence what mmg_verify() finds: the path, the place of the first loss in the file, and what happened.
 *
 * @param[in,out] error  `struct_size` is read, everything else is written
 * @return as mmg_verify(), and:
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_ABI_SIZE
 * @par Blocks
 *   On the disk.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_explain(mmg_handle handle, mmg_error *error);

/**
 * Get the address of a counter, so that a loop can notice a loss without a call. The counter is 0 as long as no byte of
 * the region is lost. It grows before the loop can read the first zero of a lost page.
 *
 * A loop that should stop at the first loss reads the counter after each chunk; in C as
 * `*(const volatile uint32_t *)counter`, since a signal handler changes it. The counter does not show a truncation inside
 * the last page, nor a file that was written to. So call mmg_verify() at the end.
 *
 * @param[out] counter  receives the place of the counter, which may be read while the region has a pin
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
 * The times have the resolution that the file system gives them: fine-grained since Linux 6.13 on file systems with
 * multigrain timestamps (ext4, xfs, btrfs, tmpfs), a clock tick before. A change within the same tick is then not
 * seen; nor is a write through another process's mapping until the kernel has stamped it (mmap(2), "Timestamps
 * changes"). A region copied from a path has no descriptor any more: when the path names another inode
 * (MMG_CHANGED_PATH), nothing is known of the first one.
 *
 * @param[out] what  receives MMG_CHANGED_... bits; 0: no change
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_UNSUPPORTED a stream, or a copy made from a descriptor
 * @retval MMG_E_IO fstat failed, as when a server is gone
 * @retval MMG_E_SYSTEM the descriptor is gone or names another file: the host has closed it
 * @par Blocks
 *   On the disk.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_changed(mmg_handle handle, uint32_t *what);

/**
 * Describe a region. Only the first `info->struct_size` bytes are written.
 *
 * @param[in,out] info  `struct_size` is read, everything else is written
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_ABI_SIZE
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_info_get(mmg_handle handle, mmg_info *info);

/**
 * Counters of the whole process. Only the first `stats->struct_size` bytes are written. Handles and mappings are
 * counted when this is called, and not as they come and go: about ten milliseconds for a million of them.
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
 * Tell the kernel how a range will be used. Has no effect on a copy.
 *
 * @param[in] length  bytes; MMG_TO_END: to the end
 * @param[in] advice  MMG_ADVICE_...
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_HANDLE
 * @retval MMG_E_RANGE
 * @retval MMG_E_TRUNCATED POPULATE: could not be read in
 * @retval MMG_E_IO POPULATE: could not be read in
 * @retval MMG_E_UNSUPPORTED POPULATE: needs Linux 5.14
 * @retval MMG_E_NO_MEMORY
 * @retval MMG_E_SYSTEM
 * @par Blocks
 *   On the disk with POPULATE.
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_advise(mmg_handle handle, uint64_t offset, uint64_t length, uint32_t advice);

/**
 * How much of a range is in memory now (mincore(2)). A copy is always resident.
 *
 * @param[out] bytes  receives the resident bytes of the range
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
 * Put the SIGBUS handler on top, or back on top when another was installed since; that one then becomes the handler
 * to which foreign faults are passed. Every open of a mapping does this by itself. There is no uninstall, since a handler
 * below another cannot be removed without breaking that one. The guard can be put on top of 64 different handlers in the
 * life of a process.
 *
 * Affects the whole process: the disposition of SIGBUS.
 *
 * @retval MMG_OK
 * @retval MMG_E_GUARD refused by the system, MMAPGUARD_NO_SIGNAL is set, or there were 64 handlers before
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_guard_install(void);

/**
 * Contain a fault from a handler of the host. A host whose own SIGBUS handler stays on top calls this function first in
 * that handler, with the three arguments of the handler.
 *
 * @param[in] siginfo,ucontext  the `siginfo_t *` and `ucontext_t *` of an SA_SIGINFO handler
 * @retval 1 a fault in a region, contained; return from the handler
 * @retval 0 not ours, go on with your own handling
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe; preserves errno.
 * @since 1.0
 */
int32_t mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext);

/**
 * Guard the mappings that other code of this process makes, from now on and whoever makes them: a fault behind the end of
 * their file, or one that its medium causes, is contained and written to the ledger (mmg_losses_get()), which is the only
 * place where it is told. Lost bytes read as zeros.
 *
 * At each fault the handler asks the kernel what is mapped at the address, and acts on what `scope` and `flags` name
 * only. Pages are replaced with the protection that their mapping had: the rest of the mapping in one step behind the end
 * of the file, one page where a page could not be read. Everything else goes to the handler that was there before, as
 * without the library: executable mappings, mappings of a file that is executed anywhere in the process, devices, memory
 * that is no file, huge pages (hugetlbfs), and failures of memory files, such as those that userfaultfd(2) raises. Where
 * that handler is known to repair its own mappings (OpenJDK, YARA, eina, RPM), a fault goes there first, as with
 * MMG_PROCESS_CHAIN_FIRST. See docs/SAFETY.md for each of them.
 *
 * Calls nest: each with MMG_SCOPE_FILES adds one, each with MMG_SCOPE_NONE and the same flags takes one away, from any
 * thread. What is guarded is the union of all. The call puts the guard on top, as mmg_guard_install(). A forked child is
 * guarded as its parent is. Nothing costs anything until there is a fault; without MMG_FEATURE_FOREIGN_QUERY a fault costs
 * a read of the list of all mappings (27 ms for 60 000 of them, measured).
 *
 * Affects the whole process.
 *
 * @param[in] scope  MMG_SCOPE_...
 * @param[in] flags  MMG_PROCESS_... bits, or 0
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT an unknown scope or flag; or MMG_SCOPE_NONE with flags that no earlier call is left of
 * @retval MMG_E_GUARD the guard cannot be put in place, as with mmg_guard_install()
 * @retval MMG_E_UNSUPPORTED the kernel does not say what is mapped (no /proc), or a sandbox forbids to replace pages: no
 *   MMG_FEATURE_FOREIGN
 * @par Threads
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_guard_process(uint32_t scope, uint32_t flags);

/** @} */

/** @defgroup ledger Ledger
 * @{ */

/**
 * Read the ledger: one record for each loss that was found in this process since it started, in regions, in adopted
 * mappings and in those that mmg_guard_process() guards. A region that loses the same bytes again adds no record.
 *
 * The newest 1024 records are kept. A mark is a number of records: that of the last record one has seen. The records
 * behind the mark `since` are stored, oldest first, as many as there is room for, and `*next` is the mark to go on
 * from. `*next - since - *count` records between the two marks are gone, because newer ones have overwritten them (or
 * could not wait for them to be read): none is missing uncounted. With no room (`losses` NULL, `capacity` 0) the call
 * stores 0 and the mark of this moment, at which everything that comes later is news.
 *
 * The records of a parent process are those of a forked child as well, up to the fork.
 *
 * @param[in] since  a mark: 0 for everything, or what an earlier call stored in `*next`
 * @param[in,out] losses  an array, the caller's; may be NULL if `capacity` is 0. `struct_size` of the first one is read
 *   and holds for all; as many as `*count` says are written
 * @param[in] capacity  how many records there is room for
 * @param[out] count  receives how many records were stored
 * @param[out] next  receives the mark behind the last of them
 * @retval MMG_OK
 * @retval MMG_E_ARGUMENT
 * @retval MMG_E_ABI_SIZE
 * @retval MMG_E_RANGE `since` is larger than any mark yet
 * @par Blocks
 *   For as long as another thread needs to write a record down: microseconds, a tenth of a second at most.
 * @par Threads
 *   Safe, lock-free for those who write records.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
mmg_status mmg_losses_get(uint64_t since, mmg_loss *losses, uint64_t capacity, uint64_t *count, uint64_t *next);

/** @} */

/** @defgroup vocabulary Vocabulary
 * @{ */

/**
 * The name of a status, such as "MMG_E_TRUNCATED"; "MMG_E_UNKNOWN" for a number that is none. Static ASCII, never NULL.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_status_name(mmg_status status);

/**
 * What a status means, a short phrase in English without a full stop. Static ASCII, never NULL.
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_status_message(mmg_status status);

/**
 * The word for a value in mmg_info, in mmg_changed() or of mmg_guard_state(), such as "lease", so that no binding keeps
 * a list of its own.
 *
 * @param[in] vocabulary  MMG_TERM_...
 * @param[in] value  the number
 * @return lower-case, static ASCII, never NULL; "unknown" for what the library does not know
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
const char *mmg_term(uint32_t vocabulary, uint32_t value);

/**
 * The ABI that the library implements: major in the upper, minor in the lower 16 bits. A program works with every
 * library of the same major and the same or a later minor than its header (MMG_ABI).
 *
 * @par Threads
 *   Safe.
 * @par Signal safety
 *   Safe.
 * @since 1.0
 */
uint32_t mmg_abi_version(void);

/**
 * The release as a string, such as "1.0.0". Static ASCII, never NULL.
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

/* What the compiler is told of the calls beyond their types. A call whose status is forgotten has failed unnoticed. A NULL
   where none is allowed is MMG_E_ARGUMENT, and never right. MMG_NO_ATTRIBUTES leaves both out. */
#if defined(__GNUC__) && !defined(MMG_NO_ATTRIBUTES)
#define MMG_MUST_CHECK_ __attribute__((__warn_unused_result__))
#define MMG_NONNULL_(...) __attribute__((__nonnull__(__VA_ARGS__)))
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
