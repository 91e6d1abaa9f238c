/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Adopts a mapping that other code has made. Finds out what is mapped, refuses what cannot be a region, and builds the
 * region over the pages that are mapped already.
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
    uint64_t offset;      /* offset of `data` in the file */
    struct map_area area; /* what is mapped at `data`, as the kernel describes it */
    bool is_writable;     /* the owner can write to a part of the mapping */
    struct map_scratch scratch;
};

/**
 * Finds out what is mapped at `data`, and stores the path of the file in `scratch`. Returns MMG_OK; MMG_E_NOT_MAPPABLE
 * when the mapping cannot be a region; MMG_E_RANGE when the range ends behind the mapping; MMG_E_UNSUPPORTED when the
 * kernel does not say what is mapped.
 */
mmg_status mmgi_adoption_find(const mmg_options *options, const struct report *report, struct adoption *adoption);

/**
 * Checks that the opened source is the file that is mapped, and shortens the adoption to the end of the file. Stores
 * the offset and the length of the region in the options. Returns MMG_OK, or why the mapping cannot be adopted.
 */
mmg_status mmgi_adoption_check(struct source *source, struct adoption *adoption, mmg_options *options);

/**
 * Does the same as mmgi_backing_map() for a source that has an adoption. Maps a snapshot over the pages, if the request
 * has one.
 */
mmg_status mmgi_adoption_take(struct source *source, const struct map_request *request, struct region **region);

/**
 * Returns true when the pages of the mapping hold no bytes of the owner's own: the mapping is shared, or the owner has not
 * written to it. Returns false when the kernel does not tell.
 */
bool mmgi_adoption_has_no_copies(struct adoption *adoption);

/**
 * Returns true when other pages with the same bytes can take the place of an adopted mapping: the owner has not exchanged,
 * unprotected or written to a page. Returns false when the kernel does not tell. The kernel has no call that asks and
 * replaces in one step, so a change that the owner makes in between is not noticed.
 */
bool mmgi_adoption_is_untouched(const struct region *region);

#endif
