/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Contains a fault in a mapping: finds out which bytes are lost, records the loss, and replaces the lost pages by zeros.
 * Every function here is async-signal-safe, and none is a cancellation point.
 */
#ifndef MMGI_GUARD_CONTAIN_H
#define MMGI_GUARD_CONTAIN_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Contains a fault at an address of a registered mapping.
 *
 * @param poisoned  number of bytes around `address` that the hardware has lost, a power of two; 0 when the fault is no memory
 *   error
 * @param at_end    the caller returns to the kernel after a success, so the call may leave all signals blocked then
 * @return true when the instruction can run again; false when the address is in no registered mapping, or the pages
 *   could not be replaced
 */
bool mmgi_contain_fault(void *address, size_t poisoned, bool at_end);

/**
 * Looks at every mapping, and contains the loss where pages are behind the end of the file. Returns true when there was such
 * a mapping.
 */
bool mmgi_contain_truncated(void);

/** Returns the number of signals that were contained since the process started. */
unsigned long long mmgi_contain_count(void);

#endif
