/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A table that grows. Its entries start as zeros, never move and are never unmapped, so a stale index can be looked up
 * safely, in two loads. Free entries form a lock-free list.
 */
#ifndef MMGI_BASE_TABLE_H
#define MMGI_BASE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_CHUNK_BITS 12u
#define TABLE_CHUNKS (UINT32_C(1) << 14)
/** Entries a table can hold. */
#define TABLE_CAPACITY (TABLE_CHUNKS << TABLE_CHUNK_BITS)
#define TABLE_NONE UINT32_MAX

/* The directory of chunks is 128 KiB of address space; only its pages in use take memory. */
struct table {
    _Atomic(unsigned char *) chunk[TABLE_CHUNKS];
    _Atomic uint64_t free_head;  /* low half: index + 1 of the first free entry; high half: a count against ABA */
    _Atomic uint32_t high_water; /* the number of entries that were ever taken; all indexes in use are lower */
};

/*
 * The constants of a table. They are apart from it, so that a table starts as zeros and takes no room in the
 * object file.
 */
struct table_shape {
    uint32_t entry_size;
    uint32_t next_offset; /* where in an entry its _Atomic uint32_t link for the free list is */
};

/**
 * Returns the entry at an index, or NULL when its chunk does not exist. `size` is that of an entry. Async-signal-safe.
 */
static inline void *
table_at(struct table *table, size_t size, uint32_t index)
{
    if (index >= TABLE_CAPACITY)
        return NULL;
    /* Acquire: pairs with the release that published the zeroed chunk. */
    unsigned char *base = atomic_load_explicit(&table->chunk[index >> TABLE_CHUNK_BITS], memory_order_acquire);
    return base == NULL ? NULL : base + (index & ((UINT32_C(1) << TABLE_CHUNK_BITS) - 1)) * size;
}

/**
 * Makes sure that an index that another table has handed out has an entry in this table. Returns 0 when there is no memory.
 */
int mmgi_table_reserve(struct table *table, const struct table_shape *shape, uint32_t index);

/** Takes an entry that was never taken, and grows the table for it. Returns TABLE_NONE when there is no memory. */
uint32_t mmgi_table_take_fresh(struct table *table, const struct table_shape *shape);

/** Returns the entry at an index that was handed out. */
static inline void *
table_known(struct table *table, size_t size, uint32_t index)
{
    void *entry = table_at(table, size, index);

    if (entry == NULL)
        __builtin_unreachable(); /* chunks are never unmapped */
    return entry;
}

/** Returns the link for the free list in an entry. */
static inline _Atomic uint32_t *
table_link(struct table *table, const struct table_shape *shape, uint32_t index)
{
    /* The cast is from bytes to the link that the owner of the table declared at this offset of its entry. */
    return (_Atomic uint32_t *)(void *)((unsigned char *)table_known(table, shape->entry_size, index) +
                                        shape->next_offset);
}

/*
 * Each open takes entries and each close gives them back. The two functions are inline, so that the compiler knows the shape:
 * that saves 30 instructions for each table.
 */

/** Takes a free entry, as it was left, or else a new entry of zeros. Returns TABLE_NONE when there is no memory. */
static inline uint32_t
table_take(struct table *table, const struct table_shape *shape)
{
    /* Acquire: another thread has left the entry, and its link is read below. */
    uint64_t head = atomic_load_explicit(&table->free_head, memory_order_acquire);

    while ((uint32_t)head != 0) {
        uint32_t index = (uint32_t)head - 1;
        /* Relaxed: if another thread has taken the entry meanwhile, the count in the head makes the exchange fail. */
        uint32_t next = atomic_load_explicit(table_link(table, shape, index), memory_order_relaxed);
        uint64_t replacement = (head & ~UINT64_C(0xFFFFFFFF)) | next;
        if (atomic_compare_exchange_weak_explicit(&table->free_head, &head, replacement, memory_order_acq_rel,
                                                  memory_order_acquire))
            return index;
    }
    return mmgi_table_take_fresh(table, shape);
}

/** Gives an entry back for reuse. Its bytes stay as they are. */
static inline void
table_give(struct table *table, const struct table_shape *shape, uint32_t index)
{
    uint64_t head = atomic_load_explicit(&table->free_head, memory_order_relaxed);
    uint64_t replacement;

    do {
        atomic_store_explicit(table_link(table, shape, index), (uint32_t)head, memory_order_relaxed);
        /* Counting pushes is enough: an entry comes back to the list only by a push. */
        replacement = ((head >> 32) + 1) << 32 | (index + 1);
        /* Release: the next owner sees what was written to the entry. */
    } while (!atomic_compare_exchange_weak_explicit(&table->free_head, &head, replacement, memory_order_release,
                                                    memory_order_relaxed));
}

#endif
