/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of a close that meets a fault: the code of src/handle and src/guard/registry.c together, in every order of two or
 * three threads. A thread that has a pin faults in the region, a thread without a pin does so, too, and another thread
 * closes the handle, which removes the mapping and unmaps it.
 */
#include "explorer.h"

#include <stdatomic.h>
#include <string.h>

#include "base/table.c"
#include "guard/loss_map.c"
#include "guard/registry.c"
#include "handle/handle.c"
#include "handle/pin.c"
#include "handle/visit.c"

#define USED_ENTRIES 2u

/* The region of the handle. */
static struct {
    struct handle_object object;
    struct registration registration;
    _Atomic uint32_t is_mapped;
    uint32_t number;
    unsigned pins; /* that their owners have and have not begun to release */
    mmg_handle handle;
} place;

/* ------------------------------------------------------------------------------- what src/ needs of the system -- */

_Atomic uint32_t mmgi_registry_lossy;
static _Atomic uint32_t mark = 7;
_Atomic(_Atomic uint32_t *) mmgi_fork_mark_place = &mark;
#define TABLES 4
#define LARGEST_ENTRY struct entry
#include "tables.h"

void
mmgi_clock_sleep_ns(int64_t duration_ns)
{
    (void)duration_ns;
    model_yield();
}

void
mmgi_thread_wait_on(_Atomic uint32_t *word, uint32_t value)
{
    model_wait_on(word, value);
}

void
mmgi_thread_wake(_Atomic uint32_t *word)
{
    model_wake(word);
}

void
mmgi_thread_yield(void)
{
    model_yield();
}

/* The index proposes nothing, so that each look-up scans the registry, whose judgement alone counts. */
/* clang-format off */
void mmgi_map_pack_closely(void) {}
void mmgi_addr_index_add(uint32_t n, uintptr_t s, size_t l, uint32_t m) { (void)n, (void)s, (void)l, (void)m; }
uint32_t mmgi_addr_index_find(uintptr_t address) { (void)address; return 0; }
int mmgi_file_status_if(int fd, uint64_t d, uint64_t i, struct file_status *s) { (void)fd, (void)d, (void)i, (void)s; return 0; }
int mmgi_file_status(int fd, struct file_status *s) { (void)fd; s->inode = 0; return 0; }
int mmgi_process_id(void) { return 1; }
bool mmgi_thread_has_barrier(void) { return true; }
void mmgi_thread_barrier(void) {}
uint64_t mmgi_process_random(void) { return 42; }
/* clang-format on */

/* -------------------------------------------------------------------------------------------------- the pieces -- */

/* Gives the region back, as mmgi_region_discard() does. */
static void
place_destroy(struct handle_object *object)
{
    (void)object;
    mmgi_registry_remove(place.number);
    atomic_store(&place.is_mapped, 0);
}

static void
begin(void)
{
    table_begin(&mmgi_handle_slots, &slot_shape);
    table_begin(&overflow_pins, &overflow_shape);
    table_begin(&mmgi_registry_ranges, &range_shape);
    table_begin(&mmgi_registry_entries, &entry_shape);
    mmgi_registry_lossy = 0;
    memset(&place, 0, sizeof place);
    place.registration = (struct registration){
        .start = (unsigned char *)(uintptr_t)(1 << 20), .length = 4096, .page = 4096, .size = 4096, .fd = 10};
    place.object.destroy = place_destroy;
    place.is_mapped = 1;
    place.number = mmgi_registry_add(&place.registration);
    MODEL_REQUIRE(place.number != 0);
    MODEL_REQUIRE(mmgi_handle_issue(&place.object, &place.handle) == MMG_OK);
}

/* Does what a fault handler does. Returns true when the fault was in a guarded mapping. */
static bool
fault(void)
{
    struct registration found;
    const uint32_t number = mmgi_registry_hold(place.registration.start, &found);

    if (number == 0)
        return false;
    model_require(atomic_load(&place.is_mapped) == 1, "a handler is in no mapping that is unmapped");
    mmgi_registry_let_go(number);
    return true;
}

static void
end(void)
{
    model_require(known_entry(1)->holders == 0, "nobody holds an entry in the end");
    if (place.is_mapped == 1)
        model_require(mmgi_handle_close(place.handle, true) == MMG_OK, "what is mapped has a handle and no pin");
    model_require(place.is_mapped == 0, "the region is given back in the end");
    model_require(mmgi_handle_close(place.handle, false) == MMG_E_HANDLE, "a region is given back once");
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

static void
pins_and_faults(void)
{
    const struct pinned pinned = pin_acquire(place.handle);

    if (pinned.object == NULL) {
        model_outcome("refused");
        return;
    }
    place.pins++;
    model_require(fault(), "a fault in a pinned region is contained");
    model_outcome("contained");
    place.pins--;
    model_require(pin_release(pinned.token) == MMG_OK, "a pin can be released");
}

static void
faults_without_a_pin(void)
{
    model_outcome(fault() ? "contained without a pin" : "not guarded any more");
}

static void
closes(bool strict)
{
    const mmg_status status = mmgi_handle_close(place.handle, strict);

    model_require(status == MMG_OK || (strict && status == MMG_E_BUSY), "a close succeeds, or a strict one is busy");
    model_require(!strict || status != MMG_OK || place.pins == 0, "a strict close that succeeds has met no pin");
    model_outcome(status == MMG_OK ? "closed" : "busy");
}

static void
closes_strictly(void)
{
    closes(true);
}

static void
closes_lazily(void)
{
    closes(false);
}

static const char *const strict[] = {"contained", "refused", "closed", "busy", NULL};
static const char *const lazy[] = {"contained", "refused", "closed", NULL};
static const char *const stray[] = {"contained without a pin", "not guarded any more", "closed", NULL};
static const char *const all[] = {"contained", "refused", "contained without a pin", "not guarded any more", "closed",
                                  "busy",      NULL};

static const struct model models[] = {
    {"a strict close meets a fault", begin, {pins_and_faults, closes_strictly}, end, strict},
    {"a lazy close meets a fault", begin, {pins_and_faults, closes_lazily}, end, lazy},
    {"a strict close meets a fault without a pin", begin, {faults_without_a_pin, closes_strictly}, end, stray},
    {"a strict close meets faults", begin, {pins_and_faults, faults_without_a_pin, closes_strictly}, end, all},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {memory[0], USED_ENTRIES * sizeof(struct slot)},
        {memory[1], USED_ENTRIES * sizeof(struct overflow_pin)},
        {memory[2], USED_ENTRIES * sizeof(struct range)},
        {memory[3], USED_ENTRIES * sizeof(struct entry)},
        {&mmgi_handle_slots.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&overflow_pins.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&mmgi_registry_ranges.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&mmgi_registry_entries.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&place, sizeof place},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
