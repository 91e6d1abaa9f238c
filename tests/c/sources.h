/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of what can be opened.
 */
#ifndef MMAPGUARD_TESTS_SOURCES_H
#define MMAPGUARD_TESTS_SOURCES_H

#include <string.h>

#include "check.h"

static inline void
refuse(const char *path, const mmg_options *options, mmg_status expected, int os_code)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    unsigned descriptors = check_descriptors();
    CHECK_STATUS(mmg_open(path, options, &handle, &error), expected);
    CHECK_U64(handle, 0);
    CHECK_STATUS(error.status, expected);
    CHECK(os_code < 0 || error.os_code == os_code);
    CHECK(error.operation[0] != '\0');
    CHECK(strstr(error.message, path) != NULL);
    CHECK_STATUS(mmg_load(path, options, &handle, NULL), expected);
    CHECK_U64(check_descriptors(), descriptors);
}

static inline void
refuse_descriptor(int descriptor, const mmg_options *options, mmg_status expected)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    unsigned descriptors = check_descriptors();
    CHECK_STATUS(mmg_open_fd(descriptor, options, &handle, &error), expected);
    CHECK_U64(handle, 0);
    CHECK_STATUS(error.status, expected);
    CHECK(error.message[0] != '\0');
    CHECK_U64(check_descriptors(), descriptors);
}

static inline void
check_contents(mmg_handle handle, const void *bytes, uint64_t size)
{
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    CHECK_U64(span.size, size);
    if (span.size == size) {
        CHECK_BYTES(span.data, bytes, (size_t)size);
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

#endif
