/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens and closes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model_parts.h"

static void
must_have_word(uint32_t vocabulary, uint32_t value)
{
    must(strcmp(mmg_term(vocabulary, value), mmg_term(vocabulary, UINT32_MAX)) != 0, "a value has no word");
}

/** Checks that the guarantee, the means, the shortfall and the backing of a region fit together, and that each has a word. */
static void
check_words(const mmg_info *info)
{
    const bool is_stable = info->guarantee == MMG_GUARANTEE_STABLE;
    must_have_word(MMG_TERM_GUARANTEE, info->guarantee);
    must_have_word(MMG_TERM_MEANS, info->means);
    must_have_word(MMG_TERM_SHORTFALL, info->shortfall);
    must_have_word(MMG_TERM_BACKING, info->backing);
    must_have_word(MMG_TERM_REASON, info->backing_reason);
    must_have_word(MMG_TERM_LOCK, info->lock);
    must_have_word(MMG_TERM_LOCKING, info->lock_reason);
    must((info->shortfall == MMG_SHORT_NONE) == is_stable, "the shortfall does not fit the guarantee");
    must((info->means >= MMG_MEANS_PRIVATE_COPY) == is_stable, "the means does not fit the guarantee");
    must((info->means == MMG_MEANS_FAULT_GUARD) == (info->guarantee == MMG_GUARANTEE_CONTAINED),
         "the guard is not what contains");
    must((info->means == MMG_MEANS_PRIVATE_COPY) == (info->backing == MMG_BACKING_COPY),
         "the means does not fit the backing");
}

/** Checks a later description: the promise is as it was, and a lease gives way to a copy of the bytes. */
void
check_promise(const struct region *region, const mmg_info *info)
{
    const mmg_info *opened = &region->opened;
    check_words(info);
    if (model.is_masked && region->contained && region->page != 0) {
        must_equal(info->guarantee, MMG_GUARANTEE_NONE, "guarantee where SIGBUS is blocked");
        must_equal(info->shortfall, MMG_SHORT_BLOCKED, "shortfall where SIGBUS is blocked");
        return;
    }
    must_equal(info->guarantee, region->contained && region->page != 0 ? MMG_GUARANTEE_CONTAINED : opened->guarantee,
               "guarantee");
    must(opened->shortfall == MMG_SHORT_BLOCKED || info->shortfall == opened->shortfall, "the shortfall has changed");
    must(info->means == opened->means || opened->shortfall == MMG_SHORT_BLOCKED ||
             (opened->means == MMG_MEANS_LEASE &&
              (info->means == MMG_MEANS_SNAPSHOT || info->means == MMG_MEANS_REFLINK)),
         "the means has changed");
}

/** Adds an opened region to the model, and checks its description. */
static void
adopt(mmg_handle handle, struct inode *inode, const mmg_options *meant, uint64_t start, int file, bool streams)
{
    struct region *region = free_region();
    mmg_info info = MMG_INFO_INIT;
    uint64_t size = inode->size > start ? inode->size - start : 0;
    must(handle != 0 && handle < UINT64_C(1) << 53, "the handle is not below 2^53");
    must(find_region(handle) == NULL, "the handle is that of another region");
    for (size_t index = 0; index < STALE; index++) {
        must(model.stale[index] != handle, "the handle was issued before");
    }
    must(mmg_info_get(handle, &info) == MMG_OK, "mmg_info_get fails");
    *region = (struct region){.used = true,
                              .handle = handle,
                              .inode = inode,
                              .offset = meant->offset,
                              .file = file,
                              .lost = NONE,
                              .zeroed = NONE,
                              .opened = info};
    inode->users++;
    region->size = meant->length == 0 ? size - meant->offset : meant->length;
    must_equal(info.size, region->size, "size");
    must_equal(info.offset, meant->offset, "offset");
    must_equal(info.pins, 0, "pins");
    must_equal(info.faults, 0, "faults");
    must_equal(info.fault_offset, NONE, "fault_offset");
    must(info.fault_cause == MMG_OK, "fault_cause");
    check_words(&info);
    must(info.lock_error == 0, "lock_error");
    must(streams || (info.file_size == inode->size && info.device == inode->device && info.inode == inode->number),
         "the identity of the file is wrong");
    region->may_support_changed = !streams;
    region->keeps_descriptor = (meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0;
    region->supports_changed = !streams &&
                               (file >= 0 || info.guarantee != MMG_GUARANTEE_STABLE || region->keeps_descriptor);
    must(!(meant->guarantee == MMG_GUARANTEE_STABLE && info.guarantee != MMG_GUARANTEE_STABLE), "STABLE is not upheld");
    must(!(info.backing == MMG_BACKING_MAP && (meant->backing == MMG_BACKING_COPY || streams || region->size == 0)),
         "it is a mapping");
    must(!(info.backing == MMG_BACKING_COPY && meant->backing == MMG_BACKING_MAP && region->size > 0 && !streams),
         "it is a copy");
    if (info.backing == MMG_BACKING_COPY && (meant->flags & MMG_FLAG_REQUIRE_LOCK) == 0) {
        must_equal(info.lock, MMG_LOCK_NONE, "lock");
    } else if (info.guarantee != MMG_GUARANTEE_STABLE || info.lock != MMG_LOCK_NONE) { /* a snapshot needs no lock */
        must_equal(info.lock, meant->lock == MMG_LOCK_AUTO ? MMG_LOCK_SHARED : meant->lock, "lock");
    }
    region->has_flock = info.lock == MMG_LOCK_SHARED;
    inode->flocks += region->has_flock;
    must(!region->has_flock || !inode->locked, "the lock was held elsewhere");
    region->mapped = info.mapped_bytes;
    must((region->mapped > 0) == (info.backing == MMG_BACKING_MAP), "mapped_bytes do not fit the backing");
    if (info.guarantee == MMG_GUARANTEE_STABLE) {
        region->contained = true;
        region->copy = malloc(region->size + 1);
        must(region->copy != NULL, "no memory for the model");
        memcpy(region->copy, inode->bytes + start + region->offset, (size_t)region->size);
    } else {
        must(info.backing == MMG_BACKING_MAP, "a copy is stable");
        region->page = info.page_size;
        region->contained = info.guarantee == MMG_GUARANTEE_CONTAINED || info.shortfall == MMG_SHORT_BLOCKED;
        must(region->contained == ((meant->flags & MMG_FLAG_NO_FAULT_GUARD) == 0), "the guarantee is wrong");
        must_equal(region->mapped, (lead(region) + region->size + region->page - 1) / region->page * region->page,
                   "mapped_bytes");
    }
    if (meant->backing == MMG_BACKING_AUTO && meant->copy_threshold != 0 && !streams && region->size > 0 &&
        meant->guarantee == MMG_GUARANTEE_CONTAINED && meant->max_bytes == 0) {
        must_equal(info.backing, region->size <= meant->copy_threshold ? MMG_BACKING_COPY : MMG_BACKING_MAP, "backing");
    }
}

/** Does the same for an adopted mapping. */
void
adopt_foreigner(mmg_handle handle, struct foreigner *f, uint64_t at, uint64_t size, bool by_path)
{
    struct region *region = free_region();
    mmg_info info = MMG_INFO_INIT;
    uint64_t offset = f->offset + at;
    uint64_t left = f->inode->size - offset;
    must(handle < UINT64_C(1) << 53 && find_region(handle) == NULL, "the handle is invalid, or that of another region");
    must(mmg_info_get(handle, &info) == MMG_OK, "mmg_info_get fails");
    *region = (struct region){.used = true,
                              .handle = handle,
                              .inode = f->inode,
                              .offset = offset,
                              .size = size < left ? size : left,
                              .page = info.page_size,
                              .mapped = info.mapped_bytes,
                              .contained = true,
                              .file = by_path ? f->file : -1,
                              .supports_changed = true,
                              .may_support_changed = true,
                              .lost = NONE,
                              .zeroed = NONE,
                              .base = f->base + at,
                              .foreigner = f,
                              .opened = info};
    f->region = region;
    f->inode->users++;
    model.opened++;
    must_equal(info.size, region->size, "size");
    must_equal(info.offset, offset, "offset");
    must_equal(info.page_size, model.page, "page_size");
    must_equal(info.backing, MMG_BACKING_ADOPTED, "backing");
    must_equal(info.guarantee, MMG_GUARANTEE_CONTAINED, "guarantee");
    check_words(&info);
    must_equal(info.lock, MMG_LOCK_NONE, "lock");
    must_equal(info.fault_offset, NONE, "fault_offset");
    must(info.file_size == f->inode->size && info.device == f->inode->device && info.inode == f->inode->number,
         "the identity of the file is wrong");
    must_equal(region->mapped, (lead(region) + region->size + region->page - 1) / region->page * region->page,
               "mapped_bytes");
}

/**
 * Returns true when the region stays as it is whatever happens to its file. When a lease breaks, a window larger than
 * `max_snapshot_bytes` is no longer STABLE.
 */
static bool
is_kept_by_breaks(mmg_handle handle, const mmg_options *meant)
{
    mmg_info info = MMG_INFO_INIT;
    must(mmg_info_get(handle, &info) == MMG_OK, "mmg_info_get fails");
    model.leases += info.means == MMG_MEANS_LEASE;
    return info.means != MMG_MEANS_LEASE || meant->max_snapshot_bytes == 0 ||
           info.size + model.page <= meant->max_snapshot_bytes;
}

void
step_open(void)
{
    static struct request request;
    static struct complaint complaint;
    struct expected expected = {.count = 0};
    size_t file = (size_t)below(FILES);
    struct inode *inode = model.names[file];
    unsigned way = (unsigned)below(16);
    uint64_t start = 0;
    mmg_handle handle = 4711;
    mmg_status status;
    if (free_region() == NULL) {
        return;
    }
    make_request(&request, inode->size, &expected);
    make_complaint(&complaint, &expected);
    const mmg_options *options = request.is_null ? NULL : &request.given.options;
    mmg_error *error = complaint.is_null ? NULL : &complaint.given.error;
    bool accepted = expected.count == 0;
    bool by_path = way < 10;
    bool streams = way >= 13;
    model.doing = by_path ? "mmg_open" : streams ? "mmg_read_fd" : "mmg_open_fd";
    snprintf(model.details, sizeof model.details,
             "file %zu of %" PRIu64 ", backing %u, flags %" PRIu64 ", window %" PRIu64 " + %" PRIu64 ", struct size %u",
             file, inode->size, request.meant.backing, request.meant.flags, request.meant.offset, request.meant.length,
             request.given.options.struct_size);
    if (streams) {
        start = below(inode->size + 1);
        must(lseek(inode->descriptor, (off_t)start, SEEK_SET) == (off_t)start, "lseek");
    }
    if (!by_path && !streams && accepted && (request.meant.flags & MMG_FLAG_NOFOLLOW) != 0) {
        expect(&expected, MMG_E_ARGUMENT);
        accepted = false;
    }
    if (way == 0) {
        expect(&expected, MMG_E_NOT_FOUND);
        status = mmg_open(model.missing, options, &handle, error);
    } else if (way == 1) {
        expect(&expected, MMG_E_NOT_MAPPABLE);
        status = mmg_open(model.directory, options, &handle, error);
    } else if (way == 2) {
        expect(&expected, MMG_E_ARGUMENT);
        status = mmg_open(NULL, options, &handle, error);
    } else {
        if (accepted) {
            expect_of_file(inode, &request.meant, start, streams, &expected);
        }
        status = way == 3   ? mmg_load(model.paths[file], options, &handle, error)
                 : by_path  ? mmg_open(model.paths[file], options, &handle, error)
                 : !streams ? mmg_open_fd(inode->descriptor, options, &handle, error)
                            : mmg_read_fd(inode->descriptor, options, &handle, error);
    }
    must_be(status, &expected);
    check_complaint(&complaint, status);
    must((status == MMG_OK) == (handle != 0), "there must be a handle exactly after a success");
    if (status == MMG_OK) {
        must(may_succeed(&expected), "the call must not succeed");
        model.opened++;
        if (!is_kept_by_breaks(handle, &request.meant)) {
            must(mmg_close(handle, 0) == MMG_OK, "a live handle cannot be closed");
            return;
        }
        adopt(handle, inode, &request.meant, start, by_path ? (int)file : -1, streams);
    }
}

void
step_close(void)
{
    mmg_handle handle = some_handle();
    uint32_t flags = one_in(12) ? (uint32_t)draw(4) : (uint32_t)below(2);
    struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    model.doing = "mmg_close";
    snprintf(model.details, sizeof model.details, "%" PRIu64 ", %u", handle, flags);
    if (flags > MMG_CLOSE_STRICT) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (flags == MMG_CLOSE_STRICT && region->pins > 0) {
        expect(&expected, MMG_E_BUSY);
    }
    mmg_status status = mmg_close(handle, flags);
    must_be(status, &expected);
    if (status == MMG_OK) {
        model.stale[model.stale_count++ % STALE] = handle;
        region->handle = 0;
        if (region->pins == 0) {
            region_end(region);
        }
    }
}
