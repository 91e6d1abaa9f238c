/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pins, reads and searches.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mmapguard_arrow.h"
#include "model_parts.h"

void
describe_range(mmg_handle handle, const struct region *region, uint64_t offset, uint64_t length)
{
    snprintf(model.details, sizeof model.details,
             "%" PRIu64 ", %" PRIu64 ", %" PRIu64 " of %" PRIu64 " bytes at %" PRIu64 "; %s, file of %" PRIu64
             ", lost from %" PRIu64,
             handle, offset, length, region == NULL ? 0 : region->size, region == NULL ? 0 : region->offset,
             region == NULL      ? "dead"
             : region->page == 0 ? "stable"
                                 : "mapping",
             region == NULL ? 0 : region->inode->size, region == NULL ? 0 : region->lost);
}

/** Adds the statuses that all calls on a range share, and resolves MMG_TO_END. Returns true when the range is valid. */
bool
expect_range(const struct region *region, uint64_t offset, uint64_t *length, struct expected *expected)
{
    if (region == NULL) {
        expect(expected, MMG_E_HANDLE);
        return false;
    }
    if (offset > region->size) {
        expect(expected, MMG_E_RANGE);
        return false;
    }
    if (*length == MMG_TO_END) {
        *length = region->size - offset;
    }
    if (*length > region->size - offset) {
        expect(expected, MMG_E_RANGE);
        return false;
    }
    return true;
}

/** Draws a handle and a range of its region, and finds out what a call on the range may return. */
struct range
some_range(const char *doing)
{
    struct range range = {.handle = some_handle()};
    range.region = find_region(range.handle);
    const uint64_t size = range.region == NULL ? 1000 : range.region->size;
    range.offset = some_offset(size);
    range.length = some_length(size, range.offset);
    range.real = range.length;
    model.doing = doing;
    describe_range(range.handle, range.region, range.offset, range.length);
    range.is_valid = expect_range(range.region, range.offset, &range.real, &range.expected);
    return range;
}

/** Draws the same for a call that gives bytes out, and therefore refuses those that are known to be lost. */
static struct range
some_range_to_hold(const char *doing, bool forget)
{
    struct range range = some_range(doing);
    if (forget) {
        expect(&range.expected, MMG_E_ARGUMENT);
    }
    if (range.is_valid && is_known_lost(range.region, range.offset, range.real)) {
        expect(&range.expected, MMG_E_TRUNCATED);
    }
    return range;
}

static struct pin *
free_pin(void)
{
    for (size_t index = 0; index < PINS; index++) {
        if (model.pins[index].span.pin == 0) {
            return &model.pins[index];
        }
    }
    return NULL;
}

static struct pin *
some_pin(void)
{
    size_t start = (size_t)below(PINS);
    for (size_t step = 0; step < PINS; step++) {
        struct pin *pin = &model.pins[(start + step) % PINS];
        if (pin->span.pin != 0) {
            return pin;
        }
    }
    return NULL;
}

void
step_pin(void)
{
    const bool forget = one_in(50);
    struct range range = some_range_to_hold("mmg_pin", forget);
    struct region *region = range.region;
    struct pin *pin = free_pin();
    mmg_span span = {(const uint8_t *)&span, 77, 99};
    if (pin == NULL) {
        return;
    }
    mmg_status status = mmg_pin(range.handle, range.offset, range.length, forget ? NULL : &span);
    must_be(status, &range.expected);
    if (status != MMG_OK) {
        must(span.data == (const uint8_t *)&span && span.size == 77 && span.pin == 99, "the span was touched");
        return;
    }
    must(span.data != NULL && span.pin != 0, "the span is not filled");
    must_equal(span.size, range.real, "the size of the span");
    for (size_t index = 0; index < PINS; index++) {
        must(model.pins[index].span.pin != span.pin, "the token is that of another pin");
    }
    if (span.size > 0) {
        must(region->base == NULL || span.data == region->base + range.offset, "the bytes have moved");
        region->base = span.data - range.offset;
    }
    region->pins++;
    *pin = (struct pin){.span = span, .region = region, .offset = range.offset};
}

/* An export is a pin that its receiver ends. Here that happens at once. */
void
step_export(void)
{
    const bool forget = one_in(50);
    struct range range = some_range_to_hold("mmg_export_arrow", forget);
    struct ArrowArray array = {.length = -77};
    struct ArrowSchema schema = {.flags = -77};
    mmg_status status = mmg_export_arrow(range.handle, range.offset, range.length, forget ? NULL : &array,
                                         one_in(3) ? NULL : &schema);
    must_be(status, &range.expected);
    if (status != MMG_OK) {
        must(array.length == -77 && schema.flags == -77, "the array or the schema was touched");
        return;
    }
    must_equal((uint64_t)array.length, range.real, "the length of the array");
    must(array.n_buffers == 2 && array.buffers[1] != NULL && array.release != NULL, "the array is not filled");
    const uint8_t *base = range.region->base;
    must(range.real == 0 || base == NULL || array.buffers[1] == base + range.offset, "the bytes have moved");
    struct ArrowArray elsewhere = array;
    elsewhere.release(&elsewhere);
    must(elsewhere.release == NULL, "the array is not marked released");
    if (schema.release != NULL) {
        schema.release(&schema);
    }
}

void
step_unpin(void)
{
    struct pin *pin = some_pin();
    struct expected expected = {.count = 0};
    mmg_span span = MMG_SPAN_INIT;
    unsigned way = (unsigned)below(12);
    model.doing = "mmg_unpin";
    model.details[0] = '\0';
    if (pin == NULL || way < 3) {
        /* An empty span, a token that was valid before, or one that never was. */
        uint8_t byte = 0;
        span.data = one_in(2) ? NULL : &byte;
        span.size = one_in(2) ? below(100) : draw(8);
        span.pin = way == 0 ? 0 : way == 1 ? model.stale_tokens[below(STALE)] : draw(8) >> below(64);
        if (pin != NULL && one_in(3)) {
            span.pin = pin->span.pin ^ (UINT64_C(1) << below(64));
        }
        for (size_t index = 0; index < PINS; index++) {
            if (model.pins[index].span.pin == span.pin) {
                span.pin = 0;
            }
        }
        if (span.pin != 0) {
            expect(&expected, MMG_E_HANDLE);
        }
        must_be(mmg_unpin(&span), &expected);
        must(mmg_unpin(NULL) == MMG_E_ARGUMENT, "NULL is no span");
        return;
    }
    struct region *region = pin->region;
    span = pin->span;
    describe_range(region->handle, region, pin->offset, span.size);
    if (is_known_lost(region, pin->offset, span.size)) {
        expect(&expected, MMG_E_TRUNCATED);
    }
    mmg_span copy = span;
    must_be(mmg_unpin(&span), &expected);
    must(span.data != NULL && span.size == 0 && span.pin == 0, "the span is not empty after unpin");
    must(mmg_unpin(&span) == MMG_OK, "unpin is not harmless when repeated");
    model.stale_tokens[model.stale_token_count++ % STALE] = copy.pin;
    pin->span.pin = 0;
    if (--region->pins == 0 && region->handle == 0) {
        region_end(region);
    }
    must(mmg_unpin(&copy) == MMG_E_HANDLE, "a copy could be unpinned");
}

/**
 * Returns the byte of a region that a reader sees now. Sets `*any` when a lost byte was not replaced, so that it may be
 * that of the file or zero.
 */
static uint8_t
byte_of(const struct region *region, uint64_t at, bool *any)
{
    *any = false;
    if (region->page == 0) {
        return region->copy[at];
    }
    if (region->zeroed != NONE && (lead(region) + at) / region->page >= region->zeroed) {
        return 0;
    }
    *any = region->lost != NONE && at >= region->lost;
    return region->inode->bytes[region->offset + at];
}

/** Reads a part of a span, and predicts the fault if there is one. */
void
step_touch(void)
{
    const struct pin *pin = some_pin();
    model.doing = "(touch)";
    if (pin == NULL || pin->span.size == 0) {
        return;
    }
    struct region *region = pin->region;
    uint64_t from = below(pin->span.size);
    uint64_t size = 1 + below(pin->span.size - from < 300 ? pin->span.size - from : 300);
    uint64_t step = one_in(8) ? 509 : 1;
    describe_range(region->handle, region, pin->offset + from, size * step);
    for (uint64_t index = 0; index < size && from + index * step < pin->span.size; index++) {
        uint64_t at = pin->offset + from + index * step;
        if (region->page != 0) {
            uint64_t page = (lead(region) + at) / region->page;
            uint64_t missing = first_missing_page(region);
            if (page >= missing && page < region->zeroed) {
                if (!region->contained) {
                    return; /* this fault would kill the process, as documented */
                }
                learn_loss(region);
                region->zeroed = missing;
                region->faults++;
            }
        }
        uint8_t byte = ((const volatile uint8_t *)pin->span.data)[at - pin->offset];
        bool any;
        uint8_t expected = byte_of(region, at, &any);
        if (byte != expected && !(any && byte == 0)) {
            char text[128];
            snprintf(text, sizeof text, "byte %" PRIu64 " is %02x, not %02x", at, byte, expected);
            disagree(text);
        }
    }
    sync_losses(region, false);
}

void
step_read(void)
{
    static uint8_t buffer[CAPACITY + 16];
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t offset = some_offset(region == NULL ? 1000 : region->size);
    uint64_t size = one_in(4) ? some_offset(region == NULL ? 1000 : region->size) : below(3000);
    struct expected expected = {.count = 0};
    uint64_t got = 0xabcdef;
    bool regrown = false;
    uint64_t want = 0;
    uint64_t present = 0;
    model.doing = "mmg_read";
    describe_range(handle, region, offset, size);
    uint64_t length = 0;
    if (expect_range(region, offset, &length, &expected)) {
        want = region->size - offset < size ? region->size - offset : size;
        present = want;
        if (region->page != 0) {
            uint64_t left = bytes_left(region);
            present = left <= offset ? 0 : left - offset < want ? left - offset : want;
            regrown = is_known_lost(region, offset, want) && present == want;
            if (present < want) {
                expect(&expected, MMG_E_TRUNCATED);
            } else if (regrown) { /* bytes were cut off and are back, so they may be reported as lost */
                expect(&expected, MMG_OK);
                expect(&expected, MMG_E_TRUNCATED);
            }
        }
    }
    memset(buffer, 0xee, (size_t)want + 1);
    mmg_status status = mmg_read(handle, offset, buffer, size, &got);
    must_be(status, &expected);
    if (status != MMG_OK && status != MMG_E_TRUNCATED) {
        must_equal(got, 0xabcdef, "got");
        return;
    }
    /* When the bytes are read from the mapping, those behind a known loss are lost, whatever the file has now. */
    bool keeps_losses = region->foreigner != NULL && !region->foreigner->is_shared &&
                        is_known_lost(region, offset, want);
    if ((regrown || keeps_losses) && status == MMG_E_TRUNCATED) {
        must(got < want && (got <= present || regrown), "a loss was reported although all bytes were read");
    } else {
        must_equal(got, present, "got");
    }
    const uint8_t *truth = region->page == 0 ? region->copy + offset : region->inode->bytes + region->offset + offset;
    must(got == 0 || memcmp(buffer, truth, (size_t)got) == 0, "the bytes that were read are wrong");
    must(buffer[want] == 0xee, "the call has written more than it should read");
    sync_losses(region, status == MMG_E_TRUNCATED);
}

/** Returns the first position of a needle, by a simple search, or NONE. */
static uint64_t
naive(const uint8_t *bytes, uint64_t size, const uint8_t *needle, uint64_t needle_size)
{
    for (uint64_t at = 0; needle_size <= size && at <= size - needle_size; at++) {
        if (memcmp(bytes + at, needle, (size_t)needle_size) == 0) {
            return at;
        }
    }
    return NONE;
}

void
step_find(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = one_in(3) ? some_length(size, offset) : below(2000);
    uint8_t needle[48];
    uint64_t needle_size = below(41);
    struct expected expected = {.count = 0};
    uint64_t position = 0xabcdef;
    uint64_t first = NONE;
    uint64_t unseen = NONE;
    bool may_learn = false;
    model.doing = "mmg_find";
    describe_range(handle, region, offset, length);
    memset(needle, (int)below(4), sizeof needle);
    uint64_t real = length;
    if (expect_range(region, offset, &real, &expected)) {
        const uint8_t *truth = region->page == 0 ? region->copy + offset
                                                 : region->inode->bytes + region->offset + offset;
        uint64_t left = region->page == 0 ? region->size : bytes_left(region);
        uint64_t present = left <= offset ? 0 : left - offset < real ? left - offset : real;
        if (one_in(2) && present > 0) { /* a needle that occurs, perhaps with a wrong end */
            uint64_t at = below(present);
            uint64_t part = present - at < needle_size ? present - at : needle_size;
            memcpy(needle, truth + at, (size_t)part);
        }
        first = needle_size == 0 ? 0 : naive(truth, present, needle, needle_size);
        may_learn = left < region->size;
        if (is_known_lost(region, offset, real)) {
            expect(&expected, MMG_E_TRUNCATED);
        } else if (present < real) {
            /* A search for a long needle need not read the bytes behind the last position at which the needle can
               start. */
            uint64_t last = needle_size > real ? 0 : real - needle_size;
            bool faults = (lead(region) + offset + last) / region->page >= first_missing_page(region);
            if (first == NONE && needle_size > 0) { /* the search may find zeros behind the end of the file */
                unseen = naive(truth, real, needle, needle_size);
            }
            expect(&expected, MMG_E_TRUNCATED);
            if (first != NONE || unseen != NONE || needle_size == 0 || needle_size > real || !faults) {
                expect(&expected, MMG_OK);
            }
        }
        if (!region->contained && region->zeroed == NONE && present < real) {
            return;
        }
    }
    mmg_status status = mmg_find(handle, offset, length, needle, needle_size, &position);
    must_be(status, &expected);
    if (status == MMG_OK && unseen != NONE && position == offset + unseen) {
        /* The library notices a cut inside a page when it looks at the file the next time. */
    } else if (status == MMG_OK) {
        must_equal(position, first == NONE ? MMG_NOT_FOUND : offset + first, "the position");
    } else {
        must_equal(position, 0xabcdef, "the position");
    }
    if (region != NULL) {
        sync_losses(region, may_learn);
    }
}
