/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Checks an error in one line: `must(mmg_check(file), "read");` ends the program when the call failed.
 */
#ifndef EXAMPLES_ERRORS_H
#define EXAMPLES_ERRORS_H

#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>

/** End the program with exit status 1 and a sentence on standard error, unless `status` is MMG_OK. */
static inline void
must(mmg_status status, const char *what)
{
    if (status == MMG_OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, mmg_status_message(status), mmg_status_name(status));
    exit(1);
}

/** As must(), with the sentence that the library has for the failure. It names the path. */
static inline void
must_open(mmg_status status, const mmg_error *error)
{
    if (status == MMG_OK)
        return;
    fprintf(stderr, "%s\n", error->message);
    exit(1);
}

#endif
