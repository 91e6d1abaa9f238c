/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of handles and pins: the code of src/handle and src/base/table.c, in every order of two or three threads. A pin
 * meets strict and lazy closes, a slot is used again while somebody still has its old handle, and tokens are released
 * twice, also by two threads that have copies of one token. A visit ends with a store that may stay in its processor for any time, until a barrier.
 */
#include "explorer.h"

#include <stdatomic.h>
#include <string.h>

/* The store that a processor has not carried out yet. The two functions take the place of the store that ends a visit. */
static _Atomic(_Atomic uint32_t *) waiting;

static void
store_later(_Atomic uint32_t *cell)
{
    atomic_store(&waiting, cell);
}

static void
store_now(void)
{
    _Atomic uint32_t *cell = atomic_exchange(&waiting, NULL);

    if (cell != NULL)
        *cell = 0; /* one step with the exchange */
}

#include "base/table.c"
#include "handle/handle.c"
#include "handle/pin.c"
#include "handle/visit.c"

#define THINGS 4u
#define USED_ENTRIES 6u

/* What a handle names here. */
struct thing {
    struct handle_object object;
    _Atomic uint32_t is_alive;
    unsigned holders; /* pins that their owners have and have not begun to release */
    mmg_handle handle;
};

static struct thing things[THINGS];
static bool is_child;                  /* after a fork, the threads of the parent have stopped wherever they were */
static struct pinned cells[PIN_CELLS]; /* pins that are there from the beginning */

/* ------------------------------------------------------------------------------- what src/ needs of the system -- */

#define TABLES 2
#define LARGEST_ENTRY struct slot
#include "tables.h"

void
mmgi_thread_yield(void)
{
    model_yield();
}

void
mmgi_clock_sleep_ns(int64_t duration_ns)
{
    (void)duration_ns;
    model_yield();
}

bool
mmgi_thread_has_barrier(void)
{
    return true;
}

void
mmgi_thread_barrier(void)
{
    store_now();
}

uint64_t
mmgi_process_random(void)
{
    return 42;
}

/* -------------------------------------------------------------------------------------------------- the pieces -- */

static void
thing_destroy(struct handle_object *object)
{
    struct thing *thing = (struct thing *)object;

    model_require(atomic_exchange(&thing->is_alive, 0) == 1, "an object is destroyed once");
    model_require(thing->holders == 0, "no object is destroyed while it is pinned");
}

static void
thing_issue(struct thing *thing)
{
    thing->object.destroy = thing_destroy;
    atomic_store(&thing->is_alive, 1);
    thing->holders = 0;
    MODEL_REQUIRE(mmgi_handle_issue(&thing->object, &thing->handle) == MMG_OK);
}

/* The first thing has a handle, in a process that has no other. */
static void
begin(void)
{
    table_begin(&mmgi_handle_slots, &slot_shape);
    table_begin(&overflow_pins, &overflow_shape);
    memset(things, 0, sizeof things);
    waiting = NULL;
    is_child = false;
    thing_issue(&things[0]);
}

/* Pins a handle, looks at the object, and releases the pin. Returns the token, or 0 when there was no pin. */
static uint64_t
look_through(mmg_handle handle, const struct thing *expected)
{
    struct pinned pinned = pin_acquire(handle);
    struct thing *thing = (struct thing *)pinned.object;

    if (thing == NULL) {
        model_require(pinned.token == 0, "a pin fails for a wrong handle only");
        model_outcome("refused");
        return 0;
    }
    model_outcome("pinned");
    model_require(thing == expected, "a handle never names the object of another handle");
    thing->holders++;
    model_require(atomic_load(&thing->is_alive) == 1, "a pinned object is alive");
    thing->holders--;
    model_require(pin_release(pinned.token) == MMG_OK, "a pin can be released");
    return pinned.token;
}

static void
visits(void)
{
    const struct visit visit = visit_begin(things[0].handle);
    struct thing *thing = (struct thing *)visit.object;

    if (thing == NULL) {
        model_outcome("no visit");
        return;
    }
    model_outcome("visited");
    model_require(thing == &things[0], "a visit never finds the object of another handle");
    thing->holders++;
    model_require(atomic_load(&thing->is_alive) == 1, "a visited object is alive");
    thing->holders--;
    visit_end(visit.slot);
}

static mmg_status
close_thing(struct thing *thing, bool strict)
{
    const mmg_status status = mmgi_handle_close(thing->handle, strict);

    if (strict)
        model_require(status != MMG_OK || thing->holders == 0, "a strict close that succeeds has met no pin");
    else
        model_require(status != MMG_E_BUSY, "only a strict close is busy");
    model_outcome(status == MMG_OK ? "closed" : status == MMG_E_BUSY ? "busy" : "closed before");
    return status;
}

/* Every handle is closed by now or can be closed, every object is destroyed with it, and nothing is left of the pins. */
static void
end(void)
{
    if (is_child)
        return; /* what the threads of the parent held stays held */
    store_now();
    for (unsigned i = 0; i < THINGS; i++)
        if (things[i].handle != 0 && things[i].is_alive == 1)
            model_require(mmgi_handle_close(things[i].handle, true) == MMG_OK, "what is alive has a handle and no pin");
    for (uint32_t index = 0; index < mmgi_handle_slots.high_water; index++) {
        struct slot *slot = slot_at(index);
        model_require(phase_of(slot->state) == PHASE_FREE, "each slot is free in the end");
        model_require(!slot_claimed(slot), "no claim is left in a cell");
    }
    for (unsigned i = 0; i < THINGS; i++)
        model_require(things[i].is_alive == 0, "each object is destroyed in the end");
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

static void
pins(void)
{
    look_through(things[0].handle, &things[0]);
}

static void
closes_lazily(void)
{
    close_thing(&things[0], false);
}

static void
closes_strictly(void)
{
    close_thing(&things[0], true);
}

static void
closes_and_issues_again(void)
{
    if (close_thing(&things[0], false) != MMG_OK)
        return;
    thing_issue(&things[1]);
    if ((things[1].handle & INDEX_MASK) == (things[0].handle & INDEX_MASK))
        model_outcome("the slot is used again");
    model_require(things[1].handle != things[0].handle, "a closed handle is not issued again");
    model_require(mmgi_handle_close(things[1].handle, true) == MMG_OK, "a stale handle makes no strict close busy");
}

static void
releases_twice(void)
{
    const uint64_t token = look_through(things[0].handle, &things[0]);

    if (token != 0)
        model_require(pin_release(token) == MMG_E_HANDLE, "a token that was released is dead");
}

static void
fill_cells(void)
{
    begin();
    for (uint32_t i = 0; i < PIN_CELLS; i++)
        cells[i] = pin_acquire(things[0].handle);
}

static void
closes_and_empties_cells(void)
{
    close_thing(&things[0], false);
    for (uint32_t i = PIN_CELLS; i-- > 0;)
        model_require(pin_release(cells[i].token) == MMG_OK, "a pin outlives the close of its handle");
}

/* The first thing has a pin, too, whose token two threads know. */
static void
pin_before(void)
{
    begin();
    cells[0] = pin_acquire(things[0].handle);
    things[0].holders = 1;
}

static void
asks_and_ends(void)
{
    const uint64_t token = cells[0].token;
    const struct pin_place place = pin_find(token);

    if (!pin_begin_end(place, token)) {
        model_outcome("ended before");
        return;
    }
    model_outcome("ended");
    model_require(atomic_load(&things[0].is_alive) == 1, "an object is alive while the end of its pin is not finished");
    model_require(--things[0].holders == 0, "one thread ends a pin");
    model_require(pin_finish_end(place, token) == MMG_OK, "the end of a pin can be finished");
}

/* Three slots are free, so that the list of free slots has something to mix up. */
static void
leave_slots(void)
{
    begin();
    for (unsigned i = 1; i < THINGS; i++)
        thing_issue(&things[i]);
    for (unsigned i = 0; i < THINGS; i++)
        mmgi_handle_close(things[i].handle, false);
    memset(things, 0, sizeof things);
}

static void
issue_apart(unsigned number)
{
    thing_issue(&things[number]);
    for (unsigned i = 0; i < THINGS; i++)
        model_require(i == number || things[i].handle == 0 || things[i].is_alive == 0 ||
                          ((things[i].handle ^ things[number].handle) & INDEX_MASK) != 0,
                      "two living handles never share a slot");
}

static void
issues_one(void)
{
    issue_apart(0);
}

static void
issues_two_and_closes_one(void)
{
    issue_apart(1);
    issue_apart(2);
    MODEL_REQUIRE(mmgi_handle_close(things[1].handle, true) == MMG_OK);
    issue_apart(3);
}

/*
 * Forks amid what another thread does. The child goes on with what the parent had, and with a handle of its own. A claim
 * that another thread was about to withdraw stays in its cell, so the models leave no such claim on the slot of that handle.
 */
static void
forks(void)
{
    if (!model_fork())
        return;
    is_child = true;
    model_outcome("in a child");
    look_through(things[0].handle, &things[0]);
    thing_issue(&things[2]);
    look_through(things[2].handle, &things[2]);
    model_require(mmgi_handle_close(things[2].handle, true) == MMG_OK, "a child can close what it has opened");
    close_thing(&things[0], false);
}

static const char *const with_strict[] = {"pinned", "refused", "closed", "busy", NULL};
static const char *const with_lazy[] = {"pinned", "refused", "closed", NULL};
static const char *const with_both[] = {"pinned", "refused", "closed", "busy", "closed before", NULL};
static const char *const with_reuse[] = {"pinned", "refused", "closed", "the slot is used again", NULL};
static const char *const visited[] = {"visited", "no visit", "closed", NULL};
static const char *const visited_or_busy[] = {"visited", "no visit", "closed", "busy", NULL};
static const char *const with_fork[] = {"in a child", "pinned", "refused", "closed", NULL};
static const char *const with_pinned_fork[] = {"in a child", "pinned", "closed", NULL};
static const char *const ended[] = {"ended", "ended before", "closed", NULL};
static const char *const ended_or_busy[] = {"ended", "ended before", "closed", "busy", NULL};
static const char *const with_nothing[] = {NULL};

static const struct model models[] = {
    {"a visit meets a lazy close", begin, {visits, closes_lazily, store_now}, end, visited},
    {"a visit meets a strict close", begin, {visits, closes_strictly, store_now}, end, visited_or_busy},
    {"a visit and a pin meet a lazy close", begin, {visits, pins, closes_lazily}, end, visited},
    {"two visits meet a lazy close", begin, {visits, visits, closes_lazily}, end, visited},
    {"a stale handle visits a slot that is used again",
     begin,
     {visits, closes_and_issues_again, store_now},
     end,
     visited},
    {"a pin meets a strict close", begin, {pins, closes_strictly}, end, with_strict},
    {"a pin meets a lazy close", begin, {pins, closes_lazily}, end, with_lazy},
    {"a pin meets a strict and a lazy close", begin, {pins, closes_strictly, closes_lazily}, end, with_both},
    {"a pin meets two strict closes", begin, {pins, closes_strictly, closes_strictly}, end, with_both},
    {"two pins meet a lazy close", begin, {pins, pins, closes_lazily}, end, with_lazy},
    {"two pins meet a strict close", begin, {pins, pins, closes_strictly}, end, with_strict},
    {"a stale handle meets a slot that is used again", begin, {pins, closes_and_issues_again}, end, with_reuse},
    {"a token is released twice beside another pin", begin, {releases_twice, pins, closes_lazily}, end, with_lazy},
    {"a pin beyond the cells meets a lazy close", fill_cells, {pins, closes_and_empties_cells}, end, with_lazy},
    {"copies of one token meet a lazy close", pin_before, {asks_and_ends, asks_and_ends, closes_lazily}, end, ended},
    {"copies of one token meet a strict close",
     pin_before,
     {asks_and_ends, asks_and_ends, closes_strictly},
     end,
     ended_or_busy},
    {"a fork meets a strict close", begin, {closes_strictly, forks}, end, with_fork},
    {"a fork meets a lazy close", begin, {closes_lazily, forks}, end, with_fork},
    {"a fork meets a slot that is used again", begin, {closes_and_issues_again, forks}, end, with_fork},
    {"a fork meets a pin", begin, {pins, forks}, end, with_pinned_fork},
    {"slots are taken and given back", leave_slots, {issues_one, issues_two_and_closes_one}, end, with_nothing},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {memory[0], USED_ENTRIES * sizeof(struct slot)},
        {memory[1], USED_ENTRIES * sizeof(struct overflow_pin)},
        {&mmgi_handle_slots.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&overflow_pins.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {things, sizeof things},
        {&waiting, sizeof waiting},
        {&is_child, sizeof is_child},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
