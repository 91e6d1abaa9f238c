/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exports pinned bytes by the Arrow C Data Interface, version 1.0, as an array of uint8. The release callback of the array
 * ends the pin.
 */
#ifndef MMGI_REGION_ARROW_H
#define MMGI_REGION_ARROW_H

#include "mmapguard.h"
#include "mmapguard_arrow.h"

/**
 * Makes an array of the bytes of a span, and its schema unless `schema` is NULL. Returns MMG_OK, and the pin of the span
 * belongs to the array; or MMG_E_NO_MEMORY, and nothing is written and the pin stays the caller's.
 */
mmg_status mmgi_arrow_export(const mmg_span *span, struct ArrowArray *array, struct ArrowSchema *schema);

#endif
