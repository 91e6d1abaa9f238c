/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the two halves of the shim share: shim.c decides, and shim_calls.c has the functions that fail.
 */
#ifndef MMAPGUARD_TESTS_SHIM_INTERNAL_H
#define MMAPGUARD_TESTS_SHIM_INTERNAL_H

#include "shim.h"

#include <stdatomic.h>

/** The number of blocks of memory that the library has allocated and not freed. */
extern atomic_llong shim_live_blocks;
/** True when the kernel answers no question about one mapping. */
extern atomic_bool shim_map_query_is_unknown;

/** Finds the code of the library among the objects of this process. */
void shim_find_library(void);

/** Returns the path of the library. */
const char *shim_library(void);

/** Returns true when the caller is code of the library. */
bool shim_is_library(const void *caller);

/** Counts the call. Returns 0, or the error with which it must fail. */
int shim_ask(enum shim_function function, const void *caller);

/** Does the same as shim_ask() for a call of fcntl(2), whose commands fail with different errors. */
int shim_ask_fcntl(enum shim_function function, const void *caller, int command, long word);

/** Does the same as shim_ask() for a call by syscall(2). */
int shim_ask_number(long number, const void *caller);

#endif
