/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The means by which the storm's writer carries a step out: each way in which a program can change a file.
 */
#ifndef MMAPGUARD_TESTS_STORM_HANDS_H
#define MMAPGUARD_TESTS_STORM_HANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"
#include "storm_plan.h"

/** What the writer keeps from one step to the next. */
struct storm_writer {
    const struct storm *storm;
    int descriptor; /* of the file; -1 until a step needs it, so that the steps before break leases by other calls */
    struct ring ring;
    int sources
        [STORM_VERSIONS]; /* files in memory with the bytes of each version, for the ring to read from; -1: none yet */
};

void storm_writer_start(struct storm_writer *writer, const struct storm *storm);
void storm_writer_end(struct storm_writer *writer);

/** Opens the file for writing, unless it is open. Returns 0 or an errno. */
int storm_writer_open(struct storm_writer *writer);
void storm_writer_close(struct storm_writer *writer);

/** Returns true when a step needs no descriptor of the file. */
bool storm_goes_by_path(const struct storm_step *step);

/**
 * Carries a step out. What this system does not have (io_uring, zeroing of ranges) is done by the plain calls. The hand
 * that did the work is counted in the shared memory. Returns 0 or an errno.
 */
int storm_carry_out(struct storm_writer *writer, const struct storm_step *step);

#endif
