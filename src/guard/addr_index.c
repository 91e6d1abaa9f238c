/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hash table of cells. A mapping of up to 2^c bytes, but more than half of that, is filed under the cell of 2^c bytes
 * that its start is in. Whatever covers an address thus starts in the address's cell or in the one before, for one of the
 * sizes c in use; there are seldom more than five. A bucket is one cache line: eight mappings, each with a tag that the
 * cell makes, so that nearly no wrong mapping is looked at.
 *
 * Writers and readers share nothing but single words. A mapping that finds no room in its bucket is not filed; one that
 * is gone stays until another needs its place. The table grows by publishing a larger one and filing everything again;
 * the old one stays readable for ever, so all of them together take at most twice the last.
 */
#include "guard/addr_index.h"

#include <stdatomic.h>

#include "os/map.h"

#define BUCKET_SLOTS 8u
/* Mappings for each bucket when the table grows; so few buckets are full that the scans for the rest do not count. */
#define MAX_LOAD 3u

struct bucket {
    _Atomic uint64_t slot[BUCKET_SLOTS]; /* tag << 32 | number; 0: free */
};

struct table_of_cells {
    uint64_t buckets;                    /* a power of two */
    _Alignas(64) struct bucket bucket[]; /* on cache lines */
};

static _Atomic(struct table_of_cells *) current;
static _Atomic uint64_t sizes_in_use; /* bit c: a mapping of more than 2^(c-1) and up to 2^c bytes was filed */
static atomic_flag is_growing = ATOMIC_FLAG_INIT;

/* The smallest c with 2^c >= length. */
static unsigned
size_class(size_t length)
{
    return length <= 1 ? 0 : (unsigned)(64 - __builtin_clzll((unsigned long long)length - 1));
}

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014) over the size and the number of a cell. */
static uint64_t
cell_hash(unsigned class, uint64_t cell)
{
    uint64_t mix = (cell << 6 | class) + UINT64_C(0x9E3779B97F4A7C15);

    mix = (mix ^ (mix >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mix ^ (mix >> 31);
}

static uint64_t
hash_of(uintptr_t start, size_t length)
{
    unsigned class = size_class(length);

    return cell_hash(class, (uint64_t)start >> class);
}

/* The upper half of a hash chooses the bucket, the lower half is the tag. */
static struct bucket *
bucket_of(struct table_of_cells *table, uint64_t hash)
{
    return &table->bucket[(hash >> 32) & (table->buckets - 1)];
}

/* Returns true when what a slot says is no longer so. */
static bool
is_stale(uint64_t slot)
{
    uintptr_t start;
    size_t length;

    return !mmgi_addr_index_registry.range((uint32_t)slot, &start, &length) ||
           (uint32_t)hash_of(start, length) != (uint32_t)(slot >> 32);
}

static void
file_under(struct table_of_cells *table, uint32_t number, uint64_t hash)
{
    struct bucket *bucket = bucket_of(table, hash);
    const uint64_t entry = (hash & UINT32_MAX) << 32 | number;

    for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
        if (atomic_load_explicit(&bucket->slot[i], memory_order_relaxed) == entry)
            return; /* the mapping was here before, or one like it */
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_relaxed);
        /* Release: whoever finds the number finds the mapping's range. */
        if ((slot == 0 || is_stale(slot)) &&
            atomic_compare_exchange_strong_explicit(&bucket->slot[i], &slot, entry, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
}

static void
grow(uint32_t limit)
{
    uint64_t buckets = 64;
    size_t size;

    while (buckets * MAX_LOAD < (uint64_t)limit * 2)
        buckets *= 2;
    /* Zeroed, which makes all slots free. The cast: pages are aligned for anything. */
    struct table_of_cells *fresh = (struct table_of_cells *)(void *)mmgi_map_memory(
        sizeof *fresh + (size_t)buckets * sizeof(struct bucket), &size);
    if (fresh == NULL)
        return;
    fresh->buckets = buckets;
    /* Published first: who adds a mapping from now on files it here, and what was there before is filed below. */
    atomic_store(&current, fresh);
    for (uint32_t number = 1; number <= limit; number++) {
        uintptr_t start;
        size_t length;
        if (mmgi_addr_index_registry.range(number, &start, &length)) {
            atomic_fetch_or_explicit(&sizes_in_use, UINT64_C(1) << size_class(length), memory_order_relaxed);
            file_under(fresh, number, hash_of(start, length));
        }
    }
}

void
mmgi_addr_index_add(uint32_t number, uintptr_t start, size_t length, uint32_t limit)
{
    struct table_of_cells *table = atomic_load(&current);

    if ((table == NULL ? limit >= ADDR_INDEX_FROM : table->buckets * MAX_LOAD < limit) &&
        !atomic_flag_test_and_set_explicit(&is_growing, memory_order_acquire)) {
        grow(limit);
        atomic_flag_clear_explicit(&is_growing, memory_order_release);
    }
    while ((table = atomic_load(&current)) != NULL) {
        const uint64_t bit = UINT64_C(1) << size_class(length);
        if ((atomic_load_explicit(&sizes_in_use, memory_order_relaxed) & bit) == 0)
            atomic_fetch_or_explicit(&sizes_in_use, bit, memory_order_relaxed);
        file_under(table, number, hash_of(start, length));
        if (table == atomic_load(&current))
            return; /* else another thread has made a larger table, which may have missed this mapping */
    }
}

static uint32_t
find_in_cell(struct table_of_cells *table, unsigned class, uint64_t cell, uintptr_t address)
{
    const uint64_t hash = cell_hash(class, cell);
    struct bucket *bucket = bucket_of(table, hash);

    for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
        if (slot >> 32 == (hash & UINT32_MAX) && (uint32_t)slot != 0 &&
            mmgi_addr_index_registry.covers((uint32_t)slot, address))
            return (uint32_t)slot;
    }
    return 0;
}

uint32_t
mmgi_addr_index_find(uintptr_t address)
{
    struct table_of_cells *table = atomic_load(&current);
    uint64_t sizes = atomic_load_explicit(&sizes_in_use, memory_order_relaxed);

    for (; table != NULL && sizes != 0; sizes &= sizes - 1) {
        unsigned class = (unsigned)__builtin_ctzll(sizes);
        uint64_t cell = (uint64_t)address >> class;
        uint32_t number = find_in_cell(table, class, cell, address);
        if (number == 0 && cell > 0)
            number = find_in_cell(table, class, cell - 1, address);
        if (number != 0)
            return number;
    }
    return 0;
}
