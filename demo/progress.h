/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a reader tells its audience: where it is, one line each ("at 4194304"), at a pace that an eye can follow. The
 * lines go straight to the descriptor, so that a reader that dies has said everything it knew.
 */
#ifndef MMAPGUARD_DEMO_PROGRESS_H
#define MMAPGUARD_DEMO_PROGRESS_H

#include <stdint.h>

struct progress {
    uint64_t size;    /* of one round, in bytes */
    uint64_t block;   /* how much a reader should take in one go */
    uint64_t pace;    /* nanoseconds that a round takes at least; 0: as fast as it goes */
    uint64_t started; /* when this round began */
    uint64_t told;    /* when the last line was written */
};

/* Begin a round over `size` bytes that takes at least `milliseconds`. */
void progress_start(struct progress *progress, uint64_t size, unsigned int milliseconds);

/* Bytes to read next, at `offset`. */
uint64_t progress_next(const struct progress *progress, uint64_t offset);

/* Everything before `offset` is read: say so, and wait while we are ahead of the pace. */
void progress_at(struct progress *progress, uint64_t offset);

#endif
