/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the library on the stub platform. Every open returns MMG_E_UNSUPPORTED, and calls that need no system work as
 * usual.
 */
#include <mmapguard.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void
expect(const char *what, long long actual, long long expected)
{
    if (actual == expected)
        return;
    fprintf(stderr, "%s: %lld, expected %lld\n", what, actual, expected);
    failures++;
}

int
main(void)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_stats stats = MMG_STATS_INIT;
    mmg_handle handle = 1;
    mmg_span span;

    expect("mmg_open", mmg_open("file", NULL, &handle, &error), MMG_E_UNSUPPORTED);
    expect("the handle", (long long)handle, 0);
    expect("the message names the path", strstr(error.message, "'file'") != NULL, 1);
    expect("mmg_open_fd", mmg_open_fd(0, NULL, &handle, &error), MMG_E_UNSUPPORTED);
    expect("mmg_read_fd", mmg_read_fd(0, NULL, &handle, &error), MMG_E_UNSUPPORTED);
    expect("mmg_pin", mmg_pin(42, 0, MMG_TO_END, &span), MMG_E_HANDLE);
    expect("mmg_guard_install", mmg_guard_install(), MMG_E_GUARD);
    expect("mmg_stats_get", mmg_stats_get(&stats), MMG_OK);
    expect("handles", (long long)stats.handles, 0);
    expect("mmg_abi_version", mmg_abi_version() == MMG_ABI, 1);
    return failures == 0 ? 0 : 1;
}
