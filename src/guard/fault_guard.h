/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fault guard as a whole: whether it is wanted, whether it stands where it contains faults, and what a signal means.
 */
#ifndef MMGI_GUARD_FAULT_GUARD_H
#define MMGI_GUARD_FAULT_GUARD_H

#include <stdbool.h>

#include "mmapguard.h"

/**
 * Puts the guard on top of the fault signal if it is not there. MMG_OK; MMG_E_GUARD when the system refuses, or when the
 * guard was put on top of CHAIN_LEVELS different handlers before; MMG_E_UNSUPPORTED when the environment forbids it.
 * Costs one system call where the guard is on top. Not async-signal-safe. Waits for other threads that do the same.
 */
mmg_status mmgi_guard_install(void);

/** The same, by the name that rooms above use when a mapping is made. */
static inline mmg_status
mmgi_guard_ensure(void)
{
    return mmgi_guard_install();
}

/**
 * Why a fault in a guarded mapping would not be contained if it happened in this thread now: MMG_SHORT_DISPLACED,
 * MMG_SHORT_BLOCKED, or MMG_SHORT_NONE when it would. Async-signal-safe.
 */
uint32_t mmgi_guard_shortfall(void);

/** Where the guard stands, as seen from the calling thread: MMG_GUARD_... Async-signal-safe. */
int32_t mmgi_guard_state(void);

/** Returns true when a fault in a guarded mapping would be contained if it happened in this thread now. */
bool mmgi_guard_is_armed(void);

/** Contains the fault of a signal. Returns false when the fault is none of the library's. Keeps errno. */
bool mmgi_guard_handle_signal(int signo, void *info);

/** The number of fault signals that were passed on to earlier handlers. */
uint64_t mmgi_guard_foreign_count(void);

#endif
