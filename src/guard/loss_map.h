/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What of a mapping is lost. Lock-free and async-signal-safe: written by the signal handler, read by everybody.
 */
#ifndef MMGI_GUARD_LOSS_MAP_H
#define MMGI_GUARD_LOSS_MAP_H

#include <stdatomic.h>
#include <stdint.h>

#include "mmapguard.h"

/** Ranges of lost pages that are kept apart. */
#define LOSS_RUNS 12u

struct loss_map {
    _Atomic int32_t first_cause; /* MMG_OK: nothing is lost */
    _Atomic int32_t tail_cause;
    _Atomic uint64_t first_offset; /* the lowest */
    _Atomic uint64_t tail;         /* from here to the end of the region everything is lost */
    _Atomic uint64_t run[LOSS_RUNS];
};

/** How offsets in a region are pages of its mapping. */
struct loss_scale {
    uint64_t page; /* size */
    uint64_t lead; /* bytes between the start of the mapping and the region */
    uint64_t size; /* of the region */
};

/** Forget all. Before anybody knows of the mapping. */
void mmgi_loss_map_clear(struct loss_map *record);

/** Record that `length` bytes from `offset` of the region, which begin within it, are lost. */
void mmgi_loss_map_add(struct loss_map *record, const struct loss_scale *scale, uint64_t offset, uint64_t length,
                       mmg_status cause);

/** The cause of a loss within [offset, offset + length), or MMG_OK. */
mmg_status mmgi_loss_map_within(const struct loss_map *record, const struct loss_scale *scale, uint64_t offset,
                                uint64_t length);

#endif
