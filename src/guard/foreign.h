/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Contains faults in mappings that nobody has registered, since other code of the process has made them. The library
 * knows nothing about such a mapping before its first fault, and then asks the kernel.
 */
#ifndef MMGI_GUARD_FOREIGN_H
#define MMGI_GUARD_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Contains a fault at an address of a foreign mapping, if the process is guarded and the guard takes care of such a
 * mapping. Returns true when the instruction can run again. Async-signal-safe.
 *
 * @param poisoned  as in mmgi_contain_fault()
 */
bool mmgi_foreign_contain(void *address, size_t poisoned);

/**
 * Contains the lost tails of all foreign mappings, if the process is guarded. Returns true when there was one. Looks at each
 * mapping of a file, and reads its last page. Async-signal-safe. May block on the disk.
 */
bool mmgi_foreign_contain_truncated(void);

/** Returns the number of signals that were contained in foreign mappings. Async-signal-safe. */
unsigned long long mmgi_foreign_count(void);

#endif
