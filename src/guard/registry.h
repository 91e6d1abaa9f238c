/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registry of mappings, and what each of them has lost. Regions write to it, the signal handler reads it: look-ups
 * and records are lock-free and allocation-free, and an entry that a handler uses is not taken away from it.
 */
#ifndef MMGI_GUARD_REGISTRY_H
#define MMGI_GUARD_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard/vouch.h"
#include "mmapguard.h"

/** What the guard must know of a mapping. */
struct registration {
    unsigned char *start; /* page-aligned */
    size_t length;        /* whole pages */
    size_t page;          /* page size of the mapping */
    size_t secured;       /* bytes at `start` that are no longer the file's */
    size_t lead;          /* bytes between `start` and the region */
    uint64_t size;        /* of the region */
    uint64_t file_offset; /* of `start` */
    int fd;               /* -1: a file that nobody can cut */
    bool is_device;       /* a block device: its status does not tell its size */
    bool
        is_stacked; /* the file may have been exchanged since: only the mapping itself tells whether its pages are there */
    /* The file behind the descriptor: a host may close the descriptor and get the number for another file. 0 as inode:
       not compared. */
    uint64_t device, inode;
    int64_t changed; /* its status change time at open, in nanoseconds since 1970 */
};

/** The losses of a mapping, as far as they are known. */
struct losses {
    uint64_t faults;
    uint64_t first_offset; /* in the region; MMG_TO_END: none */
    mmg_status cause;      /* of the first; MMG_OK: none */
};

/** Registers a mapping. Returns its number, or 0 when there is no memory. Not async-signal-safe. */
uint32_t mmgi_registry_add(const struct registration *registration);

/** Takes a mapping out. Sleeps until no handler works on it any more; it may then be unmapped. */
void mmgi_registry_remove(uint32_t number);

/**
 * Holds the mapping at an address against removal, and copies its registration. Returns its number; 0: there is none.
 * The caller blocks all signals first, so that no handler can leave this thread with the mapping held.
 * Async-signal-safe. The time does not grow with the number of mappings, unless there is no mapping at the address.
 */
uint32_t mmgi_registry_hold(const void *address, struct registration *registration);

/** As mmgi_registry_hold(), by number, for a walk from 1 to mmgi_registry_limit(). Returns false when there is none. */
bool mmgi_registry_hold_number(uint32_t number, struct registration *registration);

/** The highest number so far. Async-signal-safe. */
uint32_t mmgi_registry_limit(void);

/** Ends a hold. Async-signal-safe. */
void mmgi_registry_let_go(uint32_t number);

/** Counts the mappings and the address space in them. Looks at each one: for statistics. Async-signal-safe. */
void mmgi_registry_count(uint64_t *mappings, uint64_t *bytes);

/**
 * Records that `length` bytes of the region at `offset` are lost. The pages are replaced afterwards, so that nobody reads
 * zeros unwarned. Async-signal-safe.
 */
void mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause);

/** The mapping shows another file from now on: the one to ask when a page of it cannot be delivered. */
void mmgi_registry_retarget(uint32_t number, int fd);

/** The first bytes of the mapping are no longer the file's: no truncation takes them. */
void mmgi_registry_secure(uint32_t number, size_t bytes);

/**
 * Keeps fault handlers away from a mapping while its pages are replaced: the first call returns when no handler is at work,
 * and those that come wait for the second. Between the two the calling thread must not touch the mapping.
 */
void mmgi_registry_freeze(uint32_t number);
void mmgi_registry_thaw(uint32_t number);

/** The moment up to which a mapping is vouched for. Async-signal-safe. */
struct vouch *mmgi_registry_vouch_of(uint32_t number);

/** Has every question about a mapping look at its entry from now on. Async-signal-safe. */
void mmgi_registry_have_looked_at(uint32_t number);

/** Counts a contained signal. Async-signal-safe. */
void mmgi_registry_count_fault(uint32_t number);

/** What the handler keeps in mind of a mapping from one fault to the next. Any thread may write any of it. */
struct repairs {
    _Atomic size_t tail; /* the mapping has been replaced with zeros from here to its end */
    /* The last pages that were given up inside the file, as offsets in the mapping, and how many they were. */
    _Atomic size_t run_start, run_end, run_length;
    _Atomic int64_t judged; /* the file's change time when a failing page was last tried again */
};

/** The repairs of a mapping that the caller holds. */
struct repairs *mmgi_registry_repairs(uint32_t number);

/** How many mappings have lost something, or need somebody to vouch for them; for the call below. */
extern _Atomic uint32_t mmgi_registry_lossy __attribute__((visibility("hidden")));

/** Returns true when a mapping that is registered now may have lost something. If not, the calls below need no look. */
static inline bool
registry_may_have_losses(void)
{
    /* Acquire: whoever saw a zero of a lost page comes after its recording. */
    return atomic_load_explicit(&mmgi_registry_lossy, memory_order_acquire) != 0;
}

/** The answers of the two calls below once there are losses. */
mmg_status mmgi_registry_search_losses(uint32_t number, uint64_t offset, uint64_t length);
mmg_status mmgi_registry_search_losses_at(uint32_t number, const void *data, uint64_t length);

/**
 * The cause of a loss within [offset, offset + length) of a region, or MMG_OK. The number 0, which a copy has, and
 * numbers of removed mappings are harmless. Async-signal-safe.
 */
static inline mmg_status
registry_loss_within(uint32_t number, uint64_t offset, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses(number, offset, length);
}

/** The same for a range of addresses, whatever they are. Async-signal-safe. */
static inline mmg_status
registry_loss_at(uint32_t number, const void *data, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses_at(number, data, length);
}

/**
 * Returns a counter that grows before a reader can see the first zero of a loss. Never NULL. It counts for this mapping
 * until the mapping is removed, and is never unmapped.
 */
const uint32_t *mmgi_registry_loss_counter(uint32_t number);

/** Describes all losses of a mapping. Async-signal-safe. */
void mmgi_registry_losses(uint32_t number, struct losses *losses);

/** In the child of a fork, where no handler is at work: ends all holds. */
void mmgi_registry_after_fork(void);

#endif
