/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One round of the storm: what its readers share with the main thread, and how they judge what they read.
 */
#ifndef MMAPGUARD_TESTS_STORM_ROUND_H
#define MMAPGUARD_TESTS_STORM_ROUND_H

#include <stdatomic.h>

#include "check.h"
#include "storm_plan.h"
#include "storm_readers.h"

/** The number of bytes for which a reader searches. */
#define NEEDLE 24

/** The state of one round, which its readers share. */
struct round {
    struct storm storm;
    struct storm_plan plan;
    mmg_handle handle;
    uint64_t offset; /**< offset of the window in the file */
    uint64_t length;
    struct storm_readers readers;
};

/** What was counted in all rounds. */
struct tally {
    _Atomic uint64_t losses; /**< the number of spans whose unpin reported a loss */
    uint64_t contained;
    uint64_t lost;
    uint64_t shrunk_unseen;
    uint64_t changed;
    uint64_t still;
};

extern struct round now;
extern struct tally tally;

static inline uint64_t
smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/** Checks bytes that were read at offset `at` of the region. Returns true when a zero among them proves a loss. */
bool judge(const uint8_t *bytes, uint64_t at, uint64_t size);

/** Checks the status of a call that has read the region up to `end`. */
void judge_status(mmg_status status, uint64_t end);

/** Returns true when the status reports a loss. */
bool is_loss(mmg_status status);

/** Returns true when bytes below `end` of the region can have been lost in this round. */
bool may_be_lost(uint64_t end);

/** The body of a reader: reads and judges in every way, until the storm is over. */
void *read_in_storm(void *argument);

#endif
