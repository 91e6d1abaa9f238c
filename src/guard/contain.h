/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the library does about a fault in a mapping: it finds out what was lost, records the loss, and puts zeros in the
 * place of the lost pages. Everything here is async-signal-safe, and no call here is a cancellation point.
 */
#ifndef MMGI_GUARD_CONTAIN_H
#define MMGI_GUARD_CONTAIN_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Contains a fault at an address of a registered mapping.
 *
 * @param poisoned  bytes around `address` that the hardware lost, a power of two; 0: not a memory error
 * @return true when the instruction can run again; false when the address is in no registered mapping, or the pages
 *   could not be replaced
 */
bool mmgi_contain_fault(void *address, size_t poisoned);

/**
 * Contains the loss in every mapping that has pages behind the end of its file now. Looks at each mapping. Returns true
 * when there was one.
 */
bool mmgi_contain_truncated(void);

/** The number of signals that were contained since the process started. */
unsigned long long mmgi_contain_count(void);

#endif
