/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of fork hooks. pthread_atfork(3) cannot be undone, so this file calls it once, for the first entry of the list.
 * A program that only copies files gets no hook. Another thread may fork before that call is done; its child has no hook
 * yet and no thread that would finish the call, so the child makes the call itself.
 */
#include "base/fork_hooks.h"

#include <stddef.h>

#include "os/process.h"
#include "os/thread.h"

static os_mutex mutex = OS_MUTEX_INIT; /* locked only when the C library knows the hooks */
static struct fork_hooks *first;       /* the newest hooks; protected by the mutex */
static atomic_bool is_known;           /* the C library knows the hooks */
static _Atomic int teller;             /* the process that tells the C library now; 0: none */

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
    /* This hook runs, so the C library knows it. The thread that asked for it may have stopped before it said so. */
    atomic_store(&is_known, true);
}

/* Makes the C library call the hooks. Returns false when it has no memory for that. */
static bool
tell_libc(void)
{
    const int self = mmgi_process_id();
    bool done = true;

    while (done && !atomic_load(&is_known)) {
        int by = atomic_load(&teller);
        if (by == self || !atomic_compare_exchange_strong(&teller, &by, self)) {
            mmgi_thread_sleep_briefly(); /* another thread of this process is faster */
            continue;
        }
        done = atomic_load(&is_known) || mmgi_thread_at_fork(before_fork, after_fork_parent, after_fork_child) == 0;
        if (done)
            atomic_store(&is_known, true);
        atomic_store(&teller, 0);
    }
    return done;
}

bool
mmgi_fork_hooks_add(struct fork_hooks *hooks)
{
    /* Acquire: pairs with the release below, so a thread that sees the flag runs after the registration. */
    if (atomic_load_explicit(&hooks->is_listed, memory_order_acquire))
        return true;
    if (!tell_libc())
        return false;
    mmgi_mutex_lock(&mutex);
    if (!atomic_load_explicit(&hooks->is_listed, memory_order_relaxed)) {
        hooks->next = first;
        first = hooks;
        atomic_store_explicit(&hooks->is_listed, true, memory_order_release);
    }
    mmgi_mutex_unlock(&mutex);
    return true;
}
