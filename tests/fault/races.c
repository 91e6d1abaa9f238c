/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests faults that race: many at once, on one page, and while the region is closed.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filled.h"

#define MANY 60 /* mappings cut at once */
#define WORKERS 4
#define LEAST_MEETINGS 3u /* in so many rounds both threads must have touched the page before it was replaced */
#define LEAST_LOSSES 20u  /* so many reads must have met a loss while their region was closed */

/* ------------------------------------------------------------------------------------------------------ one page -- */

static struct {
    pthread_barrier_t barrier;
    const uint8_t *data; /* NULL: no more rounds */
    uint64_t page;
} same;

static void *
touch_same_page(void *argument __attribute__((unused)))
{
    for (;;) {
        pthread_barrier_wait(&same.barrier);
        if (same.data == NULL) {
            return NULL;
        }
        CHECK_U64(touch(same.data, same.page), 0);
        pthread_barrier_wait(&same.barrier);
    }
}

/** Returns true where two threads can fault at the same time. */
static bool
runs_threads_side_by_side(void)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1 && !check_under_valgrind();
}

static void
two_threads_on_one_page(void)
{
    pthread_t threads[2];
    const char *path = filled_file("same");
    const uint64_t rounds = check_scaled(500);
    uint64_t both = 0;
    REQUIRE(pthread_barrier_init(&same.barrier, NULL, 3) == 0);
    start(&threads[0], touch_same_page, NULL);
    start(&threads[1], touch_same_page, NULL);
    for (uint64_t round = 0; round < rounds || (both < LEAST_MEETINGS && round < 200 * rounds); round++) {
        mmg_handle handle = open_mapped(path);
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        same.data = span.data;
        same.page = KEPT + round % (PAGES - KEPT);
        cut(path);
        pthread_barrier_wait(&same.barrier);
        pthread_barrier_wait(&same.barrier);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        mmg_info info = check_info(handle);
        CHECK(info.faults == 1 || info.faults == 2);
        both += info.faults == 2;
        CHECK_U64(info.fault_offset, KEPT * check_page());
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        refill(path);
    }
    same.data = NULL;
    pthread_barrier_wait(&same.barrier);
    join(threads[0]);
    join(threads[1]);
    CHECK(both >= LEAST_MEETINGS || !runs_threads_side_by_side());
    pthread_barrier_destroy(&same.barrier);
}

static struct {
    pthread_barrier_t barrier;
    mmg_handle handle;
    uint64_t rounds;
} told;

/** Reads a page that a fault of another thread replaces, and asks for losses at once. */
static void *
ask_at_once(void *argument __attribute__((unused)))
{
    uint64_t state = check_seed();
    for (uint64_t round = 0; round < told.rounds; round++) {
        pthread_barrier_wait(&told.barrier);
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(told.handle, (PAGES - 1) * check_page(), check_page(), &span), MMG_OK);
        pthread_barrier_wait(&told.barrier);
        for (volatile uint64_t turns = check_random_below(&state, 8000); turns > 0; turns--) {
        }
        uint8_t value = touch(span.data, 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_U64(value, 0);
        pthread_barrier_wait(&told.barrier);
    }
    return NULL;
}

/** The library must record a loss before any thread can read its zeros. */
static void
no_zero_is_seen_before_its_loss_is_reported(void)
{
    pthread_t thread;
    const char *path = filled_file("told");
    told.rounds = check_scaled(2000);
    REQUIRE(pthread_barrier_init(&told.barrier, NULL, 2) == 0);
    start(&thread, ask_at_once, NULL);
    for (uint64_t round = 0; round < told.rounds; round++) {
        told.handle = open_mapped(path);
        mmg_span span = check_pin(told.handle, 0, MMG_TO_END);
        pthread_barrier_wait(&told.barrier);
        cut(path);
        pthread_barrier_wait(&told.barrier);
        CHECK_U64(touch(span.data, KEPT), 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        pthread_barrier_wait(&told.barrier);
        CHECK_STATUS(mmg_close(told.handle, 0), MMG_OK);
        refill(path);
    }
    join(thread);
    pthread_barrier_destroy(&told.barrier);
}

/* --------------------------------------------------------------------------------------------------------- closing -- */

static struct {
    pthread_barrier_t barrier;
    _Atomic uint64_t handle;
    _Atomic uint64_t losses; /* reads that found a zero */
} closing;

/** Pins, reads and unpins until the handle is closed. When a read found a zero, the unpin must report the loss. */
static void *
read_until_closed(void *argument __attribute__((unused)))
{
    for (;;) {
        pthread_barrier_wait(&closing.barrier);
        mmg_handle handle = atomic_load(&closing.handle);
        if (handle == 0) {
            return NULL;
        }
        for (mmg_status status = MMG_OK; status != MMG_E_HANDLE;) {
            mmg_span span = MMG_SPAN_INIT;
            status = mmg_pin(handle, 0, MMG_TO_END, &span);
            CHECK(status == MMG_OK || status == MMG_E_TRUNCATED || status == MMG_E_HANDLE);
            if (status == MMG_OK) {
                bool lost = false;
                for (uint64_t page = 0; page < PAGES; page++) {
                    uint8_t value = touch(span.data, page);
                    CHECK(value == FILLED || (value == 0 && page >= KEPT));
                    lost = lost || value == 0;
                }
                mmg_status ended = mmg_unpin(&span);
                CHECK(ended == MMG_E_TRUNCATED || (ended == MMG_OK && !lost));
                atomic_fetch_add(&closing.losses, lost);
            }
        }
        pthread_barrier_wait(&closing.barrier);
    }
}

static void
closing_races_faults(void)
{
    pthread_t threads[WORKERS];
    uint64_t state = check_seed();
    const char *path = filled_file("closing");
    const uint64_t rounds = check_scaled(60);
    atomic_store(&closing.losses, 0);
    REQUIRE(pthread_barrier_init(&closing.barrier, NULL, WORKERS + 1) == 0);
    for (int index = 0; index < WORKERS; index++) {
        start(&threads[index], read_until_closed, NULL);
    }
    for (uint64_t round = 0; round < rounds || atomic_load(&closing.losses) < LEAST_LOSSES; round++) {
        mmg_handle handle = open_mapped(path);
        atomic_store(&closing.handle, handle);
        pthread_barrier_wait(&closing.barrier);
        for (uint64_t turns = check_random_below(&state, 4); turns > 0; turns--) {
            sched_yield();
        }
        cut(path);
        for (uint64_t turns = check_random_below(&state, 3); turns > 0; turns--) {
            sched_yield();
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        pthread_barrier_wait(&closing.barrier);
        refill(path);
    }
    atomic_store(&closing.handle, 0);
    pthread_barrier_wait(&closing.barrier);
    for (int index = 0; index < WORKERS; index++) {
        join(threads[index]);
    }
    pthread_barrier_destroy(&closing.barrier);
    CHECK_U64(check_mappings_of(path), 0);
}

/* ---------------------------------------------------------------------------------------------- many mappings at once -- */

static struct {
    const char *paths[MANY];
    mmg_handle handles[MANY];
    mmg_span spans[MANY];
    pthread_barrier_t barrier;
} many;

static void *
touch_many(void *argument)
{
    int first = *(const int *)argument;
    pthread_barrier_wait(&many.barrier);
    for (int index = 0; index < MANY; index++) {
        CHECK_U64(touch(many.spans[(first + index) % MANY].data, PAGES - 1), 0);
    }
    return NULL;
}

static void
open_and_cut_many(void)
{
    static char names[MANY][24];
    for (int index = 0; index < MANY; index++) {
        snprintf(names[index], sizeof names[index], "many-%d", index);
        many.paths[index] = filled_file(names[index]);
        many.handles[index] = open_mapped(many.paths[index]);
        many.spans[index] = check_pin(many.handles[index], 0, MMG_TO_END);
    }
    for (int index = 0; index < MANY; index++) {
        cut(many.paths[index]);
    }
}

static void
close_many(void)
{
    for (int index = 0; index < MANY; index++) {
        for (uint64_t page = 0; page < PAGES; page++) {
            CHECK_U64(touch(many.spans[index].data, page), page < KEPT ? FILLED : 0);
        }
        CHECK_STATUS(mmg_unpin(&many.spans[index]), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_check(many.handles[index]), MMG_E_TRUNCATED);
        mmg_info info = check_info(many.handles[index]);
        CHECK(info.faults >= 1 && info.faults <= WORKERS);
        CHECK_U64(info.fault_offset, KEPT * check_page());
        CHECK_STATUS(mmg_close(many.handles[index], 0), MMG_OK);
    }
}

static void
sixty_mappings_at_once(void)
{
    pthread_t threads[WORKERS];
    int first[WORKERS];
    REQUIRE(pthread_barrier_init(&many.barrier, NULL, WORKERS) == 0);
    open_and_cut_many();
    for (int index = 0; index < WORKERS; index++) {
        first[index] = index * MANY / WORKERS;
        start(&threads[index], touch_many, &first[index]);
    }
    for (int index = 0; index < WORKERS; index++) {
        join(threads[index]);
    }
    close_many();
    pthread_barrier_destroy(&many.barrier);
}

static struct sigaction below;
static volatile sig_atomic_t raised;

/**
 * Restores the action that it found, and raises the signal, as Python's faulthandler does. The guard then gets a signal
 * without an address.
 */
static void
restore_and_raise(int signo)
{
    raised++;
    sigaction(signo, &below, NULL);
    raise(signo);
}

/** Runs in a child, since it changes the action of SIGBUS. */
static void
raise_over_many(void *argument __attribute__((unused)))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = restore_and_raise;
    action.sa_flags = SA_NODEFER;
    open_and_cut_many();
    REQUIRE(sigaction(SIGBUS, &action, &below) == 0);
    CHECK_U64(touch(many.spans[MANY / 2].data, PAGES - 1), 0);
    CHECK_I64(raised, 1);
    if (!CHECK_UNDER_TSAN) { /* ThreadSanitizer ignores the call and keeps its own handler on top */
        CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    }
    close_many();
}

static void
sixty_mappings_and_a_raised_signal(void)
{
    CHECK_EXITED(check_child(raise_over_many, NULL));
}

static const struct check_case cases[] = {
    {"two threads that fault on one page are both served", two_threads_on_one_page, CHECK_THREADS},
    {"no zero is seen before its loss is reported", no_zero_is_seen_before_its_loss_is_reported, CHECK_THREADS},
    {"closing a region while it faults loses nothing", closing_races_faults, CHECK_THREADS},
    {"sixty mappings cut at once are all contained", sixty_mappings_at_once, CHECK_THREADS},
    {"sixty mappings cut at once survive a signal without an address", sixty_mappings_and_a_raised_signal, 0},
};

CHECK_MAIN(cases)
