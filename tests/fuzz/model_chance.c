/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reports of the model, and its random choices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model_parts.h"

_Noreturn void
disagree(const char *what)
{
    fprintf(stderr, "call %" PRIu64 ", %s(%s): %s\n", model.call, model.doing, model.details, what);
    fflush(stderr);
    abort();
}

void
must(bool holds, const char *what)
{
    if (!holds) {
        disagree(what);
    }
}

void
must_equal(uint64_t actual, uint64_t expected, const char *what)
{
    char text[160];
    if (actual != expected) {
        snprintf(text, sizeof text, "%s is %" PRIu64 ", not %" PRIu64, what, actual, expected);
        disagree(text);
    }
}

void
expect(struct expected *expected, mmg_status status)
{
    must(expected->count < 16, "the model expects too much");
    expected->any[expected->count++] = status;
}

void
must_be(mmg_status actual, const struct expected *expected)
{
    char text[400];
    size_t used;
    for (size_t index = 0; index < expected->count; index++) {
        if (expected->any[index] == actual) {
            return;
        }
    }
    if (expected->count == 0 && actual == MMG_OK) {
        return;
    }
    used = (size_t)snprintf(text, sizeof text, "returned %s, expected %s", mmg_status_name(actual),
                            expected->count == 0 ? "MMG_OK" : "");
    for (size_t index = 0; index < expected->count && used < sizeof text; index++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ", mmg_status_name(expected->any[index]));
    }
    disagree(text);
}

/* ------------------------------------------------------------------------------------------------------ chance -- */

uint64_t
draw(unsigned size)
{
    struct chance *chance = model.chance;
    uint64_t value = 0;
    if (chance->bytes != NULL) {
        for (unsigned index = 0; index < size && chance->left > 0; index++, chance->left--) {
            value |= (uint64_t)*chance->bytes++ << (8 * index);
        }
        return value;
    }
    value = chance->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    value ^= value >> 31;
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

bool
has_chance(void)
{
    return model.chance->bytes == NULL || model.chance->left > 0;
}

/** Returns a random number below `bound`. */
uint64_t
below(uint64_t bound)
{
    return bound <= 1 ? 0 : draw(bound <= 256 ? 1 : bound <= 65536 ? 2 : bound <= UINT64_C(1) << 32 ? 4 : 8) % bound;
}

bool
one_in(uint64_t count)
{
    return below(count) == 0;
}

/**
 * Return a random offset in `size` bytes, and a random length. Most are inside, many are at an edge, and a few are
 * absurd.
 */
uint64_t
some_offset(uint64_t size)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     4095,
                                     4096,
                                     4097,
                                     65536,
                                     UINT64_MAX,
                                     UINT64_MAX - 1,
                                     INT64_MAX,
                                     (uint64_t)INT64_MAX + 1,
                                     UINT64_C(1) << 32};
    switch (below(16)) {
    case 0:
        return edges[below(sizeof edges / sizeof *edges)];
    case 1:
        return size - below(3);
    case 2:
        return size + below(3);
    case 3:
        return draw(8) >> below(64);
    case 4:
        return UINT64_MAX - below(size + 2);
    default:
        return below(size + 1);
    }
}

uint64_t
some_length(uint64_t size, uint64_t offset)
{
    uint64_t rest = offset <= size ? size - offset : 0;
    switch (below(8)) {
    case 0:
        return some_offset(size);
    case 1:
        return MMG_TO_END;
    case 2:
        return rest;
    case 3:
        return rest + 1;
    case 4:
        return below(64) < rest ? below(64) : rest;
    default:
        return below(rest + 1);
    }
}
