/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searches the bytes of a region for a needle.
 */
#ifndef MMGI_REGION_FIND_H
#define MMGI_REGION_FIND_H

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

#endif
