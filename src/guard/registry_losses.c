/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The losses of registered mappings. The signal handler and mmg_check() record them, and every pin asks for them. In a
 * process without losses that question is one load of one counter.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "guard/ledger.h"
#include "guard/registry.h"
#include "guard/registry_entry.h"

_Atomic uint32_t mmgi_registry_lossy;

/* Counts the entry among those with losses. A thread that sees a replaced page also sees the count, since the count comes
   first. */
static void
count_lossy(struct entry *entry)
{
    if (atomic_load(&entry->is_lossy) != 0)
        return;
    atomic_fetch_add(&mmgi_registry_lossy, 1);
    if (atomic_exchange(&entry->is_lossy, 1) != 0)
        atomic_fetch_sub(&mmgi_registry_lossy, 1); /* another thread has counted the entry */
}

void
mmgi_registry_have_looked_at(uint32_t number)
{
    count_lossy(known_entry(number));
}

static struct loss_scale
scale_of(struct entry *entry)
{
    return (struct loss_scale){.page = atomic_load_explicit(&entry->page, memory_order_relaxed),
                               .lead = atomic_load_explicit(&entry->lead, memory_order_relaxed),
                               .size = atomic_load_explicit(&entry->size, memory_order_relaxed)};
}

/* Returns true when a part of the loss was not known before. */
static bool
is_news(struct entry *entry, const struct loss_scale *scale, uint64_t offset, uint64_t length)
{
    const uint64_t rest = scale->size - offset;
    const uint64_t last = offset + (length < rest ? length : rest) - 1;

    if (atomic_load(&entry->lost.first_cause) == MMG_OK)
        return true;
    return mmgi_loss_map_within(&entry->lost, scale, offset, 1) == MMG_OK ||
           mmgi_loss_map_within(&entry->lost, scale, last, 1) == MMG_OK;
}

static void
tell_ledger(uint32_t number, struct entry *entry, const struct loss_scale *scale, uint64_t offset, uint64_t length,
            mmg_status cause)
{
    const struct mapping_owner *owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
    const uint64_t start = atomic_load_explicit(&range_of(number)->start, memory_order_relaxed);
    const uint64_t rest = scale->size - offset;

    mmgi_ledger_write(&(struct ledger_loss){
        .cause = cause,
        .origin = (atomic_load_explicit(&entry->traits, memory_order_relaxed) & MAPPING_IS_ADOPTED) != 0
                      ? MMG_ORIGIN_ADOPTED
                      : MMG_ORIGIN_OWN,
        .handle = atomic_load_explicit(&owner->handle, memory_order_relaxed),
        .device = atomic_load_explicit(&entry->device, memory_order_relaxed),
        .inode = atomic_load_explicit(&entry->inode, memory_order_relaxed),
        .offset = atomic_load_explicit(&entry->file_offset, memory_order_relaxed) + scale->lead + offset,
        .length = length < rest ? length : rest,
        .address = start + scale->lead + offset,
        .path = owner->path,
        .path_size = owner->path != NULL ? strlen(owner->path) : 0,
    });
}

void
mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause)
{
    struct entry *entry = known_entry(number);
    const struct loss_scale scale = scale_of(entry);

    if (cause == MMG_E_TRUNCATED) { /* a truncation takes only bytes that still come from the file */
        uint64_t secured = atomic_load(&entry->secured);
        uint64_t kept = secured > scale.lead + offset ? secured - scale.lead - offset : 0;
        offset += kept;
        length -= kept < length ? kept : length;
    }
    if (offset >= scale.size || length == 0)
        return; /* the lost bytes of the page are outside the region */
    bool is_new = is_news(entry, &scale, offset, length);
    count_lossy(entry);
    atomic_fetch_add(&entry->loss_count, 1);
    mmgi_loss_map_add(&entry->lost, &scale, offset, length, cause);
    if (is_new) /* two threads that find the same loss at once may both record it */
        tell_ledger(number, entry, &scale, offset, length, cause);
}

/* Records the part of a loss that lies in one mapping, if the mapping shows that file at that offset. */
static void
lose_part(uint32_t number, const struct lost_range *lost, mmg_status cause)
{
    struct registration r;

    if (!mmgi_registry_hold_number(number, &r))
        return;
    const uintptr_t start = (uintptr_t)r.start, first = start + r.lead; /* `first`: the first byte of the region */
    const uintptr_t from = lost->from > first ? lost->from : first;
    const uintptr_t to = lost->to < start + r.length ? lost->to : start + r.length;
    if (from < to && r.inode == lost->inode && r.file_offset + (from - start) == lost->offset + (from - lost->from))
        mmgi_registry_lose(number, from - first, to - from, cause);
    mmgi_registry_let_go(number);
}

void
mmgi_registry_lose_everywhere(const struct lost_range *lost, uint32_t except, mmg_status cause)
{
    const uint32_t limit = mmgi_registry_limit();

    for (uint32_t number = 1; number <= limit; number++) {
        struct range *range = range_of(number);
        uintptr_t start = atomic_load_explicit(&range->start, memory_order_relaxed); /* relaxed: a hold looks again */
        if (start != 0 && number != except && start < lost->to &&
            atomic_load_explicit(&range->end, memory_order_relaxed) > lost->from)
            lose_part(number, lost, cause);
    }
}

mmg_status
mmgi_registry_search_losses(uint32_t number, uint64_t offset, uint64_t length)
{
    struct entry *entry = entry_of(number);

    if (entry == NULL || length == 0)
        return MMG_OK;
    mmgi_vouch_ask(&entry->vouch, number, &entry->fd);
    /* Most mappings have no loss, which is one load. Acquire: a thread that saw a zero of a lost page also sees its record. */
    if (atomic_load_explicit(&entry->lost.first_cause, memory_order_acquire) == MMG_OK)
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
    uint64_t lead = atomic_load_explicit(&known_entry(number)->lead, memory_order_relaxed);
    /* This is unsigned arithmetic on addresses: a pointer outside the region gives an offset that is useless and harmless. */
    return mmgi_registry_search_losses(number, (uint64_t)(uintptr_t)data - start - lead, length);
}

const uint32_t *
mmgi_registry_loss_counter(uint32_t number)
{
    static const uint32_t never; /* the counter of a copy, which cannot lose bytes */

    _Static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "a plain load of the counter reads the counter");
    return number == 0 ? &never : (const uint32_t *)(const void *)&known_entry(number)->loss_count;
}

void
mmgi_registry_losses(uint32_t number, struct losses *losses)
{
    struct entry *entry = number == 0 ? NULL : entry_of(number);

    *losses = (struct losses){.first_offset = MMG_TO_END, .cause = MMG_OK};
    if (entry == NULL)
        return;
    mmgi_vouch_ask(&entry->vouch, number, &entry->fd);
    losses->faults = atomic_load_explicit(&entry->faults, memory_order_relaxed);
    losses->cause = atomic_load_explicit(&entry->lost.first_cause, memory_order_acquire);
    losses->first_offset = atomic_load_explicit(&entry->lost.first_offset, memory_order_relaxed);
}
