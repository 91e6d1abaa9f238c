/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Mappings that become regions, the record of losses, and calls that nothing else makes.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "model_parts.h"

/** Adds the statuses that are possible when a part of a mapping is adopted. */
static void
expect_adoption(const struct foreigner *f, uint64_t at, uint64_t size, bool by_path, uint64_t flags,
                struct expected *expected)
{
    if (size == 0) {
        expect(expected, MMG_E_RANGE);
        return;
    }
    if (f->is_shared && f->is_writable && !(flags & MMG_FLAG_SHARED_WRITABLE)) {
        expect(expected, MMG_E_NOT_MAPPABLE);
    }
    if (size > f->size - at) {
        expect(expected, MMG_E_RANGE);
        expect(expected, MMG_E_NOT_MAPPABLE); /* the page behind it, or what follows that page */
        return;
    }
    for (uint64_t page = at / model.page; page <= (at + size - 1) / model.page; page++) {
        if (f->shown[page] == SHOWN_ZERO) {
            expect(expected, MMG_E_NOT_MAPPABLE);
            return;
        }
    }
    if (by_path && model.names[f->file] != f->inode) {
        expect(expected, MMG_E_NOT_FOUND);
    }
    if (f->inode->size <= f->offset + at) {
        expect(expected, MMG_E_TRUNCATED);
    }
}

void
step_adopt(void)
{
    struct foreigner *f = some_foreigner();
    struct expected expected = {.count = 0};
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 4711;
    mmg_error error = MMG_ERROR_INIT;
    if (f == NULL || free_region() == NULL || !model.can_ask) {
        return;
    }
    for (uint64_t page = 0; page < f->size / model.page; page++) {
        if (f->shown[page] == SHOWN_OWN) {
            return; /* in the model a region must show its file */
        }
    }
    uint64_t at = one_in(3) ? 0 : below(f->size);
    uint64_t size = some_length(f->size, at);
    bool by_path = one_in(2);
    options.flags = one_in(2) ? MMG_FLAG_SHARED_WRITABLE : 0;
    model.doing = "mmg_adopt";
    describe_foreigner(f, at, size);
    expect_adoption(f, at, size, by_path, options.flags, &expected);
    mmg_status status = mmg_adopt(f->base + at, size, by_path ? -1 : f->inode->descriptor, &options, &handle, &error);
    must_be(status, &expected);
    must((status == MMG_OK) == (handle != 0), "there must be a handle exactly after a success");
    must_equal((uint64_t)(uint32_t)error.status, (uint64_t)(uint32_t)status, "the status of the error");
    if (status == MMG_OK) {
        adopt_foreigner(handle, f, at, size, by_path);
    }
}

/** Reads the ledger from any mark, with any capacity and any size of a record. */
void
step_losses(void)
{
    enum {
        MOST = 6
    };
    static union {
        mmg_loss first;
        uint8_t bytes[MOST * LARGEST_STRUCT + 64];
    } given;
    struct expected expected = {.count = 0};
    const uint64_t newest = newest_loss();
    uint64_t since = one_in(4) ? some_offset(newest) : newest - below(newest < 1500 ? newest + 1 : 1500);
    uint64_t capacity = below(MOST + 1);
    uint32_t size = one_in(3) ? some_struct_size((uint32_t)sizeof(mmg_loss)) : (uint32_t)sizeof(mmg_loss);
    uint64_t count = 0xabcdef;
    uint64_t next = 0xabcdef;
    model.doing = "mmg_losses_get";
    snprintf(model.details, sizeof model.details, "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " records of %u bytes", since,
             newest, capacity, size);
    memset(&given, 0x66, sizeof given);
    given.first.struct_size = size;
    if (since > newest) {
        expect(&expected, MMG_E_RANGE);
    } else if (capacity > 0 && !IS_SIZE_OF(size, mmg_loss)) {
        expect(&expected, MMG_E_ABI_SIZE);
    }
    mmg_status status = mmg_losses_get(since, &given.first, capacity, &count, &next);
    must_be(status, &expected);
    if (status != MMG_OK) {
        must(count == 0xabcdef && next == 0xabcdef, "the counts were touched");
        return;
    }
    must(count <= capacity && next >= since + count && next <= newest,
         "the counts do not fit the mark and the capacity");
    must(next == newest || (count > 0 && count == capacity), "the call has returned too few records");
    uint64_t last = since;
    for (uint64_t index = 0; index < count; index++) {
        mmg_loss loss;
        memcpy(&loss, given.bytes + index * size, sizeof loss);
        must_equal(loss.struct_size, size, "struct_size");
        must(loss.sequence > last && loss.sequence <= next, "the records are not in order");
        must(loss.cause < 0 && loss.length > 0 && loss.origin <= MMG_ORIGIN_FOREIGN, "a record is not filled");
        last = loss.sequence;
    }
    must(count == 0 || next == last || next == newest, "the mark is not behind the last record");
    for (uint64_t at = capacity == 0 ? 4 : count == 0 ? 4 : count * size; at < sizeof given; at++) {
        must(given.bytes[at] == 0x66, "the call has written more records than it has counted");
    }
}

void
step_stats(void)
{
    static union {
        mmg_stats stats;
        uint8_t bytes[ROOM];
    } given;
    struct expected expected = {.count = 0};
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_stats));
    model.doing = "mmg_stats_get";
    snprintf(model.details, sizeof model.details, "size %u", size);
    compare_stats();
    memset(&given, 0x55, sizeof given);
    given.stats.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_stats)) {
        expect(&expected, MMG_E_ABI_SIZE);
        size = 4;
    }
    must_be(mmg_stats_get(&given.stats), &expected);
    for (size_t at = size; at < ROOM; at++) {
        must(given.bytes[at] == 0x55, "the struct was written beyond its size");
    }
}

void
step_rest(void)
{
    static uint8_t bytes[ROOM];
    siginfo_t siginfo;
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_options));
    bool possible = IS_SIZE_OF(size, mmg_options);
    model.doing = "(vocabulary)";
    model.details[0] = '\0';
    must(mmg_status_name((mmg_status)(uint32_t)draw(4)) != NULL, "a status without a name");
    must(mmg_status_message((mmg_status)(uint32_t)draw(4)) != NULL, "a status without a message");
    must(mmg_term((uint32_t)below(12), (uint32_t)draw(4) >> below(32)) != NULL, "a value without a word");
    must(mmg_supports(9 + (uint32_t)draw(2)) == 0, "an unknown feature is supported");
    memset(bytes, 0x33, sizeof bytes);
    must(mmg_options_init((mmg_options *)(void *)bytes, size) == (possible ? MMG_OK : MMG_E_ABI_SIZE),
         "mmg_options_init");
    must(bytes[possible ? size : 0] == 0x33, "mmg_options_init wrote beyond the size");
    for (size_t at = 0; at < sizeof siginfo; at++) {
        ((uint8_t *)&siginfo)[at] = (uint8_t)draw(1);
    }
    if (below(2) == 0) {
        /* The kernel reports a fault, at an address where there is no mapping. A signal that a program has raised would
           make the guard look for files that were cut, which is not random. */
        siginfo.si_signo = SIGBUS;
        siginfo.si_code = 1 + (int)below(5);
        /* Where the guard takes faults of foreign mappings, it lets the instruction run again: the mapping may have gone. */
        const int handled = mmg_handle_fault(SIGBUS, &siginfo, NULL);
        must(handled == 0 || model.guards[0] + model.guards[1] > 0, "a fault at a random address was handled");
    }
    must(mmg_handle_fault((int32_t)(uint32_t)draw(4), &siginfo, NULL) == 0, "a random signal was handled as a fault");
    must(mmg_handle_fault(SIGBUS, NULL, NULL) == 0, "a signal without siginfo was handled as a fault");
}
