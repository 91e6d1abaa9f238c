/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An action for the fault signal that was in force before the guard. The guard passes signals that are not about guarded
 * mappings on to it. Every function here is async-signal-safe.
 */
#ifndef MMGI_GUARD_PREV_ACTION_H
#define MMGI_GUARD_PREV_ACTION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "os/signal.h"

struct prev_action {
    struct signal_action action; /* does not change once the guard is installed */
    /* Not 0 when the action was good for one signal only (SA_RESETHAND), and has had it. It is a word, since not every
       processor can exchange a byte atomically. */
    atomic_uint is_spent;
};

/**
 * Delivers a signal to an earlier action, as the kernel would have done. Returns true when the call has run a handler. That
 * handler may have done anything; for example, it may have replaced the guard.
 */
bool mmgi_prev_action_deliver(struct prev_action *previous, int signo, void *info, void *context);

/** Does what the kernel does for a process without a handler: the process ends. */
void mmgi_prev_action_default(void *info, void *context);

#endif
