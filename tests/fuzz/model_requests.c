/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a caller asks for when it opens, and which results are right.
 */
#include <string.h>

#include "model_parts.h"

bool
is_size_of(uint32_t size, uint32_t first)
{
    return size >= first && size <= LARGEST_STRUCT && size % 8 == 0;
}

/** Returns a size for a struct with the full size `full`: the right, an older, a newer or an invalid one. */
uint32_t
some_struct_size(uint32_t full)
{
    switch (below(12)) {
    case 0:
        return (uint32_t)draw(4) >> below(32);
    case 1:
        return full - (uint32_t)below(full);
    case 2:
        return full + (uint32_t)below(64);
    case 3:
        return full / 4 * (uint32_t)below(5);
    default:
        return full;
    }
}

uint32_t
some_value(uint32_t known)
{
    return one_in(40) ? (uint32_t)draw(4) : (uint32_t)below(known + 1);
}

void
make_request(struct request *request, uint64_t file_size, struct expected *expected)
{
    mmg_options *options = &request->given.options;
    memset(request, 0, sizeof *request);
    request->meant = (mmg_options)MMG_OPTIONS_INIT;
    request->is_null = one_in(6);
    if (request->is_null) {
        return;
    }
    options->struct_size = some_struct_size((uint32_t)sizeof *options);
    options->backing = some_value(MMG_BACKING_COPY);
    options->guarantee = one_in(8)   ? some_value(MMG_GUARANTEE_STABLE)
                         : one_in(6) ? MMG_GUARANTEE_STABLE
                                     : MMG_GUARANTEE_CONTAINED;
    options->lock = some_value(MMG_LOCK_NONE);
    options->lock_wait_ms = (uint32_t)below(2);
    options->access = one_in(4) ? some_value(MMG_ADVICE_POPULATE) : 0;
    options->flags = one_in(3) ? below(one_in(4) ? 2 * MMG_FLAG_SHARED_WRITABLE : 128) : one_in(40) ? draw(8) : 0;
    if (one_in(2)) {
        options->offset = some_offset(file_size);
        options->length = one_in(3) ? 0 : some_length(file_size, options->offset);
        options->length -= options->length == MMG_TO_END;
    }
    options->copy_threshold = one_in(2) ? 0 : some_offset(file_size);
    options->max_bytes = one_in(6) ? some_offset(file_size) : 0;
    options->max_snapshot_bytes = one_in(6) ? some_offset(file_size) : 0;
    uint32_t size = options->struct_size;
    if (!IS_SIZE_OF(size, mmg_options)) {
        expect(expected, MMG_E_ABI_SIZE);
        return;
    }
    if (size > sizeof *options && one_in(2)) {
        request->given.bytes[sizeof *options + below(size - sizeof *options)] = 1;
        expect(expected, MMG_E_ABI_NEWER);
    }
    memcpy((uint8_t *)&request->meant + 4, request->given.bytes + 4,
           (size < sizeof *options ? size : sizeof *options) - 4);
    const mmg_options *meant = &request->meant;
    const uint64_t guard_both_ways = MMG_FLAG_REQUIRE_GUARD | MMG_FLAG_NO_FAULT_GUARD;
    if (meant->backing > MMG_BACKING_COPY || meant->guarantee > MMG_GUARANTEE_STABLE || meant->lock > MMG_LOCK_NONE ||
        meant->access > MMG_ADVICE_HUGEPAGE || meant->flags >= 2 * MMG_FLAG_SHARED_WRITABLE ||
        (meant->flags & guard_both_ways) == guard_both_ways ||
        ((meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0 && meant->lock == MMG_LOCK_NONE)) {
        expect(expected, MMG_E_ARGUMENT);
    }
}

/** Returns true when at least one page of a mapping belongs to its file. The guard has replaced the others. */
static bool
has_pages(const struct foreigner *f)
{
    for (uint64_t page = 0; page < f->size / model.page; page++) {
        if (f->shown[page] != SHOWN_ZERO) {
            return true;
        }
    }
    return false;
}

/**
 * Returns how many mappings of the model keep the file open for writing. There is no other writer between calls. `unknown`
 * gets how many more may do so: where a region has adopted a mapping and was cut, the guard may have replaced every page.
 */
static unsigned
count_writers(const struct inode *inode, unsigned *unknown)
{
    unsigned count = 0;
    *unknown = 0;
    for (size_t index = 0; index < FOREIGNERS; index++) {
        const struct foreigner *f = &model.foreigners[index];
        if (f->base == NULL || f->inode != inode || !f->is_writable || !has_pages(f)) {
            continue;
        }
        if (f->region == NULL || (f->region->zeroed == NONE && bytes_left(f->region) == f->region->size)) {
            count++;
        } else {
            ++*unknown;
        }
    }
    return count;
}

/** Adds the statuses that are possible for this file and these options, as far as they are about sizes, locks and means. */
static void
expect_of_bytes(const struct inode *inode, const mmg_options *meant, uint64_t start, bool streams,
                struct expected *expected)
{
    uint64_t size = inode->size > start ? inode->size - start : 0;
    uint64_t cap = meant->max_bytes == 0 ? UINT64_C(1) << 30 : meant->max_bytes;
    if (streams && (meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0) {
        expect(expected, MMG_E_UNSUPPORTED);
        return;
    }
    if (!streams && meant->lock <= MMG_LOCK_SHARED && inode->locked) {
        expect(expected, MMG_E_WOULD_BLOCK);
    }
    if (streams && meant->backing == MMG_BACKING_MAP) {
        expect(expected, MMG_E_NOT_MAPPABLE);
    }
    if (meant->offset > size || meant->length > size - meant->offset) {
        expect(expected, MMG_E_RANGE);
        if (meant->length > cap) {
            expect(expected, MMG_E_TOO_BIG);
        }
        return;
    }
    uint64_t length = meant->length == 0 ? size - meant->offset : meant->length;
    if (length == 0 && (meant->flags & MMG_FLAG_REJECT_EMPTY) != 0) {
        expect(expected, MMG_E_EMPTY);
        if (size > 0) { /* the window is empty, although the file is not */
            expect(expected, MMG_OK);
        }
    }
    if (length > cap && (streams || meant->backing == MMG_BACKING_COPY)) {
        expect(expected, MMG_E_TOO_BIG);
    }
    if (meant->guarantee == MMG_GUARANTEE_STABLE && !streams && length > 0) {
        uint64_t snapshot = meant->max_snapshot_bytes == 0 ? UINT64_C(1) << 30 : meant->max_snapshot_bytes;
        if (meant->backing == MMG_BACKING_MAP || length > snapshot || length > cap) {
            expect(expected, MMG_E_UNSTABLE);
            expect(expected, MMG_OK);
        }
    }
}

/** Adds the statuses that are possible for this file and these options, when both are valid. */
void
expect_of_file(const struct inode *inode, const mmg_options *meant, uint64_t start, bool streams,
               struct expected *expected)
{
    expect_of_bytes(inode, meant, start, streams, expected);
    if ((meant->flags & MMG_FLAG_NO_WRITERS) == 0) {
        return;
    }
    unsigned unknown = 0;
    const unsigned writers = count_writers(inode, &unknown);
    if (!streams && expected->count == 0 && writers == 0) {
        expect(expected, MMG_OK);
    }
    if (!streams && writers + unknown > 0) {
        expect(expected, MMG_E_WOULD_BLOCK);
    }
    expect(expected, MMG_E_UNSUPPORTED); /* always for a stream of a file; otherwise where the system gives no leases */
}

bool
may_succeed(const struct expected *expected)
{
    for (size_t index = 0; index < expected->count; index++) {
        if (expected->any[index] == MMG_OK) {
            return true;
        }
    }
    return expected->count == 0;
}

void
make_complaint(struct complaint *complaint, struct expected *expected)
{
    uint32_t size = one_in(4) ? some_struct_size((uint32_t)sizeof(mmg_error)) : (uint32_t)sizeof(mmg_error);
    complaint->is_null = one_in(3);
    if (complaint->is_null) {
        return;
    }
    memset(&complaint->given, 0x77, sizeof complaint->given);
    complaint->given.error.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_error)) {
        expect(expected, MMG_E_ABI_SIZE);
        return;
    }
}

void
check_complaint(const struct complaint *complaint, mmg_status status)
{
    const mmg_error *error = &complaint->given.error;
    uint32_t size = complaint->is_null ? 0 : error->struct_size;
    if (complaint->is_null || !IS_SIZE_OF(size, mmg_error)) {
        return;
    }
    for (size_t at = size; at < ROOM; at++) {
        must(complaint->given.bytes[at] == 0x77, "the error struct was written beyond its size");
    }
    for (size_t at = sizeof *error; at < size; at++) {
        must(complaint->given.bytes[at] == 0, "the unknown part of the error struct is not zero");
    }
    must(error->status == status, "the error struct has a wrong status");
    must(memchr(error->operation, 0, sizeof error->operation) != NULL, "the operation does not end with a NUL");
    must(memchr(error->message, 0, sizeof error->message) != NULL, "the message does not end with a NUL");
    must((error->message[0] == '\0') == (status == MMG_OK), "the message is wrong");
    must((error->operation[0] == '\0') == (status == MMG_OK), "the operation is wrong");
}
