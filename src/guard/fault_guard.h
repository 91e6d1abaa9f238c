/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fault guard as a whole: whether it is wanted, whether it is in a place where it contains faults, and what a signal
 * means.
 */
#ifndef MMGI_GUARD_FAULT_GUARD_H
#define MMGI_GUARD_FAULT_GUARD_H

#include <stdbool.h>

#include "mmapguard.h"

/**
 * Makes the guard the first handler of the fault signal. Returns MMG_OK; MMG_E_GUARD when the system refuses, or when the
 * guard was put on top of CHAIN_LEVELS different handlers before; MMG_E_UNSUPPORTED when the environment forbids the guard.
 * The call takes one system call when the guard is on top already, and waits for other threads that do the same. Not
 * async-signal-safe.
 */
mmg_status mmgi_guard_install(void);

/** Does the same. The rooms above call it by this name when they make a mapping. */
static inline mmg_status
mmgi_guard_ensure(void)
{
    return mmgi_guard_install();
}

/**
 * Returns why the guard would not contain a fault in a guarded mapping if it happened in this thread now:
 * MMG_SHORT_DISPLACED, MMG_SHORT_BLOCKED, or MMG_SHORT_NONE when it would contain the fault. Async-signal-safe.
 */
uint32_t mmgi_guard_shortfall(void);

/** Returns MMG_GUARD_...: the state of the guard for the calling thread. Async-signal-safe. */
int32_t mmgi_guard_state(void);

/** Returns true when a fault in a guarded mapping would be contained if it happened in this thread now. */
bool mmgi_guard_is_armed(void);

/** Contains the fault of a signal. Returns false when the fault is not in a mapping of the library. Preserves errno. */
bool mmgi_guard_handle_signal(int signo, void *info);

/** Returns the number of fault signals that were passed on to earlier handlers. */
uint64_t mmgi_guard_foreign_count(void);

#endif
