/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the harness that calls the library, and ends the program when a call fails.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

mmg_options
check_backing(uint32_t backing)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = backing;
    return options;
}

mmg_handle
check_open(const char *path, const mmg_options *options)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, options, &handle, &error);
    if (status != MMG_OK) {
        fprintf(stderr, "    mmg_open: %s\n", error.message);
    }
    REQUIRE_STATUS(status, MMG_OK);
    return handle;
}

mmg_span
check_pin(mmg_handle handle, uint64_t offset, uint64_t length)
{
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, offset, length, &span), MMG_OK);
    return span;
}

siginfo_t
check_fault(const uint8_t *address)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_ADRERR;
    info.si_addr = (uint8_t *)(uintptr_t)address;
    return info;
}

uint8_t
check_touch(const uint8_t *bytes, uint64_t at)
{
    return *(const volatile uint8_t *)(bytes + at);
}

int
check_errno(void)
{
    return *(volatile int *)&errno;
}

mmg_info
check_info(mmg_handle handle)
{
    mmg_info info = MMG_INFO_INIT;
    REQUIRE_STATUS(mmg_info_get(handle, &info), MMG_OK);
    return info;
}

mmg_stats
check_stats(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    REQUIRE_STATUS(mmg_stats_get(&stats), MMG_OK);
    return stats;
}
