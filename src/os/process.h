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

/** A number that is hard to guess and differs from process to process. Does not block. */
uint64_t mmgi_process_random(void);

#endif
