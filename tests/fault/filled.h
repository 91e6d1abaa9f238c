/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of races: a file whose every zero byte is a lost one, and threads.
 */
#ifndef MMAPGUARD_TESTS_FILLED_H
#define MMAPGUARD_TESTS_FILLED_H

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64
#define KEPT 3 /* pages that stay when a file is cut */
#define FILLED 0x5A

/** Makes a file without zero bytes, so that every zero is a lost byte. */
static inline const char *
filled_file(const char *name)
{
    size_t size = PAGES * check_page();
    uint8_t *bytes = malloc(size);
    REQUIRE(bytes != NULL);
    memset(bytes, FILLED, size);
    const char *path = check_file_with(name, bytes, size);
    free(bytes);
    return path;
}

static inline void
refill(const char *path)
{
    uint8_t bytes[4096];
    memset(bytes, FILLED, sizeof bytes);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    for (uint64_t at = 0; at < PAGES * check_page(); at += sizeof bytes) {
        REQUIRE(pwrite(descriptor, bytes, sizeof bytes, (off_t)at) == (ssize_t)sizeof bytes);
    }
    close(descriptor);
}

static inline void
cut(const char *path)
{
    check_truncate(path, KEPT * check_page());
}

static inline mmg_handle
open_mapped(const char *path)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    return check_open(path, &options);
}

static inline uint8_t
touch(const uint8_t *bytes, uint64_t page)
{
    return *(const volatile uint8_t *)(bytes + page * check_page() + 77);
}

static inline void
start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    REQUIRE(pthread_create(thread, NULL, body, argument) == 0);
}

static inline void
join(pthread_t thread)
{
    REQUIRE(pthread_join(thread, NULL) == 0);
}

#endif
