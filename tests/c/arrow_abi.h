/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Arrow's two structures, as every implementation of its C Data Interface has a copy of them; here, that of who
 * receives an array.
 */
#ifndef MMAPGUARD_TESTS_ARROW_ABI_H
#define MMAPGUARD_TESTS_ARROW_ABI_H

#include <stdint.h>

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif
