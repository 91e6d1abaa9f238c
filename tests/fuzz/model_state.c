/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Questions about a region, and the counters of the library.
 */
#include <string.h>
#include <sys/stat.h>

#include "model_parts.h"

void
step_check(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    model.doing = "mmg_check";
    describe_range(handle, region, 0, 0);
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (region->page != 0) {
        learn_loss(region);
        if (region->lost != NONE) {
            expect(&expected, MMG_E_TRUNCATED);
        }
    }
    must_be(mmg_check(handle), &expected);
    if (region != NULL) {
        sync_losses(region, false);
    }
}

void
step_info(void)
{
    static union {
        mmg_info info;
        uint8_t bytes[ROOM];
    } given;
    mmg_handle handle = some_handle();
    const struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_info));
    model.doing = "mmg_info_get";
    describe_range(handle, region, 0, size);
    memset(&given, 0x55, sizeof given);
    given.info.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_info)) {
        expect(&expected, MMG_E_ABI_SIZE);
        size = 4;
    }
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    }
    mmg_status status = mmg_info_get(handle, &given.info);
    must_be(status, &expected);
    for (size_t at = size; at < ROOM; at++) {
        must(given.bytes[at] == 0x55, "the struct was written beyond its size");
    }
    if (status == MMG_OK && size >= sizeof(mmg_info)) {
        must_equal(given.info.struct_size, size, "struct_size");
        check_promise(region, &given.info);
        must_equal(given.info.pins, region->pins, "pins");
        must_equal(given.info.size, region->size, "size");
        must_equal(given.info.faults, region->faults, "faults");
        must_equal(given.info.fault_offset, region->lost, "fault_offset");
        must_equal(given.info.mapped_bytes, region->mapped, "mapped_bytes");
        must_equal(given.info.heap_bytes, region->opened.heap_bytes, "heap_bytes");
    }
}

void
step_changed(void)
{
    mmg_handle handle = some_handle();
    const struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    uint32_t what = 0xabcdef;
    uint32_t truth = 0;
    bool known = true;
    model.doing = "mmg_changed";
    describe_range(handle, region, 0, 0);
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (!region->supports_changed) {
        expect(&expected, MMG_E_UNSUPPORTED);
        if (region->may_support_changed && region->mapped > 0) {
            expect(&expected, MMG_OK);
        }
    }
    if (region != NULL && region->may_support_changed) {
        struct stat now;
        bool moved = region->file >= 0 && model.names[region->file] != region->inode;
        must(fstat(region->inode->descriptor, &now) == 0, "fstat");
        truth = moved ? MMG_CHANGED_PATH : 0;
        known = !moved || region->page != 0 || region->keeps_descriptor;
        if (known || region->mapped > 0) {
            truth |= (uint64_t)now.st_size != region->opened.file_size ? (uint32_t)MMG_CHANGED_SIZE : 0;
            truth |= now.st_mtim.tv_sec != region->opened.mtime_seconds ||
                             now.st_mtim.tv_nsec != region->opened.mtime_nanoseconds
                         ? (uint32_t)MMG_CHANGED_MTIME
                         : 0;
            truth |= now.st_ctim.tv_sec != region->opened.ctime_seconds ||
                             now.st_ctim.tv_nsec != region->opened.ctime_nanoseconds
                         ? (uint32_t)MMG_CHANGED_CTIME
                         : 0;
        }
    }
    mmg_status status = mmg_changed(handle, &what);
    must_be(status, &expected);
    if (status == MMG_OK && !known && what == MMG_CHANGED_PATH) {
        return; /* nothing is known about the file that had this path */
    }
    must_equal(what, status == MMG_OK ? truth : 0xabcdef, "what changed");
}

void
step_advise(void)
{
    struct range range = some_range("mmg_advise");
    struct region *region = range.region;
    const uint64_t offset = range.offset;
    const uint64_t real = range.real;
    uint32_t advice = some_value(MMG_ADVICE_EVICT + 1);
    if (advice > MMG_ADVICE_EVICT) {
        expect(&range.expected, MMG_E_ARGUMENT);
    }
    if (range.is_valid && advice == MMG_ADVICE_POPULATE && region->page != 0) {
        if (real > 0 && (offset + real > bytes_left(region) || is_known_lost(region, offset, real))) {
            uint64_t first = (lead(region) + offset) / region->page;
            uint64_t last = (lead(region) + offset + real - 1) / region->page;
            uint64_t missing = first_missing_page(region);
            expect(&range.expected, MMG_E_TRUNCATED);
            if (last < missing || first >= region->zeroed ||
                region->zeroed <= missing) { /* none is missing in the range */
                expect(&range.expected, MMG_OK);
            }
        }
        if (!model.can_populate) {
            expect(&range.expected, MMG_E_UNSUPPORTED);
        }
    }
    must_be(mmg_advise(range.handle, offset, range.length, advice), &range.expected);
    if (region != NULL) {
        sync_losses(region, range.is_valid && advice == MMG_ADVICE_POPULATE && real > 0);
    }
    if (region != NULL && region->foreigner != NULL) {
        region->foreigner->has_parts = true;
    }
}

void
step_resident(void)
{
    struct range range = some_range("mmg_resident");
    uint64_t bytes = NONE;
    mmg_status status = mmg_resident(range.handle, range.offset, range.length, &bytes);
    must_be(status, &range.expected);
    if (status == MMG_OK) {
        must(bytes <= range.real, "more bytes are resident than the range has");
        must(range.region->mapped != 0 || bytes == range.real, "a copy is not resident");
    } else {
        must_equal(bytes, NONE, "bytes");
    }
}

void
compare_stats(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    uint64_t handles = 0;
    uint64_t regions = 0;
    uint64_t mappings = 0;
    uint64_t mapped = 0;
    uint64_t heap = 0;
    must(mmg_stats_get(&stats) == MMG_OK, "mmg_stats_get fails");
    for (size_t index = 0; index < REGIONS; index++) {
        const struct region *region = &model.regions[index];
        handles += region->handle != 0;
        regions += region->used;
        mappings += region->mapped != 0;
        mapped += region->mapped;
        heap += region->used ? region->opened.heap_bytes : 0;
    }
    must_equal(stats.handles, model.start.handles + handles, "handles");
    must_equal(stats.regions, model.start.regions + regions, "regions");
    must_equal(stats.mappings, model.start.mappings + mappings, "mappings");
    must_equal(stats.mapped_bytes, model.start.mapped_bytes + mapped, "mapped_bytes");
    must_equal(stats.heap_bytes, model.start.heap_bytes + heap, "heap_bytes");
    must_equal(stats.opened, model.start.opened + model.opened, "opened");
    must_equal(stats.foreign_faults, model.start.foreign_faults, "foreign_faults");
    must_equal(stats.losses_foreign, model.start.losses_foreign + model.foreign_losses, "losses_foreign");
    must_equal(stats.losses_truncated + stats.losses_io + stats.losses_poisoned + stats.losses_unstable, stats.losses,
               "the sum over the causes of losses");
}
