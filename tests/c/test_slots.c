/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests states that take years to reach by calls: a slot whose generations are used up, and counters that wrap. The
 * handle table is compiled into this program, so that the tests can set its numbers. All other code is the library.
 */
#include "handle/handle.c"

#include <string.h>

#include "check.h"

/** Changes the slot of a closed handle, so that the next handle of the slot has this generation. */
static void
set_next_generation(mmg_handle handle, uint32_t generation)
{
    struct slot *slot = slot_at(handle);
    REQUIRE(phase_of(atomic_load(&slot->state)) == PHASE_FREE);
    mmg_handle before = (uint64_t)(generation - 1) << INDEX_BITS | (handle & INDEX_MASK);
    atomic_store(&slot->state, before << HANDLE_SHIFT | PHASE_FREE);
}

static void
a_slot_is_retired_when_its_generations_are_used_up(void)
{
    const char *path = check_file("file", 100);
    uint64_t retired = check_stats().retired_slots;
    mmg_handle first = check_open(path, NULL);
    mmg_handle last[3];
    CHECK_STATUS(mmg_close(first, 0), MMG_OK);
    set_next_generation(first, LAST_GENERATION - 2);
    for (size_t index = 0; index < 3; index++) {
        mmg_span span = MMG_SPAN_INIT;
        last[index] = check_open(path, NULL);
        CHECK_U64(last[index] & INDEX_MASK, first & INDEX_MASK);
        CHECK_U64(last[index] >> INDEX_BITS, LAST_GENERATION - 2 + index);
        CHECK(last[index] < UINT64_C(1) << 53);
        CHECK_STATUS(mmg_pin(last[index], 0, 10, &span), MMG_OK);
        CHECK(check_is_pattern(span.data, 0, 10));
        CHECK_U64(check_stats().retired_slots, retired);
        CHECK_STATUS(mmg_close(last[index], 0), MMG_OK);
        CHECK_U64(check_stats().retired_slots, retired);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
    CHECK_U64(check_stats().retired_slots, retired + 1);
    mmg_handle others[100];
    for (size_t index = 0; index < 100; index++) {
        others[index] = check_open(path, NULL);
        CHECK((others[index] & INDEX_MASK) != (first & INDEX_MASK));
    }
    for (size_t index = 0; index < 3; index++) {
        CHECK_STATUS(mmg_check(last[index]), MMG_E_HANDLE);
        CHECK_STATUS(mmg_close(last[index], 0), MMG_E_HANDLE);
    }
    for (size_t index = 0; index < 100; index++) {
        CHECK_STATUS(mmg_close(others[index], 0), MMG_OK);
    }
}

static void
tokens_differ_when_their_count_wraps(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    struct slot *slot = slot_at(handle);
    mmg_span stale[8];
    for (size_t cell = 0; cell < PIN_CELLS; cell++) {
        atomic_store(&slot->cell[cell], UINT32_MAX - 3);
    }
    for (size_t index = 0; index < 8; index++) {
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
        CHECK(span.pin != 0);
        stale[index] = span;
        for (size_t other = 0; other < index; other++) {
            mmg_span copy = stale[other];
            CHECK(stale[other].pin != span.pin);
            CHECK_STATUS(mmg_unpin(&copy), MMG_E_HANDLE);
        }
        CHECK_U64(check_info(handle).pins, 1);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
refused_strict_closes_can_be_repeated_for_ever(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span span = MMG_SPAN_INIT;
    for (unsigned round = 0; round < 3000; round++) { /* more rounds than the tag has values */
        REQUIRE_STATUS(mmg_pin(handle, 0, 0, &span), MMG_OK);
        REQUIRE_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
        REQUIRE_STATUS(mmg_check(handle), MMG_OK);
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
a_token_of_any_shape_is_looked_up_safely(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span live = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 10, &live), MMG_OK);
    for (uint64_t cell = 0; cell < 64; cell++) {
        static const uint64_t indexes[] = {0, 1, 2, 4095, 4096, 65536, INDEX_MASK - 1, INDEX_MASK};
        for (size_t at = 0; at < sizeof indexes / sizeof *indexes; at++) {
            for (uint64_t claim = 0; claim < 4; claim++) {
                mmg_span forged = {NULL, 0, claim << 32 | cell << INDEX_BITS | indexes[at]};
                if (forged.pin != live.pin && forged.pin != 0) {
                    CHECK_STATUS(mmg_unpin(&forged), MMG_E_HANDLE);
                }
            }
        }
    }
    CHECK_U64(check_info(handle).pins, 1);
    CHECK_STATUS(mmg_unpin(&live), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"a slot is retired when its generations are used up", a_slot_is_retired_when_its_generations_are_used_up, 0},
    {"tokens differ when their count wraps", tokens_differ_when_their_count_wraps, 0},
    {"refused strict closes can be repeated for ever", refused_strict_closes_can_be_repeated_for_ever, 0},
    {"a token of any shape is looked up safely", a_token_of_any_shape_is_looked_up_safely, 0},
};

CHECK_MAIN(cases)
