/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests pins. A span keeps its bytes after its handle is closed. It can be unpinned exactly once, even if it was
 * copied. Only its own token can end it.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#define MANY 10000

static void
a_pin_keeps_the_bytes_past_the_close(void)
{
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        const char *path = check_file("file", 50000);
        mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(path, &options);
        mmg_span span = MMG_SPAN_INIT;
        mmg_stats before = check_stats();
        CHECK_STATUS(mmg_pin(handle, 1000, 40000, &span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK_STATUS(mmg_check(handle), MMG_E_HANDLE);
        CHECK_U64(check_stats().handles, before.handles - 1);
        CHECK_U64(check_stats().regions, before.regions);
        CHECK_U64(check_mappings_of(path), backing == MMG_BACKING_MAP);
        CHECK(check_is_pattern(span.data, 1000, 40000));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_U64(check_stats().regions, before.regions - 1);
        CHECK_U64(check_mappings_of(path), 0);
    }
}

static void
the_last_of_several_pins_gives_the_memory_back(void)
{
    const char *path = check_file("file", 50000);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    mmg_span spans[40];
    for (size_t index = 0; index < 40; index++) {
        REQUIRE_STATUS(mmg_pin(handle, index, 100, &spans[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    for (size_t index = 0; index < 40; index++) {
        CHECK_U64(check_mappings_of(path), 1);
        CHECK(check_is_pattern(spans[index].data, index, 100));
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
    CHECK_U64(check_mappings_of(path), 0);
}

static void
a_strict_close_is_refused_while_pins_live(void)
{
    mmg_handle handle = check_open(check_file("file", 50000), NULL);
    mmg_span spans[30];
    for (size_t index = 0; index < 30; index++) {
        REQUIRE_STATUS(mmg_pin(handle, 0, 0, &spans[index]), MMG_OK);
    }
    for (size_t index = 0; index < 30; index++) {
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
a_handle_stays_usable_after_a_refused_close(void)
{
    mmg_handle handle = check_open(check_file("file", 50000), NULL);
    mmg_span first = MMG_SPAN_INIT;
    mmg_span second = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 100, &first), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_STATUS(mmg_pin(handle, 100, 100, &second), MMG_OK);
    CHECK(check_is_pattern(second.data, 100, 100));
    CHECK_U64(check_info(handle).pins, 2);
    CHECK_STATUS(mmg_unpin(&first), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_STATUS(mmg_unpin(&second), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
unpin_empties_the_span_and_is_harmless_when_repeated(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 10, 20, &span), MMG_OK);
    for (unsigned round = 0; round < 5; round++) {
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK(span.data != NULL);
        CHECK_U64(span.size, 0);
        CHECK_U64(span.pin, 0);
    }
    CHECK_U64(check_info(handle).pins, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

static void
a_span_that_was_never_pinned_is_empty(void)
{
    mmg_span span = MMG_SPAN_INIT;
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK(span.data != NULL);
}

static void
the_second_copy_of_a_span_cannot_be_unpinned(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span keeper = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 100, &keeper), MMG_OK);
    for (unsigned round = 0; round < 1000; round++) {
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(handle, 10, 20, &span), MMG_OK);
        mmg_span copy = span;
        mmg_span third = span;
        CHECK_STATUS(mmg_unpin(round % 2 == 0 ? &span : &copy), MMG_OK);
        CHECK_STATUS(mmg_unpin(round % 2 == 0 ? &copy : &span), MMG_E_HANDLE);
        CHECK_STATUS(mmg_unpin(&third), MMG_E_HANDLE);
        CHECK_U64(check_info(handle).pins, 1);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_STATUS(mmg_unpin(&keeper), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
a_stale_copy_does_not_end_the_next_pin_in_its_place(void)
{
    const char *path = check_file("file", 100);
    mmg_handle handle = check_open(path, NULL);
    mmg_span stale[200];
    for (size_t index = 0; index < 200; index++) {
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
        stale[index] = span;
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
    }
    mmg_span live = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 10, &live), MMG_OK);
    for (size_t index = 0; index < 200; index++) {
        mmg_span copy = stale[index];
        CHECK(stale[index].pin != live.pin);
        CHECK_STATUS(mmg_unpin(&copy), MMG_E_HANDLE);
    }
    CHECK_U64(check_info(handle).pins, 1);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    for (size_t index = 0; index < 200; index++) {
        mmg_span copy = stale[index];
        CHECK_STATUS(mmg_unpin(&copy), MMG_E_HANDLE);
    }
    CHECK(check_is_pattern(live.data, 0, 10));
    CHECK_STATUS(mmg_unpin(&live), MMG_OK);
}

static void
a_stale_copy_does_not_end_the_pins_of_the_next_region(void)
{
    const char *path = check_file("file", 100);
    for (unsigned round = 0; round < 200; round++) {
        mmg_span span = MMG_SPAN_INIT;
        mmg_handle handle = check_open(path, NULL);
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
        mmg_span copy = span;
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        handle = check_open(path, NULL);
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
        CHECK_STATUS(mmg_unpin(&copy), MMG_E_HANDLE);
        CHECK_U64(check_info(handle).pins, 1);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    }
}

static void
forged_tokens_end_nothing(void)
{
    uint64_t state = check_seed();
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span live = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 10, 20, &live), MMG_OK);
    for (unsigned bit = 0; bit < 64; bit++) {
        mmg_span forged = live;
        forged.pin ^= UINT64_C(1) << bit;
        CHECK_STATUS(mmg_unpin(&forged), MMG_E_HANDLE);
    }
    for (uint64_t round = 0; round < check_scaled(1000000); round++) {
        mmg_span forged = live;
        forged.pin = check_random(&state) >> (check_random(&state) % 64);
        if (forged.pin != live.pin && forged.pin != 0) {
            CHECK_STATUS(mmg_unpin(&forged), MMG_E_HANDLE);
        }
    }
    mmg_span as_handle = {live.data, live.size, handle};
    CHECK_STATUS(mmg_unpin(&as_handle), MMG_E_HANDLE);
    CHECK_U64(check_info(handle).pins, 1);
    CHECK(check_is_pattern(live.data, 10, 20));
    CHECK_STATUS(mmg_unpin(&live), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
a_span_with_forged_bounds_crashes_nothing(void)
{
    static const uint64_t sizes[] = {0, 1, 1000, UINT64_C(1) << 40, UINT64_MAX};
    mmg_handle handle = check_open(check_file("file", 100000), NULL);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle mapped = check_open(check_file("other", 100000), &options);
    for (size_t index = 0; index < 2 * sizeof sizes / sizeof *sizes; index++) {
        mmg_span span = MMG_SPAN_INIT;
        uint8_t own = 0;
        REQUIRE_STATUS(mmg_pin(index % 2 == 0 ? handle : mapped, 10, 20, &span), MMG_OK);
        mmg_span forged = {index % 3 == 0 ? NULL : &own, sizes[index / 2], span.pin};
        mmg_unpin(&forged);
        mmg_unpin(&span);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(mapped, 0), MMG_OK);
}

static void
ten_thousand_pins_live_on_one_handle(void)
{
    static mmg_span spans[MANY];
    uint64_t state = check_seed();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(check_file("file", 3 * MANY), &options);
    for (size_t index = 0; index < MANY; index++) {
        REQUIRE_STATUS(mmg_pin(handle, index, index + 1, &spans[index]), MMG_OK);
    }
    CHECK_U64(check_info(handle).pins, MANY);
    for (size_t index = 0; index < MANY; index += 97) {
        CHECK(check_is_pattern(spans[index].data, index, index + 1));
    }
    for (size_t left = MANY; left > 0; left--) {
        size_t chosen = (size_t)check_random_below(&state, left);
        mmg_span copy = spans[chosen];
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
        CHECK_STATUS(mmg_unpin(&spans[chosen]), MMG_OK);
        CHECK_STATUS(mmg_unpin(&copy), MMG_E_HANDLE);
        spans[chosen] = spans[left - 1];
        if (left % 1000 == 0) {
            CHECK_U64(check_info(handle).pins, left - 1);
        }
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
pins_beyond_the_first_few_defer_the_release_as_well(void)
{
    static mmg_span spans[MANY];
    uint64_t state = check_seed();
    const char *path = check_file("file", 100);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    for (size_t index = 0; index < MANY; index++) {
        REQUIRE_STATUS(mmg_pin(handle, 0, 100, &spans[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    for (size_t left = MANY; left > 0; left--) {
        size_t chosen = (size_t)check_random_below(&state, left);
        CHECK_U64(spans[chosen].data[50], check_byte(50));
        CHECK_STATUS(mmg_unpin(&spans[chosen]), MMG_OK);
        spans[chosen] = spans[left - 1];
    }
    CHECK_U64(check_mappings_of(path), 0);
}

static void
random_pins_and_unpins_on_several_handles_are_counted_exactly(void)
{
    enum {
        HANDLES = 5,
        SPANS = 200
    };
    static mmg_span spans[SPANS];
    static size_t owner[SPANS];
    mmg_handle handles[HANDLES];
    uint64_t pins[HANDLES] = {0};
    uint64_t state = check_seed();
    const char *path = check_file("file", 5000);
    for (size_t index = 0; index < HANDLES; index++) {
        handles[index] = check_open(path, NULL);
    }
    for (uint64_t round = 0; round < check_scaled(300000); round++) {
        size_t at = (size_t)check_random_below(&state, SPANS);
        if (spans[at].pin != 0) {
            REQUIRE_STATUS(mmg_unpin(&spans[at]), MMG_OK);
            pins[owner[at]]--;
        } else {
            owner[at] = (size_t)check_random_below(&state, HANDLES);
            REQUIRE_STATUS(mmg_pin(handles[owner[at]], at, 7, &spans[at]), MMG_OK);
            REQUIRE(spans[at].data[0] == check_byte(at));
            pins[owner[at]]++;
        }
        REQUIRE(round % 64 != 0 || check_info(handles[owner[at]]).pins == pins[owner[at]]);
    }
    for (size_t index = 0; index < HANDLES; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    for (size_t at = 0; at < SPANS; at++) {
        CHECK(spans[at].pin == 0 || spans[at].data[6] == check_byte(at + 6));
        CHECK_STATUS(mmg_unpin(&spans[at]), MMG_OK);
    }
}

static void
an_empty_span_also_has_a_pin(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span span = MMG_SPAN_INIT;
    for (uint64_t offset = 0; offset <= 100; offset += 50) {
        REQUIRE_STATUS(mmg_pin(handle, offset, 0, &span), MMG_OK);
        CHECK(span.data != NULL);
        CHECK_U64(span.size, 0);
        CHECK(span.pin != 0);
        CHECK_U64(check_info(handle).pins, 1);
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
what_the_span_held_before_is_not_unpinned(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
    mmg_span first = span;
    REQUIRE_STATUS(mmg_pin(handle, 10, 10, &span), MMG_OK);
    CHECK_U64(check_info(handle).pins, 2);
    CHECK_STATUS(mmg_unpin(&first), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"a pin keeps the bytes past the close", a_pin_keeps_the_bytes_past_the_close, 0},
    {"the last of several pins gives the memory back", the_last_of_several_pins_gives_the_memory_back, 0},
    {"a strict close is refused while pins live", a_strict_close_is_refused_while_pins_live, 0},
    {"a handle stays usable after a refused close", a_handle_stays_usable_after_a_refused_close, 0},
    {"unpin empties the span and is harmless when repeated", unpin_empties_the_span_and_is_harmless_when_repeated, 0},
    {"a span that was never pinned is empty", a_span_that_was_never_pinned_is_empty, 0},
    {"the second copy of a span cannot be unpinned", the_second_copy_of_a_span_cannot_be_unpinned, 0},
    {"a stale copy does not end the next pin in its place", a_stale_copy_does_not_end_the_next_pin_in_its_place, 0},
    {"a stale copy does not end the pins of the next region", a_stale_copy_does_not_end_the_pins_of_the_next_region, 0},
    {"forged tokens end nothing", forged_tokens_end_nothing, 0},
    {"a span with forged bounds crashes nothing", a_span_with_forged_bounds_crashes_nothing, 0},
    {"ten thousand pins live on one handle", ten_thousand_pins_live_on_one_handle, 0},
    {"pins beyond the first few defer the release as well", pins_beyond_the_first_few_defer_the_release_as_well, 0},
    {"random pins and unpins on several handles are counted exactly",
     random_pins_and_unpins_on_several_handles_are_counted_exactly, 0},
    {"an empty span also has a pin", an_empty_span_also_has_a_pin, 0},
    {"what the span held before is not unpinned", what_the_span_held_before_is_not_unpinned, 0},
};

CHECK_MAIN(cases)
