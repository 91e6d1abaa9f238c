/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A model of the library, and calls chosen at random that are held against it: which handles live, what their regions
 * contain, which pins there are, what is lost. Beside them are mappings that the library has not made, which are guarded or
 * not, adopted or not. Files are cut, extended, rewritten and replaced in between. Any disagreement prints what was called
 * and aborts.
 *
 * Chance comes from a seed or from a string of bytes, so that a long run and a fuzzer walk the same ground.
 */
#ifndef MMAPGUARD_TESTS_MODEL_H
#define MMAPGUARD_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where chance comes from: the bytes, or the state of a generator if there are none. */
struct chance {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
};

/** Make the files that the calls work on, in a directory of their own. Once per process. */
void model_start(void);

/** Up to `count` calls; with a string of bytes, until it ends. Everything is closed and counted at the end. */
void model_run(struct chance *chance, uint64_t count);

/** Remove the files. */
void model_stop(void);

#endif
