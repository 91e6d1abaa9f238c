/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hash table of cells. A mapping of more than 2^(c-1) and up to 2^c bytes belongs to the cell of 2^c bytes in which it
 * starts. So the mapping that covers an address starts in the cell of that address or in the cell before, for one of the
 * sizes c in use. There are seldom more than five such sizes. A bucket is one cache line with eight mappings. Each mapping
 * has a tag, made from its cell, so that a search hardly ever looks at a wrong mapping.
 *
 * Writers and readers share only single words. A mapping for which its bucket has no room is not in the table; a mapping
 * that was removed stays until another one needs its place. To grow, the code publishes a larger table and enters all
 * mappings again. Old tables stay readable for ever; together they take less memory than the current one.
 */
#include "guard/addr_index.h"

#include <stdatomic.h>

#include "os/map.h"

#define BUCKET_SLOTS 8u
/* The table grows at this number of mappings for each bucket. Then few buckets are full, so the registry seldom has to scan
   for a mapping that is not in the table. */
#define MAX_LOAD 3u

struct bucket {
    _Atomic uint64_t slot[BUCKET_SLOTS]; /* tag << 32 | number; 0 when free */
};

struct table_of_cells {
    uint64_t buckets;                    /* a power of two */
    _Alignas(64) struct bucket bucket[]; /* one bucket is one cache line */
};

static _Atomic(struct table_of_cells *) current;
static _Atomic uint64_t sizes_in_use; /* bit c: a mapping of more than 2^(c-1) and up to 2^c bytes was filed */
static atomic_flag is_growing = ATOMIC_FLAG_INIT;

/* Returns the smallest c with 2^c >= length. */
static unsigned
size_class(size_t length)
{
    return length <= 1 ? 0 : (unsigned)(64 - __builtin_clzll((unsigned long long)length - 1));
}

/* Returns the hash of a cell: the finaliser of splitmix64 (Steele, Lea, Flood, 2014) over its size and its number. */
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

/* Returns true when the mapping in a slot was removed, or when its number names another mapping now. */
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
            return; /* this entry is in the bucket already */
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_relaxed);
        /* Release: a thread that finds the number also sees the range of the mapping. */
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
    /* The memory is zeros, so all slots are free. The cast is safe, since pages are aligned for any type. */
    struct table_of_cells *fresh = (struct table_of_cells *)(void *)mmgi_map_memory(
        sizeof *fresh + (size_t)buckets * sizeof(struct bucket), &size);
    if (fresh == NULL)
        return;
    fresh->buckets = buckets;
    /* Publish the table first. From now on other threads enter their mappings here, and the loop enters the older ones. */
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
            return; /* else another thread has published a larger table, and may have missed this mapping */
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
