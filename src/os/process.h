/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for what the process as a whole has: its environment, its number, and randomness.
 */
#ifndef MMGI_OS_PROCESS_H
#define MMGI_OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The value of an environment variable, or NULL. A program that runs with more rights than its caller (set-user-ID) gets
 * NULL, so that its caller cannot switch its protections off. Not async-signal-safe. The string is the environment's.
 */
const char *mmgi_process_environment(const char *name);

/** Returns true when an environment variable is set to something other than "" and "0". Same limits as above. */
bool mmgi_process_environment_says(const char *name);

/**
 * Has the loaded object that this library is part of stay in memory until the process ends, for a handler or a thread
 * that will run its code. Not async-signal-safe.
 */
void mmgi_process_keep_loaded(void);

/** The number of this process; a forked child has another. Async-signal-safe. Does not block. */
int mmgi_process_id(void);

/** A limit on the address space, in bytes. */
struct process_space {
    uint64_t soft, hard; /* the second bounds what the first can be raised to */
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

/** A number that is hard to guess and differs from process to process. Does not block. */
uint64_t mmgi_process_random(void);

#endif
