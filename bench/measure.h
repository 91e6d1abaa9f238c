/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Takes the times. The contenders for one figure take turns in one process, with a short batch each. Their order is
 * shuffled for every round, so that other work on the machine affects all of them alike. A single thread is timed by
 * the processor time that it takes, in the kernel as well: all files are in the page cache, and nobody waits. Several
 * threads are timed by the clock. The output is one line of JSON for each contender, with a time for every round;
 * report.py computes medians and ratios.
 */
#ifndef MMAPGUARD_BENCH_MEASURE_H
#define MMAPGUARD_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MOST_CONTENDERS = 24
};

/* One side of a comparison. It does the work `times` times, and returns true when it could. */
struct runner {
    const char *name;
    bool (*run)(void *context, uint64_t times);
    void *context;
    /* Undoes the effect of so many runs; its time does not count. NULL when there is nothing to undo. */
    void (*undo)(void *context, uint64_t times);
};

/* The description of what is measured. It is printed as it is. */
struct figure {
    const char *work;  /* "W1" */
    const char *task;  /* "open, touch all, close" */
    uint64_t bytes;    /* size of the file, or 0 */
    uint64_t threads;  /* the number of working threads; 0: the caller works itself */
    double operations; /* operations in one run, by which its time is divided; 0 means 1 */
};

/* The time for one figure with all of its contenders, set once from the command line. */
extern uint64_t measure_budget_ms;

/*
 * True to count and not to time, set once from the command line. Each runner then does its work a few times between two
 * marks, by which strace and callgrind tell to which runner the system calls and instructions belong. The page faults
 * are counted here.
 */
extern bool measure_counts;

/* Do the work that is counted. report.py tells callgrind the name of this function, so it is global and not inlined. */
bool mmapguard_bench_counted(const struct runner *runner, uint64_t times);

/* Returns the time of the clock in nanoseconds. */
uint64_t now_ns(void);

/*
 * Keep the calling thread on one processor, on a different one for each number as far as possible. A scheduler that
 * wakes several threads for half a millisecond may otherwise put them on one processor.
 */
void stay_on_processor(unsigned int number);

/*
 * Time the runners in turn and print a line for each. A runner that fails is left out and named in a line of its own.
 */
void measure(const struct figure *figure, const struct runner *runners, unsigned int count);

/* Print a line for something that was counted, or timed by other means. */
void print_samples(const struct figure *figure, const char *name, const double *samples, unsigned int count);

/* Print a line that says why something was not measured. */
void print_failure(const struct figure *figure, const char *name, const char *why);

#endif
