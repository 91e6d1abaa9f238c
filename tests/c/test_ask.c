/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the turns that handlers take when they ask the kernel about foreign mappings or replace pages of them, and how often
 * an instruction may run again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "guard/ask.h"
#include "standing_in.h"

static bool pauses_take_no_time;
static bool processes_have_one_number;

STANDING_IN(int, mmgi_process_id, (void))

int
__wrap_mmgi_process_id(void)
{
    int unused;
    plan_next(&mmgi_process_id_plan, &unused);
    return processes_have_one_number ? 1 : __real_mmgi_process_id();
}

STANDING_IN(void, mmgi_thread_sleep_briefly, (void))

void
__wrap_mmgi_thread_sleep_briefly(void)
{
    int unused;
    plan_next(&mmgi_thread_sleep_briefly_plan, &unused);
    if (!pauses_take_no_time) {
        __real_mmgi_thread_sleep_briefly();
    }
}

#define ROOMS 8u

static void
take_all_rooms(void *unused)
{
    struct map_scratch *taken[ROOMS];
    (void)unused;
    for (unsigned index = 0; index < ROOMS; index++) {
        taken[index] = mmgi_ask_begin();
        REQUIRE(taken[index] != NULL);
        for (unsigned other = 0; other < index; other++) {
            CHECK(taken[other] != taken[index]);
        }
    }
    for (unsigned index = 0; index < ROOMS; index++) {
        mmgi_ask_end(taken[index]);
    }
}

/** No two handlers get the same memory, however often it was given back before. */
static void
each_handler_has_memory_of_its_own(void)
{
    for (int round = 0; round < 5; round++) {
        take_all_rooms(NULL);
    }
}

/** The threads of a parent never end their turns in the child. */
static void
a_child_takes_the_turns_of_its_parent(void)
{
    struct map_scratch *taken[ROOMS];
    for (unsigned index = 0; index < ROOMS; index++) {
        taken[index] = mmgi_ask_begin();
    }
    CHECK_EXITED(check_child(take_all_rooms, NULL));
    for (unsigned index = 0; index < ROOMS; index++) {
        mmgi_ask_end(taken[index]);
    }
}

static void
take_all_turns(void *unused)
{
    take_all_rooms(unused);
    CHECK(mmgi_ask_begin_replacing());
    mmgi_ask_end_replacing();
}

/**
 * The first process of a PID namespace has the number 1, and so has a child that it makes in a further namespace. Here every
 * process has the number 1.
 */
static void
a_child_with_the_number_of_its_parent_takes_its_turns(void)
{
    struct map_scratch *taken[ROOMS];
    REQUIRE_STATUS(mmg_guard_install(), MMG_OK); /* from then on the library notices a fork */
    processes_have_one_number = true;
    for (unsigned index = 0; index < ROOMS; index++) {
        taken[index] = mmgi_ask_begin();
        REQUIRE(taken[index] != NULL);
    }
    CHECK(mmgi_ask_begin_replacing());
    pauses_take_no_time = true;
    CHECK_EXITED(check_child(take_all_turns, NULL));
    pauses_take_no_time = false;
    mmgi_ask_end_replacing();
    for (unsigned index = 0; index < ROOMS; index++) {
        mmgi_ask_end(taken[index]);
    }
    processes_have_one_number = false;
}

static _Atomic int inside, passed, closed, opened;

static void
close_gate(void)
{
    atomic_fetch_add(&closed, 1);
}

static void
open_gate(void)
{
    CHECK_I64(atomic_load(&closed), atomic_fetch_add(&opened, 1) + 1);
}

static void *
replace_pages(void *rounds)
{
    for (uint64_t round = *(uint64_t *)rounds; round > 0; round--) {
        while (!mmgi_ask_begin_replacing()) {
            continue; /* the machine is so busy that the wait took too long */
        }
        CHECK_I64(atomic_fetch_add(&inside, 1), 0);
        CHECK_I64(atomic_load(&closed), atomic_load(&opened) + 1);
        atomic_fetch_sub(&inside, 1);
        atomic_fetch_add(&passed, 1);
        mmgi_ask_end_replacing();
    }
    return NULL;
}

static void
replace_in_a_child(void *unused)
{
    (void)unused;
    CHECK(mmgi_ask_begin_replacing());
    mmgi_ask_end_replacing();
}

/** One thread at a time replaces pages, and the gate is closed as long as it does. */
static void
one_thread_at_a_time_replaces_pages_behind_a_closed_gate(void)
{
    static const struct change_gate gate = {.close = close_gate, .open = open_gate};
    pthread_t threads[3];
    uint64_t rounds = 300;
    atomic_store(&passed, 0);
    atomic_store(&closed, 0);
    atomic_store(&opened, 0);
    CHECK(mmgi_ask_begin_replacing()); /* without a gate */
    mmgi_ask_end_replacing();
    mmgi_ask_set_gate(&gate);
    for (size_t index = 0; index < 3; index++) {
        REQUIRE(pthread_create(&threads[index], NULL, replace_pages, &rounds) == 0);
    }
    for (size_t index = 0; index < 3; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    }
    CHECK_I64(atomic_load(&passed), 900);
    CHECK_I64(atomic_load(&closed), 900);
    CHECK_I64(atomic_load(&opened), 900);
    mmgi_ask_set_gate(NULL);
    CHECK(mmgi_ask_begin_replacing());
    CHECK_EXITED(check_child(replace_in_a_child, NULL));
    mmgi_ask_end_replacing();
}

static struct map_scratch *held;

static void
give_one_back(void)
{
    mmgi_ask_end(held);
}

/** A handler waits for others for a second, and then does without. Here the pauses take no time. */
static void
a_wait_ends_with_a_turn_or_without_one(void)
{
    struct map_scratch *taken[ROOMS];
    for (unsigned index = 0; index < ROOMS; index++) {
        taken[index] = mmgi_ask_begin();
        REQUIRE(taken[index] != NULL);
    }
    CHECK(mmgi_ask_begin_replacing());
    pauses_take_no_time = true;
    PLAN(mmgi_thread_sleep_briefly, GO_ON);
    CHECK(!mmgi_ask_begin_replacing());
    CHECK_U64(CALLS(mmgi_thread_sleep_briefly), 20000);
    PLAN(mmgi_thread_sleep_briefly, GO_ON);
    CHECK(mmgi_ask_begin() == NULL);
    CHECK_U64(CALLS(mmgi_thread_sleep_briefly), 20000);
    mmgi_ask_end_replacing();
    held = taken[1]; /* the next turn is at the second room, after one at the first that was denied */
    PLAN_MEANWHILE(mmgi_thread_sleep_briefly, 3, give_one_back);
    taken[1] = mmgi_ask_begin();
    CHECK(taken[1] == held);
    CHECK_U64(CALLS(mmgi_thread_sleep_briefly), 3);
    pauses_take_no_time = false;
    for (unsigned index = 0; index < ROOMS; index++) {
        mmgi_ask_end(taken[index]);
    }
}

/** Returns how often an instruction may run again that touches an address. A pause in between starts the count anew. */
static unsigned
retries(uintptr_t address)
{
    unsigned count = 0;
    while (count < 10000000 && mmgi_ask_may_retry(address)) {
        count++;
    }
    return count;
}

static void
an_instruction_runs_again_a_thousand_times_in_a_row(void)
{
    const struct timespec pause = {.tv_nsec = 30000000};
    uintptr_t address = 4096;
    unsigned count = retries(address), fewest = count;
    CHECK(count >= 1000 && count < 10000000);
    do {
        address += 4096; /* another address has a count of its own */
        count = retries(address);
        CHECK(count >= 1000 && count < 10000000);
        fewest = count < fewest ? count : fewest; /* a pause that the scheduler makes begins a new count */
    } while (fewest > 1000 && address < 4096000);
    CHECK_U64(fewest, 1000);
    nanosleep(&pause, NULL);
    CHECK(retries(address) >= 1000);
}

static const struct check_case cases[] = {
    {"each handler has memory of its own", each_handler_has_memory_of_its_own, 0},
    {"a child takes the turns of its parent", a_child_takes_the_turns_of_its_parent, 0},
    {"a child with the number of its parent takes its turns", a_child_with_the_number_of_its_parent_takes_its_turns, 0},
    {"one thread at a time replaces pages behind a closed gate",
     one_thread_at_a_time_replaces_pages_behind_a_closed_gate, CHECK_THREADS},
    {"a wait ends with a turn or without one", a_wait_ends_with_a_turn_or_without_one, 0},
    {"an instruction runs again a thousand times in a row", an_instruction_runs_again_a_thousand_times_in_a_row, 0},
};

CHECK_MAIN(cases)
