/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A model of the library, which makes random calls and checks their results. The model knows which handles live, the
 * bytes of their regions, the pins and the losses. It also has mappings that the library has not made, which may be
 * guarded or adopted. Between the calls it cuts, extends, rewrites and replaces files. When a result is wrong, the
 * model prints the call and aborts.
 *
 * The random choices come from a seed or from a string of bytes, so that a long run and a fuzzer can make the same
 * calls.
 */
#ifndef MMAPGUARD_TESTS_MODEL_H
#define MMAPGUARD_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The source of random choices: a string of bytes, or else the state of a generator. */
struct chance {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
};

/** Makes the files for the calls, in a new directory. A process may call this function once. */
void model_start(void);

/** Makes up to `count` calls, or until the string of bytes ends. Closes and counts everything at the end. */
void model_run(struct chance *chance, uint64_t count);

/** Return how many regions were held by a lease, and how many faults were handed in and contained. */
uint64_t model_leases(void);
uint64_t model_faults(void);

/** Removes the files. */
void model_stop(void);

#endif
