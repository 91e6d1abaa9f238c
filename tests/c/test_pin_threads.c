/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests pins that several threads make and end: strict close against pins, pins that end on another thread, and one span that
 * several threads unpin. Each case checks what must hold for every order of events, and does not wait for a particular
 * order.
 */
#include "workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------- strict against pins -- */

/* What each pinning thread records about its own pins. */
static struct {
    atomic_uint attempts; /* the number of calls of mmg_pin() that have begun */
    atomic_uint settled;  /* the number of these that have ended, including the unpin */
    atomic_bool pinned;   /* true between a successful pin and its unpin */
} pinners[THREADS];

/* Set when enough closes were refused. Then the pinning threads pause, so that the close succeeds. */
static atomic_bool resting;

static void *
pin_current(void *argument)
{
    struct worker *worker = argument;
    unsigned me = worker->number;
    while (!atomic_load(&done)) {
        mmg_span spans[12];
        size_t wanted = 1 + (size_t)check_random_below(&worker->state, 12);
        size_t got = 0;
        mmg_handle handle = atomic_load(&current);
        atomic_fetch_add(&pinners[me].attempts, 1);
        while (got < wanted && mmg_pin(handle, got, 100, &spans[got]) == MMG_OK) {
            got++;
        }
        if (got > 0) {
            atomic_store(&pinners[me].pinned, true);
            for (size_t index = 0; index < got; index++) {
                REQUIRE(spans[index].data[99] == check_byte(index + 99));
            }
            atomic_store(&pinners[me].pinned, false);
        }
        for (size_t index = 0; index < got; index++) {
            REQUIRE_STATUS(mmg_unpin(&spans[index]), MMG_OK);
        }
        atomic_fetch_add(&worker->served, got > 0);
        atomic_fetch_add(&pinners[me].settled, 1);
        while (atomic_load(&resting) && !atomic_load(&done)) {
            sched_yield();
        }
    }
    return NULL;
}

static uint64_t
sum_attempts(void)
{
    uint64_t sum = 0;
    for (unsigned index = 0; index < THREADS; index++) {
        sum += atomic_load(&pinners[index].attempts);
    }
    return sum;
}

static uint64_t
sum_settled(void)
{
    uint64_t sum = 0;
    for (unsigned index = 0; index < THREADS; index++) {
        sum += atomic_load(&pinners[index].settled);
    }
    return sum;
}

static void
close_strictly(void)
{
    uint64_t state = check_seed();
    for (uint64_t round = 0; round < check_scaled(2000) || !is_everyone_served(); round++) {
        mmg_options options = check_backing(round % 2 == 0 ? MMG_BACKING_MAP : MMG_BACKING_COPY);
        mmg_handle handle = check_open(path, &options);
        mmg_span span = MMG_SPAN_INIT;
        unsigned busy = 0;
        atomic_store(&resting, false);
        atomic_store(&current, handle);
        for (;;) {
            uint64_t settled = sum_settled();
            uint64_t begun = sum_attempts();
            mmg_status status = mmg_close(handle, MMG_CLOSE_STRICT);
            if (status == MMG_OK) {
                break;
            }
            REQUIRE_STATUS(status, MMG_E_BUSY);
            atomic_store(&resting, ++busy > check_random_below(&state, 20));
            /* A refused close needs a pin: a thread had begun to pin before, or began meanwhile. */
            REQUIRE(settled != begun || sum_attempts() != begun);
            REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
            REQUIRE(span.data[9] == check_byte(9));
            REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
        }
        for (unsigned index = 0; index < THREADS; index++) {
            REQUIRE(!atomic_load(&pinners[index].pinned));
        }
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_E_HANDLE);
    }
}

static void
a_strict_close_succeeds_only_when_no_pin_lives(void)
{
    make_file();
    atomic_store(&current, 0);
    run_workers(pin_current, close_strictly);
}

/* --------------------------------------------------------------------------------------------- unpin elsewhere -- */

#define BOX 256
static struct {
    atomic_flag taken[BOX];
    mmg_span spans[BOX];
} box;

/** Uses the handle that was closed last, while another handle gets its slot. */
static void *
use_stale(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&done)) {
        mmg_span span = MMG_SPAN_INIT;
        mmg_handle stale = atomic_load(&current);
        REQUIRE_STATUS(mmg_pin(stale, 0, 0, &span), MMG_E_HANDLE);
        REQUIRE_STATUS(mmg_check(stale), MMG_E_HANDLE);
        atomic_fetch_add(&worker->served, stale != 0);
    }
    return NULL;
}

static void
close_what_nobody_uses(void)
{
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    copy.length = 10;
    for (uint64_t round = 0; round < check_scaled(30000) || !is_everyone_served(); round++) {
        mmg_handle handle = check_open(path, &copy);
        REQUIRE_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
        atomic_store(&current, handle);
    }
}

static void
a_stale_handle_does_not_make_its_successor_busy(void)
{
    make_file();
    atomic_store(&current, 0);
    run_workers(use_stale, close_what_nobody_uses);
}

/**
 * Puts a pin into a random place of the box, and ends the pin that was there before, which any thread may have made.
 */
static void *
exchange_pins(void *argument)
{
    struct worker *worker = argument;
    for (uint64_t round = 0; round < check_scaled(60000); round++) {
        size_t place = (size_t)check_random_below(&worker->state, BOX);
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(atomic_load(&current), place, 10, &span), MMG_OK);
        while (atomic_flag_test_and_set_explicit(&box.taken[place], memory_order_acquire)) {
            ;
        }
        mmg_span other = box.spans[place];
        box.spans[place] = span;
        atomic_flag_clear_explicit(&box.taken[place], memory_order_release);
        REQUIRE(other.pin == 0 || other.data[9] == check_byte(place + 9));
        REQUIRE_STATUS(mmg_unpin(&other), MMG_OK);
    }
    return NULL;
}

static void
a_pin_may_end_on_another_thread(void)
{
    make_file();
    memset(&box, 0, sizeof box);
    atomic_store(&current, check_open(path, NULL));
    run_workers(exchange_pins, NULL);
    uint64_t left = 0;
    for (size_t place = 0; place < BOX; place++) {
        left += box.spans[place].pin != 0;
    }
    CHECK_U64(check_info(atomic_load(&current)).pins, left);
    CHECK_STATUS(mmg_close(atomic_load(&current), 0), MMG_OK);
    for (size_t place = 0; place < BOX; place++) {
        CHECK_STATUS(mmg_unpin(&box.spans[place]), MMG_OK);
    }
}

/** Every thread unpins this span, and exactly one of them must succeed. */
static mmg_span contested;
static atomic_uint ended;

static void *
end_contested(void *argument)
{
    (void)argument;
    uint64_t rounds = check_scaled(1500);
    for (uint64_t round = 0; round < rounds; round++) {
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            atomic_store(&ended, 0);
            REQUIRE_STATUS(mmg_pin(atomic_load(&current), 0, 10, &contested), MMG_OK);
        }
        pthread_barrier_wait(&barrier);
        mmg_span copy = contested;
        mmg_status status = mmg_unpin(&copy);
        REQUIRE(is_ok_or_dead(status));
        atomic_fetch_add(&ended, status == MMG_OK);
        pthread_barrier_wait(&barrier);
        REQUIRE(atomic_load(&ended) == 1);
    }
    return NULL;
}

static void
of_several_racing_unpins_of_one_span_exactly_one_succeeds(void)
{
    make_file();
    atomic_store(&current, check_open(path, NULL));
    run_workers(end_contested, NULL);
    CHECK_U64(check_info(atomic_load(&current)).pins, 0);
    CHECK_STATUS(mmg_close(atomic_load(&current), MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"a strict close succeeds only when no pin lives", a_strict_close_succeeds_only_when_no_pin_lives, CHECK_THREADS},
    {"a stale handle does not make its successor busy", a_stale_handle_does_not_make_its_successor_busy, CHECK_THREADS},
    {"a pin may end on another thread", a_pin_may_end_on_another_thread, CHECK_THREADS},
    {"of several racing unpins of one span exactly one succeeds",
     of_several_racing_unpins_of_one_span_exactly_one_succeeds, CHECK_THREADS},
};

CHECK_MAIN(cases)
