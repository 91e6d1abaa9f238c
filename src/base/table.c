/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The growth of a table. The table has no lock. A fork in the middle of an operation loses at most one entry in the child.
 */
#include "base/table.h"

#include "os/map.h"

/* Threads may race here: one of them wins, and the others free their chunks. */
int
mmgi_table_reserve(struct table *table, const struct table_shape *shape, uint32_t index)
{
    uint32_t chunk = index >> TABLE_CHUNK_BITS;
    unsigned char *expected = NULL;

    if (atomic_load_explicit(&table->chunk[chunk], memory_order_acquire) != NULL)
        return 1;
    /* A pin in a signal handler may need a chunk, so malloc(3) is not allowed here. Fresh pages are zeros, and a page
       takes memory only when it is used. */
    size_t size;
    unsigned char *fresh = mmgi_map_memory((size_t)shape->entry_size << TABLE_CHUNK_BITS, &size);
    if (fresh == NULL)
        return 0;
    /* Release: a thread that sees the chunk sees its zeros. */
    if (!atomic_compare_exchange_strong_explicit(&table->chunk[chunk], &expected, fresh, memory_order_acq_rel,
                                                 memory_order_acquire))
        mmgi_map_memory_release(fresh, size);
    return 1;
}

uint32_t
mmgi_table_take_fresh(struct table *table, const struct table_shape *shape)
{
    /* Relaxed: the index is only a claim; the chunk behind it is published by mmgi_table_reserve(). */
    uint32_t index = atomic_load_explicit(&table->high_water, memory_order_relaxed);

    do {
        if (index >= TABLE_CAPACITY || !mmgi_table_reserve(table, shape, index))
            return TABLE_NONE;
        /* Release: a scan over all entries that sees the new mark sees the chunk. */
    } while (!atomic_compare_exchange_weak_explicit(&table->high_water, &index, index + 1, memory_order_release,
                                                    memory_order_relaxed));
    return index;
}
