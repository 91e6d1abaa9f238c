/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of what can be opened.
 */
#ifndef MMAPGUARD_TESTS_SOURCES_H
#define MMAPGUARD_TESTS_SOURCES_H

#include <errno.h>
#include <string.h>

#include "check.h"

/**
 * Returns true when an error blames no system call for what the caller asked for, except for a wrong descriptor, and names no
 * place in a file that was not opened.
 */
static inline bool
blames_rightly(const mmg_error *error)
{
    const bool has_place = error->status == MMG_E_RANGE || error->status == MMG_E_TOO_BIG || error->status == MMG_E_IO;
    const bool is_of_the_caller = error->status == MMG_E_ARGUMENT || error->status == MMG_E_RANGE ||
                                  error->status == MMG_E_EMPTY;
    const int of_the_system = strcmp(error->operation, "descriptor") == 0 ? EBADF : 0;
    return (has_place || error->offset == 0) && (!is_of_the_caller || error->os_code == of_the_system);
}

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
    CHECK(blames_rightly(&error));
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
    CHECK(blames_rightly(&error));
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
