/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The record of lost pages, held against a plain list of pages. The record may say that more is lost than was, where it
 * has no room for more runs. It must never say less, and with room to spare it must say exactly what was lost.
 */
#include "check.h"

#include "guard/loss_map.h"

#define PAGES 400u
#define PAGE UINT64_C(4096)
/* What fits into a run: loss_map.c counts its pages in 22 bits. */
#define RUN_PAGES ((UINT64_C(1) << 22) - 1)

/* A record, and what was lost, page by page. */
struct twin {
    struct loss_map record;
    struct loss_scale scale;
    mmg_status page[PAGES]; /* the cause of the first loss of each page of the mapping, or MMG_OK */
    mmg_status first_cause;
    uint64_t first_offset;
};

static void
twin_begin(struct twin *twin, uint64_t lead)
{
    twin->scale = (struct loss_scale){.page = PAGE, .lead = lead, .size = PAGES * PAGE - lead};
    twin->first_cause = MMG_OK;
    twin->first_offset = MMG_TO_END;
    for (unsigned i = 0; i < PAGES; i++)
        twin->page[i] = MMG_OK;
    mmgi_loss_map_clear(&twin->record);
}

static void
twin_lose(struct twin *twin, uint64_t offset, uint64_t length, mmg_status cause)
{
    const uint64_t lead = twin->scale.lead;
    const uint64_t end = length < twin->scale.size - offset ? offset + length : twin->scale.size;

    mmgi_loss_map_add(&twin->record, &twin->scale, offset, length, cause);
    for (uint64_t i = (lead + offset) / PAGE; i * PAGE < lead + end; i++)
        if (twin->page[i] == MMG_OK)
            twin->page[i] = cause;
    if (twin->first_cause == MMG_OK)
        twin->first_cause = cause;
    if (offset < twin->first_offset)
        twin->first_offset = offset;
}

/* Asks for the part of a page that is in the region. */
static mmg_status
ask_page(const struct twin *twin, uint64_t page)
{
    const uint64_t lead = twin->scale.lead, offset = page * PAGE < lead ? 0 : page * PAGE - lead;

    return mmgi_loss_map_within(&twin->record, &twin->scale, offset, (page + 1) * PAGE - lead - offset);
}

/* Compares every page. With `exact` no other page may count as lost, and each cause must be the right one. */
static void
compare(const struct twin *twin, bool exact)
{
    for (uint64_t page = twin->scale.lead / PAGE; page < PAGES; page++) {
        const mmg_status found = ask_page(twin, page);
        REQUIRE(twin->page[page] == MMG_OK || found != MMG_OK);
        REQUIRE(!exact || found == twin->page[page]);
    }
    CHECK_STATUS(twin->record.first_cause, twin->first_cause);
    CHECK_U64(twin->record.first_offset, twin->first_offset);
}

static struct twin twin;

/** A few runs with gaps between them, of all three causes, and the bytes around each edge. */
static void
what_was_lost_is_lost_and_nothing_else(void)
{
    static const mmg_status causes[] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_POISONED};

    for (uint64_t lead = 0; lead < 3 * PAGE; lead += 1000) {
        twin_begin(&twin, lead);
        compare(&twin, true);
        const uint64_t start = (lead + PAGE - 1) / PAGE;
        for (uint64_t run = 0; run < LOSS_RUNS; run++)
            twin_lose(&twin, (start + run * 10) * PAGE - lead, (run % 4 + 1) * PAGE, causes[run % 3]);
        compare(&twin, true);
        for (uint64_t run = 0; run < LOSS_RUNS; run++) {
            const uint64_t from = (start + run * 10) * PAGE - lead, to = from + (run % 4 + 1) * PAGE;
            const mmg_status cause = causes[run % 3];
            CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, from, 1), cause);
            CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, to - 1, 1), cause);
            CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, to, 1), MMG_OK);
            CHECK(from == 0 || mmgi_loss_map_within(&twin.record, &twin.scale, from - 1, 1) == MMG_OK);
            CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, to - 1, MMG_TO_END), cause);
        }
    }
}

/** Pages that are lost one after another, forwards and backwards, take one run, so that room is left for others. */
static void
neighbours_of_one_cause_share_a_run(void)
{
    twin_begin(&twin, 0);
    for (uint64_t page = 100; page < 200; page++)
        twin_lose(&twin, page * PAGE, PAGE, MMG_E_IO);
    for (uint64_t page = 99; page > 50; page--)
        twin_lose(&twin, page * PAGE, PAGE, MMG_E_IO);
    for (uint64_t run = 1; run < LOSS_RUNS; run++)
        twin_lose(&twin, (200 + run * 10) * PAGE, PAGE, MMG_E_IO);
    compare(&twin, true);
}

/** Two causes side by side stay two. */
static void
each_page_keeps_the_cause_of_its_loss(void)
{
    twin_begin(&twin, 0);
    twin_lose(&twin, 10 * PAGE, 5 * PAGE, MMG_E_IO);
    twin_lose(&twin, 15 * PAGE, 5 * PAGE, MMG_E_POISONED);
    twin_lose(&twin, 20 * PAGE, 5 * PAGE, MMG_E_TRUNCATED);
    twin_lose(&twin, 5 * PAGE, 5 * PAGE, MMG_E_TRUNCATED);
    compare(&twin, true);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 0, MMG_TO_END), MMG_E_IO);
}

/** More runs than there is room: no loss is forgotten, and what comes before all of them is not lost. */
static void
runs_beyond_the_room_are_merged_and_none_is_forgotten(void)
{
    uint64_t random = check_seed();

    for (unsigned round = 0; round < 50; round++) {
        twin_begin(&twin, check_random_below(&random, 3 * PAGE));
        for (unsigned run = 0; run < 3 * LOSS_RUNS; run++) {
            const uint64_t page = 20 + check_random_below(&random, PAGES - 40);
            static const mmg_status causes[] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_POISONED};
            twin_lose(&twin, page * PAGE - twin.scale.lead, (1 + check_random_below(&random, 3)) * PAGE,
                      causes[check_random_below(&random, 3)]);
            compare(&twin, false);
        }
        CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 0, twin.first_offset), MMG_OK);
        CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, (PAGES - 10) * PAGE, PAGE), MMG_OK);
    }
}

/** Losses that are no whole pages, at each edge of a page: every page that a loss touches is lost, and no other. */
static void
a_part_of_a_page_costs_the_page(void)
{
    static const uint64_t edges[] = {0, 1, 2, PAGE - 2, PAGE - 1};

    for (uint64_t lead = 0; lead < PAGE; lead += PAGE / 2 - 1)
        for (unsigned from = 0; from < 5; from++)
            for (unsigned to = 0; to < 5; to++) {
                twin_begin(&twin, lead);
                const uint64_t offset = 10 * PAGE - lead + edges[from];
                twin_lose(&twin, offset, 2 * PAGE + edges[to] - edges[from] + 1, MMG_E_IO);
                compare(&twin, true);
            }
}

/** A tail: everything behind an offset, to the byte. A later tail moves it only towards the start. */
static void
a_tail_begins_at_its_byte(void)
{
    twin_begin(&twin, 100);
    mmgi_loss_map_add(&twin.record, &twin.scale, 50001, MMG_TO_END, MMG_E_TRUNCATED);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 0, 50001), MMG_OK);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 50000, 2), MMG_E_TRUNCATED);
    mmgi_loss_map_add(&twin.record, &twin.scale, 60000, MMG_TO_END, MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 50001, 1), MMG_E_TRUNCATED);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 70000, 1), MMG_E_TRUNCATED);
    CHECK_U64(twin.record.first_offset, 50001);
    mmgi_loss_map_add(&twin.record, &twin.scale, 40000, MMG_TO_END, MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 40000, 1), MMG_E_TRUNCATED);
    CHECK_STATUS(mmgi_loss_map_within(&twin.record, &twin.scale, 0, 40000), MMG_OK);
    CHECK_U64(twin.record.first_offset, 40000);
    CHECK_STATUS(twin.record.first_cause, MMG_E_TRUNCATED);
}

/** A record that is cleared knows nothing of the mapping before, which had runs, a tail, and another page size. */
static void
a_reused_record_is_empty(void)
{
    twin_begin(&twin, 0);
    for (uint64_t run = 0; run < 2 * LOSS_RUNS; run++)
        twin_lose(&twin, run * 10 * PAGE, PAGE, MMG_E_POISONED);
    mmgi_loss_map_add(&twin.record, &twin.scale, 10 * PAGE, MMG_TO_END, MMG_E_IO);
    twin_begin(&twin, 5);
    compare(&twin, true);
    twin_lose(&twin, 300 * PAGE, PAGE, MMG_E_IO);
    compare(&twin, true);
}

/** A run has room for some 16 GiB of pages. A longer loss, or a merge that would be longer, loses the rest as well. */
static void
a_hull_that_overflows_becomes_a_tail(void)
{
    const struct loss_scale large = {.page = PAGE, .lead = 0, .size = 4 * RUN_PAGES * PAGE};
    static struct loss_map record;

    mmgi_loss_map_clear(&record);
    mmgi_loss_map_add(&record, &large, 7 * PAGE, RUN_PAGES * PAGE, MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, (7 + RUN_PAGES) * PAGE - 1, 1), MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, (7 + RUN_PAGES) * PAGE, PAGE), MMG_OK);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, 0, 7 * PAGE), MMG_OK);
    /* The neighbour does not fit into this run, and takes another. */
    mmgi_loss_map_add(&record, &large, (7 + RUN_PAGES) * PAGE, PAGE, MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, (7 + RUN_PAGES) * PAGE, PAGE), MMG_E_IO);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, (8 + RUN_PAGES) * PAGE, PAGE), MMG_OK);
    mmgi_loss_map_add(&record, &large, 2 * RUN_PAGES * PAGE, (RUN_PAGES + 1) * PAGE, MMG_E_POISONED);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, (2 * RUN_PAGES - 1) * PAGE, PAGE), MMG_OK);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, 2 * RUN_PAGES * PAGE, 1), MMG_E_POISONED);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, large.size - 1, 1), MMG_E_POISONED);
    /* All runs are taken, and the last one cannot grow over 16 GiB: the rest of the region is lost as well. */
    mmgi_loss_map_clear(&record);
    for (uint64_t run = 0; run < LOSS_RUNS; run++)
        mmgi_loss_map_add(&record, &large, run * 10 * PAGE, PAGE, MMG_E_IO);
    mmgi_loss_map_add(&record, &large, 2 * RUN_PAGES * PAGE, PAGE, MMG_E_POISONED);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, LOSS_RUNS * 10 * PAGE, (2 * RUN_PAGES - LOSS_RUNS * 10) * PAGE),
                 MMG_OK);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, 2 * RUN_PAGES * PAGE, 1), MMG_E_POISONED);
    CHECK_STATUS(mmgi_loss_map_within(&record, &large, 3 * RUN_PAGES * PAGE, 1), MMG_E_POISONED);
    CHECK_STATUS(record.first_cause, MMG_E_IO);
}

static const struct check_case cases[] = {
    {"a part of a page costs the page", a_part_of_a_page_costs_the_page, 0},
    {"what was lost is lost, and nothing else", what_was_lost_is_lost_and_nothing_else, 0},
    {"neighbours of one cause share a run", neighbours_of_one_cause_share_a_run, 0},
    {"each page keeps the cause of its loss", each_page_keeps_the_cause_of_its_loss, 0},
    {"runs beyond the room are merged, and none is forgotten", runs_beyond_the_room_are_merged_and_none_is_forgotten,
     0},
    {"a tail begins at its byte", a_tail_begins_at_its_byte, 0},
    {"a reused record is empty", a_reused_record_is_empty, 0},
    {"a hull that overflows becomes a tail", a_hull_that_overflows_becomes_a_tail, 0},
};

CHECK_MAIN(cases)
