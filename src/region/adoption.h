/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Adopts a mapping that somebody else has made: finds out what is mapped, refuses what cannot be a region, and builds the
 * region over the pages that are there.
 */
#ifndef MMGI_REGION_ADOPTION_H
#define MMGI_REGION_ADOPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "os/map_query.h"
#include "region/backing.h"

/** A mapping to be adopted. */
struct adoption {
    unsigned char *data; /* the first byte of the region */
    uint64_t size;
    uint64_t offset;      /* of `data` in the file */
    struct map_area area; /* what is mapped at `data`, as the kernel describes it */
    bool is_writable;     /* the owner can write to a part of it */
    struct map_scratch scratch;
};

/**
 * Finds out what is mapped at `data`, and stores the path of the file in `scratch`. Returns MMG_OK; MMG_E_NOT_MAPPABLE for
 * what cannot be a region; MMG_E_RANGE when the range ends behind the mapping; MMG_E_UNSUPPORTED when the kernel does not
 * tell.
 */
mmg_status mmgi_adoption_find(const mmg_options *options, const struct report *report, struct adoption *adoption);

/**
 * Compares the mapping with the file that was opened for it, and takes off what lies behind the end of the file. Stores the
 * window in the options.
 */
mmg_status mmgi_adoption_check(struct source *source, struct adoption *adoption, mmg_options *options);

/** As mmgi_backing_map(), for a source that has an adoption. A snapshot is put in the place of the pages. */
mmg_status mmgi_adoption_take(struct source *source, const struct map_request *request, struct region **region);

/** Returns true when the pages of an adopted region are still those of its file, or of its snapshot. */
bool mmgi_adoption_is_there(const struct region *region);

#endif
