/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of mappings of other code: a mapping by plain mmap(2), access to its bytes, and the records of the
 * ledger behind a mark.
 */
#ifndef MMAPGUARD_TESTS_FOREIGN_H
#define MMAPGUARD_TESTS_FOREIGN_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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

/** Skips the case where the kernel does not say what is mapped: the guard then passes every fault on. */
static inline bool
foreign_is_unsupported(void)
{
    if (mmg_supports(MMG_FEATURE_FOREIGN) == 1) {
        return false;
    }
    CHECK(access("/proc/thread-self/maps", R_OK) != 0 || check_under_qemu());
    check_skip("the kernel does not tell what is mapped");
    return true;
}

/** Skips the case where nobody can ask whether a page is lost. */
static inline bool
foreign_has_no_question(void)
{
    if (check_reads_itself()) {
        return false;
    }
    check_skip("process_vm_readv(2), which asks whether a page is lost, is not to be had here");
    return true;
}

/**
 * Skips the case where the list of mappings does not say which of them can be executed. The emulator qemu-user maps the
 * code of the program that it runs as data, and lets the program read its own list.
 */
static inline bool
foreign_hides_code(void)
{
    FILE *list = fopen("/proc/thread-self/maps", "re");
    uintptr_t code = (uintptr_t)foreign_hides_code;
    bool is_shown = false;
    char line[4096 + 200];
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        char *rest = line;
        uintptr_t start = (uintptr_t)strtoull(rest, &rest, 16);
        uintptr_t end = (uintptr_t)strtoull(rest + 1, &rest, 16);
        is_shown |= start <= code && code < end && strncmp(rest, " r-x", 4) == 0;
    }
    if (list != NULL) {
        fclose(list);
    }
    if (!is_shown) {
        check_skip("the list of mappings does not show here that the code of this program is code");
    }
    return !is_shown;
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

/** Asks the guard for the mappings of other code. */
static inline void
foreign_guard(uint32_t flags)
{
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, flags), MMG_OK);
}

/** Takes a request of foreign_guard() back. */
static inline void
foreign_unguard(uint32_t flags)
{
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, flags), MMG_OK);
}

#endif
