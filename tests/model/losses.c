/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of losses: the code of src/guard/registry_losses.c and loss_map.c, in every order of two or three threads. Fault
 * handlers record losses and then replace the pages, while readers look at the pages and then ask for losses. The record
 * has room for two runs here, so that three losses have to share.
 */
#include "explorer.h"

#include <string.h>

#include "guard/loss_map.c"
#include "guard/registry_losses.c"

#define PAGE UINT64_C(4096)
#define PAGES 32u
#define NUMBER 1u /* of the only mapping */

struct table mmgi_registry_ranges, mmgi_registry_entries;
static struct range range;
static struct entry entry;
static struct mapping_owner owner;
static _Atomic uint32_t is_zero[PAGES]; /* the page shows zeros: its handler has replaced it */
static _Atomic uint32_t records;        /* in the ledger */

/* ---------------------------------------------------------------------------- what src/ needs of other files -- */

void
mmgi_ledger_write(const struct ledger_loss *loss)
{
    (void)loss;
    atomic_fetch_add(&records, 1);
}

void
mmgi_vouch_ask(struct vouch *vouch, uint32_t number, const _Atomic int *fd)
{
    (void)vouch;
    (void)number;
    (void)fd;
}

/* No mapping is adopted, so no loss is passed on to another mapping. */
uint32_t
mmgi_registry_limit(void)
{
    return 0;
}

bool
mmgi_registry_hold_number(uint32_t number, struct registration *registration)
{
    (void)number;
    (void)registration;
    return false;
}

void
mmgi_registry_let_go(uint32_t number)
{
    (void)number;
}

/* -------------------------------------------------------------------------------------------------- the pieces -- */

static void
begin(void)
{
    mmgi_registry_ranges.chunk[0] = (unsigned char *)&range;
    mmgi_registry_entries.chunk[0] = (unsigned char *)&entry;
    memset(&entry, 0, sizeof entry);
    memset(is_zero, 0, sizeof is_zero);
    records = mmgi_registry_lossy = 0;
    range.start = UINTPTR_MAX / 2 / PAGE * PAGE;
    range.end = range.start + PAGES * PAGE;
    entry.page = PAGE;
    entry.size = PAGES * PAGE;
    entry.owner = &owner;
    mmgi_loss_map_clear(&entry.lost);
}

/* Does what a fault handler does: records the loss, and then replaces the pages. Two of them stand for all. */
static void
handle_loss(unsigned page, unsigned stop, mmg_status cause)
{
    mmgi_registry_lose(NUMBER, page * PAGE, (stop - page) * PAGE, cause);
    atomic_store(&is_zero[page], 1);
    atomic_store(&is_zero[stop - 1], 1);
}

static void
read_page(unsigned page)
{
    if (atomic_load(&is_zero[page]) == 0) {
        model_outcome("read");
        return;
    }
    model_outcome("lost");
    model_require(registry_loss_within(NUMBER, page * PAGE + 5, 1) != MMG_OK, "who sees a zero finds the loss");
    model_require(*mmgi_registry_loss_counter(NUMBER) > 0, "the counter has grown before the first zero");
}

static void
end(void)
{
    struct losses losses;

    mmgi_registry_losses(NUMBER, &losses);
    for (unsigned page = 0; page < PAGES; page++)
        if (is_zero[page] == 1) {
            model_require(registry_loss_within(NUMBER, page * PAGE, 1) != MMG_OK, "no loss is forgotten");
            model_require(losses.first_offset <= page * PAGE, "the first offset is the lowest one");
        }
    model_require(registry_loss_within(NUMBER, 0, PAGE) == MMG_OK, "what comes before all losses is not lost");
    model_require(losses.cause != MMG_OK && records > 0, "the first loss has a cause, and stands in the ledger");
    model_require(mmgi_registry_lossy == 1, "the mapping counts once among those with losses");
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

static void
loses_1(void)
{
    handle_loss(1, 2, MMG_E_IO);
}

static void
loses_3(void)
{
    handle_loss(3, 4, MMG_E_IO);
}

static void
loses_2_and_3(void)
{
    handle_loss(2, 4, MMG_E_IO);
}

static void
loses_5(void)
{
    handle_loss(5, 6, MMG_E_POISONED);
}

static void
loses_the_tail_from_4(void)
{
    handle_loss(4, PAGES, MMG_E_TRUNCATED);
}

static void
loses_the_tail_from_8(void)
{
    handle_loss(8, PAGES, MMG_E_TRUNCATED);
}

static void
reads_1(void)
{
    read_page(1);
}

static void
reads_4_and_8(void)
{
    read_page(4);
    read_page(8);
}

static const char *const with_reader[] = {"read", "lost", NULL};
static const char *const without_reader[] = {NULL};

static const struct model models[] = {
    {"a reader meets a loss", begin, {loses_1, reads_1}, end, with_reader},
    {"a reader meets two handlers on one page", begin, {loses_1, loses_1, reads_1}, end, with_reader},
    {"a reader meets losses of two pages", begin, {loses_1, loses_5, reads_1}, end, with_reader},
    {"a reader meets two tails",
     begin,
     {loses_the_tail_from_4, loses_the_tail_from_8, reads_4_and_8},
     end,
     with_reader},
    {"neighbours are lost at once", begin, {loses_1, loses_2_and_3, loses_5}, end, without_reader},
    {"more runs are lost at once than there is room", begin, {loses_1, loses_3, loses_5}, end, without_reader},
    {"a page and two tails are lost at once",
     begin,
     {loses_1, loses_the_tail_from_4, loses_the_tail_from_8},
     end,
     without_reader},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {&range, sizeof range},
        {&entry, sizeof entry},
        {is_zero, sizeof is_zero},
        {(void *)&records, sizeof records},
        {(void *)&mmgi_registry_lossy, sizeof mmgi_registry_lossy},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
