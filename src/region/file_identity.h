/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Versions of a file: what it holds from one change to the next.
 */
#ifndef MMGI_REGION_FILE_IDENTITY_H
#define MMGI_REGION_FILE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/source.h"

/**
 * After `size` bytes at `offset` were copied from a source: are they what the file held at one moment?
 * `source->status` is that from before the copy; it is renewed.
 */
bool mmgi_copy_is_one_version(struct source *source, uint64_t offset, const void *copy, size_t size);

#endif
