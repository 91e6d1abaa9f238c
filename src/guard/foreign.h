/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Contains faults in mappings that nobody has registered, since other code of the process has made them. The library
 * knows nothing about such a mapping before its first fault, and then asks the kernel.
 */
#ifndef MMGI_GUARD_FOREIGN_H
#define MMGI_GUARD_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmapguard.h"

/** Begin and end the guard of the process, as mmg_guard_process() documents. They do not install the handler. */
mmg_status mmgi_foreign_begin(uint32_t flags);
mmg_status mmgi_foreign_end(uint32_t flags);

/**
 * Returns true when foreign mappings can be guarded on this system: the kernel says what is mapped, and lets pages be
 * replaced.
 */
bool mmgi_foreign_is_supported(void);

/**
 * Contains a fault at an address of a foreign mapping, if the process is guarded and the guard takes care of such a
 * mapping. Returns true when the instruction can run again. Async-signal-safe.
 *
 * @param poisoned  as in mmgi_contain_fault()
 */
bool mmgi_foreign_contain(void *address, size_t poisoned);

/**
 * Returns true when the handler at an address must see a fault before the guard contains it. That is so in a guarded
 * process when a caller has set MMG_PROCESS_CHAIN_FIRST, or when the handler belongs to a library that is known to
 * repair its own mappings. Async-signal-safe.
 */
bool mmgi_foreign_comes_second(uintptr_t handler);

/** Returns the number of signals that were contained in foreign mappings. Async-signal-safe. */
unsigned long long mmgi_foreign_count(void);

#endif
