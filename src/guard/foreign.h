/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Faults in mappings that nobody has registered: those that other code of the process has made. Nothing is known of them
 * before a fault; then the kernel is asked.
 */
#ifndef MMGI_GUARD_FOREIGN_H
#define MMGI_GUARD_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmapguard.h"

/** Begins or ends to guard the process, as mmg_guard_process() says, the installation of the guard excepted. */
mmg_status mmgi_foreign_begin(uint32_t flags);
mmg_status mmgi_foreign_end(uint32_t flags);

/** Returns true when this system lets foreign mappings be guarded: the kernel can be asked, and pages be replaced. */
bool mmgi_foreign_is_supported(void);

/**
 * Contains a fault at an address of a foreign mapping, if the process is guarded and the mapping is one that is. Returns
 * true when the instruction can run again. Async-signal-safe.
 *
 * @param poisoned  as in mmgi_contain_fault()
 */
bool mmgi_foreign_contain(void *address, size_t poisoned);

/**
 * Returns true when the function at an address is a handler that has to be asked before a fault is contained: the process is
 * guarded, and whoever asked for that has said so, or the function is of a library that is known to repair its own mappings.
 * Async-signal-safe.
 */
bool mmgi_foreign_comes_second(uintptr_t handler);

/** The number of signals that were contained in foreign mappings. Async-signal-safe. */
unsigned long long mmgi_foreign_count(void);

#endif
