/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registry of mappings, and what each of them has lost. Written by regions, read by the signal handler: look-ups
 * and records are lock-free and allocation-free, and an entry in use by a handler is not taken away from it.
 */
#ifndef MMGI_GUARD_REGISTRY_H
#define MMGI_GUARD_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    int fd;
    bool is_device; /* a block device: fstat(2) does not tell its size */
};

/** The losses of a mapping, as far as they are known. */
struct losses {
    uint64_t faults;
    uint64_t first_offset; /* in the region; MMG_TO_END: none */
    mmg_status cause;      /* of the first; MMG_OK: none */
};

/** Register a mapping. Returns its number, or 0 when there is no memory. */
uint32_t mmgi_registry_add(const struct registration *registration);

/** Take a mapping out. Returns once no handler works on it any more; it may then be unmapped. */
void mmgi_registry_remove(uint32_t number);

/** Copy the registration in force at an address and hold it against removal. Returns its number, or 0. Signal-safe. */
uint32_t mmgi_registry_hold(const void *address, struct registration *registration);

/** As mmgi_registry_hold(), by number, for walks over all mappings: 1 ... mmgi_registry_limit(). False if there is none. */
bool mmgi_registry_hold_number(uint32_t number, struct registration *registration);
uint32_t mmgi_registry_limit(void);

/** How many mappings there are, and the address space in them. Looks at each: for statistics. */
void mmgi_registry_count(uint64_t *mappings, uint64_t *bytes);

/** End a hold. Signal-safe. */
void mmgi_registry_let_go(uint32_t number);

/** Record that `length` bytes of the region at `offset` are lost. Before they are replaced, so that nobody reads zeros
 *  unwarned. Signal-safe. */
void mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause);

/** The mapping shows another file from now on: the one to ask when a page of it cannot be delivered. */
void mmgi_registry_retarget(uint32_t number, int fd);

/** The first bytes of the mapping are no longer the file's: no truncation takes them. */
void mmgi_registry_secure(uint32_t number, size_t bytes);

/** Count a contained signal. Signal-safe. */
void mmgi_registry_count_fault(uint32_t number);

extern _Atomic bool mmgi_registry_has_losses __attribute__((visibility("hidden")));

/** Has any mapping of this process ever lost anything? Until then the questions below need no look. */
static inline bool
registry_may_have_losses(void)
{
    /* Acquire: whoever saw a zero of a lost page comes after its recording. */
    return atomic_load_explicit(&mmgi_registry_has_losses, memory_order_acquire);
}

/** The answers to the two below once there are losses. */
mmg_status mmgi_registry_search_losses(uint32_t number, uint64_t offset, uint64_t length);
mmg_status mmgi_registry_search_losses_at(uint32_t number, const void *data, uint64_t length);

/**
 * The cause of a loss within [offset, offset + length) of a region, or MMG_OK. 0, for a copy, and numbers of removed
 * mappings are harmless.
 */
static inline mmg_status
registry_loss_within(uint32_t number, uint64_t offset, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses(number, offset, length);
}

/** The same for a range of addresses, whatever they are. */
static inline mmg_status
registry_loss_at(uint32_t number, const void *data, uint64_t length)
{
    if (number == 0 || !registry_may_have_losses())
        return MMG_OK;
    return mmgi_registry_search_losses_at(number, data, length);
}

/** All losses of a mapping. */
void mmgi_registry_losses(uint32_t number, struct losses *losses);

/** In the child of a fork: no handler is at work any more. */
void mmgi_registry_after_fork(void);

#endif
