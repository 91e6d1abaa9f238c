/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * W7: threads open, touch and close files as fast as they can. Each thread has a file of its own: once a small one,
 * which the library copies, once a large one, which the library maps. The time of a run is that of its slowest thread.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum {
    MOST_THREADS = 16
};

struct storm;

struct worker {
    struct storm *storm;
    pthread_t thread;
    char path[4096];
    bool failed;
};

/* The threads live for all rounds and meet at two barriers, which begin and end a run. */
struct storm {
    pthread_barrier_t begin, end;
    unsigned int threads;
    bool over;
    const struct contender *contender; /* the contender of this run */
    uint64_t times;                    /* the number of rounds of each thread in this run */
    struct worker workers[MOST_THREADS];
};

struct storm_job {
    struct storm *storm;
    const struct contender *contender;
};

static void *
worker_main(void *argument)
{
    struct worker *worker = argument;
    struct storm *storm = worker->storm;
    stay_on_processor((unsigned int)(worker - storm->workers));
    for (;;) {
        pthread_barrier_wait(&storm->begin);
        if (storm->over)
            return NULL;
        worker->failed = false; /* another contender may have failed before */
        for (uint64_t i = 0; i < storm->times; i++) {
            struct view view;
            if (!storm->contender->open(worker->path, &view)) {
                worker->failed = true;
                break;
            }
            keep(touch_pages(view.data, view.size));
            storm->contender->close(&view);
        }
        pthread_barrier_wait(&storm->end);
    }
}

static bool
run_storm(void *context, uint64_t times)
{
    const struct storm_job *job = context;
    struct storm *storm = job->storm;
    storm->contender = job->contender;
    storm->times = times;
    pthread_barrier_wait(&storm->begin);
    pthread_barrier_wait(&storm->end);
    bool failed = false;
    for (unsigned int i = 0; i < storm->threads; i++)
        failed = failed || storm->workers[i].failed;
    return !failed;
}

static bool
compare(uint64_t bytes, unsigned int threads)
{
    const struct contender *contenders[MOST_CONTENDERS];
    const unsigned int count = everybody(contenders, MOST_CONTENDERS, true);
    static struct storm storm;
    storm = (struct storm){.threads = threads};
    pthread_barrier_init(&storm.begin, NULL, threads + 1);
    pthread_barrier_init(&storm.end, NULL, threads + 1);
    bool made = true;
    for (unsigned int i = 0; made && i < threads; i++) {
        struct worker *worker = &storm.workers[i];
        char name[16];
        snprintf(name, sizeof name, "storm-%u", i);
        worker->storm = &storm;
        made = make_file(name, bytes, worker->path, sizeof worker->path);
    }
    for (unsigned int i = 0; made && i < threads; i++)
        made = pthread_create(&storm.workers[i].thread, NULL, worker_main, &storm.workers[i]) == 0;
    if (!made)
        return false; /* the process ends, and its threads with it */

    struct storm_job jobs[MOST_CONTENDERS];
    struct runner runners[MOST_CONTENDERS];
    for (unsigned int i = 0; i < count; i++) {
        jobs[i] = (struct storm_job){&storm, contenders[i]};
        runners[i] = (struct runner){contenders[i]->name, run_storm, &jobs[i], NULL};
    }
    const struct figure figure = {.work = "W7",
                                  .task = "open, touch all, close",
                                  .bytes = bytes,
                                  .threads = threads,
                                  .operations = (double)threads};
    measure(&figure, runners, count);

    storm.over = true;
    pthread_barrier_wait(&storm.begin);
    for (unsigned int i = 0; i < threads; i++) {
        pthread_join(storm.workers[i].thread, NULL);
        unlink(storm.workers[i].path);
    }
    pthread_barrier_destroy(&storm.begin);
    pthread_barrier_destroy(&storm.end);
    return true;
}

bool
work_storm(void)
{
    if (measure_counts)
        return true; /* the counts of several threads cannot be told apart */
    static const uint64_t sizes[] = {4 << 10, 1 << 20};
    for (unsigned int i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned int threads = 1; threads <= MOST_THREADS; threads *= 2) {
            if (!compare(sizes[i], threads))
                return false;
        }
    }
    return true;
}
