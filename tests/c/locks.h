/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of locks: another process would see the locks as these functions do.
 */
#ifndef MMAPGUARD_TESTS_LOCKS_H
#define MMAPGUARD_TESTS_LOCKS_H

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "check.h"

/** Opens the file a second time, as another process would. */
static inline int
other(const char *path)
{
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    return descriptor;
}

/** Returns true when another process could take this flock now. */
static inline bool
can_flock(const char *path, int operation)
{
    int descriptor = other(path);
    bool can = flock(descriptor, operation | LOCK_NB) == 0;
    CHECK(can || errno == EWOULDBLOCK);
    close(descriptor);
    return can;
}

/**
 * Returns true when another process could take this POSIX lock now. The function tries it with an OFD lock, which has
 * the same conflicts.
 */
static inline bool
can_posix_lock(const char *path, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    int descriptor = other(path);
    bool can = fcntl(descriptor, F_OFD_SETLK, &lock) == 0;
    CHECK(can || errno == EAGAIN || errno == EACCES);
    close(descriptor);
    return can;
}

static inline int
hold_flock(const char *path, int operation)
{
    int descriptor = other(path);
    REQUIRE(flock(descriptor, operation | LOCK_NB) == 0);
    return descriptor;
}

static inline mmg_options
lock_options(uint32_t backing, uint32_t lock)
{
    mmg_options options = check_backing(backing);
    options.lock = lock;
    return options;
}

#endif
