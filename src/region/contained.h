/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Decides whether a region is a copy or a mapping, and makes mappings that are CONTAINED.
 */
#ifndef MMGI_REGION_CONTAINED_H
#define MMGI_REGION_CONTAINED_H

#include "region/region.h"

/** How the bytes of a source are to be held. */
enum holding {
    HOLD_STREAM, /* read the source to its end */
    HOLD_COPY,   /* copy the window */
    HOLD_MAPPED, /* map the window, with the guarantee that was asked for */
};

struct decision {
    enum holding holding;
    uint32_t reason; /* MMG_REASON_...; unused for HOLD_MAPPED */
    uint64_t length; /* length of the window */
};

/** Decides how a source is held: by its kind, its size and the options. Returns an error when the options forbid it. */
mmg_status mmgi_decide_holding(const struct source *source, struct decision *decision);

/** Reads a source that can only be read. Returns an error when the options demand a mapping. May make no region, as
 *  mmgi_backing_stream() says. */
mmg_status mmgi_hold_stream(struct source *source, uint32_t reason, struct region **region);

/** Maps a window under the fault guard. Copies the window where it cannot be mapped and the options allow a copy. */
mmg_status mmgi_hold_contained(struct source *source, uint64_t length, struct region **region);

#endif
