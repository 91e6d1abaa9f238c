/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper for tests of files without a name, in which the library keeps snapshots.
 */
#ifndef MMAPGUARD_TESTS_UNNAMED_H
#define MMAPGUARD_TESTS_UNNAMED_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

/** Returns true when TMPDIR can hold files without a name. Otherwise skips the case, since copies are in memory there. */
static inline bool
has_unnamed_files(void)
{
    const char *name = getenv("TMPDIR");
    const int fd = open(name != NULL && *name != '\0' ? name : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    check_skip("the file system under TMPDIR has no files without a name");
    return false;
}

#endif
