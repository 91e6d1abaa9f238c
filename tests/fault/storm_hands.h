/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Carries out the steps of the storm's writer, in each way in which a program can change a file.
 */
#ifndef MMAPGUARD_TESTS_STORM_HANDS_H
#define MMAPGUARD_TESTS_STORM_HANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"
#include "storm_plan.h"

/** The state that the writer keeps from one step to the next. */
struct storm_writer {
    const struct storm *storm;
    int descriptor; /* -1 until a step needs it, so that earlier steps break leases by other calls */
    struct ring ring;
    int sources
        [STORM_VERSIONS]; /* files in memory with the bytes of each version, from which the ring reads; -1: not made yet */
};

void storm_writer_start(struct storm_writer *writer, const struct storm *storm);
void storm_writer_end(struct storm_writer *writer);

/** Opens the file for writing, unless it is open. Returns 0 or an errno. */
int storm_writer_open(struct storm_writer *writer);
void storm_writer_close(struct storm_writer *writer);

/** Returns true when a step needs no descriptor of the file. */
bool storm_goes_by_path(const struct storm_step *step);

/**
 * Carries out a step. Where this system lacks a way (io_uring, zeroing of ranges), the function uses plain calls. It
 * counts the way that it has used in the shared memory. Returns 0 or an errno.
 */
int storm_carry_out(struct storm_writer *writer, const struct storm_step *step);

#endif
