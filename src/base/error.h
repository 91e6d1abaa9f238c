/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fills the caller's mmg_error. One function does so; it is called once, where the cause of a failure is known.
 */
#ifndef MMGI_BASE_ERROR_H
#define MMGI_BASE_ERROR_H

#include "mmapguard.h"

/** Whom a failure is reported to, and what it is about. */
struct report {
    mmg_error *caller_error; /* NULL: the caller did not ask */
    const char *path;        /* what the message names; NULL for a bare descriptor */
    int descriptor;          /* named when there is no path */
};

/* Error paths are marked cold, so that a successful open touches fewer code pages. */
#define ERROR_COLD __attribute__((cold))

/**
 * Tells the caller what failed. Returns `status`, so that a failing function can end with this call.
 *
 * @param operation  the call or check that failed
 * @param os_code    errno, or 0
 * @param offset     where in the file, or 0
 * @param detail     a phrase that explains, or NULL for the words of the status
 */
ERROR_COLD mmg_status mmgi_error_tell(const struct report *report, mmg_status status, const char *operation,
                                      int os_code, uint64_t offset, const char *detail);

/** Does the same for a failed system call; the status follows from `os_code`. */
ERROR_COLD mmg_status mmgi_error_tell_os(const struct report *report, const char *operation, int os_code);

/** Stores success. Nothing happens when `caller_error` is NULL. */
void mmgi_error_clear(mmg_error *caller_error);

#endif
