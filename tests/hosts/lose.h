/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Causes a loss. For hosts that read the bytes themselves, lose_begin() maps a file and cuts it to one page, and
 * lose_end() returns the status that the library reports. lose_here() does both and reads the bytes in C.
 */
#ifndef HOSTS_LOSE_H
#define HOSTS_LOSE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mmapguard.h"

#define LOSE_SIZE (UINT64_C(1) << 20)

static mmg_handle lose_handle;
static mmg_span lose_span;

/* Maps a file of ones in the working directory, checks that the region is CONTAINED, and cuts the file. */
static inline const uint8_t *
lose_begin(void)
{
    static char ones[LOSE_SIZE];
    char path[32] = "lost-XXXXXX";
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_info info = MMG_INFO_INIT;
    int descriptor = mkstemp(path);
    for (uint64_t at = 0; at < LOSE_SIZE; at++)
        ones[at] = 1;
    options.backing = MMG_BACKING_MAP;
    if (descriptor < 0 || write(descriptor, ones, LOSE_SIZE) != (ssize_t)LOSE_SIZE ||
        mmg_open(path, &options, &lose_handle, NULL) != MMG_OK || mmg_info_get(lose_handle, &info) != MMG_OK ||
        info.means != MMG_MEANS_FAULT_GUARD || mmg_guard_state() != MMG_GUARD_TOP ||
        mmg_pin(lose_handle, 0, MMG_TO_END, &lose_span) != MMG_OK || ftruncate(descriptor, 4096) != 0) {
        fprintf(stderr, "no guarded mapping: guard %s, means %u\n",
                mmg_term(MMG_TERM_GUARD, (uint32_t)mmg_guard_state()), info.means);
        exit(3);
    }
    close(descriptor);
    unlink(path);
    return lose_span.data;
}

static inline int32_t
lose_end(void)
{
    int32_t status = mmg_unpin(&lose_span);
    mmg_close(lose_handle, 0);
    return status;
}

/* Ends the program unless a loss is contained and reported. */
static inline void
lose_here(void)
{
    const volatile uint8_t *data = lose_begin();
    uint64_t sum = 0;
    for (uint64_t at = 0; at < LOSE_SIZE; at++)
        sum += data[at];
    int32_t status = lose_end();
    if (status != MMG_E_TRUNCATED || sum != 4096) {
        fprintf(stderr, "a loss ended with %s and the sum %llu\n", mmg_status_name(status), (unsigned long long)sum);
        exit(4);
    }
}

#endif
