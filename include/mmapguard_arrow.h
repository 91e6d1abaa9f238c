/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/**
 * @file mmapguard_arrow.h
 * The two structures of the Arrow C Data Interface, for callers of mmg_export_arrow() that have no other header with
 * them. Arrow froze their layout, and every header that declares them has the same guard.
 */
#ifndef MMAPGUARD_ARROW_H
#define MMAPGUARD_ARROW_H

#include <stdint.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

/** The type of an array. */
struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *); /**< NULL: released, or moved elsewhere */
    void *private_data;
};

/** The bytes of an array. */
struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *); /**< NULL: released, or moved elsewhere */
    void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#endif /* MMAPGUARD_ARROW_H */
