/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the rooms do around a fork. One list, so that there is one order: before a fork the room that came last goes
 * first, afterwards the room that came first goes first.
 */
#ifndef MMGI_BASE_FORK_HOOKS_H
#define MMGI_BASE_FORK_HOOKS_H

#include <stdatomic.h>
#include <stdbool.h>

/** What one room does around a fork. Static storage: it is never taken off the list. Each function may be NULL. */
struct fork_hooks {
    void (*before)(void);
    void (*parent)(void); /* after the fork, in the parent */
    void (*child)(void);  /* after the fork, in the child, where the calling thread is the only one */
    struct fork_hooks *next;
    atomic_bool is_listed;
};

/**
 * Puts the hooks of a room on the list; nothing happens when they are on it. Returns false when the C library has no
 * memory for the first of them; a later call tries again. From any thread, but not from a signal handler.
 */
bool mmgi_fork_hooks_add(struct fork_hooks *hooks);

#endif
