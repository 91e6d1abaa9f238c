/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of mmg_adopt().
 */
#ifndef MMAPGUARD_TESTS_ADOPTED_H
#define MMAPGUARD_TESTS_ADOPTED_H

#include <errno.h>

#include "foreign.h"
#include "mmapguard_arrow.h"

static inline mmg_handle
adopt(const uint8_t *data, uint64_t size, int descriptor, const mmg_options *options)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_adopt(data, size, descriptor, options, &handle, &error);
    CHECK_TEXT(error.message, "");
    REQUIRE_STATUS(status, MMG_OK);
    return handle;
}

static inline void
is_refused(mmg_status expected, const char *word, const uint8_t *data, uint64_t size, int descriptor,
           const mmg_options *options)
{
    mmg_handle handle = 17;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_adopt(data, size, descriptor, options, &handle, &error), expected);
    CHECK_U64(handle, 0);
    if (expected == MMG_E_ARGUMENT) { /* no system call is to blame for what the caller asked for */
        CHECK_I64(error.os_code, strcmp(error.operation, "descriptor") == 0 ? EBADF : 0);
    }
    if (strstr(error.message, word) == NULL) {
        CHECK_TEXT(error.message, word);
    }
}

static inline uint8_t *
map_shared(const char *path)
{
    return foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
}

#endif
