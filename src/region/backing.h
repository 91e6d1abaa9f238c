/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Giving a region its bytes: a stream read to its end, a copy of a file, or a mapping.
 */
#ifndef MMGI_REGION_BACKING_H
#define MMGI_REGION_BACKING_H

#include "region/region.h"

/** What part of the file is asked for: MMG_E_RANGE when it has no such part. */
mmg_status mmgi_backing_window(const struct source *source, uint64_t *length);

/** Read a stream, or (MMG_REASON_VIRTUAL) a file whose size is not to be believed, to its end. */
mmg_status mmgi_backing_stream(struct source *source, uint32_t reason, struct region **region);

/** Copy the window, one version of it if STABLE is demanded. */
mmg_status mmgi_backing_copy(struct source *source, uint32_t reason, struct region **region);

/**
 * Map `length` bytes at the window's offset from `fd`, which the region then reads from, and register the mapping. The
 * descriptor becomes the region's on success; guarantee and means are the caller's to set.
 */
mmg_status mmgi_backing_map(struct source *source, int fd, uint64_t length, struct region **region);

/** The source's descriptor and lock become the region's. */
void mmgi_backing_keep_source(struct source *source, struct region *region);

#endif
