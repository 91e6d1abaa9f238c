/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fills the caller's mmg_error. Code calls these functions once for each failure, at the place where its cause is known.
 */
#ifndef MMGI_BASE_ERROR_H
#define MMGI_BASE_ERROR_H

#include <stddef.h>
#include <string.h>

#include "mmapguard.h"

/** Where a failure is reported, and the file that it concerns. */
struct report {
    mmg_error *caller_error; /* NULL: the caller did not ask for details */
    const char *path;        /* the path that the message names; NULL when the file was given as a descriptor */
    int descriptor;          /* the message names this number when there is no path */
};

/* Error paths are marked cold, so that a successful open touches fewer code pages. A host that optimises the whole program at
   link time would otherwise get each of these functions in more than a hundred places. */
#define ERROR_COLD __attribute__((cold, noinline))

/**
 * Tells the caller what failed. Returns `status`, so that a failing function can end with this call.
 *
 * @param operation  the call or check that failed
 * @param os_code    errno, or 0
 * @param offset     where in the file, or 0
 * @param detail     a phrase that explains the failure, or NULL for the words of the status
 */
ERROR_COLD mmg_status mmgi_error_tell(const struct report *report, mmg_status status, const char *operation,
                                      int os_code, uint64_t offset, const char *detail);

/** Does the same for a failure that the library found itself: no system call failed, and it concerns no place in the file. */
ERROR_COLD mmg_status mmgi_error_tell_own(const struct report *report, mmg_status status, const char *operation,
                                          const char *detail);

/** Does the same for a failed system call. The status is that of `os_code`. */
ERROR_COLD mmg_status mmgi_error_tell_os(const struct report *report, const char *operation, int os_code);

/**
 * Stores success. Nothing happens when `caller_error` is NULL. Each text ends at its first byte: to fill all their 488 bytes
 * with zeros would cost each open as much as a third of a pin.
 */
static inline void
mmgi_error_clear(mmg_error *caller_error)
{
    if (caller_error == NULL)
        return;
    const size_t from = sizeof caller_error->struct_size, whole = sizeof *caller_error;
    memset((unsigned char *)caller_error + from, 0, offsetof(mmg_error, operation) + 1 - from);
    caller_error->message[0] = '\0';
    if (caller_error->struct_size > whole)
        memset((unsigned char *)caller_error + whole, 0, caller_error->struct_size - whole);
}

#endif
