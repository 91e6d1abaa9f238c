/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fault guard: the process-wide disposition of SIGBUS. The only room that touches signals.
 */
#ifndef MMGI_GUARD_FAULT_GUARD_H
#define MMGI_GUARD_FAULT_GUARD_H

#include <stdbool.h>

#include "mmapguard.h"

/**
 * Install the guard if it never was. MMG_OK; MMG_E_GUARD when refused; MMG_E_UNSUPPORTED when the environment
 * forbids.
 */
mmg_status mmgi_guard_ensure(void);

/** Put it on top, whatever is there now. Statuses as above. */
mmg_status mmgi_guard_install(void);

/** MMG_GUARD_..., as seen from this thread. */
int32_t mmgi_guard_state(void);

/** Would a fault in a mapping be contained if it happened in this thread now? */
bool mmgi_guard_is_armed(void);

/** Contain the fault of a signal, or say that it is none of ours. Keeps errno. */
bool mmgi_guard_handle_signal(int signo, void *siginfo);

/** SIGBUS signals passed on to a predecessor. */
uint64_t mmgi_guard_foreign_count(void);

#endif
