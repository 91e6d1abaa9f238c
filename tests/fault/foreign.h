/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of mappings of other code: a mapping by plain mmap(2), access to its bytes, and the records of the
 * ledger behind a mark.
 */
#ifndef MMAPGUARD_TESTS_FOREIGN_H
#define MMAPGUARD_TESTS_FOREIGN_H

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64
/** A test looks at no more than so many records. */
#define LOSSES 16

static inline uint64_t
whole(void)
{
    return PAGES * check_page();
}

/** Maps a file as any program would, and closes the descriptor, which does not affect the mapping. */
static inline uint8_t *
foreign_map(const char *path, int protection, int flags, uint64_t size, uint64_t offset)
{
    int writable = (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0;
    int descriptor = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *bytes = mmap(NULL, size, protection, flags, descriptor, (off_t)offset);
    REQUIRE(bytes != MAP_FAILED);
    close(descriptor);
    return bytes;
}

/** Reads a byte. The optimiser cannot remove the read. */
static inline uint8_t
touch(const uint8_t *bytes, uint64_t at)
{
    return *(const volatile uint8_t *)(bytes + at);
}

/** Returns the mark of the newest record. */
static inline uint64_t
ledger_mark(void)
{
    uint64_t count = 1, next = 0;
    REQUIRE_STATUS(mmg_losses_get(0, NULL, 0, &count, &next), MMG_OK);
    CHECK_U64(count, 0);
    return next;
}

/**
 * Stores the records behind a mark, and returns their number. There must be at most LOSSES, and none may be
 * overwritten.
 */
static inline uint64_t
ledger_since(uint64_t mark, mmg_loss *losses)
{
    uint64_t count = 0, next = 0;
    losses[0].struct_size = sizeof *losses;
    REQUIRE_STATUS(mmg_losses_get(mark, losses, LOSSES, &count, &next), MMG_OK);
    CHECK_U64(next - mark, count);
    return count;
}

/** Checks that there is exactly one record behind a mark, for a foreign mapping of `path`. */
static inline void
ledger_has_one(uint64_t mark, mmg_status cause, const char *path, uint64_t offset, uint64_t length)
{
    mmg_loss losses[LOSSES];
    uint64_t count = ledger_since(mark, losses);
    CHECK_U64(count, 1);
    if (count == 0) {
        return;
    }
    CHECK_STATUS(losses[0].cause, cause);
    CHECK_U64(losses[0].origin, MMG_ORIGIN_FOREIGN);
    CHECK_U64(losses[0].handle, 0);
    CHECK_U64(losses[0].offset, offset);
    CHECK_U64(losses[0].length, length);
    CHECK_U64(losses[0].sequence, mark + 1);
    CHECK_TEXT(losses[0].path, path);
}

/** Runs a body in a child without the guard, which must be killed by SIGBUS. */
static inline void
twin_is_killed(void (*body)(void *), void *argument)
{
    CHECK_KILLED(check_child(body, argument), SIGBUS);
}

#endif
