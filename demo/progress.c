/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Prints the progress of a reader and keeps its pace; see progress.h.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCKS_IN_ROUND = 96, /* enough for a smooth bar */
    SMALLEST_BLOCK = 4096,
    LARGEST_BLOCK = 4 << 20,
    MILLISECOND = 1000000, /* in nanoseconds */
};

static uint64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

void
progress_start(struct progress *progress, uint64_t size, unsigned int milliseconds)
{
    uint64_t block = size / BLOCKS_IN_ROUND;
    block = block < SMALLEST_BLOCK ? SMALLEST_BLOCK : block;
    block = block > LARGEST_BLOCK ? LARGEST_BLOCK : block;
    *progress = (struct progress){
        .size = size,
        .block = block,
        .pace = (uint64_t)milliseconds * MILLISECOND,
        .started = now(),
    };
}

uint64_t
progress_next(const struct progress *progress, uint64_t offset)
{
    const uint64_t left = progress->size - offset;
    return left < progress->block ? left : progress->block;
}

void
progress_at(struct progress *progress, uint64_t offset)
{
    const uint64_t time = now();
    if (time - progress->told >= 15 * (uint64_t)MILLISECOND || offset == progress->size) {
        char line[32];
        const int length = snprintf(line, sizeof line, "at %" PRIu64 "\n", offset);
        if (write(STDOUT_FILENO, line, (size_t)length) != length)
            exit(EXIT_FAILURE); /* the program that reads the lines is gone */
        progress->told = time;
    }

    const double part = progress->size > 0 ? (double)offset / (double)progress->size : 1.0;
    const uint64_t due = progress->started + (uint64_t)((double)progress->pace * part);
    if (due > time) {
        const uint64_t wait = due - time;
        const struct timespec pause = {(time_t)(wait / 1000000000U), (long)(wait % 1000000000U)};
        nanosleep(&pause, NULL);
    }
}
