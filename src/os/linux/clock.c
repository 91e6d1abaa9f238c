/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads clocks by clock_gettime(2), which needs no system call on Linux.
 */
#include "os/clock.h"

#include <time.h>

#define NS_PER_SECOND INT64_C(1000000000)

static int64_t
clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now); /* cannot fail: every Linux has these clocks */
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int64_t
mmgi_clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t
mmgi_clock_tick_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

int64_t
mmgi_clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void
mmgi_clock_sleep_ns(int64_t nanoseconds)
{
    /* The casts keep every value: no caller sleeps for 68 years, so the seconds fit into a time_t of 32 bits. */
    struct timespec request = {.tv_sec = (time_t)(nanoseconds / NS_PER_SECOND),
                               .tv_nsec = (long)(nanoseconds % NS_PER_SECOND)};

    nanosleep(&request, NULL);
}
