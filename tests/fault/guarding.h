/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of what the guard leaves alone: a case ends in the same way with the guard and without it.
 */
#ifndef MMAPGUARD_TESTS_GUARDING_H
#define MMAPGUARD_TESTS_GUARDING_H

#include <signal.h>

#include "foreign.h"

/** How a case asks for the guard. */
enum guarding {
    UNGUARDED, /* not at all */
    GUARDED,
    GUARDED_MORE, /* shared writable mappings as well */
    GUARDINGS
};

/** Asks for the guard in this way. */
static inline void
guard(enum guarding how)
{
    signal(SIGBUS, SIG_DFL);
    if (how != UNGUARDED) {
        REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, how == GUARDED_MORE ? MMG_PROCESS_SHARED_WRITABLE : 0),
                       MMG_OK);
    }
}

/** Runs a case that ends in a fault. In each way of guarding the case is killed. */
static inline void
is_killed_in_each_way(void (*body)(void *))
{
    for (enum guarding how = UNGUARDED; how < GUARDINGS; how++) {
        CHECK_KILLED(check_child(body, &how), SIGBUS);
    }
}

/** Runs a case that is killed without the guard, and not with it. */
static inline void
lives_guarded_only(void (*body)(void *))
{
    enum guarding how = UNGUARDED;
    CHECK_KILLED(check_child(body, &how), SIGBUS);
    how = GUARDED;
    CHECK_EXITED(check_child(body, &how));
}

#endif
