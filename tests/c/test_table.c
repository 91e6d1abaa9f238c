/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the growing table. With any number of threads, entries never move, have one owner at a time, and are used
 * again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "base/table.h"

#define THREADS 4
#define HELD 50

struct entry {
    _Atomic uint32_t next;
    atomic_uint owners;
    uint64_t value;
};

static struct table table;
static const struct table_shape shape = {sizeof(struct entry), offsetof(struct entry, next)};

static struct entry *
entry_at(uint32_t index)
{
    return table_at(&table, sizeof(struct entry), index);
}

static void
an_index_that_was_never_handed_out_is_looked_up_safely(void)
{
    static struct table empty;
    static const uint32_t indexes[] = {0, 1, 4095, 4096, TABLE_CAPACITY - 1, TABLE_CAPACITY, TABLE_NONE};
    for (size_t at = 0; at < sizeof indexes / sizeof *indexes; at++) {
        CHECK(table_at(&empty, sizeof(struct entry), indexes[at]) == NULL);
    }
    CHECK(table_at(&table, sizeof(struct entry), TABLE_CAPACITY) == NULL);
    CHECK(table_at(&table, sizeof(struct entry), TABLE_NONE) == NULL);
}

static void
entries_stay_where_they_are_while_the_table_grows(void)
{
    enum {
        MANY = 20000
    };
    static uint32_t indexes[MANY];
    static struct entry *entries[MANY];
    for (size_t at = 0; at < MANY; at++) {
        indexes[at] = table_take(&table, &shape);
        REQUIRE(indexes[at] != TABLE_NONE);
        entries[at] = entry_at(indexes[at]);
        REQUIRE(entries[at] != NULL);
        entries[at]->value = at;
    }
    for (size_t at = 0; at < MANY; at++) {
        REQUIRE(entry_at(indexes[at]) == entries[at] && entries[at]->value == at);
    }
    for (size_t at = 0; at < MANY; at++) {
        table_give(&table, &shape, indexes[at]);
    }
    uint32_t again = table_take(&table, &shape);
    CHECK(again < MANY);
    table_give(&table, &shape, again);
}

static void *
take_and_give(void *argument)
{
    uint64_t state = check_seed() + *(unsigned *)argument;
    uint32_t held[HELD];
    size_t count = 0;
    for (uint64_t round = 0; round < check_scaled(300000); round++) {
        if (count < HELD && check_random_below(&state, 2) == 0) {
            held[count] = table_take(&table, &shape);
            REQUIRE(held[count] != TABLE_NONE);
            REQUIRE(atomic_fetch_add(&entry_at(held[count])->owners, 1) == 0);
            count++;
        } else if (count > 0) {
            size_t at = (size_t)check_random_below(&state, count);
            uint32_t index = held[at];
            held[at] = held[--count];
            REQUIRE(atomic_fetch_sub(&entry_at(index)->owners, 1) == 1);
            table_give(&table, &shape, index);
        }
    }
    while (count > 0) {
        REQUIRE(atomic_fetch_sub(&entry_at(held[--count])->owners, 1) == 1);
        table_give(&table, &shape, held[count]);
    }
    return NULL;
}

static void
no_entry_has_two_owners(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned number = 0; number < THREADS; number++) {
        numbers[number] = number;
        REQUIRE(pthread_create(&threads[number], NULL, take_and_give, &numbers[number]) == 0);
    }
    for (unsigned number = 0; number < THREADS; number++) {
        REQUIRE(pthread_join(threads[number], NULL) == 0);
    }
}

/** The last index of a full table is the last one that anybody gets. */
static void
a_full_table_hands_out_nothing(void)
{
    static struct table full;
    atomic_store(&full.high_water, TABLE_CAPACITY - 1);
    CHECK_U64(mmgi_table_take_fresh(&full, &shape), TABLE_CAPACITY - 1);
    for (int call = 0; call < 2; call++) {
        CHECK_U64(mmgi_table_take_fresh(&full, &shape), TABLE_NONE);
    }
    CHECK_U64(atomic_load(&full.high_water), TABLE_CAPACITY);
    CHECK(table_at(&full, sizeof(struct entry), TABLE_CAPACITY - 1) != NULL);
}

static const struct check_case cases[] = {
    {"an index that was never handed out is looked up safely", an_index_that_was_never_handed_out_is_looked_up_safely,
     0},
    {"entries stay where they are while the table grows", entries_stay_where_they_are_while_the_table_grows, 0},
    {"a full table hands out nothing", a_full_table_hands_out_nothing, 0},
    {"no entry has two owners", no_entry_has_two_owners, CHECK_THREADS},
};

CHECK_MAIN(cases)
