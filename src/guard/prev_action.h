/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An action for the fault signal that was in force before the guard's. It is owed the signals that are not about guarded
 * mappings. Everything here is async-signal-safe.
 */
#ifndef MMGI_GUARD_PREV_ACTION_H
#define MMGI_GUARD_PREV_ACTION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "os/signal.h"

struct prev_action {
    struct signal_action action; /* constant once signals may come */
    /* Not 0: the action was good for one signal, and has had it. A word, since not every processor exchanges bytes. */
    atomic_uint is_spent;
};

/**
 * Delivers a signal to an earlier action, as the kernel would have done. Returns true when a handler was called, which
 * may have done anything, for example put itself in the guard's place.
 */
bool mmgi_prev_action_deliver(struct prev_action *previous, int signo, void *info, void *context);

/** Does what the kernel does for a process that has no handler: the process ends. */
void mmgi_prev_action_default(void *info, void *context);

#endif
