/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Interleaved timing; see measure.h.
 */
#include "measure.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FEWEST_ROUNDS = 9,
    MOST_ROUNDS = 501,
    BATCH_NS = 500000, /* long beside the scheduler's wake-ups, short beside a burst of other work */
};

uint64_t measure_budget_ms = 2000;
bool measure_counts;

static uint64_t
read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

uint64_t
now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void
stay_on_processor(unsigned int number)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    unsigned int skip = number % (unsigned int)CPU_COUNT(&allowed);
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++) {
        if (!CPU_ISSET(processor, &allowed) || skip-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        sched_setaffinity(0, sizeof one, &one); /* when this fails, the scheduler decides */
        return;
    }
}

static void
print_start(const struct figure *figure, const char *name)
{
    printf("{\"work\": \"%s\", \"task\": \"%s\", \"bytes\": %" PRIu64 ", \"threads\": %" PRIu64 ", \"name\": \"%s\"",
           figure->work, figure->task, figure->bytes, figure->threads, name);
}

void
print_samples(const struct figure *figure, const char *name, const double *samples, unsigned int count)
{
    print_start(figure, name);
    printf(", \"samples\": [");
    for (unsigned int i = 0; i < count; i++)
        printf("%s%.6g", i > 0 ? ", " : "", samples[i]);
    printf("]}\n");
    fflush(stdout);
}

void
print_failure(const struct figure *figure, const char *name, const char *why)
{
    print_start(figure, name);
    printf(", \"failure\": \"%s\"}\n", why);
    fflush(stdout);
}

/* Return the nanoseconds for `times` runs, or 0 when the runner failed. */
static uint64_t
time_batch(const struct figure *figure, const struct runner *runner, uint64_t times)
{
    const clockid_t clock = figure->threads > 0 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    const uint64_t start = read_clock(clock);
    if (!runner->run(runner->context, times))
        return 0;
    const uint64_t duration = read_clock(clock) - start;
    if (runner->undo != NULL)
        runner->undo(runner->context, times);
    return duration > 0 ? duration : 1;
}

/* Return how often the fastest runner has to run for a batch that is long enough. This warms up all runners as well. */
static uint64_t
calibrate(const struct figure *figure, const struct runner *const *runners, unsigned int count)
{
    uint64_t times = 1;
    for (unsigned int i = 0; i < count; i++) {
        uint64_t duration = time_batch(figure, runners[i], times);
        while (duration != 0 && duration < BATCH_NS) {
            times *= 2;
            duration = time_batch(figure, runners[i], times);
        }
    }
    return times;
}

static void
shuffle(unsigned int *order, unsigned int count, uint64_t *seed)
{
    for (unsigned int i = count; i > 1; i--) {
        *seed = *seed * 6364136223846793005U + 1442695040888963407U;
        const unsigned int other = (unsigned int)((*seed >> 33) % i);
        const unsigned int swapped = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swapped;
    }
}

/* Leave out the runners that cannot do this at all, and print a line for each. */
static unsigned int
try_out(const struct figure *figure, const struct runner *runners, unsigned int count, const struct runner **able)
{
    unsigned int left = 0;
    for (unsigned int i = 0; i < count; i++) {
        errno = 0;
        if (runners[i].run(runners[i].context, 1)) {
            able[left++] = &runners[i];
            if (runners[i].undo != NULL)
                runners[i].undo(runners[i].context, 1);
        } else {
            print_failure(figure, runners[i].name, errno != 0 ? strerror(errno) : "failed");
        }
    }
    return left;
}

__attribute__((noinline)) bool
mmapguard_bench_counted(const struct runner *runner, uint64_t times)
{
    return runner->run(runner->context, times);
}

/* Make a mark that strace shows: a write that fails. */
static void
mark(const char *word)
{
    if (write(-1, word, strlen(word)) >= 0)
        abort();
}

static void
count_one(const struct figure *figure, const struct runner *runner)
{
    const uint64_t times = figure->operations > 1      ? 2
                           : figure->bytes <= 64 << 10 ? 32
                           : figure->bytes <= 1 << 20  ? 8
                                                       : 2;
    struct rusage before, after;
    for (unsigned int warm = 0; warm < 3; warm++) {
        if (!runner->run(runner->context, times))
            return;
        if (runner->undo != NULL)
            runner->undo(runner->context, times);
    }
    mark("counted: begin");
    getrusage(RUSAGE_SELF, &before);
    if (!mmapguard_bench_counted(runner, times))
        return;
    getrusage(RUSAGE_SELF, &after);
    mark("counted: end");
    if (runner->undo != NULL)
        runner->undo(runner->context, times);
    const double operations = (double)times * (figure->operations > 0 ? figure->operations : 1.0);
    print_start(figure, runner->name);
    printf(", \"operations\": %.0f, \"faults\": %ld}\n", operations, after.ru_minflt - before.ru_minflt);
    fflush(stdout);
}

void
measure(const struct figure *figure, const struct runner *runners, unsigned int count)
{
    const struct runner *able[MOST_CONTENDERS];
    count = try_out(figure, runners, count, able);
    if (count == 0)
        return;

    if (measure_counts) {
        for (unsigned int i = 0; i < count; i++)
            count_one(figure, able[i]);
        return;
    }

    const uint64_t times = calibrate(figure, able, count);
    uint64_t round_ns = 0;
    for (unsigned int i = 0; i < count; i++)
        round_ns += time_batch(figure, able[i], times);
    uint64_t rounds = measure_budget_ms * 1000000U / (round_ns + 1);
    rounds = rounds < FEWEST_ROUNDS ? FEWEST_ROUNDS : rounds;
    rounds = rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;

    const double operations = (double)times * (figure->operations > 0 ? figure->operations : 1.0);
    double *samples = calloc((size_t)(rounds * count), sizeof *samples);
    if (samples == NULL)
        return;
    unsigned int order[MOST_CONTENDERS];
    for (unsigned int i = 0; i < count; i++)
        order[i] = i;
    uint64_t seed = 1;
    for (uint64_t round = 0; round < rounds; round++) {
        shuffle(order, count, &seed);
        for (unsigned int i = 0; i < count; i++)
            samples[order[i] * rounds + round] = (double)time_batch(figure, able[order[i]], times) / operations;
    }
    for (unsigned int i = 0; i < count; i++)
        print_samples(figure, able[i]->name, samples + i * rounds, (unsigned int)rounds);
    free(samples);
}
