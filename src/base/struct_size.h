/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Structs that cross the ABI: which sizes are accepted, how an older or newer caller's struct is read and written.
 */
#ifndef MMGI_BASE_STRUCT_SIZE_H
#define MMGI_BASE_STRUCT_SIZE_H

#include "mmapguard.h"

/** Copy the caller's options (NULL: defaults) into a full, current struct and refuse what is unknown. */
mmg_status mmgi_struct_read_options(const mmg_options *caller, mmg_options *ours);

/** May the caller's out struct of the given kind be written to? */
mmg_status mmgi_struct_check_error(const mmg_error *caller);
mmg_status mmgi_struct_check_info(const mmg_info *caller);
mmg_status mmgi_struct_check_stats(const mmg_stats *caller);
mmg_status mmgi_struct_check_options_size(uint32_t struct_size);

/** Fill an out struct, checked before, up to the size that the caller knows; `struct_size` stays the caller's. */
void mmgi_struct_write(void *caller, const void *ours, uint32_t our_size);

#endif
