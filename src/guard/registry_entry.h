/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the registry stores about a mapping. Only two files include this one: registry.c, which adds and removes mappings, and
 * registry_losses.c, which records what they lose.
 */
#ifndef MMGI_GUARD_REGISTRY_ENTRY_H
#define MMGI_GUARD_REGISTRY_ENTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/table.h"
#include "guard/loss_map.h"
#include "guard/registry.h"

struct range {
    _Atomic uintptr_t start; /* 0 when there is no mapping */
    _Atomic uintptr_t end;
    _Atomic uint32_t next;
};

struct entry {
    _Atomic uint32_t holders; /* the number of holds, and the bit IS_AWAITED */
    _Atomic uint32_t
        next; /* the link of the free list, unused here: an entry is taken and given back together with its range */
    _Atomic int fd;
    _Atomic uint32_t traits; /* MAPPING_... bits */
    _Atomic uint32_t frozen; /* the fork_mark() of the process that is replacing its pages; 0 when none is */
    _Atomic uint64_t page;
    _Atomic uint64_t lead;
    _Atomic uint64_t secured;
    _Atomic uint64_t size;
    _Atomic uint64_t file_offset;
    _Atomic uint64_t device;
    _Atomic uint64_t inode;
    _Atomic(const struct mapping_owner *) owner;
    _Atomic uint64_t faults;
    _Atomic uint32_t is_lossy;   /* not 0 when mmgi_registry_lossy counts this entry */
    _Atomic uint32_t loss_count; /* number of records; mmg_loss_counter() shows it */
    struct repairs repairs;
    struct vouch vouch;
    struct loss_map lost;
};

/* A bit of `holders`: a thread sleeps until the last hold ends. */
#define IS_AWAITED (UINT32_C(1) << 31)

/** The tables of the registry. The declarations have the attribute, too, so that look-ups address them directly. */
extern struct table mmgi_registry_ranges __attribute__((visibility("hidden")));
extern struct table mmgi_registry_entries __attribute__((visibility("hidden")));

/** Returns the address range of a mapping. Numbers start at 1, so that 0 is free to say "none". */
static inline struct range *
range_of(uint32_t number)
{
    return table_at(&mmgi_registry_ranges, sizeof(struct range), number - 1);
}

/** Returns the entry of a mapping, or NULL when no mapping ever had that number. */
static inline struct entry *
entry_of(uint32_t number)
{
    return table_at(&mmgi_registry_entries, sizeof(struct entry), number - 1);
}

/** Returns the entry for a number that the registry has handed out. */
static inline struct entry *
known_entry(uint32_t number)
{
    return table_known(&mmgi_registry_entries, sizeof(struct entry), number - 1);
}

#endif
