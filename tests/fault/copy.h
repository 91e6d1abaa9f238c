/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The functions that the plugin of copy.c exports.
 */
#ifndef FAULT_COPY_H
#define FAULT_COPY_H

#include <stdint.h>

#include "mmapguard.h"

#define COPY_EXPORT __attribute__((visibility("default")))

/** Maps a file and returns its bytes, or NULL when that fails. */
COPY_EXPORT const uint8_t *copy_map(const char *path);

/** Ends the mapping of copy_map(). Returns a status that tells whether bytes were lost. */
COPY_EXPORT mmg_status copy_unmap(void);

/** Opens a file with this guarantee and closes it again. Stores by which means the guarantee was given. */
COPY_EXPORT mmg_status copy_open_and_close(const char *path, uint32_t guarantee, uint32_t *means);

/** Returns mmg_guard_state() of the copy. */
COPY_EXPORT int32_t copy_guard_state(void);

#endif
