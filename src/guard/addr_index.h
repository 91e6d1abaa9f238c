/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds the mapping at an address among very many, for the signal handler: lock-free, allocation-free, and in a time that
 * does not grow with their number. The index only proposes; the registry has the last word. A proposal that is out of
 * date does no harm, and a mapping that the index does not know costs the registry a scan. So the index needs no lock, no
 * removal and nothing after a fork.
 */
#ifndef MMGI_GUARD_ADDR_INDEX_H
#define MMGI_GUARD_ADDR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Below this number of mappings a scan is as fast, and there is no index. */
#define ADDR_INDEX_FROM 64u

/**
 * Tells the index of a mapping that the registry shows already, one of `limit`. Not async-signal-safe: the index may
 * grow.
 */
void mmgi_addr_index_add(uint32_t number, uintptr_t start, size_t length, uint32_t limit);

/** The registry's answers to the index. */
struct addr_index_questions {
    /** Returns true when the mapping with this number covers the address. */
    bool (*covers)(uint32_t number, uintptr_t address);
    /** Stores where the mapping with this number lies. Returns false when there is none. */
    bool (*range)(uint32_t number, uintptr_t *start, size_t *length);
};

/** Defined by the registry. */
extern const struct addr_index_questions mmgi_addr_index_registry __attribute__((visibility("hidden")));

/** The number of a mapping that covers the address; 0 when the index knows of none. Async-signal-safe. */
uint32_t mmgi_addr_index_find(uintptr_t address);

#endif
