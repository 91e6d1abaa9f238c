/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests searches that race closes. A search visits its region, and a visit ends without a barrier where the system can
 * make all threads execute one (handle/visit.h). The region must be given back exactly once all the same, and a strict
 * close must not take a search that has ended for one that goes on. The cases run again in a sandbox that forbids the
 * barrier after the first open.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "forbid.h"

#define SIZE ((size_t)100000)

#define LEAST_RACES 20U /* closes that must have met a search */
#define MEETING_ROUNDS                                                                                                 \
    32 /* one round in so many closes only after a hit, so that closes meet searches on every machine */

static _Atomic mmg_handle current, hit;
static atomic_bool done;
static atomic_uint races;

/** Searches the region of each round again and again, until its handle is closed. */
static void *
search(void *argument)
{
    const uint8_t needle[] = {check_byte(70), check_byte(71), check_byte(72)};
    (void)argument;
    while (!atomic_load(&done)) {
        mmg_handle handle = atomic_load(&current);
        uint64_t position = 0;
        unsigned hits = 0;
        mmg_status status = MMG_OK;
        while ((status = mmg_find(handle, 0, MMG_TO_END, needle, sizeof needle, &position)) == MMG_OK) {
            REQUIRE(position == 70);
            atomic_store(&hit, handle);
            hits++;
        }
        REQUIRE_STATUS(status, MMG_E_HANDLE);
        atomic_fetch_add(&races, hits > 0);
    }
    return NULL;
}

static void
race(uint32_t backing, uint64_t rounds)
{
    const char *path = check_file("file", SIZE);
    const mmg_options options = check_backing(backing);
    const uint64_t regions = check_stats().regions;
    uint64_t state = check_seed();
    pthread_t searcher;
    atomic_store(&done, false);
    atomic_store(&current, 0);
    atomic_store(&hit, 0);
    atomic_store(&races, 0);
    REQUIRE(pthread_create(&searcher, NULL, search, NULL) == 0);
    for (uint64_t round = 0; round < rounds || atomic_load(&races) < LEAST_RACES; round++) {
        mmg_handle handle = check_open(path, &options);
        atomic_store(&current, handle);
        while (round % MEETING_ROUNDS == 0 && atomic_load(&hit) != handle) {
            sched_yield();
        }
        for (volatile uint64_t wait = check_random_below(&state, 400); wait > 0; wait--) {
        }
        REQUIRE_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    atomic_store(&done, true);
    REQUIRE(pthread_join(searcher, NULL) == 0);
    CHECK_U64(check_stats().regions, regions);
    CHECK_U64(check_mappings_of(path), 0);
}

static void
a_close_that_races_a_search_leaves_no_region_behind(void)
{
    race(MMG_BACKING_COPY, check_scaled(2000));
    race(MMG_BACKING_MAP, check_scaled(1000));
}

CHECK_IN_A_CHILD(a_sandbox_that_forbids_the_barrier_changes_nothing)
{
    CHECK_STATUS(mmg_close(check_open(check_file("first", SIZE), NULL), 0), MMG_OK);
    forbid(SYS_membarrier, EPERM); /* where the system has no filters, the race is that of the first case */
    race(MMG_BACKING_COPY, check_scaled(1000));
}

static void
a_search_that_has_ended_does_not_make_a_region_busy(void)
{
    mmg_handle handle = check_open(check_file("file", SIZE), NULL);
    const uint8_t needle = check_byte(70);
    for (uint64_t round = 0; round < check_scaled(1000); round++) {
        uint64_t position = 0;
        REQUIRE_STATUS(mmg_find(handle, 60, MMG_TO_END, &needle, 1, &position), MMG_OK);
        CHECK_U64(check_info(handle).pins, 0);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"a close that races a search leaves no region behind", a_close_that_races_a_search_leaves_no_region_behind,
     CHECK_THREADS},
    {"a sandbox that forbids the barrier changes nothing", a_sandbox_that_forbids_the_barrier_changes_nothing,
     CHECK_ONCE},
    {"a search that has ended does not make a region busy", a_search_that_has_ended_does_not_make_a_region_busy, 0},
};

CHECK_MAIN(cases)
