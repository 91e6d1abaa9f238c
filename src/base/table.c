/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Growth and the free list of a table. The table has no lock. A fork in the middle of an operation loses at most one entry
 * in the child.
 */
#include "base/table.h"

#include "os/map.h"

static _Atomic uint32_t *
next_of(struct table *table, const struct table_shape *shape, uint32_t index)
{
    /* The cast is from bytes to the link that the owner of the table declared at this offset of its entry. */
    return (_Atomic uint32_t *)(void *)((unsigned char *)table_at(table, shape->entry_size, index) +
                                        shape->next_offset);
}

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

static uint32_t
free_pop(struct table *table, const struct table_shape *shape)
{
    /* Acquire: another thread has left the entry, and its link is read below. */
    uint64_t head = atomic_load_explicit(&table->free_head, memory_order_acquire);

    while ((uint32_t)head != 0) {
        uint32_t index = (uint32_t)head - 1;
        /* Relaxed: if another thread has taken the entry meanwhile, the count in the head makes the exchange fail. */
        uint32_t next = atomic_load_explicit(next_of(table, shape, index), memory_order_relaxed);
        uint64_t replacement = (head & ~UINT64_C(0xFFFFFFFF)) | next;
        if (atomic_compare_exchange_weak_explicit(&table->free_head, &head, replacement, memory_order_acq_rel,
                                                  memory_order_acquire))
            return index;
    }
    return TABLE_NONE;
}

uint32_t
mmgi_table_take(struct table *table, const struct table_shape *shape)
{
    uint32_t index = free_pop(table, shape);

    if (index != TABLE_NONE)
        return index;
    /* Relaxed: the index is only a claim; the chunk behind it is published by mmgi_table_reserve(). */
    index = atomic_load_explicit(&table->high_water, memory_order_relaxed);
    do {
        if (index >= TABLE_CAPACITY || !mmgi_table_reserve(table, shape, index))
            return TABLE_NONE;
        /* Release: a scan over all entries that sees the new mark sees the chunk. */
    } while (!atomic_compare_exchange_weak_explicit(&table->high_water, &index, index + 1, memory_order_release,
                                                    memory_order_relaxed));
    return index;
}

void
mmgi_table_give(struct table *table, const struct table_shape *shape, uint32_t index)
{
    uint64_t head = atomic_load_explicit(&table->free_head, memory_order_relaxed);
    uint64_t replacement;

    do {
        atomic_store_explicit(next_of(table, shape, index), (uint32_t)head, memory_order_relaxed);
        /* Counting pushes is enough: an entry comes back to the list only by a push. */
        replacement = ((head >> 32) + 1) << 32 | (index + 1);
        /* Release: the next owner sees what was written to the entry. */
    } while (!atomic_compare_exchange_weak_explicit(&table->free_head, &head, replacement, memory_order_release,
                                                    memory_order_relaxed));
}
