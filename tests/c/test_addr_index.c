/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the index of addresses. The registry scans all mappings where the index knows nothing, so nobody would see a wrong
 * index from outside: only faults among very many mappings would become slow. These mappings have no memory behind them.
 */
#include "check.h"

#include "guard/addr_index.h"
#include "guard/registry.h"

#define COUNT 6000u
#define FIRST ((uintptr_t)1 << 28)
/* Nothing of one mapping is in the room of the next. */
#define ROOM ((uintptr_t)1 << 16)

static struct fake {
    uintptr_t start;
    size_t length;
    uint32_t number;
} fakes[COUNT];

static void
add(struct fake *fake, uintptr_t start, size_t length)
{
    const struct registration r = {
        .start = (unsigned char *)start, .length = length, .page = 4096, .size = length, .fd = -1};
    *fake = (struct fake){.start = start, .length = length, .number = mmgi_registry_add(&r)};
    REQUIRE(fake->number != 0);
}

/** Adds mappings of 1 to 15 pages, one in each room, at any page of it. */
static void
add_all(uint64_t seed, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        const size_t length = (size_t)(1 + check_random_below(&seed, 15)) * 4096;
        const uintptr_t gap = (uintptr_t)check_random_below(&seed, (ROOM - length) / 4096 + 1) * 4096;
        add(&fakes[index], FIRST + index * ROOM + gap, length);
    }
}

static void
remove_all(uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        mmgi_registry_remove(fakes[index].number);
    }
}

/** Returns true when the index finds a mapping at its first, middle and last byte. */
static bool
is_found(const struct fake *fake)
{
    return mmgi_addr_index_find(fake->start) == fake->number &&
           mmgi_addr_index_find(fake->start + fake->length / 2) == fake->number &&
           mmgi_addr_index_find(fake->start + fake->length - 1) == fake->number;
}

/** Only a mapping whose bucket is full is missing, and those are few. What is no mapping is never found. */
static void
nearly_every_mapping_is_found_at_every_address(void)
{
    uint32_t found = 0;
    add_all(check_seed(), COUNT);
    for (uint32_t index = 0; index < COUNT; index++) {
        const struct fake *fake = &fakes[index];
        found += is_found(fake);
        const uintptr_t room = FIRST + index * ROOM;
        CHECK(fake->start == room || mmgi_addr_index_find(fake->start - 1) == 0);
        CHECK(fake->start + fake->length == room + ROOM || mmgi_addr_index_find(fake->start + fake->length) == 0);
    }
    CHECK(found >= COUNT / 100 * 99);
    CHECK_U64(mmgi_addr_index_find(FIRST - 1), 0);
    CHECK_U64(mmgi_addr_index_find(FIRST + COUNT * ROOM), 0);
    CHECK_U64(mmgi_addr_index_find(0), 0);
    remove_all(COUNT);
}

/** The places of removed mappings are used again: were they not, the buckets would be full after a few rounds. */
static void
what_was_removed_is_not_found_and_gives_its_place_back(void)
{
    for (uint64_t round = 0; round < 12; round++) {
        uint32_t found = 0;
        add_all(check_seed() + round, COUNT);
        for (uint32_t index = 0; index < COUNT; index++) {
            found += is_found(&fakes[index]);
        }
        CHECK(found >= COUNT / 100 * 99);
        remove_all(COUNT);
        for (uint32_t index = 0; index < COUNT; index++) {
            CHECK_U64(mmgi_addr_index_find(fakes[index].start), 0);
        }
    }
}

/** Pages side by side fall into the same cells as the pages around them. */
static void
neighbours_are_told_apart(void)
{
    uint32_t found = 0;
    for (uint32_t index = 0; index < COUNT; index++) {
        add(&fakes[index], FIRST + index * (uintptr_t)4096, 4096);
    }
    for (uint32_t index = 0; index < COUNT; index++) {
        found += is_found(&fakes[index]);
    }
    CHECK(found >= COUNT / 100 * 99);
    remove_all(COUNT);
}

/** A mapping that starts in the cell before that of the address, and one that fills its cell to the last byte. */
static void
a_mapping_may_reach_into_the_next_cell(void)
{
    static const struct {
        size_t pages, first;
    } shapes[] = {{4, 3}, {4, 0}, {3, 3}, {5, 7}, {8, 7}, {9, 15}, {1, 15}, {2, 1}};
    for (uint32_t index = 0; index < COUNT; index++) {
        const size_t shape = index % (sizeof shapes / sizeof *shapes);
        add(&fakes[index], FIRST + (2 * index) * ROOM + shapes[shape].first * 4096, shapes[shape].pages * 4096);
    }
    uint32_t found = 0;
    for (uint32_t index = 0; index < COUNT; index++) {
        found += is_found(&fakes[index]);
    }
    CHECK(found >= COUNT / 100 * 99);
    remove_all(COUNT);
}

/** Mappings of a size that no mapping had before. */
static void
a_new_size_is_looked_for_from_then_on(void)
{
    static const size_t length = (size_t)1 << 24;
    struct fake large[20];
    uint32_t found = 0;
    add_all(check_seed(), COUNT);
    for (uint32_t index = 0; index < 20; index++) {
        add(&large[index], FIRST + COUNT * ROOM + (uintptr_t)(index + 1) * 2 * length, length);
    }
    for (uint32_t index = 0; index < 20; index++) {
        found += is_found(&large[index]);
        mmgi_registry_remove(large[index].number);
    }
    CHECK(found >= 15);
    remove_all(COUNT);
}

static const struct check_case cases[] = {
    {"a new size is looked for from then on", a_new_size_is_looked_for_from_then_on, 0},
    {"nearly every mapping is found at every address", nearly_every_mapping_is_found_at_every_address, 0},
    {"what was removed is not found, and gives its place back", what_was_removed_is_not_found_and_gives_its_place_back,
     0},
    {"neighbours are told apart", neighbours_are_told_apart, 0},
    {"a mapping may reach into the next cell", a_mapping_may_reach_into_the_next_cell, 0},
};

CHECK_MAIN(cases)
