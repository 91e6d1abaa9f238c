/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Filling the caller's mmg_error: one function, called once where the cause is known.
 */
#ifndef MMGI_BASE_ERROR_H
#define MMGI_BASE_ERROR_H

#include "mmapguard.h"

/** Where a failure is reported to. `theirs` may be NULL: nobody asked. */
struct report {
    mmg_error *caller_error;
    const char *path; /* what the message names; NULL for a bare descriptor */
    int descriptor;   /* named when there is no path */
};

/* Whatever leads to an error is taken for unlikely and laid aside, so that an opening that succeeds runs over few pages. */
#define ERROR_COLD __attribute__((cold))

/**
 * Tell the caller what failed and return `status`, so that `return mmgi_error_tell(...)` is the one way out.
 *
 * @param operation  the call or check that failed
 * @param os_code    errno, or 0
 * @param offset     where in the file, or 0
 * @param detail     a phrase that explains, or NULL for that of the status
 */
ERROR_COLD mmg_status mmgi_error_tell(const struct report *report, mmg_status status, const char *operation,
                                      int os_code, uint64_t offset, const char *detail);

/** The same for a failed system call: the status is derived from `os_code`. */
ERROR_COLD mmg_status mmgi_error_tell_os(const struct report *report, const char *operation, int os_code);

/** Store success. */
void mmgi_error_clear(mmg_error *caller_error);

#endif
