/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The mark is in a page that the kernel fills with zeros in a child (madvise(2), MADV_WIPEONFORK). The last number that
 * was used is in ordinary memory, which a child inherits, so no child uses the number of an ancestor.
 */
#include "os/fork_mark.h"

#include <stddef.h>

#include "os/map.h"
#include "os/thread.h"

static _Atomic uint32_t plain_place; /* the mark, until there is such a page */
_Atomic(_Atomic uint32_t *) mmgi_fork_mark_place = &plain_place;
static _Atomic uint32_t generations;
static os_mutex mutex = OS_MUTEX_INIT;

static void
place_make(void)
{
    size_t length;
    unsigned char *memory = mmgi_map_memory(sizeof(_Atomic uint32_t), &length);

    if (memory == NULL)
        return;
    if (mmgi_map_wipe_on_fork(memory, length) != 0)
        mmgi_map_memory_release(memory, length);
    else /* the cast is safe: a page is aligned for every type. It is never unmapped */
        atomic_store_explicit(&mmgi_fork_mark_place, (_Atomic uint32_t *)(void *)memory, memory_order_release);
}

void
mmgi_fork_mark_set(void (*first)(void))
{
    mmgi_mutex_lock(&mutex);
    if (atomic_load(&mmgi_fork_mark_place) == &plain_place && atomic_load(&plain_place) == 0)
        place_make();
    if (fork_mark() == 0) {
        first();
        atomic_store(atomic_load(&mmgi_fork_mark_place), atomic_fetch_add(&generations, 1) + 1);
    }
    mmgi_mutex_unlock(&mutex);
}

void
mmgi_fork_mark_clear(void)
{
    mmgi_mutex_reset(&mutex);
    atomic_store(atomic_load(&mmgi_fork_mark_place), 0);
}
