/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The chain of handlers for the fault signal. This file puts the guard on top of the chain, and passes signals that are not
 * the guard's on to the handlers below.
 */
#ifndef MMGI_GUARD_CHAIN_H
#define MMGI_GUARD_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

struct signal_action;

/** The number of different actions on top of which the guard can be put in the life of a process. */
#define CHAIN_LEVELS 64

/** Who gets a fault in a guarded mapping at this moment. */
enum chain_place {
    CHAIN_TOP,   /* the guard: it is on top, or below other copies of this library only, which pass signals on to it */
    CHAIN_BELOW, /* another handler, which may or may not pass on to the guard */
    CHAIN_UNKNOWN, /* unknown: the system does not tell */
};

/** Returns the place of the guard, by one system call. Async-signal-safe. */
enum chain_place mmgi_chain_place(void);

/**
 * Puts the guard on top if another handler is there. From then on foreign faults go to that handler. Returns false when the
 * system refuses, or when the guard was put on top of CHAIN_LEVELS different actions before. The caller must see to it that
 * only one thread calls this function at a time.
 */
bool mmgi_chain_climb(void);

/** Returns the number of signals that the guard has passed on to earlier handlers. Async-signal-safe. */
uint64_t mmgi_chain_foreign_count(void);

/**
 * fault_guard.c defines these functions, and chain.c calls them. The first returns true when it has contained a fault
 * in a mapping of the library, the second when it has contained a fault in a mapping of other code. The third returns
 * true when a previous handler must see a fault before the second function. The last calls mmgi_chain_climb(), unless
 * another thread is doing so. All are async-signal-safe. With `at_end` the caller returns to the kernel after a success; the
 * first function then leaves all signals blocked, since the kernel puts the mask back.
 */
bool mmgi_guard_handle_own(int signo, void *info, bool at_end);
bool mmgi_guard_handle_foreign(int signo, void *info);
bool mmgi_guard_comes_second(const struct signal_action *predecessor);
void mmgi_guard_climb_if_free(void);

#endif
