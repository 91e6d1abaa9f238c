/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a region promises about its bytes. This is the one place that decides which guarantee holds, by what means, and
 * why it is no more than that.
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

/** The promise of bytes that are kept STABLE by `means`. A copy is kept by MMG_MEANS_PRIVATE_COPY. */
struct promise mmgi_promise_stable(uint32_t means);

/**
 * The promise of a mapping of the file itself.
 *
 * @param is_guarded  true when the fault guard contains what happens to the mapping
 * @param shortfall   why the bytes are not STABLE, or why there is no guard
 */
struct promise mmgi_promise_mapped(bool is_guarded, uint32_t shortfall);

/**
 * What is left of a promise once bytes were lost: a means that has failed upholds nothing.
 *
 * @param promise  what was promised until then
 * @param cause    of the first loss; MMG_OK: nothing was lost, and the promise stands
 */
struct promise mmgi_promise_after_loss(struct promise promise, bool is_guarded, mmg_status cause);

/**
 * What is left of a promise that the fault guard upholds.
 *
 * @param shortfall  why the guard would not contain a fault in this thread now; MMG_SHORT_NONE: it would
 */
struct promise mmgi_promise_behind_guard(struct promise promise, uint32_t shortfall);

/** A promise in one word, so that a reader never sees the halves of two. */
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
