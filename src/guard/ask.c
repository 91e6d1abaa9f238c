/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whoever waits here waits for other handlers, which need a few system calls each and cannot be interrupted.
 */
#include "guard/ask.h"

#include <stddef.h>

#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"

/* So many handlers can ask at the same time. Others wait. */
#define ROOMS 8u
/* A wait is given up after so many short sleeps: about a second. */
#define MAX_WAITS 20000
/* An instruction may run again so often in a row. */
#define MAX_RETRIES 1000u
/* Retries that are further apart than this are not in a row. */
#define RETRY_WINDOW_NS INT64_C(10000000)

struct room {
    _Atomic int process; /* the process that has taken the room; 0 when none has */
    struct map_scratch scratch;
};
static struct room rooms[ROOMS];

bool
mmgi_ask_take_turn(_Atomic int *taken)
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

struct map_scratch *
mmgi_ask_begin(void)
{
    static _Atomic uint32_t next;
    struct room
        *room = &rooms[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % ROOMS]; /* any room will do */

    return mmgi_ask_take_turn(&room->process) ? &room->scratch : NULL;
}

void
mmgi_ask_end(struct map_scratch *scratch)
{
    for (uint32_t i = 0; i < ROOMS; i++)
        if (&rooms[i].scratch == scratch)
            atomic_store(&rooms[i].process, 0);
}

bool
mmgi_ask_may_retry(uintptr_t address)
{
    /* One place for all threads: the threads of a storm touch many addresses, and each change of the address begins anew. */
    static _Atomic uint64_t last_address, retries;
    static _Atomic int64_t last_ns;
    const int64_t now_ns = mmgi_clock_monotonic_ns();
    const int64_t before_ns = atomic_exchange(&last_ns, now_ns);

    if (atomic_exchange(&last_address, address) != address || now_ns - before_ns > RETRY_WINDOW_NS)
        atomic_store(&retries, 0);
    return atomic_fetch_add(&retries, 1) < MAX_RETRIES;
}
