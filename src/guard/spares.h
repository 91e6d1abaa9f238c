/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Replaces lost pages by zeros, even at a limit of the process. To replace pages in the middle of a mapping, the kernel needs
 * up to two more mappings, and counts the new pages against vm.max_map_count, RLIMIT_AS and RLIMIT_MEMLOCK. At one of these
 * limits the replacement would fail, and the process would die of the fault that the guard should contain. So the guard
 * keeps a few mappings of one page, the spares, and gives them up at such a moment.
 */
#ifndef MMGI_GUARD_SPARES_H
#define MMGI_GUARD_SPARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The number of spares. One loss at the limit of mappings takes at most four. */
#define SPARES 16u
/** The number of spares that are kept for last attempts. */
#define SPARES_KEPT 2u

/** The number of missing spares. The function below reads it. */
extern _Atomic uint32_t mmgi_spares_missing __attribute__((visibility("hidden")));

/** Returns true when no spare is missing. */
static inline bool
spares_are_full(void)
{
    /* Relaxed: if this misses a spare that was just taken, the next open makes a new one. */
    return atomic_load_explicit(&mmgi_spares_missing, memory_order_relaxed) == 0;
}

/** Makes new spares for those that were given up, as far as the limits of the process allow. Not async-signal-safe. */
void mmgi_spares_fill(void);

enum replaced {
    REPLACED_NOTHING,
    REPLACED_PAGE, /* only the page at `fault` was replaced */
    REPLACED_ALL
};

/**
 * Replaces `length` bytes at `start` by zeros. They are whole pages of a mapping that the caller holds, or of which the caller
 * has just asked the kernel. `access` (MAP_ACCESS_... of os/map_query.h) says what may be done with the new pages. At a limit
 * of the process the call unlocks the pages, raises the limit on the address space for a moment, or gives up spares. `fault`
 * is the page that was touched, or NULL. When nothing else helps, the call replaces that page alone, by a spare.
 * Async-signal-safe.
 */
enum replaced mmgi_spares_replace(unsigned char *start, size_t length, unsigned char *fault, unsigned access);

/**
 * Does the same as mmgi_spares_replace(), for the last attempt of a caller: the call also takes the spares that are kept
 * for last attempts. It makes a new spare when the pages begin and end where mappings do, since the kernel then cuts no
 * mapping in two. Async-signal-safe.
 */
enum replaced mmgi_spares_replace_at_last(unsigned char *start, size_t length, unsigned char *fault, unsigned access);

#endif
