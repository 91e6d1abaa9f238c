/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Hands pinned bytes over by the Arrow C Data Interface, version 1.0 of that document: as an array of uint8 whose
 * release ends the pin. The two structures are Arrow's, and frozen by it.
 */
#ifndef MMGI_REGION_ARROW_H
#define MMGI_REGION_ARROW_H

#include <stdint.h>

#include "mmapguard.h"

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *); /* NULL: released, or moved elsewhere */
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *); /* NULL: released, or moved elsewhere */
    void *private_data;
};

/**
 * Make an array of the bytes of a span, and its schema unless that is NULL. MMG_OK, and the pin of the span is the
 * array's; or MMG_E_NO_MEMORY, nothing is written, and it stays the caller's.
 */
mmg_status mmgi_arrow_export(const mmg_span *span, struct ArrowArray *array, struct ArrowSchema *schema);

#endif
