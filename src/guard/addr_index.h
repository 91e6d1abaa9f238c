/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds the mapping at an address among very many, for the signal handler: lock-free, allocation-free, and in a time that
 * does not grow with their number. The index only proposes a mapping, and the registry checks the proposal. An
 * outdated proposal does no harm, and for a mapping that the index does not know the registry scans all mappings. So the
 * index needs no lock, no removal, and no work after a fork.
 */
#ifndef MMGI_GUARD_ADDR_INDEX_H
#define MMGI_GUARD_ADDR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Below this number of mappings there is no index, since a scan is as fast. */
#define ADDR_INDEX_FROM 64u

/**
 * Adds a mapping that is in the registry already. `limit` is the highest number of a mapping. Not async-signal-safe, since
 * the index may grow.
 */
void mmgi_addr_index_add(uint32_t number, uintptr_t start, size_t length, uint32_t limit);

/** The functions by which the index asks the registry. */
struct addr_index_questions {
    /** Returns true when the mapping with this number covers the address. */
    bool (*covers)(uint32_t number, uintptr_t address);
    /** Stores where the mapping with this number lies. Returns false when there is none. */
    bool (*range)(uint32_t number, uintptr_t *start, size_t *length);
};

/** The functions of the registry, which defines this object. */
extern const struct addr_index_questions mmgi_addr_index_registry __attribute__((visibility("hidden")));

/** Returns the number of a mapping that covers the address, or 0 when the index knows none. Async-signal-safe. */
uint32_t mmgi_addr_index_find(uintptr_t address);

#endif
