/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of a file whose last page is partial, and of windows into it.
 */
#ifndef MMAPGUARD_TESTS_WINDOW_H
#define MMAPGUARD_TESTS_WINDOW_H

#include <string.h>

#include "check.h"

#define PAGES 64
#define TAIL 123 /* bytes in the last, partial page */

static inline uint64_t
whole_file(void)
{
    return PAGES * check_page() + TAIL;
}

static inline mmg_handle
open_window(const char *path, uint64_t offset, uint64_t length)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.offset = offset;
    options.length = length;
    return check_open(path, &options);
}

/**
 * Checks `size` bytes that start at `file_offset` of the file: the pattern before the offset `lost`, and zeros from
 * there on.
 */
static inline void
check_cut_bytes(const uint8_t *bytes, uint64_t size, uint64_t file_offset, uint64_t lost)
{
    uint8_t *copy = malloc(size);
    REQUIRE(copy != NULL);
    memcpy(copy, bytes, size);
    CHECK(check_is_pattern(copy, file_offset, lost));
    CHECK(check_is_zero(copy + lost, size - lost));
    free(copy);
}

#endif
