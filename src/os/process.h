/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for the process as a whole: its environment, its number, its limits, and random numbers.
 */
#ifndef MMGI_OS_PROCESS_H
#define MMGI_OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Returns the value of an environment variable, or NULL. In a program that runs with more rights than its caller
 * (set-user-ID) the call returns NULL, so that the caller cannot switch protections off. Not async-signal-safe. The string
 * belongs to the environment.
 */
const char *mmgi_process_environment(const char *name);

/** Returns true when mmgi_process_environment() finds a value other than "" and "0". Not async-signal-safe. */
bool mmgi_process_environment_says(const char *name);

/**
 * Keeps the loaded object of which this library is a part in memory until the process ends, so that a handler or a thread can
 * run its code. Not async-signal-safe.
 */
void mmgi_process_keep_loaded(void);

/** Returns the number of this process. A forked child has another number. Async-signal-safe. Does not block. */
int mmgi_process_id(void);

/** The limit on the address space, in bytes. */
struct process_space {
    uint64_t soft, hard; /* `soft` is the limit, and the process may raise it up to `hard` */
};

enum process_space_state {
    PROCESS_SPACE_FREE,   /* there is no limit */
    PROCESS_SPACE_LIFTED, /* the limit is higher until mmgi_process_space_restore() */
    PROCESS_SPACE_STUCK   /* there is a limit, and this process may not raise it */
};

/**
 * Lifts the limit on the address space of this process as far as the process may, for the few system calls until
 * mmgi_process_space_restore(), and stores the limit before. Both calls are async-signal-safe and do not block.
 */
enum process_space_state mmgi_process_space_lift(struct process_space *before);
void mmgi_process_space_restore(const struct process_space *before);

/** Returns a number that is hard to guess and differs from process to process. Does not block. */
uint64_t mmgi_process_random(void);

#endif
