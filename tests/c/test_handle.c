/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests handles. Every call refuses any number that is not a live handle. A number is never issued twice. A million
 * handles can be open at once.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

/** Returns true when every call refuses this number and changes nothing. */
static bool
is_refused_everywhere(mmg_handle handle)
{
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    uint64_t number = 0;
    uint32_t what = 0;
    uint8_t byte = 0;
    bool refused = mmg_pin(handle, 0, 0, &span) == MMG_E_HANDLE && mmg_check(handle) == MMG_E_HANDLE &&
                   mmg_read(handle, 0, &byte, 1, &number) == MMG_E_HANDLE &&
                   mmg_find(handle, 0, MMG_TO_END, "x", 1, &number) == MMG_E_HANDLE &&
                   mmg_changed(handle, &what) == MMG_E_HANDLE && mmg_info_get(handle, &info) == MMG_E_HANDLE &&
                   mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_NORMAL) == MMG_E_HANDLE &&
                   mmg_resident(handle, 0, MMG_TO_END, &number) == MMG_E_HANDLE &&
                   mmg_close(handle, 0) == MMG_E_HANDLE && mmg_close(handle, MMG_CLOSE_STRICT) == MMG_E_HANDLE;
    return refused && span.pin == 0;
}

static void
zero_is_never_a_handle(void)
{
    CHECK(is_refused_everywhere(0));
}

static void
a_closed_handle_is_dead_for_every_call(void)
{
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(check_file("file", 100), &options);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK(is_refused_everywhere(handle));
        CHECK(is_refused_everywhere(handle));
    }
}

static void
random_numbers_are_refused(void)
{
    uint64_t state = check_seed();
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    uint64_t rounds = check_scaled(300000);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t number = check_random(&state) >> (check_random(&state) % 64);
        if (number != handle) {
            REQUIRE(is_refused_everywhere(number));
        }
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
numbers_near_a_live_handle_are_refused(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(is_refused_everywhere(handle ^ (UINT64_C(1) << bit)));
        CHECK(bit == 0 || is_refused_everywhere(handle << bit));
        CHECK(bit == 0 || is_refused_everywhere(handle >> bit));
        for (unsigned other = 0; other < bit; other++) {
            CHECK(is_refused_everywhere(handle ^ (UINT64_C(1) << bit) ^ (UINT64_C(1) << other)));
        }
    }
    for (uint64_t distance = 1; distance < 5000; distance++) {
        CHECK(is_refused_everywhere(handle + distance));
        CHECK(is_refused_everywhere(handle - distance));
    }
    CHECK(is_refused_everywhere(~handle));
    CHECK(is_refused_everywhere(0 - handle));
    CHECK(is_refused_everywhere((uint32_t)handle));
    uint64_t upper = handle & ~UINT64_C(0xffffffff);
    CHECK(upper == handle || is_refused_everywhere(upper));
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_handle_survives_in_a_double(void)
{
    const char *path = check_file("file", 100);
    mmg_handle handles[1000];
    size_t count = sizeof handles / sizeof *handles;
    for (size_t index = 0; index < count; index++) {
        handles[index] = check_open(path, NULL);
        CHECK(handles[index] != 0);
        CHECK(handles[index] < UINT64_C(1) << 53);
        CHECK_U64((uint64_t)(double)handles[index], handles[index]);
    }
    for (size_t index = 0; index < count; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

static int
compare_handles(const void *one, const void *other)
{
    const mmg_handle *left = one;
    const mmg_handle *right = other;
    return (*left > *right) - (*left < *right);
}

static void
a_number_is_never_issued_twice(void)
{
    const char *path = check_file("file", 10);
    size_t count = (size_t)check_scaled(200000);
    uint64_t state = check_seed();
    mmg_handle open_ones[8] = {0};
    mmg_handle *issued = calloc(count, sizeof *issued);
    REQUIRE(issued != NULL);
    for (size_t index = 0; index < count; index++) {
        size_t place = (size_t)check_random_below(&state, 8);
        if (open_ones[place] != 0) {
            CHECK_STATUS(mmg_close(open_ones[place], 0), MMG_OK);
        }
        issued[index] = open_ones[place] = check_open(path, NULL);
    }
    for (size_t place = 0; place < 8; place++) {
        CHECK(open_ones[place] == 0 || mmg_close(open_ones[place], 0) == MMG_OK);
    }
    qsort(issued, count, sizeof *issued, compare_handles);
    for (size_t index = 1; index < count; index++) {
        CHECK(issued[index] != issued[index - 1]);
    }
    free(issued);
}

static void
a_stale_handle_does_not_reach_the_next_owner_of_its_place(void)
{
    const char *path = check_file("file", 100);
    mmg_handle stale[64];
    for (size_t index = 0; index < 64; index++) {
        stale[index] = check_open(path, NULL);
        CHECK_STATUS(mmg_close(stale[index], 0), MMG_OK);
    }
    mmg_handle handle = check_open(path, NULL);
    for (size_t index = 0; index < 64; index++) {
        CHECK(is_refused_everywhere(stale[index]));
    }
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_strict_close_without_pins_is_a_close(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    CHECK(is_refused_everywhere(handle));
}

static void
a_million_handles_are_open_at_once_and_each_names_its_own_bytes(void)
{
    size_t count = (size_t)check_scaled(1000000);
    const char *path = check_file("file", 4096);
    mmg_stats before = check_stats();
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle *handles = calloc(count, sizeof *handles);
    uint64_t state = check_seed();
    REQUIRE(handles != NULL);
    for (size_t index = 0; index < count; index++) {
        options.offset = index % 4093;
        options.length = 3;
        handles[index] = check_open(path, &options);
    }
    CHECK_U64(check_stats().handles, before.handles + count);
    CHECK_U64(check_stats().regions, before.regions + count);
    for (size_t index = 0; index < count; index++) {
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(handles[index], 0, MMG_TO_END, &span), MMG_OK);
        REQUIRE(span.size == 3 && span.data[0] == check_byte(index % 4093) &&
                span.data[2] == check_byte(index % 4093 + 2));
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
    }
    for (size_t left = count; left > 0; left--) {
        size_t chosen = (size_t)check_random_below(&state, left);
        REQUIRE_STATUS(mmg_close(handles[chosen], 0), MMG_OK);
        REQUIRE_STATUS(mmg_check(handles[chosen]), MMG_E_HANDLE);
        handles[chosen] = handles[left - 1];
    }
    CHECK_U64(check_stats().handles, before.handles);
    CHECK_U64(check_stats().heap_bytes, before.heap_bytes);
    free(handles);
}

static const struct check_case cases[] = {
    {"zero is never a handle", zero_is_never_a_handle, 0},
    {"a closed handle is dead for every call", a_closed_handle_is_dead_for_every_call, 0},
    {"random numbers are refused", random_numbers_are_refused, 0},
    {"numbers near a live handle are refused", numbers_near_a_live_handle_are_refused, 0},
    {"a handle survives in a double", a_handle_survives_in_a_double, 0},
    {"a number is never issued twice", a_number_is_never_issued_twice, 0},
    {"a stale handle does not reach the next owner of its place",
     a_stale_handle_does_not_reach_the_next_owner_of_its_place, 0},
    {"a strict close without pins is a close", a_strict_close_without_pins_is_a_close, 0},
    {"a million handles are open at once, and each names its own bytes",
     a_million_handles_are_open_at_once_and_each_names_its_own_bytes, CHECK_ONCE},
};

CHECK_MAIN(cases)
