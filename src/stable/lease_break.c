/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What happens when a lease breaks. The code takes one snapshot for all regions of the file, maps it in the place of each
 * mapping, and then gives the leases up, so that the writer goes on. It first records bytes that it cannot secure as lost,
 * so that no reader gets changed bytes without a report. If the kernel took a lease by force before the end, a writer may
 * have changed bytes during the copy, so the code does not trust the copy.
 */
#include <errno.h>
#include <stddef.h>

#include "guard/registry.h"
#include "guard/vouch.h"
#include "os/clock.h"
#include "os/lease.h"
#include "stable/leased_file.h"
#include "stable/snapshot.h"

/* Statistics. A thread that writes them holds the mutex of leased_file.h. */
static _Atomic uint64_t breaks, wait_ns, wait_max_ns, fallbacks[MMG_SHORT_READ + 1];

void
mmgi_lease_break_count(mmg_stats *stats)
{
    stats->lease_breaks = atomic_load_explicit(&breaks, memory_order_relaxed);
    stats->writer_wait_ns = atomic_load_explicit(&wait_ns, memory_order_relaxed);
    stats->writer_wait_max_ns = atomic_load_explicit(&wait_max_ns, memory_order_relaxed);
    stats->fallbacks_cap = atomic_load_explicit(&fallbacks[MMG_SHORT_CAP], memory_order_relaxed);
    stats->fallbacks_time = atomic_load_explicit(&fallbacks[MMG_SHORT_TIME], memory_order_relaxed);
    stats->fallbacks_space = atomic_load_explicit(&fallbacks[MMG_SHORT_SPACE], memory_order_relaxed);
    stats->fallbacks_read = atomic_load_explicit(&fallbacks[MMG_SHORT_READ], memory_order_relaxed);
}

static void
demote(struct region *region, uint64_t from, uint32_t shortfall)
{
    atomic_fetch_add_explicit(&fallbacks[shortfall], 1, memory_order_relaxed);
    mmgi_region_demote(region, from, shortfall);
}

static uint32_t
shortfall_of(const struct snapshot *snapshot)
{
    switch (snapshot->os_code) {
    case EFBIG:
        return MMG_SHORT_CAP;
    case ECANCELED:
        return MMG_SHORT_TIME;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
        return MMG_SHORT_SPACE;
    default:
        return MMG_SHORT_READ;
    }
}

/* The bytes of a file that a region's mapping shows. */
struct window {
    uint64_t from, end;
};

static struct window
window_of(const struct region *region)
{
    const uint64_t lead = (uint64_t)(region->data - region->mapping.base);
    const uint64_t from = region->offset - lead;
    uint64_t end = region->offset + region->size;

    /* The owner of an adopted mapping also reads the rest of its last page. */
    if (region->mapping.is_adopted)
        end = from + region->mapping.length < region->identity.size ? from + region->mapping.length
                                                                    : region->identity.size;
    return (struct window){.from = from, .end = end};
}

/* Returns true when the region of a lease still has to be secured. */
static bool
is_waiting(const struct lease *lease)
{
    return lease->region != NULL && !atomic_load(&lease->is_closing);
}

/*
 * Returns the window of the reader, extended by the windows of other regions that overlap it, until no other overlaps.
 * Regions elsewhere in the file get a snapshot of their own, so that the bytes between them are not copied.
 */
static struct window
window_to_secure(const struct leased_file *file, uint64_t *cap)
{
    struct window window = window_of(file->reader->region);
    bool has_grown = true;

    *cap = file->reader->cap;
    while (has_grown) {
        has_grown = false;
        for (const struct lease *lease = file->leases; lease != NULL; lease = lease->next) {
            if (!is_waiting(lease))
                continue;
            struct window other = window_of(lease->region);
            if (other.from > window.end || other.end < window.from)
                continue;
            if (lease->cap > *cap)
                *cap = lease->cap;
            has_grown = has_grown || other.from < window.from || other.end > window.end;
            window.from = other.from < window.from ? other.from : window.from;
            window.end = other.end > window.end ? other.end : window.end;
        }
    }
    return window;
}

/* Maps a snapshot in the place of a region's mapping, and records the bytes that the snapshot does not have as lost. The pages
   of an owner who has changed an adopted mapping stay, and all bytes count as lost. */
static void
put_in_place(const struct lease *lease, const struct snapshot *snapshot, uint64_t from)
{
    struct region *region = lease->region;

    if (!lease->is_untouched) {
        demote(region, 0, MMG_SHORT_SPACE);
        return;
    }
    struct window window = window_of(region);
    size_t ahead = (size_t)(window.from - from); /* offset of the region's mapping in the snapshot */
    size_t there = snapshot->secured > ahead ? snapshot->secured - ahead : 0;
    size_t length = (size_t)(window.end - window.from);
    struct replacement replacement = {.fd = snapshot->fd,
                                      .memory = snapshot->memory != NULL ? snapshot->memory + ahead : NULL,
                                      .secured = there < length ? there : length,
                                      .means = snapshot->means};
    uint32_t shortfall = there < length ? shortfall_of(snapshot) : MMG_SHORT_SPACE;
    size_t lead = (size_t)(region->data - region->mapping.base);
    size_t whole = mmgi_region_replaceable(region, replacement.secured);

    if (whole < region->mapping.length)
        demote(region, whole > lead ? whole - lead : 0, shortfall);
    if (!mmgi_region_replace(region, &replacement) && whole > 0)
        demote(region, 0, MMG_SHORT_SPACE);
}

/* Gives a lease up. Only the result shows whether the bytes were secured in time. */
static void
give_up(struct lease *lease)
{
    struct region *region = lease->region;

    /* A lease is also given up when the file cannot be asked, since a writer waits for it. */
    if (mmgi_lease_ask_file(lease) == EBADF || mmgi_lease_give_up(lease->fd) != 0)
        demote(region, 0, MMG_SHORT_TIME);
    mmgi_vouch(region->number, VOUCHED_FOR_EVER);
    mmgi_lease_remove(lease);
}

/* Returns true when the window `secured` contains that of a lease's region. Returns false when the lease has no region yet. */
static bool
is_within(const struct lease *lease, struct window secured)
{
    if (lease->region == NULL)
        return false;
    struct window window = window_of(lease->region);
    return window.from >= secured.from && window.end <= secured.end;
}

/*
 * Maps the snapshot for every region whose window it contains. The first lease is given up after the last region is in
 * place. Threads that ask about one of these regions wait until its lease is given up: a region that shows the snapshot
 * has no descriptor, and so the kernel cannot be asked about its lease.
 */
static void
finish(struct leased_file *file, const struct snapshot *snapshot, struct window secured)
{
    struct lease *next;

    /* All are asked before the first is replaced: adopted mappings can share pages, which show the snapshot then. */
    for (struct lease *lease = file->leases; lease != NULL; lease = lease->next)
        if (is_within(lease, secured))
            lease->is_untouched = mmgi_region_is_untouched(lease->region);
    for (const struct lease *lease = file->leases; lease != NULL; lease = lease->next)
        if (is_within(lease, secured))
            mmgi_vouch(lease->region->number, VOUCHED_HANDING_OVER);
    for (struct lease *lease = file->leases; lease != NULL; lease = lease->next)
        if (is_within(lease, secured))
            put_in_place(lease, snapshot, secured.from);
    for (struct lease *lease = file->leases; lease != NULL; lease = next) {
        next = lease->next;
        if (is_within(lease, secured))
            give_up(lease);
    }
}

/* Counts how long a writer has waited, as far as this process can know: from the signal of the break until the last lease
   was given up. */
static void
count_wait(const struct leased_file *file)
{
    int64_t waited = mmgi_clock_monotonic_ns() - file->broken_ns;
    uint64_t ns = waited > 0 ? (uint64_t)waited : 0;

    atomic_fetch_add_explicit(&breaks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&wait_ns, ns, memory_order_relaxed);
    if (ns > atomic_load_explicit(&wait_max_ns, memory_order_relaxed))
        atomic_store_explicit(&wait_max_ns, ns,
                              memory_order_relaxed); /* no exchange is needed, since only the keeper writes */
}

static struct lease *
reader_of(const struct leased_file *file)
{
    struct lease *lease = file->leases;

    while (lease != NULL && !is_waiting(lease))
        lease = lease->next;
    return lease;
}

/*
 * Takes a snapshot for the reader of a file. When the host has closed the reader's descriptor, the bytes are read from the
 * mapping. The lease itself ends with that mapping, so without a snapshot in its place the writer would have to wait until
 * the kernel takes the lease by force.
 */
static struct window
take_snapshot(const struct leased_file *file, struct snapshot_order *order, struct snapshot *snapshot)
{
    const struct lease *reader = file->reader;
    const struct region *region = reader->region;
    const bool has_descriptor = mmgi_lease_ask_file(reader) != EBADF;
    uint64_t cap = reader->cap;
    const struct window window = has_descriptor ? window_to_secure(file, &cap) : window_of(region);
    const uint64_t lead = (uint64_t)(region->data - region->mapping.base);

    order->fd = reader->fd;
    order->mapped = has_descriptor ? NULL : region->mapping.base;
    order->from = window.from;
    order->length = (size_t)(window.end - window.from); /* fits: the window is mapped */
    order->cap = cap < MMG_NO_LIMIT - lead ? cap + lead : MMG_NO_LIMIT;
    order->with_reflink = has_descriptor; /* a failed attempt takes only microseconds */
    order->with_memory = true;
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    mmgi_snapshot_take(order, snapshot);
    mmgi_mutex_lock(&mmgi_lease_mutex);
    if (has_descriptor && mmgi_lease_ask_file(reader) != 0)
        snapshot->secured = 0; /* the bytes may be another file's */
    return window;
}

void
mmgi_lease_break_secure(struct leased_file *file, bool (*may_continue)(void *context), void *context)
{
    bool has_done = false;

    while ((file->reader = reader_of(file)) != NULL) {
        struct snapshot_order order = {.may_continue = may_continue, .context = context};
        struct snapshot snapshot;
        struct window window = take_snapshot(file, &order, &snapshot);
        bool has_reader_gone = atomic_load(&file->reader->is_closing);
        file->reader = NULL;
        /* The copy may have ended early only because the reader's region was closed. Then it is of no use to the others. */
        if (!has_reader_gone || snapshot.secured == order.length)
            finish(file, &snapshot, window);
        mmgi_snapshot_release(&snapshot);
        mmgi_condition_broadcast(&mmgi_lease_changed);
        has_done = has_done || !has_reader_gone;
    }
    if (has_done)
        count_wait(file);
    if (file->leases ==
        NULL) /* if a lease is left, it has no region yet, and mmgi_lease_attach() starts the work when it gets one */
        file->broken_ns = 0;
}
