/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An action for SIGBUS that was in force before ours, and is owed the signals that are not about our mappings. All of
 * it is async-signal-safe.
 */
#ifndef MMGI_GUARD_PREV_ACTION_H
#define MMGI_GUARD_PREV_ACTION_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct prev_action {
    struct sigaction action; /* constant once signals may come */
    /* SA_RESETHAND: not 0 once the handler has had its one signal. A word: not every processor exchanges single bytes. */
    atomic_uint spent;
};

/** Deliver a signal to it. Was that a function of its, which may have done anything, our disposition included? */
bool mmgi_prev_action_deliver(struct prev_action *predecessor, int signo, siginfo_t *info, void *context);

/** Do what the kernel does for a process that has no handler. */
void mmgi_prev_action_default(siginfo_t *info);

/** Is it this action? */
bool mmgi_prev_action_equals(const struct prev_action *predecessor, const struct sigaction *action);

#endif
