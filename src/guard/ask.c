/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A thread that waits here waits for handlers in other threads. Each of them needs a few system calls, and cannot be
 * interrupted, so the wait is short.
 */
#include "guard/ask.h"

#include <stdatomic.h>
#include <stddef.h>

#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"

/* So many handlers can ask the kernel at the same time. Others wait. */
#define ROOMS 8u
/* A wait is given up after so many short sleeps: about a second. */
#define MAX_WAITS 20000
/* An instruction may run again so many times in a row. */
#define MAX_RETRIES 1000u
/* Retries that are further apart than this are not in a row. */
#define RETRY_WINDOW_NS INT64_C(10000000)

struct room {
    _Atomic int process; /* the process that has taken the room; 0 when none has */
    struct map_scratch scratch;
};
static struct room rooms[ROOMS];

static _Atomic(const struct change_gate *) gate;
static _Atomic int replacing; /* the process of which a thread replaces pages; 0: none */

/* Takes a turn at something that only one thread at a time may do. Storing 0 in `*taken` ends the turn. */
static bool
take_turn(_Atomic int *taken)
{
    const int self = mmgi_process_id();

    for (int i = 0; i < MAX_WAITS; i++) {
        int by = atomic_load(taken);
        if (by != self && atomic_compare_exchange_strong(taken, &by, self))
            return true;
        mmgi_thread_sleep_briefly();
    }
    return false;
}

void
mmgi_ask_set_gate(const struct change_gate *fresh)
{
    atomic_store(&gate, fresh);
}

bool
mmgi_ask_begin_replacing(void)
{
    if (!take_turn(&replacing))
        return false;
    const struct change_gate *known = atomic_load(&gate);
    if (known != NULL)
        known->close();
    return true;
}

void
mmgi_ask_end_replacing(void)
{
    const struct change_gate *known = atomic_load(&gate);

    if (known != NULL)
        known->open();
    atomic_store(&replacing, 0);
}

struct map_scratch *
mmgi_ask_begin(void)
{
    static _Atomic uint32_t next;
    struct room
        *room = &rooms[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % ROOMS]; /* any room will do */

    return take_turn(&room->process) ? &room->scratch : NULL;
}

void
mmgi_ask_end(struct map_scratch *scratch)
{
    for (uint32_t i = 0; i < ROOMS; i++)
        if (&rooms[i].scratch == scratch)
            atomic_store(&rooms[i].process, 0);
}

void
mmgi_ask_after_fork(void)
{
    for (uint32_t i = 0; i < ROOMS; i++)
        atomic_store(&rooms[i].process, 0);
    atomic_store(&replacing, 0);
}

bool
mmgi_ask_may_retry(uintptr_t address)
{
    /* All threads share one address and one count. Threads that fault at many addresses reset the count, which is
       harmless: a fault that comes back for ever comes at the same address. */
    static _Atomic uint64_t last_address, retries;
    static _Atomic int64_t last_ns;
    const int64_t now_ns = mmgi_clock_monotonic_ns();
    const int64_t before_ns = atomic_exchange(&last_ns, now_ns);

    if (atomic_exchange(&last_address, address) != address || now_ns - before_ns > RETRY_WINDOW_NS)
        atomic_store(&retries, 0);
    return atomic_fetch_add(&retries, 1) < MAX_RETRIES;
}
