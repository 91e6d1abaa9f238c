/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Mappings that the library has not made.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model_parts.h"

struct foreigner *
some_foreigner(void)
{
    size_t start = (size_t)below(FOREIGNERS);
    for (size_t step = 0; step < FOREIGNERS; step++) {
        struct foreigner *f = &model.foreigners[(start + step) % FOREIGNERS];
        if (f->base != NULL && f->region == NULL) {
            return f;
        }
    }
    return NULL;
}

void
describe_foreigner(const struct foreigner *f, uint64_t at, uint64_t size)
{
    snprintf(model.details, sizeof model.details,
             "%" PRIu64 " bytes at %" PRIu64 " of a %s %s mapping of %" PRIu64 " bytes at %" PRIu64
             ", file of %" PRIu64,
             size, at, f->is_shared ? "shared" : "private", f->is_writable ? "writable" : "read-only", f->size,
             f->offset, f->inode->size);
}

/**
 * Maps a file as any program would, often beyond its end. A separate descriptor keeps the kernel from joining it with
 * other mappings. The page behind it belongs to no file: otherwise a mapping that continues the file may follow, and a
 * larger part than this mapping could be adopted.
 */
void
step_map_foreign(void)
{
    struct foreigner *f = NULL;
    for (size_t index = 0; index < FOREIGNERS && f == NULL; index++) {
        f = model.foreigners[index].base == NULL ? &model.foreigners[index] : NULL;
    }
    if (f == NULL) {
        return;
    }
    const uint64_t pages = CAPACITY / model.page;
    memset(f, 0, sizeof *f);
    f->file = (int)below(FILES);
    f->inode = model.names[f->file];
    f->offset = one_in(2) ? 0 : below(pages) * model.page;
    f->size = (1 + below(pages - f->offset / model.page)) * model.page;
    f->is_shared = one_in(2);
    f->is_writable = one_in(6); /* while a shared one lives, nobody gets a lease on its file */
    model.doing = "mmap";
    describe_foreigner(f, 0, f->size);
    int descriptor = open(model.paths[f->file], (f->is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    must(descriptor >= 0, "a file cannot be opened");
    void *base = mmap(NULL, (size_t)(f->size + model.page), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(base != MAP_FAILED, "there is no room");
    must(mmap(base, (size_t)f->size, f->is_writable ? PROT_READ | PROT_WRITE : PROT_READ,
              (f->is_shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, descriptor, (off_t)f->offset) == base,
         "a file cannot be mapped");
    close(descriptor);
    f->base = base;
    f->inode->users++;
}

void
unmap_foreign(struct foreigner *f)
{
    must(munmap(f->base, (size_t)(f->size + model.page)) == 0, "munmap");
    inode_release(f->inode);
    f->base = NULL;
    f->inode = NULL;
}

void
step_unmap_foreign(void)
{
    struct foreigner *f = some_foreigner();
    model.doing = "munmap";
    if (f != NULL) {
        describe_foreigner(f, 0, f->size);
        unmap_foreign(f);
    }
}

void
step_guard(void)
{
    uint32_t scope = one_in(20) ? (uint32_t)draw(4) : (uint32_t)below(2);
    uint32_t flags = one_in(20) ? (uint32_t)draw(4) : (uint32_t)below(2);
    struct expected expected = {.count = 0};
    if (scope == MMG_SCOPE_FILES && flags <= 3) { /* a previous handler would end the process */
        flags &= ~(uint32_t)MMG_PROCESS_CHAIN_FIRST;
    }
    model.doing = "mmg_guard_process";
    snprintf(model.details, sizeof model.details, "%u, %u", scope, flags);
    if (scope == MMG_SCOPE_FILES && !model.can_ask) {
        expect(&expected, MMG_E_UNSUPPORTED);
    } else if (scope > MMG_SCOPE_FILES || flags > 1 || (scope == MMG_SCOPE_NONE && model.guards[flags] == 0)) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    mmg_status status = mmg_guard_process(scope, flags);
    must_be(status, &expected);
    if (status == MMG_OK && scope == MMG_SCOPE_FILES) {
        model.guards[flags]++;
    } else if (status == MMG_OK) {
        model.guards[flags]--;
    }
}

static bool
is_guarded(const struct foreigner *f)
{
    bool is_taken = !f->is_shared || !f->is_writable || model.guards[MMG_PROCESS_SHARED_WRITABLE] > 0;
    return is_taken && (model.guards[0] > 0 || model.guards[MMG_PROCESS_SHARED_WRITABLE] > 0);
}

uint64_t
newest_loss(void)
{
    uint64_t count = 77;
    uint64_t next = 0;
    must(mmg_losses_get(0, NULL, 0, &count, &next) == MMG_OK && count == 0, "there is no mark");
    return next;
}

/**
 * Checks the ledger after a page behind the end of the file was touched: all bytes of that mapping behind the end are
 * lost, and one record says so.
 */
static void
lose_foreign(struct foreigner *f, uint64_t place, uint64_t missing, uint64_t mark)
{
    mmg_loss loss = MMG_LOSS_INIT;
    uint64_t count = 0;
    uint64_t next = 0;
    uint64_t first = place;
    uint64_t end = place;
    bool is_named = model.names[f->file] == f->inode;
    while (first > 0 && f->shown[first - 1] != SHOWN_ZERO) {
        first--;
    }
    while (end < f->size / model.page && f->shown[end] != SHOWN_ZERO) {
        end++;
    }
    uint64_t zeroed = missing > first ? missing : first;
    uint64_t lost = f->offset + zeroed * model.page;
    if (is_named && f->inode->size > f->offset + first * model.page) { /* otherwise the guard knows only whole pages */
        lost = f->inode->size;
    }
    model.foreign_losses++;
    must(mmg_losses_get(mark, &loss, 1, &count, &next) == MMG_OK, "the ledger cannot be read");
    must_equal(count, 1, "the number of losses");
    must_equal(newest_loss(), mark + 1, "the number of the last loss");
    must_equal(loss.sequence, mark + 1, "the number of the loss");
    must(loss.cause == MMG_E_TRUNCATED && loss.origin == MMG_ORIGIN_FOREIGN && loss.handle == 0,
         "the record is about another loss");
    must_equal(loss.inode, f->inode->number, "the file of the loss");
    if (f->has_parts) {
        must(loss.offset >= lost && loss.offset <= f->offset + place * model.page,
             "the offset of the partial loss is wrong");
        must(loss.length <= f->offset + end * model.page - loss.offset, "the partial loss is too long");
        lost = loss.offset;
        zeroed = (lost - f->offset + model.page - 1) / model.page;
        end = (lost + loss.length - f->offset) / model.page;
        must(zeroed <= place && end > place, "the page is not lost");
    }
    must_equal(loss.offset, lost, "the offset of the loss");
    must_equal(loss.length, f->offset + end * model.page - lost, "the length of the loss");
    must(loss.address == (uintptr_t)f->base + (lost - f->offset), "the address of the loss");
    must(strcmp(loss.path, model.paths[f->file]) == 0, "the path of the loss");
    for (uint64_t page = zeroed; page < end; page++) {
        f->shown[page] = SHOWN_ZERO;
        memset(f->own + page * model.page, 0, (size_t)model.page);
    }
}

static void
store_foreign(struct foreigner *f, uint64_t at, uint8_t value)
{
    uint64_t start = at - at % model.page;
    uint8_t *shown = &f->shown[at / model.page];
    if (*shown == SHOWN_FILE && f->is_shared) {
        f->inode->is_fresh = false;
        f->inode->bytes[f->offset + at] = value;
        return;
    }
    if (*shown == SHOWN_FILE) {
        memcpy(f->own + start, f->inode->bytes + f->offset + start, (size_t)model.page);
        *shown = SHOWN_OWN;
    }
    f->own[at] = value;
}

/** Reads or writes a byte of a mapping of other code, and predicts the fault if there is one. */
void
step_touch_foreign(void)
{
    struct foreigner *f = some_foreigner();
    model.doing = "(foreign touch)";
    if (f == NULL) {
        return;
    }
    uint64_t at = below(f->size);
    uint64_t place = at / model.page;
    uint64_t end = f->inode->size;
    uint64_t missing = end <= f->offset ? 0 : (end - f->offset + model.page - 1) / model.page;
    bool is_lost = f->shown[place] == SHOWN_FILE && place >= missing;
    /* When the file ends in this page, bytes that are stored behind its end may disappear, so the model does not store
       there. */
    bool stores = f->is_writable && one_in(3) && (is_lost || f->offset + at < end || f->shown[place] != SHOWN_FILE);
    uint8_t value = (uint8_t)draw(1);
    describe_foreigner(f, at, 1);
    if (is_lost && !is_guarded(f)) {
        return; /* this fault would kill the process, as documented */
    }
    if (is_lost && !model.can_ask_pages && model.names[f->file] != f->inode) {
        return; /* the file has no path, so that only its pages tell where it ends */
    }
    const uint64_t mark = newest_loss();
    volatile uint8_t *byte = f->base + at;
    if (stores) {
        *byte = value;
    }
    uint8_t found = *byte;
    if (is_lost) {
        lose_foreign(f, place, missing, mark);
    } else {
        must_equal(newest_loss(), mark, "the number of losses");
    }
    if (stores) {
        store_foreign(f, at, value);
    }
    must_equal(found, f->shown[place] == SHOWN_FILE ? f->inode->bytes[f->offset + at] : f->own[at], "the byte");
}
