/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests regions. Their descriptions are true, every call checks ranges in the same way, and the counters of the process are
 * right.
 */
#include "check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
sizes_at_every_edge_open_and_read_back(void)
{
    uint64_t page = check_page();
    uint64_t sizes[] = {0,     1,     2,     page - 1, page,   page + 1, 2 * page, 3 * page + 17,
                        65535, 65536, 65537, 131071,   131072, 131073,   1000001};
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
            const char *path = check_file("file", sizes[index]);
            mmg_options options = check_backing(backing);
            mmg_handle handle = check_open(path, &options);
            mmg_span span = MMG_SPAN_INIT;
            CHECK_U64(check_info(handle).size, sizes[index]);
            CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
            CHECK_U64(span.size, sizes[index]);
            CHECK(span.data != NULL);
            CHECK(check_is_pattern(span.data, 0, span.size));
            CHECK_STATUS(mmg_unpin(&span), MMG_OK);
            CHECK_STATUS(mmg_check(handle), MMG_OK);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

/** Returns what a call should return for a range of a region: MMG_OK with the real length, or MMG_E_RANGE. */
static mmg_status
judge(uint64_t size, uint64_t offset, uint64_t length, uint64_t *real)
{
    if (offset > size) {
        return MMG_E_RANGE;
    }
    *real = length == MMG_TO_END ? size - offset : length;
    return *real <= size - offset ? MMG_OK : MMG_E_RANGE;
}

static void
check_range(mmg_handle handle, uint64_t size, uint64_t offset, uint64_t length)
{
    uint64_t real = 0;
    uint64_t number = 0;
    mmg_span span = MMG_SPAN_INIT;
    mmg_status expected = judge(size, offset, length, &real);
    CHECK_STATUS(mmg_pin(handle, offset, length, &span), expected);
    if (expected == MMG_OK) {
        CHECK_U64(span.size, real);
        CHECK(span.data != NULL);
        CHECK(check_is_pattern(span.data, offset, real));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
    CHECK_STATUS(mmg_find(handle, offset, length, NULL, 0, &number), expected);
    CHECK(expected != MMG_OK || number == offset);
    CHECK_STATUS(mmg_advise(handle, offset, length, MMG_ADVICE_NORMAL), expected);
    CHECK_STATUS(mmg_resident(handle, offset, length, &number), expected);
    CHECK(expected != MMG_OK || number <= real);
}

static void
every_call_judges_ranges_alike(void)
{
    uint64_t page = check_page();
    uint64_t sizes[] = {0, 1, page - 1, page, page + 1, 2 * page + 100};
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        uint64_t size = sizes[index];
        const char *path = check_file("file", size);
        uint64_t edges[] = {0,
                            1,
                            page - 1,
                            page,
                            page + 1,
                            size - 1,
                            size,
                            size + 1,
                            2 * size,
                            2 * size + 1,
                            UINT64_C(1) << 31,
                            UINT64_C(1) << 32,
                            INT64_MAX,
                            (uint64_t)INT64_MAX + 1,
                            UINT64_MAX - page,
                            UINT64_MAX - size,
                            UINT64_MAX - size + 1,
                            UINT64_MAX - 1,
                            UINT64_MAX};
        size_t count = sizeof edges / sizeof *edges;
        for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
            mmg_options options = check_backing(backing);
            mmg_handle handle = check_open(path, &options);
            for (size_t from = 0; from < count; from++) {
                for (size_t length = 0; length < count; length++) {
                    check_range(handle, size, edges[from], edges[length]);
                    check_range(handle, size, edges[from], size - edges[from]);
                    check_range(handle, size, edges[from], 0 - edges[from]);
                }
            }
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

static void
windows_begin_at_any_byte(void)
{
    uint64_t page = check_page();
    uint64_t size = 5 * page + 123;
    const char *path = check_file("file", size);
    uint64_t state = check_seed();
    uint64_t edges[] = {0, 1, page - 1, page, page + 1, 2 * page - 1, 2 * page, 3 * page + 7, size - 1, size};
    for (unsigned round = 0; round < 300; round++) {
        mmg_options options = check_backing(round % 2 == 0 ? MMG_BACKING_MAP : MMG_BACKING_COPY);
        mmg_span span = MMG_SPAN_INIT;
        options.offset = round < 200 ? edges[check_random_below(&state, 10)] : check_random_below(&state, size);
        options.length = check_random_below(&state, size - options.offset + 1);
        uint64_t expected = options.length == 0 ? size - options.offset : options.length;
        mmg_handle handle = check_open(path, &options);
        mmg_info info = check_info(handle);
        CHECK_U64(info.size, expected);
        CHECK_U64(info.offset, options.offset);
        CHECK_U64(info.file_size, size);
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        CHECK_U64(span.size, expected);
        CHECK(check_is_pattern(span.data, options.offset, span.size));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

/** Checks the facts that hold for every fresh region of a regular file. */
static void
check_identity(const mmg_info *info, const char *path)
{
    struct stat status;
    REQUIRE(stat(path, &status) == 0);
    CHECK_U64(info->struct_size, sizeof *info);
    CHECK_U64(info->device, status.st_dev);
    CHECK_U64(info->inode, status.st_ino);
    CHECK_U64(info->file_size, (uint64_t)status.st_size);
    CHECK_I64(info->mtime_seconds, status.st_mtim.tv_sec);
    CHECK_I64(info->mtime_nanoseconds, status.st_mtim.tv_nsec);
    CHECK_I64(info->ctime_seconds, status.st_ctim.tv_sec);
    CHECK_I64(info->ctime_nanoseconds, status.st_ctim.tv_nsec);
    CHECK_STATUS(info->fault_cause, MMG_OK);
    CHECK_U64(info->faults, 0);
    CHECK_U64(info->fault_offset, MMG_TO_END);
    CHECK_U64(info->pins, 0);
    CHECK(info->lock_error == 0);
    CHECK(info->heap_bytes > 0);
}

static void
a_mapped_region_describes_itself(void)
{
    const char *path = check_file("file", 100000);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    mmg_info info = check_info(handle);
    check_identity(&info, path);
    CHECK_U64(info.backing, MMG_BACKING_MAP);
    CHECK_U64(info.backing_reason, MMG_REASON_ASKED);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_U64(info.means, MMG_MEANS_FAULT_GUARD);
    CHECK_U64(info.shortfall, MMG_SHORT_NOT_ASKED);
    CHECK_U64(info.lock, MMG_LOCK_SHARED);
    CHECK_U64(info.mapped_bytes, (100000 + check_page() - 1) / check_page() * check_page());
    CHECK_U64(info.page_size, check_page());
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_copied_region_describes_itself(void)
{
    const char *path = check_file("file", 10000);
    mmg_options options = check_backing(MMG_BACKING_COPY);
    mmg_handle handle = check_open(path, &options);
    mmg_info info = check_info(handle);
    check_identity(&info, path);
    CHECK_U64(info.backing, MMG_BACKING_COPY);
    CHECK_U64(info.backing_reason, MMG_REASON_ASKED);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info.means, MMG_MEANS_PRIVATE_COPY);
    CHECK_U64(info.shortfall, MMG_SHORT_NONE);
    CHECK_U64(info.lock, MMG_LOCK_NONE);
    CHECK_U64(info.mapped_bytes, 0);
    CHECK_U64(info.page_size, 0);
    CHECK(info.heap_bytes >= 10000);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_region_keeps_its_size_when_the_file_grows(void)
{
    const char *path = check_file("file", 200000);
    mmg_handle handle = check_open(path, NULL);
    mmg_span span = MMG_SPAN_INIT;
    check_truncate(path, 400000);
    CHECK_U64(check_info(handle).size, 200000);
    CHECK_U64(check_info(handle).file_size, 200000);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_pin(handle, 0, 200001, &span), MMG_E_RANGE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
the_counters_of_the_process_follow(void)
{
    const char *path = check_file("file", 300000);
    mmg_stats start = check_stats();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle mapped = check_open(path, &options);
    options = check_backing(MMG_BACKING_COPY);
    mmg_handle copied = check_open(path, &options);
    mmg_stats now = check_stats();
    CHECK_U64(now.struct_size, sizeof now);
    CHECK_U64(now.handles, start.handles + 2);
    CHECK_U64(now.opened, start.opened + 2);
    CHECK_U64(now.regions, start.regions + 2);
    CHECK_U64(now.mappings, start.mappings + 1);
    CHECK_U64(now.mapped_bytes, start.mapped_bytes + check_info(mapped).mapped_bytes);
    CHECK_U64(now.heap_bytes, start.heap_bytes + check_info(mapped).heap_bytes + check_info(copied).heap_bytes);
    CHECK_I64(now.guard_state, mmg_guard_state());
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(mapped, 0, 1, &span), MMG_OK);
    CHECK_STATUS(mmg_close(mapped, 0), MMG_OK);
    CHECK_STATUS(mmg_close(copied, 0), MMG_OK);
    now = check_stats();
    CHECK_U64(now.handles, start.handles);
    CHECK_U64(now.regions, start.regions + 1);
    CHECK_U64(now.mappings, start.mappings + 1);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    now = check_stats();
    CHECK_U64(now.regions, start.regions);
    CHECK_U64(now.mappings, start.mappings);
    CHECK_U64(now.mapped_bytes, start.mapped_bytes);
    CHECK_U64(now.heap_bytes, start.heap_bytes);
    CHECK_U64(now.opened, start.opened + 2);
}

static void
the_same_file_may_be_open_many_times(void)
{
    const char *path = check_file("file", 200000);
    mmg_handle handles[50];
    mmg_span spans[50];
    for (size_t index = 0; index < 50; index++) {
        handles[index] = check_open(path, NULL);
        REQUIRE_STATUS(mmg_pin(handles[index], index, 1000, &spans[index]), MMG_OK);
    }
    CHECK_U64(check_mappings_of(path), 50);
    for (size_t index = 0; index < 50; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
        CHECK(check_is_pattern(spans[index].data, index, 1000));
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
    CHECK_U64(check_mappings_of(path), 0);
}

/** Leaves bytes in the heap that a region could take for its own state. */
static void
soil_the_heap(void)
{
    static void *blocks[64];
    for (size_t size = 64; size <= 4096; size += 16) {
        for (size_t index = 0; index < 64; index++) {
            blocks[index] = malloc(size);
            REQUIRE(blocks[index] != NULL);
            memset(blocks[index], 0xA5, size);
        }
        for (size_t index = 0; index < 64; index++) {
            free(blocks[index]);
        }
    }
}

static void
a_fresh_region_knows_of_no_error(void)
{
    const char *path = check_file("file", 5000);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        soil_the_heap();
        mmg_handle handle = check_open(path, &options);
        mmg_info info = check_info(handle);
        CHECK_I64(info.os_error, 0);
        CHECK_STATUS(info.fault_cause, MMG_OK);
        CHECK_U64(info.faults, 0);
        CHECK_U64(info.pins, 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"a fresh region knows of no error", a_fresh_region_knows_of_no_error, 0},
    {"sizes at every edge open and read back", sizes_at_every_edge_open_and_read_back, 0},
    {"every call judges ranges alike", every_call_judges_ranges_alike, 0},
    {"windows begin at any byte", windows_begin_at_any_byte, 0},
    {"a mapped region describes itself", a_mapped_region_describes_itself, 0},
    {"a copied region describes itself", a_copied_region_describes_itself, 0},
    {"a region keeps its size when the file grows", a_region_keeps_its_size_when_the_file_grows, 0},
    {"the counters of the process follow", the_counters_of_the_process_follow, 0},
    {"the same file may be open many times", the_same_file_may_be_open_many_times, 0},
};

CHECK_MAIN(cases)
