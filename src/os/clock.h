/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for time. Nanoseconds in 64 bits last for 292 years. No call fails.
 */
#ifndef MMGI_OS_CLOCK_H
#define MMGI_OS_CLOCK_H

#include <stdint.h>

/** Nanoseconds of a clock that never jumps. Async-signal-safe. Does not block. */
int64_t mmgi_clock_monotonic_ns(void);

/**
 * Nanoseconds of the same clock as it was at the last tick, at most 10 ms ago, for about a tenth of the cost.
 * Async-signal-safe. Does not block.
 */
int64_t mmgi_clock_tick_ns(void);

/** Nanoseconds since 1970, of the clock that file times are taken from. Async-signal-safe. Does not block. */
int64_t mmgi_clock_realtime_ns(void);

/** Sleeps for so many nanoseconds, or until a signal handler has run. */
void mmgi_clock_sleep_ns(int64_t nanoseconds);

#endif
