/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of the registry: the code of src/guard/registry.c, in every order of two or three threads. A fault handler holds
 * a mapping while its owner removes it, registers another mapping in the same entry, or replaces its pages.
 */
#include "explorer.h"

#include <string.h>

#include "base/table.c"
#include "guard/loss_map.c"
#include "guard/registry.c"

#define USED_ENTRIES 2u

/* What the models map: two files, at two addresses. */
struct place {
    struct registration registration;
    _Atomic uint32_t is_mapped;
    _Atomic uint32_t is_being_replaced;
    uint32_t number;
};

static struct place places[2];

/* ------------------------------------------------------------------------------- what src/ needs of the system -- */

_Atomic uint32_t mmgi_registry_lossy;
static _Atomic uint32_t mark;
static int process; /* 2: the child of a fork */
_Atomic(_Atomic uint32_t *) mmgi_fork_mark_place = &mark;
#define TABLES 2
#define LARGEST_ENTRY struct entry
#include "tables.h"

int
mmgi_process_id(void)
{
    return process;
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

/* The index proposes nothing, so that each look-up scans the registry, whose judgement alone counts. */
void
mmgi_map_pack_closely(void)
{
}

void
mmgi_addr_index_add(uint32_t number, uintptr_t start, size_t length, uint32_t limit)
{
    (void)number;
    (void)start;
    (void)length;
    (void)limit;
}

uint32_t
mmgi_addr_index_find(uintptr_t address)
{
    (void)address;
    return 0;
}

int
mmgi_file_status(int fd, struct file_status *status)
{
    (void)fd;
    status->inode = 0;
    return 0;
}

int
mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status)
{
    (void)fd;
    (void)device;
    (void)inode;
    (void)status;
    return 0;
}

/* -------------------------------------------------------------------------------------------------- the pieces -- */

static void
place_map(struct place *place)
{
    atomic_store(&place->is_mapped, 1);
    place->number = mmgi_registry_add(&place->registration);
    MODEL_REQUIRE(place->number != 0);
}

static void
place_unmap(struct place *place)
{
    mmgi_registry_remove(place->number);
    atomic_store(&place->is_mapped, 0);
}

/* One mapping is registered, and the other is not yet. */
static void
begin(void)
{
    table_begin(&mmgi_registry_ranges, &range_shape);
    table_begin(&mmgi_registry_entries, &entry_shape);
    mmgi_registry_lossy = 0;
    memset(places, 0, sizeof places);
    mark = 7;
    home = process = 1;
    for (unsigned i = 0; i < 2; i++)
        places[i].registration = (struct registration){.start = (unsigned char *)(uintptr_t)((i + 1) << 20),
                                                       .length = (size_t)(i + 1) << 12,
                                                       .page = 4096,
                                                       .size = (i + 1) << 12,
                                                       .file_offset = i << 12,
                                                       .fd = (int)i + 10};
    place_map(&places[0]);
}

/* Looks at a mapping that this thread holds, and lets it go. */
static void
look_at(const struct place *place, const struct registration *found, uint32_t number)
{
    model_outcome("held");
    model_require(found->start == place->registration.start && found->length == place->registration.length &&
                      found->fd == place->registration.fd && found->file_offset == place->registration.file_offset &&
                      found->size == place->registration.size,
                  "a hold tells of one mapping, and of the right one");
    model_require(atomic_load(&place->is_mapped) == 1, "a mapping that is held is not unmapped");
    model_require(atomic_load(&place->is_being_replaced) == 0,
                  "no handler is in a mapping whose pages are being replaced");
    mmgi_registry_let_go(number);
}

/* Does what a fault handler does. */
static void
handle_fault(const struct place *place)
{
    struct registration found;
    const uint32_t number = mmgi_registry_hold(place->registration.start, &found);

    if (number == 0)
        model_outcome("not found");
    else
        look_at(place, &found, number);
}

static void
end(void)
{
    for (uint32_t number = 1; number <= mmgi_registry_limit(); number++)
        model_require(known_entry(number)->holders == 0, "nobody holds an entry in the end");
    if (process == 2)
        return; /* what another thread was about to remove stays as it was */
    for (unsigned i = 0; i < 2; i++) {
        struct registration found;
        const uint32_t number = mmgi_registry_hold(places[i].registration.start, &found);
        model_require((number != 0) == (places[i].is_mapped == 1),
                      "the registry knows what is mapped, and nothing else");
        if (number != 0)
            mmgi_registry_let_go(number);
    }
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

static void
faults(void)
{
    handle_fault(&places[0]);
}

static void
faults_at_both(void)
{
    handle_fault(&places[1]);
    handle_fault(&places[0]);
}

/* Does what the handler of a signal without an address does. */
static void
walks(void)
{
    struct registration found;

    if (mmgi_registry_hold_number(places[0].number, &found))
        look_at(&places[found.start == places[0].registration.start ? 0 : 1], &found, places[0].number);
    else
        model_outcome("not found");
}

static void
unmaps(void)
{
    place_unmap(&places[0]);
}

static void
maps_another(void)
{
    place_unmap(&places[0]);
    place_map(&places[1]);
    model_require(places[1].number == places[0].number, "the entry is used again");
}

static void
replaces_pages(void)
{
    mmgi_registry_freeze(places[0].number);
    atomic_store(&places[0].is_being_replaced, 1);
    atomic_store(&places[0].is_being_replaced, 0);
    mmgi_registry_thaw(places[0].number);
    model_outcome("replaced");
}

static void
replaces_pages_and_unmaps(void)
{
    replaces_pages();
    unmaps();
}

/* Forks amid what another thread does. The hooks do not run after _Fork(3) and clone(2). Returns true in the child. */
static bool
fork_amid(bool with_hooks)
{
    if (!model_fork())
        return false;
    process = 2;
    atomic_store(&mark, 0);
    if (with_hooks)
        mmgi_registry_after_fork();
    model_outcome("in a child");
    return true;
}

/* The child removes a mapping that a handler of its parent may have held, or whose pages the parent was replacing. */
static void
forks_and_unmaps(void)
{
    if (fork_amid(true))
        place_unmap(&places[0]);
}

static void
forks_without_hooks_and_unmaps(void)
{
    if (fork_amid(false))
        place_unmap(&places[0]);
}

/* The child faults in a mapping whose pages its parent was replacing. Nobody replaces them in the child. */
static void
forks_and_faults(void)
{
    struct registration found;

    if (!fork_amid(false))
        return;
    const uint32_t number = mmgi_registry_hold(places[0].registration.start, &found);
    model_require(number != 0, "what the parent was replacing does not keep the child waiting");
    mmgi_registry_let_go(number);
}

/* The child faults in a mapping that its parent may be removing, and has one of its own. */
static void
forks_and_maps(void)
{
    struct registration found;

    if (!fork_amid(true))
        return;
    const uint32_t number = mmgi_registry_hold(places[0].registration.start, &found);
    if (number != 0)
        mmgi_registry_let_go(number);
    place_map(&places[1]);
    handle_fault(&places[1]);
    place_unmap(&places[1]);
}

static const char *const with_removal[] = {"held", "not found", NULL};
static const char *const with_fork[] = {"in a child", NULL};
static const char *const with_freeze[] = {"held", "replaced", NULL};

static const struct model models[] = {
    {"a fault meets a removal", begin, {faults, unmaps}, end, with_removal},
    {"two faults meet a removal", begin, {faults, faults, unmaps}, end, with_removal},
    {"a fault meets an entry that is used again", begin, {faults_at_both, maps_another}, end, with_removal},
    {"two faults meet an entry that is used again", begin, {faults, faults_at_both, maps_another}, end, with_removal},
    {"a walk meets an entry that is used again", begin, {walks, maps_another}, end, with_removal},
    {"a walk and a fault meet an entry that is used again", begin, {walks, faults, maps_another}, end, with_removal},
    {"a fault meets a replacement of pages", begin, {faults, replaces_pages}, end, with_freeze},
    {"two faults meet a replacement of pages", begin, {faults, faults, replaces_pages}, end, with_freeze},
    {"a fault meets a replacement and a removal", begin, {faults, replaces_pages_and_unmaps}, end, with_removal},
    {"a fork meets a fault", begin, {faults, forks_and_unmaps}, end, with_fork},
    {"a fork meets two faults", begin, {faults, faults, forks_and_unmaps}, end, with_fork},
    {"a fork without hooks meets a fault", begin, {faults, forks_without_hooks_and_unmaps}, end, with_fork},
    {"a fork meets a replacement of pages", begin, {replaces_pages, forks_and_unmaps}, end, with_fork},
    {"a fork and a fault meet a replacement of pages", begin, {replaces_pages, forks_and_faults}, end, with_fork},
    {"a fork meets a removal", begin, {unmaps, forks_and_maps}, end, with_fork},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {memory[0], USED_ENTRIES * sizeof(struct range)},
        {memory[1], USED_ENTRIES * sizeof(struct entry)},
        {&mmgi_registry_ranges.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {&mmgi_registry_entries.free_head, sizeof(struct table) - offsetof(struct table, free_head)},
        {places, sizeof places},
        {&home, sizeof home},
        {&mark, sizeof mark},
        {&process, sizeof process},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
