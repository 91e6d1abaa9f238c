/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "hash_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Mixes in one word at a time, by a multiplication and a shift. */
uint64_t
hash_mix(uint64_t hash, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + at, length - at < sizeof word ? length - at : sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return hash;
}

/* A table that is half full at most. A place with 0 is free, so the hash 0 counts as 1. */
static uint64_t *table;
static size_t size, used;

static bool
insert(uint64_t hash)
{
    size_t at = hash & (size - 1);

    for (; table[at] != 0; at = (at + 1) & (size - 1))
        if (table[at] == hash)
            return false;
    table[at] = hash;
    used++;
    return true;
}

static void
grow(void)
{
    uint64_t *old = table;
    const size_t old_size = size;

    size = old_size == 0 ? 65536 : old_size * 2;
    table = calloc(size, sizeof *table);
    if (table == NULL) {
        fputs("a model has too many states for the memory of this machine\n", stderr);
        abort();
    }
    used = 0;
    for (size_t i = 0; i < old_size; i++)
        if (old[i] != 0)
            insert(old[i]);
    free(old);
}

bool
hash_set_insert(uint64_t hash)
{
    if (used * 2 >= size)
        grow();
    return insert(hash == 0 ? 1 : hash);
}

void
hash_set_clear(void)
{
    free(table);
    table = NULL;
    size = used = 0;
}
