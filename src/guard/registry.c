/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Entries are in a table and are never unmapped. The index (addr_index.h) finds the entry for an address. Where there are few
 * mappings, or the index does not know the address, the code scans the address ranges. The ranges are in a table of their
 * own, so that a scan over 60 000 mappings reads one megabyte. A thread that holds an entry first adds itself to `holders`
 * and then looks at the range again. A thread that removes an entry first clears the range and then waits for the holders.
 * Both use sequentially consistent operations, so at least one of them sees the other.
 */
#include "guard/registry.h"
#include "guard/registry_entry.h"

#include <stdatomic.h>

#include "guard/addr_index.h"
#include "os/file.h"
#include "os/fork_mark.h"
#include "os/map.h"
#include "os/process.h"
#include "os/thread.h"

/* Where so many mappings live at once, the memory of their page tables counts for more than a fault. */
#define MANY_MAPPINGS 1000u

struct table mmgi_registry_ranges, mmgi_registry_entries;
static const struct table_shape range_shape = {sizeof(struct range), offsetof(struct range, next)};
static const struct table_shape entry_shape = {sizeof(struct entry), offsetof(struct entry, next)};
static _Atomic uint32_t adopted; /* how many mappings are adopted */
static _Atomic int home;         /* the process whose threads the holds are of */

static bool
range_covers(uint32_t number, uintptr_t address)
{
    struct range *range = range_of(number);
    /* Relaxed: entry_hold() checks the range again. */
    uintptr_t start = atomic_load_explicit(&range->start, memory_order_relaxed);

    return start != 0 && address >= start && address < atomic_load_explicit(&range->end, memory_order_relaxed);
}

static bool
range_read(uint32_t number, uintptr_t *start, size_t *length)
{
    struct range *range = range_of(number);
    *start = atomic_load_explicit(&range->start, memory_order_acquire);
    uintptr_t end = atomic_load_explicit(&range->end, memory_order_acquire);

    *length = end - *start;
    /* Return false when the range has changed in between: the mapping is being added or removed. */
    return *start != 0 && end > *start && atomic_load_explicit(&range->start, memory_order_relaxed) == *start;
}

const struct addr_index_questions mmgi_addr_index_registry = {range_covers, range_read};

/* ------------------------------------------------------------------------------------------------ coming and going -- */

/* Fills an entry. The stores are relaxed, since the store of the start of the range publishes them. */
static void
entry_fill(struct entry *entry, const struct registration *r)
{
    atomic_store_explicit(&entry->fd, r->fd, memory_order_relaxed);
    atomic_store_explicit(&entry->traits, r->traits, memory_order_relaxed);
    atomic_store_explicit(&entry->frozen, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->vouch.until, VOUCHED_FOR_EVER, memory_order_relaxed);
    atomic_store_explicit(&entry->page, r->page, memory_order_relaxed);
    atomic_store_explicit(&entry->lead, r->lead, memory_order_relaxed);
    atomic_store_explicit(&entry->secured, r->secured, memory_order_relaxed);
    atomic_store_explicit(&entry->size, r->size, memory_order_relaxed);
    atomic_store_explicit(&entry->file_offset, r->file_offset, memory_order_relaxed);
    atomic_store_explicit(&entry->device, r->device, memory_order_relaxed);
    atomic_store_explicit(&entry->inode, r->inode, memory_order_relaxed);
    atomic_store_explicit(&entry->owner, r->owner, memory_order_relaxed);
    atomic_store_explicit(&entry->faults, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->loss_count, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->repairs.tail, r->length, memory_order_relaxed);
    atomic_store_explicit(&entry->repairs.run_length, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->repairs.judged, r->changed, memory_order_relaxed);
    mmgi_loss_map_clear(&entry->lost);
}

uint32_t
mmgi_registry_add(const struct registration *r)
{
    uint32_t index = table_take(&mmgi_registry_ranges, &range_shape);

    if (index == TABLE_NONE)
        return 0;
    struct entry *entry = entry_of(index + 1);
    if (entry == NULL) {
        if (!mmgi_table_reserve(&mmgi_registry_entries, &entry_shape, index)) {
            table_give(&mmgi_registry_ranges, &range_shape, index);
            return 0;
        }
        entry = known_entry(index + 1);
    }
    if (atomic_load_explicit(&home, memory_order_relaxed) == 0)
        atomic_store_explicit(&home, mmgi_process_id(), memory_order_relaxed);
    struct range *range = table_known(&mmgi_registry_ranges, sizeof(struct range), index);
    entry_fill(entry, r);
    if ((r->traits & MAPPING_IS_ADOPTED) != 0)
        atomic_fetch_add(&adopted, 1);
    /* The addresses are stored as numbers, since a fault may have any address. */
    atomic_store_explicit(&range->end, (uintptr_t)r->start + r->length, memory_order_relaxed);
    atomic_store(&range->start, (uintptr_t)r->start);
    const uint32_t limit = mmgi_registry_limit();
    if (limit >= ADDR_INDEX_FROM) {
        mmgi_addr_index_add(index + 1, (uintptr_t)r->start, r->length, limit);
        if (limit >= MANY_MAPPINGS)
            mmgi_map_pack_closely();
    }
    return index + 1;
}

/* Sleeps until no thread holds the entry. A handler holds an entry for a few system calls, with all signals blocked. */
static void
wait_for_holders(struct entry *entry)
{
    uint32_t holders;

    while ((holders = atomic_load(&entry->holders)) != 0) {
        if (atomic_load(&home) != mmgi_process_id()) {
            mmgi_registry_after_fork(); /* this is a child of _Fork(3) or clone(2), which do not run fork hooks */
            return;
        }
        if (holders == IS_AWAITED) /* another waiter has set the bit, and its wait has timed out */
            atomic_compare_exchange_strong(&entry->holders, &holders, 0);
        else if ((holders & IS_AWAITED) ||
                 atomic_compare_exchange_strong(&entry->holders, &holders, holders | IS_AWAITED))
            mmgi_thread_wait_on(&entry->holders, holders | IS_AWAITED);
    }
}

void
mmgi_registry_remove(uint32_t number)
{
    struct range *range = table_known(&mmgi_registry_ranges, sizeof(struct range), number - 1);
    struct entry *entry = known_entry(number);

    atomic_store(&range->start, 0);
    if (atomic_load(&entry->holders) != 0)
        wait_for_holders(entry);
    if (atomic_exchange_explicit(&entry->is_lossy, 0, memory_order_relaxed) != 0)
        atomic_fetch_sub(&mmgi_registry_lossy, 1);
    if ((atomic_load_explicit(&entry->traits, memory_order_relaxed) & MAPPING_IS_ADOPTED) != 0)
        atomic_fetch_sub(&adopted, 1);
    /* Relaxed: a thread that reads the end has read the start before. */
    atomic_store_explicit(&range->end, 0, memory_order_relaxed);
    table_give(&mmgi_registry_ranges, &range_shape, number - 1);
}

/* --------------------------------------------------------------------------------------------------------- holding -- */

void
mmgi_registry_let_go(uint32_t number)
{
    struct entry *entry = known_entry(number);

    if (atomic_fetch_sub(&entry->holders, 1) == (IS_AWAITED | 1))
        mmgi_thread_wake(&entry->holders);
}

/* Returns true while the pages of an entry are being replaced. In a forked child, a freeze of the parent does not count. */
static bool
is_frozen(struct entry *entry)
{
    uint32_t by = atomic_load(&entry->frozen);

    return by != 0 && by == fork_mark();
}

/* Holds an entry if its mapping still covers `address`. With 0 as address, holds it whatever it covers. */
static bool
entry_hold(uint32_t number, uintptr_t address, struct registration *r)
{
    struct range *range = range_of(number);
    struct entry *entry = known_entry(number);

    atomic_fetch_add(&entry->holders, 1);
    uintptr_t start = atomic_load(&range->start);
    uintptr_t end = atomic_load(&range->end);
    if (start == 0 || (address != 0 && (address < start || address >= end))) {
        mmgi_registry_let_go(number);
        return false;
    }
    /* This comes after the hold was added: either this thread sees the freeze, or the freezing thread waits for this hold. */
    if (is_frozen(entry)) {
        mmgi_registry_let_go(number);
        return false;
    }
    /* The casts cannot lose bits: the values were sizes inside a mapping when they were stored. */
    *r = (struct registration){
        .start = (unsigned char *)start, /* safe: the number was made from this pointer */
        .length = end - start,
        .page = (size_t)atomic_load_explicit(&entry->page, memory_order_relaxed),
        .secured = (size_t)atomic_load_explicit(&entry->secured, memory_order_relaxed),
        .lead = (size_t)atomic_load_explicit(&entry->lead, memory_order_relaxed),
        .size = atomic_load_explicit(&entry->size, memory_order_relaxed),
        .file_offset = atomic_load_explicit(&entry->file_offset, memory_order_relaxed),
        .fd = atomic_load_explicit(&entry->fd,
                                   memory_order_acquire), /* acquire: read before the identity of its file */
        .traits = atomic_load_explicit(&entry->traits, memory_order_relaxed),
        .device = atomic_load_explicit(&entry->device, memory_order_relaxed),
        .inode = atomic_load_explicit(&entry->inode, memory_order_relaxed),
    };
    return true;
}

/* Does the same as entry_hold(), and waits while the pages of the entry are being replaced, which takes one system call. */
static bool
entry_hold_thawed(uint32_t number, uintptr_t address, struct registration *r)
{
    while (!entry_hold(number, address, r)) {
        struct entry *entry = known_entry(number);
        uint32_t by = atomic_load(&entry->frozen);
        if (!is_frozen(entry))
            return false;
        mmgi_thread_wait_on(&entry->frozen, by);
    }
    return true;
}

bool
mmgi_registry_has_adopted(void)
{
    return atomic_load(&adopted) != 0;
}

uint32_t
mmgi_registry_limit(void)
{
    return atomic_load_explicit(&mmgi_registry_ranges.high_water,
                                memory_order_acquire); /* acquire: all chunks below this number exist */
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
    const uintptr_t wanted = (uintptr_t)address; /* the number is only compared */
    uint32_t number = mmgi_addr_index_find(wanted);

    if (number != 0 && entry_hold_thawed(number, wanted, registration))
        return number;
    return mmgi_registry_hold_after(0, 0, address, registration);
}

uint32_t
mmgi_registry_hold_after(uint32_t after, uint32_t except, const void *address, struct registration *registration)
{
    const uintptr_t wanted = (uintptr_t)address; /* the number is only compared */
    const uint32_t limit = mmgi_registry_limit();

    for (uint32_t number = after + 1; number <= limit; number++)
        if (number != except && range_covers(number, wanted) && entry_hold_thawed(number, wanted, registration))
            return number;
    return 0;
}

void
mmgi_registry_count(uint64_t *mappings, uint64_t *bytes)
{
    uint32_t limit = mmgi_registry_limit();

    *mappings = 0;
    *bytes = 0;
    for (uint32_t number = 1; number <= limit; number++) {
        uintptr_t start;
        size_t length;
        if (!range_read(number, &start, &length))
            continue;
        *mappings += 1;
        *bytes += length;
    }
}

/* ------------------------------------------------------------------------------------------------ what is recorded -- */

void
mmgi_registry_retarget(uint32_t number, int fd)
{
    struct entry *entry = known_entry(number);

    /* This comes first, so that no thread compares the new descriptor with the old file. A handler that has just read the
       old descriptor may use it, since that file is still open. */
    atomic_store_explicit(&entry->inode, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->fd, fd, memory_order_release);
}

bool
mmgi_registry_names(uint32_t number, int fd)
{
    struct entry *entry = known_entry(number);
    const uint64_t inode = atomic_load_explicit(&entry->inode, memory_order_relaxed);
    struct file_status status;

    /* The device of an adopted mapping is that of the list of mappings, which fstat(2) does not always name. */
    if (inode != 0 && (atomic_load_explicit(&entry->traits, memory_order_relaxed) & MAPPING_IS_ADOPTED) != 0)
        return mmgi_file_status(fd, &status) == 0 && status.inode == inode;
    return inode == 0 ||
           mmgi_file_status_if(fd, atomic_load_explicit(&entry->device, memory_order_relaxed), inode, &status) == 0;
}

void
mmgi_registry_freeze(uint32_t number)
{
    struct entry *entry = known_entry(number);

    atomic_store(&entry->frozen, fork_mark());
    wait_for_holders(entry);
}

void
mmgi_registry_thaw(uint32_t number)
{
    struct entry *entry = known_entry(number);

    atomic_store(&entry->frozen, 0);
    mmgi_thread_wake(&entry->frozen);
}

struct vouch *
mmgi_registry_vouch_of(uint32_t number)
{
    return &known_entry(number)->vouch;
}

void
mmgi_registry_secure(uint32_t number, size_t bytes)
{
    atomic_store(&known_entry(number)->secured, bytes);
}

void
mmgi_registry_count_fault(uint32_t number)
{
    atomic_fetch_add_explicit(&known_entry(number)->faults, 1,
                              memory_order_relaxed); /* a statistic, and no other access depends on it */
}

struct repairs *
mmgi_registry_repairs(uint32_t number)
{
    return &known_entry(number)->repairs;
}

void
mmgi_registry_after_fork(void)
{
    uint32_t limit = mmgi_registry_limit();

    for (uint32_t number = 1; number <= limit; number++)
        if (entry_of(number) != NULL)
            atomic_store(&entry_of(number)->holders, 0);
    atomic_store(&home, mmgi_process_id());
}
