/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Structs that cross the ABI: which sizes the library accepts, and how it reads and writes the struct of an older or newer
 * caller.
 */
#ifndef MMGI_BASE_STRUCT_SIZE_H
#define MMGI_BASE_STRUCT_SIZE_H

#include <stdbool.h>

#include "mmapguard.h"

/* The size of each struct in release 1.0. No caller has a smaller one. */
#define MMGI_FIRST_OPTIONS_SIZE 88u
#define MMGI_FIRST_ERROR_SIZE 512u
#define MMGI_FIRST_INFO_SIZE 192u
#define MMGI_FIRST_STATS_SIZE 224u
#define MMGI_FIRST_LOSS_SIZE 512u

/** Returns true when a caller's struct may have this size. */
bool mmgi_struct_size_is_valid(uint32_t size, uint32_t first_size);

/**
 * Finds full, current options: the defaults when the caller has none (NULL), else a copy of the caller's in `copy`. Stores in
 * `*ours` where they are.
 *
 * @return MMG_OK · MMG_E_ABI_SIZE · MMG_E_ABI_NEWER (a member that is unknown here is set) · MMG_E_ARGUMENT (a flag or
 *   a value is unknown, or two options contradict each other)
 */
mmg_status mmgi_struct_read_options(const mmg_options *caller, mmg_options *copy, const mmg_options **ours);

/** Returns MMG_OK when an out struct of the caller, whose first member is its size, may be written to; else MMG_E_ABI_SIZE. */
mmg_status mmgi_struct_check_out(const void *caller_struct, uint32_t first_size);

/**
 * Fills an out struct that was checked before, up to the size that the caller knows. A part that the library does
 * not know becomes zeros and is never read. `struct_size` keeps the caller's value.
 */
void mmgi_struct_write(void *caller_struct, const void *ours, uint32_t our_size);

#endif
