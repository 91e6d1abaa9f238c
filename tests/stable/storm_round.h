/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One round of the storm against STABLE, and its readers. The readers check through spans, mmg_read() and mmg_find() that
 * every byte of the region is the one that the file had when it was opened.
 */
#ifndef MMAPGUARD_TESTS_STORM_ROUND_H
#define MMAPGUARD_TESTS_STORM_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include <mmapguard.h>

#include "../fault/storm_plan.h"
#include "../fault/storm_readers.h"

/** Readers search for needles of so many bytes. No region is shorter. */
#define NEEDLE 24

/** The state of a round. The main thread changes it only while no reader is at work. */
struct storm_round {
    struct storm storm;
    struct storm_plan plan;
    mmg_handle handle;
    uint64_t offset; /* offset of the window in the file */
    uint64_t length;
    const uint8_t *expected; /* the bytes that the window must show */
    const uint8_t *address;
    bool closes; /* the handle is closed in the middle of the round */
    struct storm_readers readers;
};
extern struct storm_round now;

/** Returns true when the bytes are those of the opened file. Otherwise prints where they differ. */
bool storm_is_original(const uint8_t *bytes, uint64_t offset, uint64_t size, const char *how);

/** The body of a reader. */
void *storm_read(void *reader);

#endif
