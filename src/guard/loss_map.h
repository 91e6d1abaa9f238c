/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Records which bytes of a mapping are lost. The signal handler writes the record, and any thread may read it. Every function
 * is lock-free and async-signal-safe.
 */
#ifndef MMGI_GUARD_LOSS_MAP_H
#define MMGI_GUARD_LOSS_MAP_H

#include <stdatomic.h>
#include <stdint.h>

#include "mmapguard.h"

/** The number of runs in a record. */
#define LOSS_RUNS 12u

struct loss_map {
    _Atomic int32_t first_cause; /* MMG_OK when nothing is lost */
    _Atomic int32_t tail_cause;
    _Atomic uint64_t first_offset; /* the lowest offset of a loss */
    _Atomic uint64_t tail;         /* all bytes from this offset to the end of the region are lost */
    _Atomic uint64_t run[LOSS_RUNS];
};

/** What is needed to turn offsets in a region into pages of its mapping. */
struct loss_scale {
    uint64_t page; /* size of a page */
    uint64_t lead; /* bytes between the start of the mapping and the region */
    uint64_t size; /* size of the region */
};

/** Clears the record. No other thread may know of the mapping yet. */
void mmgi_loss_map_clear(struct loss_map *record);

/** Records that `length` bytes at `offset` of the region are lost. `offset` is inside the region. */
void mmgi_loss_map_add(struct loss_map *record, const struct loss_scale *scale, uint64_t offset, uint64_t length,
                       mmg_status cause);

/** Returns the cause of a loss within [offset, offset + length), or MMG_OK. */
mmg_status mmgi_loss_map_within(const struct loss_map *record, const struct loss_scale *scale, uint64_t offset,
                                uint64_t length);

#endif
