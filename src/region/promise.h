/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a region promises about its bytes. Only this file and promise.c decide which guarantee holds, by what means, and why
 * no stronger guarantee holds.
 */
#ifndef MMGI_REGION_PROMISE_H
#define MMGI_REGION_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

#include "mmapguard.h"

struct promise {
    uint32_t guarantee; /* MMG_GUARANTEE_... */
    uint32_t means;     /* MMG_MEANS_...: what upholds the guarantee */
    uint32_t shortfall; /* MMG_SHORT_...: why it is not STABLE */
};

/** Returns the promise for bytes that `means` keeps STABLE. For a copy the means is MMG_MEANS_PRIVATE_COPY. */
static inline struct promise
promise_stable(uint32_t means)
{
    return (struct promise){.guarantee = MMG_GUARANTEE_STABLE, .means = means, .shortfall = MMG_SHORT_NONE};
}

/**
 * Returns the promise for a mapping of the file itself.
 *
 * @param is_guarded  true when the fault guard contains what happens to the mapping
 * @param shortfall   why the bytes are not STABLE, or why there is no guard
 */
struct promise mmgi_promise_mapped(bool is_guarded, uint32_t shortfall);

/**
 * Returns what is left of a promise after a loss: a means that has failed upholds nothing.
 *
 * @param promise  the promise before the loss
 * @param cause    the cause of the first loss; MMG_OK when there was no loss, and the promise stays as it is
 */
struct promise mmgi_promise_after_loss(struct promise promise, bool is_guarded, mmg_status cause);

/**
 * Returns what is left of a promise that the fault guard upholds.
 *
 * @param shortfall  why the guard would not contain a fault in this thread now; MMG_SHORT_NONE when it would
 */
struct promise mmgi_promise_behind_guard(struct promise promise, uint32_t shortfall);

/** Packs a promise into one word, so that a thread that reads it never sees parts of two promises. */
static inline uint32_t
promise_pack(struct promise promise)
{
    return promise.guarantee << 24 | promise.means << 16 | promise.shortfall; /* each is a small enumeration */
}

static inline struct promise
promise_unpack(uint32_t word)
{
    return (struct promise){.guarantee = word >> 24, .means = (word >> 16) & 0xFF, .shortfall = word & 0xFFFF};
}

#endif
