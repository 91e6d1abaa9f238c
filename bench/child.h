/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A child process that does work on request, and answers with numbers. It is for contenders that need a process of
 * their own, such as a SIGBUS handler by hand.
 */
#ifndef MMAPGUARD_BENCH_CHILD_H
#define MMAPGUARD_BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t id;
    int orders, answers;
};

/*
 * The work of a child for one order: it stores `count` numbers. When it returns false, the child ends, and the parent
 * learns of this.
 */
typedef bool (*child_work)(void *context, char order, double *numbers, unsigned int count);

/* Start a child that serves orders until child_end. Returns false with errno set when this fails. */
bool child_start(struct child *child, child_work work, void *context);

/* Send an order to the child, and wait for `count` numbers. Returns false when the child does not answer. */
bool child_ask(const struct child *child, char order, double *numbers, unsigned int count);

/* Close the child's pipes and wait for its end. Returns its wait status (waitpid(2)). */
int child_end(struct child *child);

#endif
