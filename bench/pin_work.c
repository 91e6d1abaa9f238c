/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * pin + unpin, compared with the cheapest operation that could keep bytes alive: an atomic increment and decrement
 * without contention. The same is done by two threads, on one region and on a region each, to see what sharing costs.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PAIRS = 1000,
    THREADS = 2
};

/* A counter with a cache line of its own. */
struct counter {
    _Alignas(128) _Atomic uint64_t value;
};

static bool
pin_pairs(void *context, uint64_t times)
{
    const mmg_handle region = *(const mmg_handle *)context;
    for (uint64_t i = 0; i < times * PAIRS; i++) {
        mmg_span span;
        if (mmg_pin(region, 0, 1, &span) != MMG_OK)
            return false;
        keep(span.data[0]);
        if (mmg_unpin(&span) != MMG_OK)
            return false;
    }
    return true;
}

static bool
count_pairs(void *context, uint64_t times)
{
    struct counter *counter = context;
    for (uint64_t i = 0; i < times * PAIRS; i++) {
        /* A pin would need the orders acquire and release. */
        keep(atomic_fetch_add_explicit(&counter->value, 1, memory_order_acquire));
        atomic_fetch_sub_explicit(&counter->value, 1, memory_order_release);
    }
    return true;
}

/* The same work for two threads at once. */
struct pair_job {
    bool (*run)(void *context, uint64_t times);
    void *contexts[THREADS];
    uint64_t times;
};

struct pair_thread {
    struct pair_job *job;
    void *context;
    unsigned int number;
    bool done;
};

static void *
thread_main(void *argument)
{
    struct pair_thread *thread = argument;
    stay_on_processor(thread->number);
    thread->done = thread->job->run(thread->context, thread->job->times);
    return NULL;
}

static bool
run_threads(void *context, uint64_t times)
{
    struct pair_job *job = context;
    struct pair_thread threads[THREADS];
    pthread_t ids[THREADS];
    bool done = true;
    job->times = times * 20; /* then the start of the threads does not count */
    for (unsigned int i = 0; i < THREADS; i++) {
        threads[i] = (struct pair_thread){job, job->contexts[i], i, false};
        if (pthread_create(&ids[i], NULL, thread_main, &threads[i]) != 0)
            return false; /* the failure is reported, and the threads that did start end with the process */
    }
    for (unsigned int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        done = done && threads[i].done;
    }
    return done;
}

bool
work_pin(void)
{
    char path[4096];
    static struct counter counters[THREADS];
    mmg_handle regions[THREADS];
    if (!make_file("pin", 1 << 20, path, sizeof path))
        return false;
    for (unsigned int i = 0; i < THREADS; i++) {
        if (mmg_open(path, NULL, &regions[i], NULL) != MMG_OK)
            return false;
    }

    struct figure figure = {.work = "pin", .task = "one thread", .operations = PAIRS};
    const struct runner alone[] = {{"pin + unpin", pin_pairs, &regions[0], NULL},
                                   {"atomic add + sub", count_pairs, &counters[0], NULL}};
    measure(&figure, alone, 2);

    /* The time is that of a pair in each thread: two threads do two pairs in this time. */
    figure.threads = THREADS;
    figure.operations = PAIRS * 20.0;
    struct pair_job pins = {pin_pairs, {&regions[0], &regions[0]}, 0};
    struct pair_job counts = {count_pairs, {&counters[0], &counters[0]}, 0};
    const struct runner together[] = {{"pin + unpin", run_threads, &pins, NULL},
                                      {"atomic add + sub", run_threads, &counts, NULL}};
    figure.task = "two threads, one region";
    measure(&figure, together, 2);
    pins.contexts[1] = &regions[1];
    counts.contexts[1] = &counters[1];
    figure.task = "two threads, a region each";
    measure(&figure, together, 2);

    for (unsigned int i = 0; i < THREADS; i++)
        mmg_close(regions[i], 0);
    unlink(path);
    return true;
}
