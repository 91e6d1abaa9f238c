/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How times are taken. The contenders for one figure take turns in one process, a short batch each, in an order that is
 * shuffled anew for every round, so that whatever else the machine does hits all of them alike. A thread alone is timed by
 * the processor time that it takes, in the kernel too: all files are in the page cache, and nobody waits. Several threads
 * are timed by the clock. What comes out is one line of JSON per contender with a time for every round; medians and
 * ratios are the business of report.py.
 */
#ifndef MMAPGUARD_BENCH_MEASURE_H
#define MMAPGUARD_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MOST_CONTENDERS = 24
};

/* One side of a comparison: does the work `times` times over, and says whether it could. */
struct runner {
    const char *name;
    bool (*run)(void *context, uint64_t times);
    void *context;
    /* NULL, or what is to be undone after that many runs, off the clock. */
    void (*undo)(void *context, uint64_t times);
};

/* What is being measured: printed as it is. */
struct figure {
    const char *work;  /* "W1" */
    const char *task;  /* "open, touch all, close" */
    uint64_t bytes;    /* size of the file, or 0 */
    uint64_t threads;  /* that work for the caller; 0: it does so itself, alone */
    double operations; /* operations in one run, by which its time is divided; 0 means 1 */
};

/* How long to measure one figure, over all of its contenders; set once from the command line. */
extern uint64_t measure_budget_ms;

/* Count instead: each runner does its work a few times between two marks, by which a tool that looks on (strace, callgrind)
 * tells whose system calls and instructions it counts; the page faults are counted here. Set once from the command line. */
extern bool measure_counts;

/* The work that is counted. report.py tells callgrind this name, so it is a function of its own that others see. */
bool mmapguard_bench_counted(const struct runner *runner, uint64_t times);

/* Nanoseconds on the clock. */
uint64_t now_ns(void);

/* Keep the calling thread on one processor, a different one for each number as far as there are. A scheduler that wakes
 * several threads for half a millisecond likes to put them on one. */
void stay_on_processor(unsigned int number);

/* Time the runners in turn and print a line for each. One that fails is named in a line of its own, and left out. */
void measure(const struct figure *figure, const struct runner *runners, unsigned int count);

/* A line for something that was counted, or timed by other means. */
void print_samples(const struct figure *figure, const char *name, const double *samples, unsigned int count);

/* A line that says why something was not measured. */
void print_failure(const struct figure *figure, const char *name, const char *why);

#endif
