/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Entries live in a table, are never unmapped, and are found by a scan over their address ranges, which stand apart
 * from the rest so that a scan over 60 000 mappings stays within a megabyte. A holder announces itself in `holders`
 * and looks at the range again; a remover clears the range and then waits for the holders. Both sides are
 * sequentially consistent, so one of them sees the other.
 */
#include "guard/registry.h"

#include <stdatomic.h>

#include "guard/loss_map.h"
#include "base/table.h"
#include "os/thread.h"

struct range {
    _Atomic uintptr_t start; /* 0: no mapping */
    _Atomic uintptr_t end;
    _Atomic uint32_t next;
};

struct entry {
    _Atomic uint32_t holders;
    _Atomic uint32_t next; /* unused: entries come and go with their ranges */
    _Atomic int fd;
    _Atomic uint32_t is_device;
    _Atomic uint64_t page;
    _Atomic uint64_t lead;
    _Atomic uint64_t secured;
    _Atomic uint64_t size;
    _Atomic uint64_t file_offset;
    _Atomic uint64_t faults;
    struct loss_map lost;
};

static struct table ranges, entries;
static const struct table_shape range_shape = {sizeof(struct range), offsetof(struct range, next)};
static const struct table_shape entry_shape = {sizeof(struct entry), offsetof(struct entry, next)};

_Atomic bool mmgi_registry_has_losses;

/* Numbers start at 1, so that 0 is free to say "none". */
static struct range *
range_of(uint32_t number)
{
    return table_at(&ranges, sizeof(struct range), number - 1);
}

static struct entry *
entry_of(uint32_t number)
{
    return table_at(&entries, sizeof(struct entry), number - 1);
}

uint32_t
mmgi_registry_add(const struct registration *r)
{
    uint32_t index = mmgi_table_take(&ranges, &range_shape);

    if (index == TABLE_NONE)
        return 0;
    if (!mmgi_table_reserve(&entries, &entry_shape, index)) {
        mmgi_table_give(&ranges, &range_shape, index);
        return 0;
    }
    struct entry *entry = table_at(&entries, sizeof(struct entry), index);
    struct range *range = table_at(&ranges, sizeof(struct range), index);
    /* Relaxed: published by the start of the range, below. */
    atomic_store_explicit(&entry->fd, r->fd, memory_order_relaxed);
    atomic_store_explicit(&entry->is_device, r->is_device, memory_order_relaxed);
    atomic_store_explicit(&entry->page, r->page, memory_order_relaxed);
    atomic_store_explicit(&entry->lead, r->lead, memory_order_relaxed);
    atomic_store_explicit(&entry->secured, r->secured, memory_order_relaxed);
    atomic_store_explicit(&entry->size, r->size, memory_order_relaxed);
    atomic_store_explicit(&entry->file_offset, r->file_offset, memory_order_relaxed);
    atomic_store_explicit(&entry->faults, 0, memory_order_relaxed);
    mmgi_loss_map_clear(&entry->lost);
    /* Addresses as numbers, since they are compared with whatever address a fault has. */
    atomic_store_explicit(&range->end, (uintptr_t)r->start + r->length, memory_order_relaxed);
    atomic_store_explicit(&range->start, (uintptr_t)r->start, memory_order_release);
    return index + 1;
}

void
mmgi_registry_remove(uint32_t number)
{
    struct range *range = range_of(number);
    struct entry *entry = entry_of(number);

    atomic_store(&range->start, 0);
    /* A handler is a few system calls long, and only a read without a pin can cause one here: the wait is short or
       none. */
    while (atomic_load(&entry->holders) != 0)
        mmgi_thread_yield();
    atomic_store_explicit(&range->end, 0, memory_order_relaxed); /* whoever holds an entry has seen its start first */
    mmgi_table_give(&ranges, &range_shape, number - 1);
}

/* Hold an entry if it still covers `address`; 0 as address: whatever it covers. */
static bool
entry_hold(uint32_t number, uintptr_t address, struct registration *r)
{
    struct range *range = range_of(number);
    struct entry *entry = entry_of(number);

    atomic_fetch_add(&entry->holders, 1);
    uintptr_t start = atomic_load(&range->start);
    uintptr_t end = atomic_load(&range->end);
    if (start == 0 || (address != 0 && (address < start || address >= end))) {
        atomic_fetch_sub(&entry->holders, 1);
        return false;
    }
    *r = (struct registration){
        .start = (unsigned char *)start, /* the number was made from this pointer */
        .length = end - start,
        .page = (size_t)atomic_load_explicit(&entry->page, memory_order_relaxed),
        .secured = (size_t)atomic_load_explicit(&entry->secured, memory_order_relaxed),
        .lead = (size_t)atomic_load_explicit(&entry->lead, memory_order_relaxed),
        .size = atomic_load_explicit(&entry->size, memory_order_relaxed),
        .file_offset = atomic_load_explicit(&entry->file_offset, memory_order_relaxed),
        .fd = atomic_load_explicit(&entry->fd, memory_order_relaxed),
        .is_device = atomic_load_explicit(&entry->is_device, memory_order_relaxed) != 0,
    };
    return true;
}

void
mmgi_registry_count(uint64_t *mappings, uint64_t *bytes)
{
    uint32_t limit = mmgi_registry_limit();

    *mappings = 0;
    *bytes = 0;
    for (uint32_t number = 1; number <= limit; number++) {
        struct range *range = range_of(number);
        uintptr_t start = atomic_load_explicit(&range->start, memory_order_acquire);
        uintptr_t end = atomic_load_explicit(&range->end, memory_order_acquire);
        /* Changed in between: it is about to come, or has just gone. */
        if (start == 0 || end <= start || atomic_load_explicit(&range->start, memory_order_relaxed) != start)
            continue;
        *mappings += 1;
        *bytes += end - start;
    }
}

uint32_t
mmgi_registry_limit(void)
{
    return atomic_load_explicit(&ranges.high_water, memory_order_acquire); /* the chunks up to there exist */
}

bool
mmgi_registry_hold_number(uint32_t number, struct registration *registration)
{
    struct range *range = range_of(number);

    return range != NULL && entry_of(number) != NULL && atomic_load(&range->start) != 0 &&
           entry_hold(number, 0, registration);
}

uint32_t
mmgi_registry_hold(const void *address, struct registration *registration)
{
    uintptr_t wanted = (uintptr_t)address; /* compared, not followed */
    uint32_t limit = mmgi_registry_limit();

    for (uint32_t number = 1; number <= limit; number++) {
        struct range *range = range_of(number);
        /* Relaxed: entry_hold() looks again. */
        uintptr_t start = atomic_load_explicit(&range->start, memory_order_relaxed);
        if (start != 0 && wanted >= start && wanted < atomic_load_explicit(&range->end, memory_order_relaxed) &&
            entry_hold(number, wanted, registration))
            return number;
    }
    return 0;
}

void
mmgi_registry_let_go(uint32_t number)
{
    atomic_fetch_sub(&entry_of(number)->holders, 1);
}

void
mmgi_registry_retarget(uint32_t number, int fd)
{
    /* Relaxed: a handler that has just read the old one asks a file that is still open. */
    atomic_store_explicit(&entry_of(number)->fd, fd, memory_order_relaxed);
}

void
mmgi_registry_secure(uint32_t number, size_t bytes)
{
    atomic_store(&entry_of(number)->secured, bytes);
}

void
mmgi_registry_count_fault(uint32_t number)
{
    atomic_fetch_add_explicit(&entry_of(number)->faults, 1, memory_order_relaxed); /* a counter */
}

static struct loss_scale
scale_of(struct entry *entry)
{
    return (struct loss_scale){.page = atomic_load_explicit(&entry->page, memory_order_relaxed),
                               .lead = atomic_load_explicit(&entry->lead, memory_order_relaxed),
                               .size = atomic_load_explicit(&entry->size, memory_order_relaxed)};
}

void
mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause)
{
    struct entry *entry = entry_of(number);
    const struct loss_scale scale = scale_of(entry);

    if (cause == MMG_E_TRUNCATED) { /* takes only what is still the file's */
        uint64_t secured = atomic_load(&entry->secured);
        uint64_t kept = secured > scale.lead + offset ? secured - scale.lead - offset : 0;
        offset += kept;
        length -= kept < length ? kept : length;
    }
    if (offset >= scale.size || length == 0)
        return; /* only bytes outside the region share the lost page */
    atomic_store(&mmgi_registry_has_losses, true);
    mmgi_loss_map_add(&entry->lost, &scale, offset, length, cause);
}

mmg_status
mmgi_registry_search_losses(uint32_t number, uint64_t offset, uint64_t length)
{
    struct entry *entry = entry_of(number);

    /* This mapping's common case in one load. Acquire: whoever saw a zero of a lost page comes after its recording. */
    if (entry == NULL || length == 0 || atomic_load_explicit(&entry->lost.first_cause, memory_order_acquire) == MMG_OK)
        return MMG_OK;
    const struct loss_scale scale = scale_of(entry);
    return mmgi_loss_map_within(&entry->lost, &scale, offset, length);
}

mmg_status
mmgi_registry_search_losses_at(uint32_t number, const void *data, uint64_t length)
{
    struct range *range = range_of(number);

    if (range == NULL)
        return MMG_OK;
    uintptr_t start = atomic_load_explicit(&range->start, memory_order_relaxed);
    uint64_t lead = atomic_load_explicit(&entry_of(number)->lead, memory_order_relaxed);
    /* Unsigned arithmetic on addresses: a pointer that is not into the region gives a useless, harmless offset. */
    return mmgi_registry_search_losses(number, (uint64_t)(uintptr_t)data - start - lead, length);
}

void
mmgi_registry_losses(uint32_t number, struct losses *losses)
{
    struct entry *entry = number == 0 ? NULL : entry_of(number);

    *losses = (struct losses){.first_offset = MMG_TO_END, .cause = MMG_OK};
    if (entry == NULL)
        return;
    losses->faults = atomic_load_explicit(&entry->faults, memory_order_relaxed);
    losses->cause = atomic_load_explicit(&entry->lost.first_cause, memory_order_acquire);
    losses->first_offset = atomic_load_explicit(&entry->lost.first_offset, memory_order_relaxed);
}

void
mmgi_registry_after_fork(void)
{
    uint32_t limit = mmgi_registry_limit();

    for (uint32_t number = 1; number <= limit; number++)
        if (entry_of(number) != NULL)
            atomic_store(&entry_of(number)->holders, 0);
}
