/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the registry keeps of a mapping. Only registry.c, which lets mappings come and go, and registry_losses.c, which
 * records what they lose, include this file.
 */
#ifndef MMGI_GUARD_REGISTRY_ENTRY_H
#define MMGI_GUARD_REGISTRY_ENTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/table.h"
#include "guard/loss_map.h"
#include "guard/registry.h"

struct range {
    _Atomic uintptr_t start; /* 0: no mapping */
    _Atomic uintptr_t end;
    _Atomic uint32_t next;
};

struct entry {
    _Atomic uint32_t holders; /* their number, and the bit below */
    _Atomic uint32_t next;    /* unused: entries come and go with their ranges */
    _Atomic int fd;
    _Atomic uint32_t is_device;
    _Atomic uint32_t is_stacked;
    _Atomic uint32_t frozen; /* its pages are being replaced, by the process with this fork_mark() */
    _Atomic uint64_t page;
    _Atomic uint64_t lead;
    _Atomic uint64_t secured;
    _Atomic uint64_t size;
    _Atomic uint64_t file_offset;
    _Atomic uint64_t device;
    _Atomic uint64_t inode;
    _Atomic int64_t changed;
    _Atomic uint64_t faults;
    _Atomic uint32_t is_lossy;   /* counted in mmgi_registry_lossy */
    _Atomic uint32_t loss_count; /* of records; what mmg_loss_counter() shows */
    struct repairs repairs;
    struct vouch vouch;
    struct loss_map lost;
};

/* In `holders`: somebody sleeps until the last hold ends. */
#define IS_AWAITED (UINT32_C(1) << 31)

/** The tables of the registry. The declarations say hidden as well, so that look-ups address them directly. */
extern struct table mmgi_registry_ranges __attribute__((visibility("hidden")));
extern struct table mmgi_registry_entries __attribute__((visibility("hidden")));

/** Returns the address range of a mapping. Numbers start at 1, so that 0 is free to say "none". */
static inline struct range *
range_of(uint32_t number)
{
    return table_at(&mmgi_registry_ranges, sizeof(struct range), number - 1);
}

/** Returns everything else of a mapping, or NULL when no mapping ever had that number. */
static inline struct entry *
entry_of(uint32_t number)
{
    return table_at(&mmgi_registry_entries, sizeof(struct entry), number - 1);
}

/** The same for a number that the registry has handed out. */
static inline struct entry *
known_entry(uint32_t number)
{
    struct entry *entry = entry_of(number);

    if (entry == NULL)
        __builtin_unreachable(); /* entries are never unmapped */
    return entry;
}

#endif
