/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Prints the place of a reader, one line for each step ("at 4194304"), at a pace that people can follow. The lines are
 * not buffered, so that those of a reader that dies are complete.
 */
#ifndef MMAPGUARD_DEMO_PROGRESS_H
#define MMAPGUARD_DEMO_PROGRESS_H

#include <stdint.h>

struct progress {
    uint64_t size;    /* the bytes of one round */
    uint64_t block;   /* the bytes that a reader should read between two lines */
    uint64_t pace;    /* the least nanoseconds for a round; 0: no limit */
    uint64_t started; /* when this round began */
    uint64_t told;    /* when the last line was written */
};

/* Begin a round over `size` bytes that takes at least `milliseconds`. */
void progress_start(struct progress *progress, uint64_t size, unsigned int milliseconds);

/* Returns how many bytes to read next, at `offset`. */
uint64_t progress_next(const struct progress *progress, uint64_t offset);

/* Print that everything before `offset` is read, and wait while the reader is ahead of its pace. */
void progress_at(struct progress *progress, uint64_t offset);

#endif
