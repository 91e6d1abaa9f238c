/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A child process that works when it is told to, and answers with numbers: for contenders that need the process for
 * themselves, such as a SIGBUS handler by hand.
 */
#ifndef MMAPGUARD_BENCH_CHILD_H
#define MMAPGUARD_BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t id;
    int orders, answers;
};

/* What a child does for an order: stores `count` numbers. False: it ends, and the parent is told. */
typedef bool (*child_work)(void *context, char order, double *numbers, unsigned int count);

/* Start a child that serves orders until child_end. False: errno. */
bool child_start(struct child *child, child_work work, void *context);

/* Give an order, and wait for `count` numbers. */
bool child_ask(const struct child *child, char order, double *numbers, unsigned int count);

/* Close the child's pipes and wait for its end. Returns how it ended, as waitpid(2) says it. */
int child_end(struct child *child);

#endif
