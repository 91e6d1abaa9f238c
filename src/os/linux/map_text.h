/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of all mappings as text, such as /proc/self/maps (proc(5)), one mapping a line, sorted by address.
 */
#ifndef MMGI_OS_LINUX_MAP_TEXT_H
#define MMGI_OS_LINUX_MAP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/map_query.h"

/** Reads the list through a small buffer. The caller sets the first two members, and the others to 0. */
struct map_text {
    int fd;
    char *text; /* MAP_TEXT_SIZE bytes */
    size_t at, filled;
    bool has_failed;
};

/**
 * Reads one line, which is "start-end rwxp offset major:minor inode path". Returns false at the end of the list, or when the
 * list cannot be read; `has_failed` tells which. Stores the path if the area covers the address `wanted` and `path` is not
 * NULL. Async-signal-safe.
 */
bool mmgi_map_text_next(struct map_text *reader, uintptr_t wanted, char *path, struct map_area *area);

#endif
