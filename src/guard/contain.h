/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is done about a fault in a mapping: find out what was lost, record it, put zeros in its place. Everything
 * here is async-signal-safe.
 */
#ifndef MMGI_GUARD_CONTAIN_H
#define MMGI_GUARD_CONTAIN_H

#include <stdbool.h>
#include <stddef.h>

/**
 * A page could not be delivered. If `address` lies in a registered mapping, contain the fault.
 *
 * @param poisoned  bytes around `address` that the hardware lost, a power of two; 0: not a memory error
 * @return the instruction can be run again; false: not ours, or the pages could not be replaced
 */
bool mmgi_contain_fault(void *address, size_t poisoned);

/**
 * Contain every mapping whose file is shorter than its pages now, without a fault to point at one.
 *
 * @return was there any?
 */
bool mmgi_contain_truncated(void);

/** Contained signals since the process started. */
unsigned long long mmgi_contain_count(void);

#endif
