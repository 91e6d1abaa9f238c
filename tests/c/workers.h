/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of races: threads that start together, and the data that they share.
 */
#ifndef MMAPGUARD_TESTS_WORKERS_H
#define MMAPGUARD_TESTS_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "check.h"

#define THREADS 4
#define SIZE 300000
/* So many times every thread must have met what its case is about. Valgrind runs one thread at a time, and seldom switches. */
#define LEAST_SERVED (check_under_valgrind() ? 5u : 20u)

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t state;
    atomic_uint served;
};

static struct worker workers[THREADS];
static char path[4096];

/* The data that the threads of the running case share. */
static _Atomic mmg_handle current;
static atomic_bool done;
static pthread_barrier_t barrier;

static inline void
make_file(void)
{
    snprintf(path, sizeof path, "%s", check_file("file", SIZE));
}

static inline void
run_workers(void *(*body)(void *), void (*meanwhile)(void))
{
    REQUIRE(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    atomic_store(&done, false);
    for (unsigned number = 0; number < THREADS; number++) {
        workers[number] = (struct worker){.number = number, .state = check_seed() + number};
        REQUIRE(pthread_create(&workers[number].thread, NULL, body, &workers[number]) == 0);
    }
    if (meanwhile != NULL) {
        meanwhile();
    }
    atomic_store(&done, true);
    for (unsigned number = 0; number < THREADS; number++) {
        REQUIRE(pthread_join(workers[number].thread, NULL) == 0);
    }
    pthread_barrier_destroy(&barrier);
}

/** Returns true when each thread has met what its case is about often enough. Until then the case goes on. */
static inline bool
is_everyone_served(void)
{
    for (unsigned number = 0; number < THREADS; number++) {
        if (atomic_load(&workers[number].served) < LEAST_SERVED) {
            return false;
        }
    }
    return true;
}

/** Returns true when the status of a call is right for a handle that another thread may close. */
static inline bool
is_ok_or_dead(mmg_status status)
{
    return status == MMG_OK || status == MMG_E_HANDLE;
}

#endif
