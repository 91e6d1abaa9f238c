/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A record of lost bytes that a signal handler can write: a few runs of pages, each in one word, and a tail. When more runs
 * are needed, the code merges two of them, and pages between them count as lost although they are not.
 */
#include "guard/loss_map.h"

#include <stdbool.h>

/* A run: cause (2 bits), number of pages (22 bits), first page of the mapping (40 bits). An unused run is 0. */
#define RUN_PAGE_BITS 40u
#define RUN_COUNT_BITS 22u
#define RUN_COUNT_MAX ((UINT64_C(1) << RUN_COUNT_BITS) - 1)

void
mmgi_loss_map_clear(struct loss_map *record)
{
    /* This offset means that no loss was added since the last call. Relaxed: the record is published later. */
    if (atomic_load_explicit(&record->first_offset, memory_order_relaxed) == MMG_TO_END)
        return;
    if (atomic_load_explicit(&record->first_cause, memory_order_relaxed) != MMG_OK)
        for (uint32_t i = 0; i < LOSS_RUNS; i++)
            atomic_store_explicit(&record->run[i], 0, memory_order_relaxed);
    atomic_store_explicit(&record->first_offset, MMG_TO_END, memory_order_relaxed);
    atomic_store_explicit(&record->first_cause, MMG_OK, memory_order_relaxed);
    atomic_store_explicit(&record->tail, MMG_TO_END, memory_order_relaxed);
    atomic_store_explicit(&record->tail_cause, MMG_OK, memory_order_relaxed);
}

static uint64_t
run_pack(uint64_t page, uint64_t count, mmg_status cause)
{
    uint64_t code = (uint64_t)(MMG_E_TRUNCATED - cause) + 1; /* 1, 2 or 3 for the three causes of a loss */

    return code << (RUN_PAGE_BITS + RUN_COUNT_BITS) | count << RUN_PAGE_BITS | page;
}

static void
run_unpack(uint64_t run, uint64_t *page, uint64_t *count, mmg_status *cause)
{
    *page = run & ((UINT64_C(1) << RUN_PAGE_BITS) - 1);
    *count = (run >> RUN_PAGE_BITS) & RUN_COUNT_MAX;
    *cause = MMG_E_TRUNCATED - (mmg_status)((run >> (RUN_PAGE_BITS + RUN_COUNT_BITS)) - 1); /* fits: two bits */
}

/* Returns the run that covers an old run and new pages, or 0 when it would be longer than a run can be. */
static uint64_t
run_hull(uint64_t run, uint64_t page, uint64_t count)
{
    uint64_t old_page, old_count;
    mmg_status cause;

    run_unpack(run, &old_page, &old_count, &cause);
    uint64_t first = old_page < page ? old_page : page;
    uint64_t end = old_page + old_count > page + count ? old_page + old_count : page + count;
    return end - first > RUN_COUNT_MAX ? 0 : run_pack(first, end - first, cause);
}

/* Returns true when new pages touch or overlap an old run of the same cause. */
static bool
run_touches(uint64_t run, uint64_t page, uint64_t count, mmg_status cause)
{
    uint64_t old_page, old_count;
    mmg_status old_cause;

    run_unpack(run, &old_page, &old_count, &old_cause);
    return old_cause == cause && page <= old_page + old_count && old_page <= page + count;
}

static void
tail_lose(struct loss_map *record, uint64_t offset, mmg_status cause)
{
    uint64_t tail = atomic_load(&record->tail);
    int32_t none = MMG_OK;

    atomic_compare_exchange_strong(&record->tail_cause, &none, cause);
    while (offset < tail && !atomic_compare_exchange_weak(&record->tail, &tail, offset))
        continue;
}

static void
pages_lose(struct loss_map *record, uint64_t page, uint64_t count, mmg_status cause, uint64_t tail_offset)
{
    for (uint32_t i = 0; i < LOSS_RUNS; i++) {
        uint64_t run = atomic_load(&record->run[i]);
        for (;;) {
            bool last_resort = i == LOSS_RUNS - 1;
            if (run != 0 && !last_resort && !run_touches(run, page, count, cause))
                break; /* this run is about other pages: try the next one */
            uint64_t wider = run == 0 ? run_pack(page, count, cause) : run_hull(run, page, count);
            if (wider == 0)
                break;
            if (atomic_compare_exchange_weak(&record->run[i], &run, wider))
                return;
        }
    }
    tail_lose(record, tail_offset, cause);
}

void
mmgi_loss_map_add(struct loss_map *record, const struct loss_scale *scale, uint64_t offset, uint64_t length,
                  mmg_status cause)
{
    int32_t none = MMG_OK;

    /* The cause stays that of the first loss. The offset becomes the lowest one, since a reader must stop there. */
    atomic_compare_exchange_strong(&record->first_cause, &none, cause);
    uint64_t first = atomic_load(&record->first_offset);
    while (offset < first && !atomic_compare_exchange_weak(&record->first_offset, &first, offset))
        continue;
    if (length >= scale->size - offset) {
        tail_lose(record, offset, cause);
        return;
    }
    uint64_t first_page = (scale->lead + offset) / scale->page;
    uint64_t end_page = (scale->lead + offset + length + scale->page - 1) / scale->page;
    if (end_page - first_page > RUN_COUNT_MAX || first_page >> RUN_PAGE_BITS)
        tail_lose(record, offset, cause);
    else
        pages_lose(record, first_page, end_page - first_page, cause, offset);
}

mmg_status
mmgi_loss_map_within(const struct loss_map *record, const struct loss_scale *scale, uint64_t offset, uint64_t length)
{
    /* Behind the region nothing is lost. A length such as MMG_TO_END must not overflow, here or below. */
    const uint64_t rest = scale->size - offset, end = offset + (length < rest ? length : rest);

    if (end > atomic_load(&record->tail))
        return atomic_load(&record->tail_cause);
    for (uint32_t i = 0; i < LOSS_RUNS; i++) {
        uint64_t run = atomic_load(&record->run[i]), page, count;
        mmg_status cause;
        if (run == 0)
            continue;
        run_unpack(run, &page, &count, &cause);
        if (scale->lead + end > page * scale->page && scale->lead + offset < (page + count) * scale->page)
            return cause;
    }
    return MMG_OK;
}
