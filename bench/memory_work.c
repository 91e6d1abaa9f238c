/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * W6, the cost of a live handle: memory of the process beside the data, page tables, and the time to open and to close
 * one handle among many. Each contender has a process of its own.
 */
#include "child.h"
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    SMALL_BYTES = 64,
    MAPPED_BYTES = (68 << 10) - 1, /* every contender maps a file of this size */
    SPARE = 64,                    /* descriptors that are left for other uses */
    ANSWERS = 5
};

struct memory_job {
    const struct contender *contender;
    const char *path;
    unsigned int live;
    uint64_t data; /* the bytes of the file in memory */
};

static double
process_kib(const char *what)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what), NULL);
    if (file != NULL)
        fclose(file);
    return kib;
}

static double
processor_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/*
 * Store the bytes of heap and of page tables for a handle, and the nanoseconds to open and to close one, as means over
 * all handles. The last number is how many could be opened.
 */
static bool
hold_all(void *context, char order, double *numbers, unsigned int count)
{
    const struct memory_job *job = context;
    struct view *views = calloc(job->live, sizeof *views);
    unsigned int held = 0;
    (void)order;
    if (views == NULL || count != ANSWERS)
        return false;
    memset(views, 1, job->live * sizeof *views); /* then its pages exist before anything is counted */
    const double heap = process_kib("RssAnon:"), tables = process_kib("VmPTE:"), begun = processor_ns();
    while (held < job->live && job->contender->open(job->path, &views[held])) {
        keep(touch_first(views[held].data, views[held].size));
        held++;
    }
    const double opened = processor_ns();
    numbers[0] = (process_kib("RssAnon:") - heap) * 1024 / (held > 0 ? held : 1) - (double)job->data;
    numbers[1] = (process_kib("VmPTE:") - tables) * 1024 / (held > 0 ? held : 1);
    numbers[2] = (opened - begun) / (held > 0 ? held : 1);
    const double closing = processor_ns();
    for (unsigned int i = 0; i < held; i++)
        job->contender->close(&views[i]);
    numbers[3] = (processor_ns() - closing) / (held > 0 ? held : 1);
    numbers[4] = held;
    free(views);
    return true;
}

static void
measure_memory(struct figure *figure, const char *kind, struct memory_job *job)
{
    static const char *const words[] = {"bytes of heap a handle", "bytes of page tables a handle", "ns to open one",
                                        "ns to close one"};
    struct child child;
    double numbers[ANSWERS];
    char task[96];
    figure->task = kind;
    if (!child_start(&child, hold_all, job) || !child_ask(&child, 'm', numbers, ANSWERS)) {
        print_failure(figure, job->contender->name, "its process ended");
    } else if (numbers[ANSWERS - 1] < job->live) {
        snprintf(task, sizeof task, "ends at %.0f", numbers[ANSWERS - 1]);
        print_failure(figure, job->contender->name, task);
    } else {
        for (unsigned int i = 0; i < sizeof words / sizeof words[0]; i++) {
            snprintf(task, sizeof task, "%s, %s", kind, words[i]);
            figure->task = task;
            print_samples(figure, job->contender->name, &numbers[i], 1);
        }
    }
    child_end(&child);
}

bool
work_memory(void)
{
    const bool is_short = work_most_bytes < 1U << 30;
    char small[4096], mapped[4096], kind[64];
    const struct contender *all[MOST_CONTENDERS];
    struct rlimit limit;
    struct figure figure = {.work = "W6"};
    if (measure_counts)
        return true;
    if (!make_file("small", SMALL_BYTES, small, sizeof small) ||
        !make_file("mapped", MAPPED_BYTES, mapped, sizeof mapped))
        return false;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }

    struct memory_job job = {.path = small, .live = is_short ? 100000 : 1000000, .data = SMALL_BYTES};
    static const struct contender *const copiers[] = {
        &mmapguard,
        &hand_read_no_lock,
#ifdef BENCH_HAS_GLIB
        &glib_contents,
#endif
#ifdef BENCH_HAS_RUST
        &rust_fs_read,
#endif
    };
    snprintf(kind, sizeof kind, "%u small copies", job.live);
    for (unsigned int i = 0; i < sizeof copiers / sizeof copiers[0]; i++) {
        job.contender = copiers[i];
        figure.bytes = SMALL_BYTES;
        measure_memory(&figure, kind, &job);
    }

    const unsigned int most = limit.rlim_cur < 60000 + SPARE ? (unsigned int)limit.rlim_cur - SPARE : 60000;
    job = (struct memory_job){.path = mapped, .live = is_short && most > 10000 ? 10000 : most};
    snprintf(kind, sizeof kind, "%u mappings of 68 KiB", job.live);
    const unsigned int count = everybody(all, MOST_CONTENDERS, false);
    for (unsigned int i = 0; i < count; i++) {
        job.contender = all[i];
        figure.bytes = MAPPED_BYTES;
        measure_memory(&figure, kind, &job);
    }
    unlink(small);
    unlink(mapped);
    return true;
}
