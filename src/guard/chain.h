/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The chain of handlers for the fault signal: how the guard comes to stand in it, and how a signal that is not the
 * guard's goes on to the handlers that were there before.
 */
#ifndef MMGI_GUARD_CHAIN_H
#define MMGI_GUARD_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

/** How many different actions the guard can be put on top of, one after another, in the life of a process. */
#define CHAIN_LEVELS 64

/** Who gets a fault in a guarded mapping now. */
enum chain_place {
    CHAIN_TOP,     /* the guard: it is on top, or below other copies of this library only, which pass everything on */
    CHAIN_BELOW,   /* another handler, which may or may not pass on to the guard */
    CHAIN_UNKNOWN, /* the system does not say */
};

/** Tells where the guard stands: one system call. Async-signal-safe. */
enum chain_place mmgi_chain_place(void);

/**
 * Puts the guard on top if another handler is there, and keeps that handler as the one that foreign faults go to. Returns
 * false when the system refuses, or when the guard was put on top of CHAIN_LEVELS different actions before. One thread
 * at a time, which is for the caller to see to.
 */
bool mmgi_chain_climb(void);

/** The number of signals that were passed on to earlier handlers. Async-signal-safe. */
uint64_t mmgi_chain_foreign_count(void);

/**
 * The two calls below are what this room needs of the one above it; fault_guard.c defines them. The first returns true
 * when a signal was about a guarded mapping and the fault is contained. The second calls mmgi_chain_climb() unless
 * another thread is about to. Both are async-signal-safe.
 */
bool mmgi_guard_handle_signal(int signo, void *info);
void mmgi_guard_climb_if_free(void);

#endif
