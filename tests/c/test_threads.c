/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests races between threads: close against every other call, two closes, and faults against closes. Each case checks what
 * must hold for every order of events, and does not wait for a particular order.
 */
#include "workers.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ close against everything -- */

/** Makes a random call on a handle that another thread may close at any moment. */
static void
use(struct worker *worker, mmg_handle handle)
{
    uint64_t offset = check_random_below(&worker->state, SIZE - 1000);
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    uint8_t buffer[100];
    uint64_t number = 0;
    uint32_t what = 0;
    mmg_status status = MMG_OK;
    switch (check_random_below(&worker->state, 9)) {
    case 0:
    case 1:
        status = mmg_pin(handle, offset, 1000, &span);
        if (status == MMG_OK) {
            REQUIRE(span.data[0] == check_byte(offset) && span.data[999] == check_byte(offset + 999));
            REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
        }
        break;
    case 2:
        status = mmg_read(handle, offset, buffer, sizeof buffer, &number);
        REQUIRE(status != MMG_OK || (number == sizeof buffer && check_is_pattern(buffer, offset, sizeof buffer)));
        break;
    case 3:
        check_fill(buffer, offset, 16);
        status = mmg_find(handle, offset, 1000, buffer, 16, &number);
        REQUIRE(status != MMG_OK || number == offset);
        break;
    case 4:
        status = mmg_check(handle);
        break;
    case 5:
        status = mmg_info_get(handle, &info);
        REQUIRE(status != MMG_OK || (info.size == SIZE && info.fault_offset == MMG_TO_END));
        break;
    case 6:
        status = mmg_changed(handle, &what);
        REQUIRE(status != MMG_OK || what == 0);
        break;
    case 7:
        status = mmg_resident(handle, offset, 1000, &number);
        REQUIRE(status != MMG_OK || number <= 1000);
        break;
    default:
        status = mmg_advise(handle, offset, 1000, MMG_ADVICE_WILLNEED);
        break;
    }
    REQUIRE(is_ok_or_dead(status));
    atomic_fetch_add(&worker->served, status == MMG_OK);
}

static void *
use_current(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&done)) {
        use(worker, atomic_load(&current));
    }
    return NULL;
}

static void
open_and_close(void)
{
    for (uint64_t round = 0; round < check_scaled(2000) || !is_everyone_served(); round++) {
        mmg_options options = check_backing(round % 2 == 0 ? MMG_BACKING_MAP : MMG_BACKING_COPY);
        mmg_handle handle = check_open(path, &options);
        mmg_handle before = atomic_exchange(&current, handle);
        REQUIRE_STATUS(mmg_close(before, 0), before == 0 ? MMG_E_HANDLE : MMG_OK);
    }
    REQUIRE_STATUS(mmg_close(atomic_load(&current), 0), MMG_OK);
}

static void
a_close_that_races_other_calls_leaves_each_a_result_or_a_dead_handle(void)
{
    make_file();
    atomic_store(&current, 0);
    run_workers(use_current, open_and_close);
}

/* ----------------------------------------------------------------------------------------- close against close -- */

static atomic_uint closed;

static void *
close_current(void *argument)
{
    struct worker *worker = argument;
    uint64_t rounds = check_scaled(1500);
    for (uint64_t round = 0; round < rounds; round++) {
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            atomic_store(&closed, 0);
            atomic_store(&current, check_open(path, NULL));
        }
        pthread_barrier_wait(&barrier);
        bool strict = (worker->number + round) % 2 == 0;
        mmg_status status = mmg_close(atomic_load(&current), strict ? MMG_CLOSE_STRICT : 0);
        REQUIRE(is_ok_or_dead(status)); /* no thread pins, so no close may return MMG_E_BUSY */
        atomic_fetch_add(&closed, status == MMG_OK);
        pthread_barrier_wait(&barrier);
        REQUIRE(atomic_load(&closed) == 1);
    }
    return NULL;
}

static void
of_several_racing_closes_exactly_one_succeeds(void)
{
    make_file();
    run_workers(close_current, NULL);
}

/* ------------------------------------------------------------------------------------------------- open storms -- */

static void *
open_storm(void *argument)
{
    struct worker *worker = argument;
    mmg_handle own[16] = {0};
    mmg_span spans[16];
    memset(spans, 0, sizeof spans);
    for (uint64_t round = 0; round < check_scaled(3000); round++) {
        size_t at = (size_t)check_random_below(&worker->state, 16);
        if (own[at] == 0) {
            mmg_options options = MMG_OPTIONS_INIT;
            options.offset = check_random_below(&worker->state, SIZE);
            options.length = 1 + check_random_below(&worker->state, SIZE - options.offset);
            options.lock = (uint32_t)check_random_below(&worker->state, 3);
            own[at] = check_open(path, &options);
            REQUIRE_STATUS(mmg_pin(own[at], 0, MMG_TO_END, &spans[at]), MMG_OK);
            REQUIRE(spans[at].size == options.length);
            REQUIRE(spans[at].data[0] == check_byte(options.offset));
            REQUIRE(spans[at].data[options.length - 1] == check_byte(options.offset + options.length - 1));
        } else {
            bool close_first = check_random_below(&worker->state, 2) == 0;
            REQUIRE(!close_first || mmg_close(own[at], 0) == MMG_OK);
            REQUIRE_STATUS(mmg_unpin(&spans[at]), MMG_OK);
            REQUIRE(close_first || mmg_close(own[at], MMG_CLOSE_STRICT) == MMG_OK);
            REQUIRE_STATUS(mmg_check(own[at]), MMG_E_HANDLE);
            own[at] = 0;
        }
    }
    for (size_t at = 0; at < 16; at++) {
        REQUIRE(own[at] == 0 || mmg_close(own[at], 0) == MMG_OK);
        REQUIRE_STATUS(mmg_unpin(&spans[at]), MMG_OK);
    }
    return NULL;
}

static void
threads_open_and_close_independently(void)
{
    make_file();
    run_workers(open_storm, NULL);
}

/** Makes calls with stale and random numbers, while other threads open and close handles. */
static void *
throw_numbers(void *argument)
{
    struct worker *worker = argument;
    mmg_handle seen = 0;
    while (!atomic_load(&done)) {
        mmg_handle live = atomic_load(&current);
        mmg_span span = MMG_SPAN_INIT;
        if (live != seen && seen != 0) { /* a handle that was replaced before this read is closed now, or soon */
            mmg_status status = mmg_pin(seen, 0, 10, &span);
            REQUIRE(is_ok_or_dead(status));
            REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
        }
        seen = live;
        /* A number that differs in one bit may be the next handle of the slot. A number with an upper bit is never a
           handle. */
        REQUIRE(is_ok_or_dead(mmg_check(live ^ (UINT64_C(1) << check_random_below(&worker->state, 53)))));
        REQUIRE_STATUS(mmg_close(live ^ (UINT64_C(1) << (53 + check_random_below(&worker->state, 11))), 0),
                       MMG_E_HANDLE);
        REQUIRE_STATUS(mmg_pin(check_random(&worker->state), 0, 0, &span), MMG_E_HANDLE);
        mmg_span token = {NULL, 0, check_random(&worker->state) | 1};
        REQUIRE_STATUS(mmg_unpin(&token), MMG_E_HANDLE);
        atomic_fetch_add(&worker->served, 1);
    }
    return NULL;
}

static void
forged_numbers_do_not_disturb_live_handles(void)
{
    make_file();
    atomic_store(&current, 0);
    run_workers(throw_numbers, open_and_close);
}

/* ------------------------------------------------------------------------------------------- faults and closes -- */

static void *
touch_current(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&done)) {
        mmg_span span = MMG_SPAN_INIT;
        mmg_handle handle = atomic_load(&current);
        mmg_status status = mmg_pin(handle, 0, MMG_TO_END, &span);
        REQUIRE(status == MMG_OK || status == MMG_E_HANDLE || status == MMG_E_TRUNCATED);
        bool zero = false;
        for (uint64_t at = check_random_below(&worker->state, 4096); at < span.size; at += 4096) {
            uint8_t byte = ((const volatile uint8_t *)span.data)[at];
            REQUIRE(byte == 0 || byte == check_byte(at));
            zero |= byte == 0 && check_byte(at) != 0;
        }
        status = mmg_unpin(&span);
        REQUIRE(status == MMG_OK || status == MMG_E_TRUNCATED);
        /* The file never had zeros, so this one comes from a lost page, or from behind the new end of the file. */
        if (zero && status == MMG_OK) {
            mmg_status check = mmg_check(handle);
            REQUIRE(check == MMG_E_TRUNCATED || check == MMG_E_HANDLE);
        }
        atomic_fetch_add(&worker->served, zero);
        uint8_t needle[4] = {1, 2, 3, 4};
        uint64_t position = 0;
        status = mmg_find(handle, 0, MMG_TO_END, needle, sizeof needle, &position);
        REQUIRE(status == MMG_OK || status == MMG_E_HANDLE || status == MMG_E_TRUNCATED);
    }
    return NULL;
}

/** Cuts the file under its readers and closes the handle. A new file gets the path, so that the cut file stays cut. */
static void
truncate_and_close(void)
{
    uint64_t state = check_seed();
    for (uint64_t round = 0; round < check_scaled(300) || !is_everyone_served(); round++) {
        char fresh[4200];
        snprintf(fresh, sizeof fresh, "%s.fresh", path);
        int descriptor = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        static uint8_t bytes[SIZE];
        check_fill(bytes, 0, round == 0 ? SIZE : 0);
        REQUIRE(descriptor >= 0 && write(descriptor, bytes, SIZE) == SIZE && close(descriptor) == 0);
        REQUIRE(rename(fresh, path) == 0);
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_handle handle = check_open(path, &options);
        mmg_handle before = atomic_exchange(&current, handle);
        if (before != 0) {
            REQUIRE_STATUS(mmg_close(before, 0), MMG_OK);
        }
        check_truncate(path, check_random_below(&state, SIZE));
    }
    REQUIRE_STATUS(mmg_close(atomic_load(&current), 0), MMG_OK);
}

static void
faults_that_race_closes_are_contained(void)
{
    make_file();
    atomic_store(&current, 0);
    run_workers(touch_current, truncate_and_close);
}

static const struct check_case cases[] = {
    {"a close that races other calls leaves each a result or a dead handle",
     a_close_that_races_other_calls_leaves_each_a_result_or_a_dead_handle, CHECK_THREADS},
    {"of several racing closes exactly one succeeds", of_several_racing_closes_exactly_one_succeeds, CHECK_THREADS},
    {"threads open and close independently", threads_open_and_close_independently, CHECK_THREADS},
    {"forged numbers do not disturb live handles", forged_numbers_do_not_disturb_live_handles, CHECK_THREADS},
    {"faults that race closes are contained", faults_that_race_closes_are_contained, CHECK_THREADS | CHECK_LOSES},
};

CHECK_MAIN(cases)
