/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "storm_round.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

struct storm_round now;

bool
storm_is_original(const uint8_t *bytes, uint64_t offset, uint64_t size, const char *how)
{
    if (memcmp(bytes, now.expected + offset, size) == 0) {
        return true;
    }
    for (uint64_t at = 0; at < size; at++) {
        if (bytes[at] != now.expected[offset + at]) {
            mmg_info info = MMG_INFO_INIT;
            (void)mmg_info_get(now.handle, &info);
            fprintf(stderr, "    %s: byte %" PRIu64 " of the window is %02x, was %02x (means: %s)\n", how, offset + at,
                    bytes[at], now.expected[offset + at], mmg_term(MMG_TERM_MEANS, info.means));
            return false;
        }
    }
    return false; /* memcmp() saw a wrong byte, which is right again now */
}

static void
read_through_span(uint64_t from, uint64_t size)
{
    mmg_span span = MMG_SPAN_INIT;
    if (!CHECK_STATUS(mmg_pin(now.handle, from, size, &span), MMG_OK)) {
        return;
    }
    CHECK(span.data == now.address + from);
    CHECK(storm_is_original(span.data, from, size, "span"));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

static void
read_through_kernel(uint64_t from, uint64_t size, uint8_t *copy)
{
    uint64_t got = 0;
    CHECK_STATUS(mmg_read(now.handle, from, copy, size, &got), MMG_OK);
    CHECK_U64(got, size);
    CHECK(storm_is_original(copy, from, size, "mmg_read"));
}

static void
find_needle(uint64_t from)
{
    uint64_t place = MMG_NOT_FOUND;
    if (from + NEEDLE <= now.length) {
        CHECK_STATUS(mmg_find(now.handle, 0, MMG_TO_END, now.expected + from, NEEDLE, &place), MMG_OK);
        CHECK_U64(place, from);
    }
}

void *
storm_read(void *argument)
{
    struct storm_reader *reader = argument;
    for (;;) {
        if (!storm_readers_begin(&now.readers)) {
            return NULL;
        }
        mmg_span whole = MMG_SPAN_INIT;
        CHECK_STATUS(mmg_pin(now.handle, 0, MMG_TO_END, &whole), MMG_OK);
        storm_readers_meet(&now.readers);
        do {
            uint64_t from = check_random_below(&reader->random, now.length);
            uint64_t size = check_random_below(&reader->random, now.length - from) + 1;
            CHECK(storm_is_original(whole.data, 0, now.length, "whole span"));
            if (now.closes || whole.size == 0) {
                continue;
            }
            switch (check_random_below(&reader->random, 4)) {
            case 0:
                read_through_span(from, size);
                break;
            case 1:
                read_through_kernel(from, size, reader->copy);
                break;
            case 2:
                find_needle(from);
                break;
            default:
                CHECK_STATUS(mmg_check(now.handle), MMG_OK);
            }
        } while (atomic_load(&now.readers.writing) && check_failures() == 0);
        storm_readers_meet(&now.readers);
        CHECK(storm_is_original(whole.data, 0, now.length, "whole span in the end"));
        CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
        storm_readers_meet(&now.readers);
    }
}
