/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searches the bytes of a region for a needle.
 */
#ifndef MMGI_REGION_FIND_H
#define MMGI_REGION_FIND_H

#include "os/clock.h"
#include "os/thread.h"
#include "region/byte_search.h"
#include "region/region.h"

/** What mmg_find() and mmg_find_last() look for. */
struct sought {
    const void *needle;
    uint64_t size;
    bool is_last; /* true to find the last occurrence, false to find the first */
};

/**
 * Finds a needle in a range of a pinned region, also when pages of the range are lost. Stores in `*position` an offset
 * in the region, or MMG_NOT_FOUND. Returns MMG_OK, or the status of a loss or of a failed read.
 */
mmg_status mmgi_find_in_region(const struct region *region, uint64_t offset, uint64_t length,
                               const struct sought *sought, uint64_t *position);

/**
 * The answers about the guard and the file hold for at most 2^23 ns, which is 8.4 ms, and one tick of the clock, for the thread
 * that has asked.
 */
#define LOOK_SHIFT 23

/**
 * Returns a number for the calling thread and the present moment. It is never 0, and differs from the numbers of other
 * threads and other moments.
 */
static inline uint64_t
look_stamp(void)
{
    /* The factor is 2^64 divided by the golden ratio. Its multiples lie far apart from each other, so two different pairs
       hardly ever have the same sum. */
    return ((uint64_t)(mmgi_clock_tick_ns() >> LOOK_SHIFT) * UINT64_C(0x9E3779B97F4A7C15) + thread_mark()) | 1;
}

/** Returns true when this thread has asked lately whether the guard is in place and the file has its size. */
static inline bool
find_is_vouched(const struct region *region)
{
    return look_stamp() == atomic_load_explicit(&region->looked, memory_order_relaxed);
}

/** A search looks at so many bytes of a mapping first, since a hit is often near. */
#define FIND_NEAR ((size_t)4 << 10)

/**
 * Finds an occurrence near the start of the range, or near its end for the last one. Returns NULL otherwise;
 * mmgi_find_in_region() then has the answer. Programs that go from hit to hit call this for each hit, so it is inline, and
 * takes the members of a struct sought, which stay in registers.
 */
static inline __attribute__((always_inline)) const unsigned char *
find_near(const struct region *region, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
          bool is_last)
{
    size_t near = (size_t)length; /* all bytes of a copy are in memory */

    if (region->number != 0) {
        if (!find_is_vouched(region))
            return NULL;
        near = length < FIND_NEAR ? near : FIND_NEAR;
    }
    if (sizeof(size_t) < sizeof needle_size && needle_size > near)
        return NULL; /* the size would not survive the casts below */
    const unsigned char *hay = region->data + offset;
    const unsigned char *hit = is_last ? mmgi_bytes_find_last(hay + (length - near), near, needle, (size_t)needle_size)
                                       : bytes_find(hay, near, needle, (size_t)needle_size);
    return registry_may_have_losses() && region->number != 0 ? NULL : hit;
}

#endif
