/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of fork hooks. pthread_atfork(3) cannot be undone, so this file calls it once, for the first entry of the list.
 * A program that only copies files gets no hook.
 */
#include "base/fork_hooks.h"

#include <stddef.h>

#include "os/thread.h"

static os_mutex mutex = OS_MUTEX_INIT;
static struct fork_hooks *first; /* the newest hooks; protected by the mutex */

/* The list is locked from before the fork until after it, so that no thread adds hooks in between. */
static void
before_fork(void)
{
    mmgi_mutex_lock(&mutex);
    for (const struct fork_hooks *hooks = first; hooks != NULL; hooks = hooks->next)
        if (hooks->before != NULL)
            hooks->before();
}

/* Calls the hooks from the oldest to the newest. Two rooms have hooks, so the list is short. */
static void
call_from_oldest(const struct fork_hooks *hooks, bool in_child)
{
    if (hooks == NULL)
        return;
    call_from_oldest(hooks->next, in_child);
    void (*hook)(void) = in_child ? hooks->child : hooks->parent;
    if (hook != NULL)
        hook();
}

static void
after_fork_parent(void)
{
    call_from_oldest(first, false);
    mmgi_mutex_unlock(&mutex);
}

static void
after_fork_child(void)
{
    call_from_oldest(first, true);
    mmgi_mutex_reset(&mutex);
}

bool
mmgi_fork_hooks_add(struct fork_hooks *hooks)
{
    static bool known_to_libc; /* protected by the mutex */

    /* Acquire: pairs with the release below, so a thread that sees the flag runs after the registration. */
    if (atomic_load_explicit(&hooks->is_listed, memory_order_acquire))
        return true;
    mmgi_mutex_lock(&mutex);
    if (!known_to_libc)
        known_to_libc = mmgi_thread_at_fork(before_fork, after_fork_parent, after_fork_child) == 0;
    if (known_to_libc && !atomic_load_explicit(&hooks->is_listed, memory_order_relaxed)) {
        hooks->next = first;
        first = hooks;
        atomic_store_explicit(&hooks->is_listed, true, memory_order_release);
    }
    bool listed = known_to_libc;
    mmgi_mutex_unlock(&mutex);
    return listed;
}
