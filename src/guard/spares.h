/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Replacing lost pages when the process has run out of what that takes. The kernel needs up to two mappings more to
 * replace pages in the middle of one, and counts new pages against vm.max_map_count, RLIMIT_AS and RLIMIT_MEMLOCK. A
 * process at one of these limits would die of the very fault that the guard is there for. So the guard keeps a few
 * one-page mappings, to be given up at such a moment.
 */
#ifndef MMGI_GUARD_SPARES_H
#define MMGI_GUARD_SPARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How many spare mappings there are. One loss at the limit of mappings takes at most four. */
#define SPARES 16u

/** How many of them are missing; for the call below. */
extern _Atomic uint32_t mmgi_spares_missing __attribute__((visibility("hidden")));

/** Returns true when no spare is missing. */
static inline bool
spares_are_full(void)
{
    /* Relaxed: a spare that is missed too late is made up for at the next open. */
    return atomic_load_explicit(&mmgi_spares_missing, memory_order_relaxed) == 0;
}

/** Makes up for the spares that were given up, as far as the process may. Not async-signal-safe. */
void mmgi_spares_fill(void);

enum replaced {
    REPLACED_NOTHING,
    REPLACED_PAGE, /* the page at `fault` only */
    REPLACED_ALL
};

/**
 * Puts zeros in the place of `length` bytes at `start`, whole pages of a mapping that the caller holds. Where that takes
 * more than the process has left, the call unlocks the pages, lifts the limit on the address space for a moment, or gives
 * up spares. `fault` is the page that cannot do without, or NULL: as the last resort it alone is replaced, by a spare.
 * Async-signal-safe.
 */
enum replaced mmgi_spares_replace(unsigned char *start, size_t length, unsigned char *fault);

#endif
