/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The hashes of the states that an exploration has seen. Two states with one hash of 64 bits would count as one. For a
 * million states the chance of that is one in thirty million.
 */
#ifndef MMAPGUARD_TESTS_MODEL_HASH_SET_H
#define MMAPGUARD_TESTS_MODEL_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Returns a hash that depends on an older hash and on bytes. */
uint64_t hash_mix(uint64_t hash, const void *bytes, size_t size);

/** Inserts a hash. Returns false when it was there before. */
bool hash_set_insert(uint64_t hash);

/** Removes all hashes. */
void hash_set_clear(void);

#endif
