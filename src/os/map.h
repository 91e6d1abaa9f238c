/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for address space: every call that maps, unmaps or advises. No other file of the library maps. Unless a
 * comment says otherwise, a call returns 0 or an errno, is not async-signal-safe, and does not block.
 */
#ifndef MMGI_OS_MAP_H
#define MMGI_OS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The address that was proposed for a mapping. Only the platform uses the members. */
struct addr_hint {
    uintptr_t start;   /* an address that suits the mapping; 0: none is known */
    uintptr_t ceiling; /* the end of the free space around that address; 0 when it need not be remembered */
};

/** Whole pages of a file, mapped read-only. */
struct mapping {
    unsigned char *base;
    size_t length; /* a multiple of the page size of this mapping */
    size_t page;   /* its page size: that of the system, or of hugetlbfs */
    struct addr_hint hint;
    bool is_private;
    bool is_adopted;    /* other code has made the mapping, and will unmap it */
    bool is_sequential; /* the mapping is made for one scan, so MMG_ADVICE_SEQUENTIAL reads far ahead */
};

/** Returns the page size of the system. Async-signal-safe. */
size_t mmgi_map_page_size(void);

/**
 * Maps `length` bytes of a file from `offset`, both multiples of `page`, for reading. A file system that refuses a
 * shared mapping gets a private one. With `populate` the call reads every page in, and blocks for as long as that
 * takes.
 */
int mmgi_map_file(int fd, uint64_t offset, size_t length, size_t page, bool populate, struct mapping *mapping);

/**
 * Says that the process has many mappings. The next small mapping lies beside others, so that they share pages of the page
 * table, and is not placed where it takes fewer faults. Async-signal-safe.
 */
void mmgi_map_pack_closely(void);

/** Returns true when an errno of mmgi_map_file() means that the file system does not map files. */
bool mmgi_map_is_refusal(int os_code);

/** Unmaps a mapping of mmgi_map_file(). No thread may use its addresses any more. */
void mmgi_map_release(const struct mapping *mapping);

/**
 * Replaces lost pages by pages of zeros, with the access that the lost pages had (MAP_ACCESS_... of map_query.h). Returns 0;
 * ENOMEM when the process has no mapping or no address space left; EAGAIN when the process locks its memory and may not
 * lock more. Async-signal-safe. Does not block.
 */
int mmgi_map_replace_with_zeros(unsigned char *start, size_t length, unsigned access);

/**
 * Waits until the calls of other threads that change mappings, and are under way, have ended. One system call, which changes
 * nothing. Async-signal-safe.
 */
void mmgi_map_await_changes(void);

/** Unlocks pages that mlockall(2) has locked. Async-signal-safe. Does not block. */
void mmgi_map_unlock(unsigned char *start, size_t length);

/**
 * Spare pages. The first call returns `count` pages of zeros side by side, each of which is a mapping of its own, or NULL when
 * there is no room. The second call returns one such page. The third call gives one page back, so that the process may make
 * one more mapping. The fourth call moves one page onto a lost page, which takes no address space. All but the first call are
 * async-signal-safe.
 */
unsigned char *mmgi_map_spares(size_t count);
unsigned char *mmgi_map_spare_again(void);
void mmgi_map_spare_release(unsigned char *spare);
int mmgi_map_spare_move(unsigned char *spare, unsigned char *lost, unsigned access);

/**
 * Returns true when this process may replace pages, which a sandbox may forbid. The call tries it on memory of its own.
 */
bool mmgi_map_can_replace(void);

/**
 * Map another file, or memory of mmgi_map_shared_memory(), over the first `length` bytes of a mapping, in one system call.
 * Addresses stay valid, and a reader sees the old pages or the new ones. File and memory stay the caller's; the memory is
 * read-only from now on. Return 0 or an errno.
 */
int mmgi_map_replace_with_file(const struct mapping *mapping, size_t length, int fd, uint64_t offset);
int mmgi_map_replace_with_memory(const struct mapping *mapping, size_t length, unsigned char *memory);

/**
 * Lets the kernel copy bytes out of a mapping. The kernel stops where a touch would raise a signal. The call stores how many
 * bytes were copied. It returns 0; EFAULT when the kernel stopped; another errno where the kernel or a sandbox does not
 * allow the system call (ENOSYS, EPERM). Async-signal-safe. May block on the disk.
 */
int mmgi_map_copy_out(const unsigned char *from, void *to, size_t size, size_t *copied);

/** Returns true when a byte of a mapping can be read without a signal. Async-signal-safe. May block on the disk. */
bool mmgi_map_is_readable(const unsigned char *address);

/** Makes memory of mmgi_map_memory() zeros in forked children. Returns 0, or EINVAL before Linux 4.14. */
int mmgi_map_wipe_on_fork(unsigned char *memory, size_t length);

/** Does the same as mmgi_map_memory() for memory that can be mapped at several addresses at once. */
unsigned char *mmgi_map_shared_memory(size_t length, size_t *rounded);

/** Returns writable memory of whole pages of zeros, and its length; NULL when there is none. Async-signal-safe. */
unsigned char *mmgi_map_memory(size_t length, size_t *rounded);
void mmgi_map_memory_release(unsigned char *memory, size_t length);

/**
 * Gives the kernel advice about a range: MMG_ADVICE_... The range is widened to whole pages. MMG_ADVICE_POPULATE reads
 * the pages in and blocks meanwhile.
 */
int mmgi_map_advise(const struct mapping *mapping, const unsigned char *start, size_t length, uint32_t advice);

/** Stores how many bytes of a range are in memory. */
int mmgi_map_resident(const struct mapping *mapping, const unsigned char *start, size_t length, uint64_t *resident);

#endif
