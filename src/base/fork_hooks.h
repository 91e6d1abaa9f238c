/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the rooms do around a fork. There is one list for all rooms, and so one order: before a fork the hooks of the newest
 * entry run first, after a fork those of the oldest.
 */
#ifndef MMGI_BASE_FORK_HOOKS_H
#define MMGI_BASE_FORK_HOOKS_H

#include <stdatomic.h>
#include <stdbool.h>

/** What one room does around a fork. The struct must have static storage, since it stays on the list. Each function may be
 * NULL. */
struct fork_hooks {
    void (*before)(void);
    void (*parent)(void); /* after the fork, in the parent */
    void (*child)(void);  /* after the fork, in the child, where the calling thread is the only one */
    struct fork_hooks *next;
    atomic_bool is_listed;
};

/**
 * Puts the hooks of a room on the list; the call does nothing when they are on it already. Returns false when the C library has no
 * memory for the first of them; a later call tries again. Any thread may call this function; a signal handler may not.
 */
bool mmgi_fork_hooks_add(struct fork_hooks *hooks);

#endif
