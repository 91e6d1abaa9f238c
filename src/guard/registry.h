/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registry of mappings, and of what each mapping has lost. Regions add and remove mappings; the signal handler looks them
 * up and records losses, without a lock and without allocation. A mapping is not removed while a handler uses its entry.
 */
#ifndef MMGI_GUARD_REGISTRY_H
#define MMGI_GUARD_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard/vouch.h"
#include "mmapguard.h"

/** The owner of a mapping, for the records of the ledger. The struct must not move while the mapping is registered. */
struct mapping_owner {
    const char *path;          /* NULL: opened by descriptor */
    _Atomic mmg_handle handle; /* 0: not issued yet */
};

/** What is special about a mapping; bits. */
#define MAPPING_IS_DEVICE 1u     /* the file is a block device, whose status does not have its size */
#define MAPPING_IS_STACKED 2u    /* overlay: the descriptor may lead to another file than the mapping */
#define MAPPING_IS_ADOPTED 4u    /* other code made the mapping, and may unmap it although it must not */
#define MAPPING_HAS_FLOCK 8u     /* the region holds a lock of kind MMG_LOCK_SHARED */
#define MAPPING_HAS_OFD_LOCK 16u /* the region holds a lock of kind MMG_LOCK_OFD */

/** What the guard must know about a mapping. */
struct registration {
    unsigned char *start; /* page-aligned */
    size_t length;        /* whole pages */
    size_t page;          /* page size of the mapping */
    size_t secured;       /* number of bytes at `start` that no longer come from the file */
    size_t lead;          /* bytes between `start` and the region */
    uint64_t size;        /* size of the region */
    uint64_t file_offset; /* offset of `start` in the file */
    int fd;               /* descriptor of the file; -1 for a file that no process can cut */
    uint32_t traits;      /* MAPPING_... bits */
    /* The identity of the file. It is compared, since a host may close the descriptor and get its number again for another
       file. With the inode 0 nothing is compared. */
    uint64_t device, inode;
    int64_t changed; /* its status change time at open, in nanoseconds since 1970; mmgi_registry_hold() leaves it out */
    const struct mapping_owner *owner;
};

/** The known losses of a mapping. */
struct losses {
    uint64_t faults;
    uint64_t first_offset; /* first lost byte of the region; MMG_TO_END when there is none */
    mmg_status cause;      /* cause of the first loss; MMG_OK when there is none */
};

/** Registers a mapping. Returns its number, or 0 when there is no memory. Not async-signal-safe. */
uint32_t mmgi_registry_add(const struct registration *registration);

/** Removes a mapping. Sleeps until no handler uses the mapping any more; afterwards it may be unmapped. */
void mmgi_registry_remove(uint32_t number);

/**
 * Holds the mapping at an address, so that it cannot be removed, and copies its registration. Returns its number, or 0
 * when there is no mapping. The caller must block all signals first, so that no handler can leave this thread with the
 * mapping held. Async-signal-safe. The time does not grow with the number of mappings, unless there is no mapping at
 * the address.
 */
uint32_t mmgi_registry_hold(const void *address, struct registration *registration);

/**
 * Does the same for the mapping with the lowest number above `after` that is not `except`. So a caller finds all mappings at an
 * address: an adopted mapping can share its addresses with others. The time grows with the number of mappings.
 */
uint32_t mmgi_registry_hold_after(uint32_t after, uint32_t except, const void *address,
                                  struct registration *registration);

/** Does the same as mmgi_registry_hold(), by number, for a walk from 1 to mmgi_registry_limit(). Returns false when there is
 * no mapping of that number. */
bool mmgi_registry_hold_number(uint32_t number, struct registration *registration);

/** Returns the highest number that a mapping ever had. Async-signal-safe. */
uint32_t mmgi_registry_limit(void);

/** Ends a hold. Async-signal-safe. */
void mmgi_registry_let_go(uint32_t number);

/** Counts the mappings and their address space, for statistics. Looks at each mapping. Async-signal-safe. */
void mmgi_registry_count(uint64_t *mappings, uint64_t *bytes);

/**
 * Records that `length` bytes of the region at `offset` are lost. The caller replaces the pages afterwards, so that no reader
 * sees a zero without a record. Async-signal-safe.
 */
void mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause);

/** Bytes of a file that are about to be replaced at their addresses. */
struct lost_range {
    uintptr_t from, to;
    uint64_t inode;  /* of the file */
    uint64_t offset; /* offset of `from` in the file */
};

/** Returns true when a mapping is adopted, which can share its addresses with another mapping. Async-signal-safe. */
bool mmgi_registry_has_adopted(void);

/**
 * Records a loss in every mapping that shows these bytes at these addresses, except the mapping with the number `except`. An
 * adopted mapping can be a part of a foreign mapping or of another region, so the call looks at each mapping. The caller
 * replaces the pages afterwards. Async-signal-safe. The caller must block all signals first.
 */
void mmgi_registry_lose_everywhere(const struct lost_range *lost, uint32_t except, mmg_status cause);

/** Says that the mapping shows another file from now on. The guard asks that file when a page cannot be delivered. */
void mmgi_registry_retarget(uint32_t number, int fd);

/** Returns true when a descriptor names the file of a mapping. Async-signal-safe. */
bool mmgi_registry_names(uint32_t number, int fd);

/** Says that the first `bytes` bytes of the mapping no longer come from the file, so that no truncation can take them. */
void mmgi_registry_secure(uint32_t number, size_t bytes);

/**
 * Keep fault handlers away from a mapping while its pages are replaced. The first call returns when no handler uses the
 * mapping; later handlers wait for the second call. Between the two calls the calling thread must not touch the mapping.
 */
void mmgi_registry_freeze(uint32_t number);
void mmgi_registry_thaw(uint32_t number);

/** Returns the moment up to which a mapping is vouched for (vouch.h). Async-signal-safe. */
struct vouch *mmgi_registry_vouch_of(uint32_t number);

/** Makes every question about the mapping look at its entry from now on. Async-signal-safe. */
void mmgi_registry_have_looked_at(uint32_t number);

/** Counts a contained signal. Async-signal-safe. */
void mmgi_registry_count_fault(uint32_t number);

/** What the handler remembers of a mapping from one fault to the next. Any thread may write any member. */
struct repairs {
    _Atomic size_t tail; /* all pages from this offset to the end of the mapping are zeros by now */
    /* The last run of pages that was given up inside the file: offsets in the mapping, and the length of the run. */
    _Atomic size_t run_start, run_end, run_length;
    _Atomic int64_t judged; /* change time of the file when a failed page could not be read again, or at the start */
};

/** Returns the repairs of a mapping that the caller holds. */
struct repairs *mmgi_registry_repairs(uint32_t number);

/** The number of mappings that have lost bytes or need a voucher. registry_may_have_losses() reads this number. */
extern _Atomic uint32_t mmgi_registry_lossy __attribute__((visibility("hidden")));

/** Returns true when any registered mapping may have lost bytes. When it returns false, the functions below have no work. */
static inline bool
registry_may_have_losses(void)
{
    /* Acquire: a thread that saw a zero of a lost page also sees its record. */
    return atomic_load_explicit(&mmgi_registry_lossy, memory_order_acquire) != 0;
}

/** Do the work of the two functions below once there are losses. */
mmg_status mmgi_registry_search_losses(uint32_t number, uint64_t offset, uint64_t length);
mmg_status mmgi_registry_search_losses_at(uint32_t number, const void *data, uint64_t length);

/**
 * Returns the cause of a loss within [offset, offset + length) of a region, or MMG_OK. The number of a copy is 0, and the
 * answer for it is MMG_OK. The answer for a mapping that was removed means nothing, but the call is safe.
 * Async-signal-safe.
 */
static inline mmg_status
registry_loss_within(uint32_t number, uint64_t offset, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses(number, offset, length);
}

/** Does the same for a range of addresses. Any address may be given. Async-signal-safe. */
static inline mmg_status
registry_loss_at(uint32_t number, const void *data, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses_at(number, data, length);
}

/**
 * Returns a counter that grows before a reader can see the first zero of a loss. The counter is that of this mapping until
 * the mapping is removed. The result is never NULL, and the counter is never unmapped.
 */
const uint32_t *mmgi_registry_loss_counter(uint32_t number);

/** Fills `losses` with the known losses of a mapping. Async-signal-safe. */
void mmgi_registry_losses(uint32_t number, struct losses *losses);

/** Ends all holds, in the child of a fork, where no handler runs. */
void mmgi_registry_after_fork(void);

#endif
