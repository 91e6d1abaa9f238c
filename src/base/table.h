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

/** Takes a free entry, as it was left, or else a new entry of zeros. Returns TABLE_NONE when there is no memory. */
uint32_t mmgi_table_take(struct table *table, const struct table_shape *shape);

/**
 * Makes sure that an index that another table has handed out has an entry in this table. Returns 0 when there is no memory.
 */
int mmgi_table_reserve(struct table *table, const struct table_shape *shape, uint32_t index);

/** Gives an entry back for reuse. Its bytes stay as they are. */
void mmgi_table_give(struct table *table, const struct table_shape *shape, uint32_t index);

#endif
