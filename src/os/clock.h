/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for time. 64 bits hold the nanoseconds of 292 years. No call fails.
 */
#ifndef MMGI_OS_CLOCK_H
#define MMGI_OS_CLOCK_H

#include <stdint.h>

/** Returns the nanoseconds of a clock that never jumps. Async-signal-safe. Does not block. */
int64_t mmgi_clock_monotonic_ns(void);

/**
 * Returns the value of the same clock at the last tick, at most 10 ms ago, for about a tenth of the cost.
 * Async-signal-safe. Does not block.
 */
int64_t mmgi_clock_tick_ns(void);

/** Returns the nanoseconds since 1970 of the clock from which the kernel takes file times. Async-signal-safe. Does not block. */
int64_t mmgi_clock_realtime_ns(void);

/** Sleeps for a number of nanoseconds, or until a signal handler has run. */
void mmgi_clock_sleep_ns(int64_t nanoseconds);

#endif
