/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether the guard takes care of the mappings that other code of the process has made, and which handlers go before it.
 */
#ifndef MMGI_GUARD_PROCESS_GUARD_H
#define MMGI_GUARD_PROCESS_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "mmapguard.h"

/** Begin and end the guard of the process, as mmg_guard_process() documents. They do not install the handler. */
mmg_status mmgi_process_guard_begin(uint32_t flags);
mmg_status mmgi_process_guard_end(uint32_t flags);

/**
 * Returns true while the process is guarded. Stores the flags of all callers that have asked for the guard.
 * Async-signal-safe.
 */
bool mmgi_process_guard_is_on(uint32_t *flags);

/**
 * Returns true when foreign mappings can be guarded on this system: the kernel says what is mapped, and lets pages be
 * replaced.
 */
bool mmgi_process_guard_is_supported(void);

/**
 * Returns true when the handler at an address must see a fault before the guard contains it. That is so in a guarded
 * process when a caller has set MMG_PROCESS_CHAIN_FIRST, or when the handler belongs to a library that is known to
 * repair its own mappings. Async-signal-safe.
 */
bool mmgi_process_guard_comes_second(uintptr_t handler);

#endif
