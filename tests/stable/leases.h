/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for the programs that break leases.
 */
#ifndef MMAPGUARD_TESTS_LEASES_H
#define MMAPGUARD_TESTS_LEASES_H

#include <stdio.h>
#include <unistd.h>

#include "check.h"

/** Returns options for a STABLE region with this backing. */
static inline mmg_options
stable_options(uint32_t backing)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.backing = backing;
    return options;
}

/**
 * Returns true when a region is held by a lease. Otherwise closes its handle, and skips the case. It is an error of the
 * library when the kernel gives leases.
 */
static inline bool
has_lease(mmg_handle handle)
{
    if (check_info(handle).means == MMG_MEANS_LEASE) {
        return true;
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(!check_kernel_has_leases());
    check_skip(check_under_qemu() ? "qemu-user does not deliver the signal of a lease break"
                                  : "the file system under TMPDIR gives no lease, or another user owns the file");
    return false;
}

/** Returns how many seconds the kernel lets a writer wait; 0 when it waits for ever. Other programs may change it. */
static inline long
break_seconds(void)
{
    long seconds = 0;
    FILE *setting = fopen("/proc/sys/fs/lease-break-time", "re");
    if (setting != NULL) {
        REQUIRE(fscanf(setting, "%ld", &seconds) == 1);
        fclose(setting);
    }
    return seconds;
}

/** Returns true when so many seconds are enough for every copy of a test, also on a loaded machine. */
static inline bool
is_long(long seconds)
{
    return seconds == 0 || seconds >= 30;
}

/**
 * Returns true, and marks the case as skipped, when the library had no time to secure a region, and the machine's setting is
 * to blame. The library then tells the truth about the region, but a case about secured bytes has nothing to check.
 */
static inline bool
was_time_too_short(mmg_handle handle)
{
    if (check_info(handle).shortfall != MMG_SHORT_TIME || is_long(break_seconds())) {
        return false;
    }
    check_skip("/proc/sys/fs/lease-break-time is too short for a copy on this machine");
    return true;
}

/** Waits until the thread of the library has done all that a break demands. A writer goes on a moment before that. */
static inline void
await_keeper(void)
{
    while (check_stats().leases_breaking > 0) {
        usleep(100);
    }
}

/** Checks that a region is STABLE and still shows the pattern. */
static inline void
check_stable(mmg_handle handle)
{
    mmg_span span = MMG_SPAN_INIT;
    if (was_time_too_short(handle)) {
        return;
    }
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
}

#endif
