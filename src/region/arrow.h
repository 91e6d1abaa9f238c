/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Hands pinned bytes over by the Arrow C Data Interface, version 1.0 of that document: as an array of uint8 whose
 * release ends the pin.
 */
#ifndef MMGI_REGION_ARROW_H
#define MMGI_REGION_ARROW_H

#include "mmapguard.h"
#include "mmapguard_arrow.h"

/**
 * Make an array of the bytes of a span, and its schema unless that is NULL. MMG_OK, and the pin of the span is the
 * array's; or MMG_E_NO_MEMORY, nothing is written, and it stays the caller's.
 */
mmg_status mmgi_arrow_export(const mmg_span *span, struct ArrowArray *array, struct ArrowSchema *schema);

#endif
