/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of the guard: a file, a region of it, the action of SIGBUS, and a loss.
 */
#ifndef MMAPGUARD_TESTS_GUARDED_H
#define MMAPGUARD_TESTS_GUARDED_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "check.h"

#define PAGES 64

static inline uint64_t
file_size(void)
{
    return PAGES * check_page();
}

static inline mmg_handle
open_with(const char *path, uint32_t backing, uint64_t flags)
{
    mmg_options options = check_backing(backing);
    options.flags = flags;
    return check_open(path, &options);
}

/** Returns the current handler of SIGBUS as a number that can be compared. */
static inline uintptr_t
handler_now(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    REQUIRE(sigaction(SIGBUS, NULL, &action) == 0);
    return (action.sa_flags & SA_SIGINFO) != 0 ? (uintptr_t)action.sa_sigaction : (uintptr_t)action.sa_handler;
}

/** Cuts the file of a region and reads behind the cut. The loss must be contained and reported. */
static inline void
lose(const char *path, mmg_handle handle)
{
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, check_page());
    CHECK_U64(check_touch(span.data, 9 * check_page()), 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, 1);
}

static inline void *
state_of_a_thread(void *blocked)
{
    if (blocked != NULL) {
        check_block_bus(true);
    }
    return (void *)(intptr_t)mmg_guard_state();
}

/** Returns the state of the guard in a new thread. */
static inline int32_t
state_in_a_thread(bool blocked)
{
    pthread_t thread;
    void *state = NULL;
    REQUIRE(pthread_create(&thread, NULL, state_of_a_thread, blocked ? &thread : NULL) == 0);
    REQUIRE(pthread_join(thread, &state) == 0);
    return (int32_t)(intptr_t)state;
}

#endif
