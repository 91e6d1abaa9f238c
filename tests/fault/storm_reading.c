/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the readers do in a storm: each reads bytes in some way of the library, and judges them.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storm_round.h"

/**
 * Checks bytes of one page, which were read at offset `place` of the file. Returns true when a zero among them proves a
 * loss.
 */
static bool
judge_page(const uint8_t *bytes, uint64_t place, uint64_t size)
{
    const uint64_t page = check_page();
    bool zero = false;
    if (memcmp(bytes, now.storm.versions[0] + place, size) == 0) {
        return false;
    }
    for (uint64_t at = 0; at < size; at++) {
        zero = zero || bytes[at] == 0;
        if (!storm_allows(&now.storm, &now.plan, place + at, bytes[at])) {
            fprintf(stderr, "    byte %" PRIu64 " of the file reads as %02x\n", place + at, bytes[at]);
            bool the_file_had_this_byte = false;
            CHECK(the_file_had_this_byte);
            return false;
        }
    }
    return zero && storm_zero_means_loss(&now.plan, place / page * page, (place / page + 1) * page);
}

bool
judge(const uint8_t *bytes, uint64_t at, uint64_t size)
{
    const uint64_t page = check_page();
    bool lost = false;
    for (uint64_t done = 0; done < size;) {
        uint64_t place = now.offset + at + done;
        uint64_t part = smaller(page - place % page, size - done);
        lost = judge_page(bytes + done, place, part) || lost;
        done += part;
    }
    return lost;
}

/** Reads a span page by page, each page once, and checks the bytes. Returns true when a zero proves a loss. */
static bool
read_span(const struct storm_reader *reader, const mmg_span *span, uint64_t at)
{
    const uint64_t page = check_page();
    bool lost = false;
    for (uint64_t done = 0; done < span->size;) {
        uint64_t part = smaller(page - (now.offset + at + done) % page, span->size - done);
        memcpy(reader->copy, span->data + done, part);
        lost = judge(reader->copy, at + done, part) || lost;
        done += part;
    }
    return lost;
}

bool
is_loss(mmg_status status)
{
    return status == MMG_E_TRUNCATED;
}

bool
may_be_lost(uint64_t end)
{
    return now.plan.least < now.offset + end;
}

void
judge_status(mmg_status status, uint64_t end)
{
    bool fits_the_plan = status == MMG_OK || (is_loss(status) && may_be_lost(end));
    if (!fits_the_plan) {
        fprintf(stderr, "    a call on bytes up to %" PRIu64 " returned %s\n", end, mmg_status_name(status));
    }
    CHECK(fits_the_plan);
}

static void
pin_and_read(struct storm_reader *reader)
{
    mmg_span span = MMG_SPAN_INIT;
    uint64_t at = check_random_below(&reader->random, now.length);
    uint64_t size = 1 + check_random_below(&reader->random, smaller(now.length - at, 16 * check_page()));
    mmg_status status = mmg_pin(now.handle, at, size, &span);
    judge_status(status, at + size);
    if (status == MMG_OK) {
        bool lost = read_span(reader, &span, at);
        status = mmg_unpin(&span);
        judge_status(status, at + size);
        CHECK(!lost || is_loss(status));
        if (is_loss(status)) {
            atomic_fetch_add(&tally.losses, 1);
        }
    }
}

static void
read_by_copy(struct storm_reader *reader)
{
    uint64_t got = 0;
    uint64_t at = check_random_below(&reader->random, now.length);
    uint64_t size = smaller(now.length - at, check_page());
    mmg_status status = mmg_read(now.handle, at, reader->copy, size, &got);
    judge_status(status, at + size);
    CHECK(got <= size && (status != MMG_OK || got == size));
    if (got > 0) {
        judge(reader->copy, at, got);
    }
}

static void
search(struct storm_reader *reader)
{
    uint64_t position = 0;
    uint64_t at = check_random_below(&reader->random, now.length - NEEDLE);
    const uint8_t *needle = now.storm.versions[0] + now.offset + at;
    mmg_status status = mmg_find(now.handle, 0, at + NEEDLE, needle, NEEDLE, &position);
    judge_status(status, at + NEEDLE);
    if (status == MMG_OK) {
        CHECK(position == at || (position == MMG_NOT_FOUND && now.plan.modified));
    }
}

/**
 * Opens and closes the file in the storm. The file may have any state, but it must be opened or refused with a reason.
 */
static void
open_another(struct storm_reader *reader)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = 0;
    mmg_span span = MMG_SPAN_INIT;
    mmg_status status = mmg_open(now.storm.path, &options, &handle, NULL);
    if (status != MMG_OK) {
        CHECK((status == MMG_E_NOT_FOUND && now.plan.renamed) || (is_loss(status) && may_be_lost(now.length)));
        return;
    }
    status = mmg_pin(handle, 0, MMG_TO_END, &span);
    CHECK(status == MMG_OK || is_loss(status));
    if (status == MMG_OK) {
        for (uint64_t at = 0; at < span.size; at += check_page()) {
            memcpy(reader->copy, span.data + at, smaller(check_page(), span.size - at));
        }
        status = mmg_unpin(&span);
        CHECK(status == MMG_OK || is_loss(status));
    }
    status = mmg_check(handle);
    CHECK(status == MMG_OK || is_loss(status));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
advise(struct storm_reader *reader)
{
    uint64_t at = check_random_below(&reader->random, now.length);
    uint64_t bytes = 0;
    uint32_t advice = check_random_below(&reader->random, 2) == 0 ? MMG_ADVICE_POPULATE : MMG_ADVICE_DONTNEED;
    mmg_status status = mmg_advise(now.handle, at, MMG_TO_END, advice);
    CHECK(status == MMG_E_UNSUPPORTED || status == MMG_OK || (is_loss(status) && may_be_lost(now.length)));
    CHECK_STATUS(mmg_resident(now.handle, at, MMG_TO_END, &bytes), MMG_OK);
    CHECK(bytes <= now.length - at);
}

static void
read_something(struct storm_reader *reader)
{
    switch (check_random_below(&reader->random, 12)) {
    case 0:
        read_by_copy(reader);
        break;
    case 1:
        search(reader);
        break;
    case 2:
        judge_status(mmg_check(now.handle), now.length);
        break;
    case 3:
        open_another(reader);
        break;
    case 4:
        advise(reader);
        break;
    case 5:
    case 6:
    case 7:
        read_span(reader, &reader->span, reader->from);
        break;
    default:
        pin_and_read(reader);
        break;
    }
}

void *
read_in_storm(void *argument)
{
    struct storm_reader *reader = argument;
    for (;;) {
        if (!storm_readers_begin(&now.readers)) {
            return NULL;
        }
        reader->from = check_random_below(&reader->random, now.length);
        uint64_t size = 1 + check_random_below(&reader->random, now.length - reader->from);
        CHECK_STATUS(mmg_pin(now.handle, reader->from, size, &reader->span), MMG_OK);
        storm_readers_meet(&now.readers);
        do {
            read_something(reader);
            /* Let the writer run where there are fewer processors than readers. */
            if (check_random_below(&reader->random, 4) == 0) {
                sched_yield();
            }
        } while (atomic_load(&now.readers.writing));
        read_span(reader, &reader->span, reader->from);
        storm_readers_meet(&now.readers);
    }
}
