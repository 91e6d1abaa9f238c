/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A version of a file is what the file holds between two changes.
 */
#ifndef MMGI_REGION_FILE_IDENTITY_H
#define MMGI_REGION_FILE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/source.h"

/** A copy of part of a file: in memory, or (`bytes` NULL) in another file at the same offset. */
struct file_copy {
    const void *bytes;
    int fd;
};

/** Returns true when size and modification time are the same. */
static inline bool
file_same_content(const struct file_status *a, const struct file_status *b)
{
    return a->size == b->size && file_time_equals(a->modified, b->modified);
}

/**
 * Returns true when a copy of `size` bytes at `offset` of a source is what the file held at one moment.
 * `source->status` is that from before the copy; the call renews it.
 */
bool mmgi_copy_is_one_version(struct source *source, uint64_t offset, size_t size, const struct file_copy *copy);

#endif
