/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests STABLE regions at the limits that their options set: the number of leases, the bytes and the time of a snapshot. What
 * a snapshot could not secure is no longer stable, and the statistics name the limit. Regions that overlap in a file share
 * one snapshot, with the larger of their limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

#define MIB (UINT64_C(1) << 20)

/** Opens a window of a file with a lease, or returns 0 after it has skipped the case. */
static mmg_handle
open_window(const char *path, uint64_t offset, uint64_t length, uint64_t cap)
{
    mmg_options options = stable_options(MMG_BACKING_MAP);
    options.offset = offset;
    options.length = length;
    options.max_snapshot_bytes = cap;
    mmg_handle handle = 0;
    const mmg_status status = mmg_open(path, &options, &handle, NULL);
    if (status == MMG_E_UNSTABLE && !check_kernel_has_leases()) {
        check_skip("there are no leases here, and a snapshot would be larger than allowed");
        return 0;
    }
    REQUIRE_STATUS(status, MMG_OK);
    return has_lease(handle) ? handle : 0;
}

/** Writes to a file, which waits until its leases are given up. */
static void
overwrite(const char *path, uint64_t at)
{
    static const uint8_t block[1 << 16];
    const int file = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(pwrite(file, block, sizeof block, (off_t)at) == (ssize_t)sizeof block);
    close(file);
}

/** Checks that a region shows what the file held. `from` is the offset of the region in the file. */
static void
check_pattern(mmg_handle handle, uint64_t from, uint64_t length)
{
    mmg_span span = check_pin(handle, 0, length);
    CHECK(check_is_pattern(span.data, from, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

/** Returns true, and skips the case, where a clone secures a break. It copies no bytes, so it meets no limit. */
static bool
shows_clone(mmg_handle handle)
{
    if (check_info(handle).means != MMG_MEANS_REFLINK) {
        return false;
    }
    check_skip("the file system under TMPDIR clones files, which no limit of bytes or time concerns");
    return true;
}

/** Does the same for a case with one handle, and closes it. */
static bool
is_cloned(mmg_handle handle)
{
    if (!shows_clone(handle)) {
        return false;
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    return true;
}

static void
over_the_cap_only_the_beginning_is_stable(void)
{
    const uint64_t page = check_page(), cap = 100 * page + 5;
    const mmg_stats before = check_stats();
    const char *path = check_file("file", 300 * page);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = open_window(path, 0, 0, cap);
    if (handle == 0) {
        return;
    }
    overwrite(path, 0);
    if (is_cloned(handle)) {
        return;
    }
    const mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_U64(info.shortfall, MMG_SHORT_CAP);
    CHECK_U64(info.fault_offset, 100 * page);
    CHECK_STATUS(info.fault_cause, MMG_E_UNSTABLE);
    check_pattern(handle, 0, 100 * page);
    CHECK_STATUS(mmg_pin(handle, 100 * page, 1, &span), MMG_E_UNSTABLE);
    CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
    CHECK_U64(check_stats().fallbacks_cap, before.fallbacks_cap + 1);
    CHECK_U64(check_stats().fallbacks_time, before.fallbacks_time);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** A millisecond is too short for so many pieces, whatever the machine. The pieces that were copied by then are stable. */
static void
out_of_time_the_writer_goes_on(void)
{
    const uint64_t size = 768 * MIB;
    const mmg_stats before = check_stats();
    const char *path = check_file("large", 0);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    check_truncate(path, size);
    options.max_lease_wait_ms = 1;
    mmg_handle handle = check_open(path, &options);
    if (!has_lease(handle)) {
        return;
    }
    overwrite(path, size - MIB);
    if (is_cloned(handle)) {
        return;
    }
    const mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_U64(info.shortfall, MMG_SHORT_TIME);
    CHECK_U64(info.fault_offset % (4 * MIB), 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
    CHECK_U64(check_stats().fallbacks_time, before.fallbacks_time + 1);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Each window overlaps the one before, so the first break secures all of them but the last, which stands alone. */
static void
windows_that_overlap_share_a_snapshot_and_the_larger_cap(void)
{
    static const struct {
        uint64_t from, length, cap;
    } windows[] = {{MIB, MIB, MIB / 2},
                   {0, MIB + 100000, 1},
                   {2 * MIB - 5, MIB, 64 * MIB},
                   {MIB + 77, 10, 0},
                   {8 * MIB, MIB, 2 * MIB}};
    enum {
        COUNT = sizeof windows / sizeof *windows
    };
    const char *path = check_file("file", 10 * MIB);
    mmg_handle handles[COUNT];
    for (size_t index = 0; index < COUNT; index++) {
        handles[index] = open_window(path, windows[index].from, windows[index].length, windows[index].cap);
        if (handles[index] == 0) {
            while (index-- > 0) {
                CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
            }
            return;
        }
    }
    for (uint64_t at = 0; at < 10 * MIB; at += MIB / 2) {
        overwrite(path, at);
    }
    for (size_t index = 0; index < COUNT; index++) {
        if (!was_time_too_short(handles[index])) {
            check_pattern(handles[index], windows[index].from, windows[index].length);
            CHECK_STATUS(mmg_check(handles[index]), MMG_OK);
            CHECK_U64(check_info(handles[index]).guarantee, MMG_GUARANTEE_STABLE);
        }
        CHECK(check_info(handles[index]).means != MMG_MEANS_LEASE);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

/** What the snapshot has of each window is stable, from the first byte of the window on, also inside a page. */
static void
a_snapshot_that_ends_early_serves_each_window_as_far_as_it_goes(void)
{
    enum {
        COUNT = 4
    };
    const uint64_t page = check_page(), end = 60 * page;
    const uint64_t from[COUNT] = {0, 40 * page + 7, end - 1,
                                  70 * page + 9}; /* the last one has no byte before the end */
    const char *path = check_file("file", 200 * page);
    const mmg_stats before = check_stats();
    mmg_handle handles[COUNT];
    mmg_span span = MMG_SPAN_INIT;
    size_t count = 0;
    while (count < COUNT) {
        handles[count] = open_window(path, from[count], 80 * page, count == 0 ? end + 5 : 1);
        if (handles[count] == 0) {
            break;
        }
        count++;
    }
    if (count == COUNT) {
        overwrite(path, 0);
    }
    const bool is_short = count == COUNT && !shows_clone(handles[0]);
    for (size_t index = 0; is_short && index < COUNT; index++) {
        const uint64_t there = from[index] < end ? end - from[index] : 0;
        const mmg_info info = check_info(handles[index]);
        CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
        CHECK_U64(info.shortfall, MMG_SHORT_CAP);
        CHECK_U64(info.fault_offset, there);
        CHECK_STATUS(info.fault_cause, MMG_E_UNSTABLE);
        if (there > 0) {
            check_pattern(handles[index], from[index], there);
        }
        CHECK_STATUS(mmg_pin(handles[index], there, 1, &span), MMG_E_UNSTABLE);
        CHECK_STATUS(mmg_check(handles[index]), MMG_E_UNSTABLE);
    }
    CHECK_U64(check_stats().fallbacks_cap, before.fallbacks_cap + (is_short ? COUNT : 0));
    while (count-- > 0) {
        CHECK_STATUS(mmg_close(handles[count], 0), MMG_OK);
    }
}

static void
close_all(const int *descriptors, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        close(descriptors[index]);
    }
}

/** Over the number of leases another means has to do. A lease that has ended makes room for the next. */
static void
no_more_leases_are_taken_than_allowed(void)
{
    enum {
        MOST = 20
    };
    mmg_handle handles[MOST];
    int others[100]; /* the descriptors of the leases come after these, and the table of leases has to grow */
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        others[index] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    mmg_options options = stable_options(MMG_BACKING_MAP);
    char name[16];
    options.max_leases = MOST;
    for (size_t index = 0; index < MOST; index++) {
        snprintf(name, sizeof name, "file%zu", index);
        handles[index] = check_open(check_file(name, 50000 + index), &options);
        if (!has_lease(handles[index])) {
            close_all(others, sizeof others / sizeof *others);
            return;
        }
    }
    CHECK_U64(check_stats().leases, MOST);
    const uint64_t refusals = check_stats().lease_refusals;
    mmg_handle more = check_open(check_file("more", 50000), &options);
    CHECK(check_info(more).means != MMG_MEANS_LEASE);
    CHECK_U64(check_info(more).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(check_stats().lease_refusals, refusals + 1);
    CHECK_STATUS(mmg_close(more, 0), MMG_OK);
    for (size_t index = 0; index < MOST; index += 3) {
        snprintf(name, sizeof name, "file%zu", index);
        overwrite(check_path(name), 0);
        check_stable(handles[index]);
    }
    await_keeper();
    CHECK_U64(check_stats().leases, MOST - (MOST + 2) / 3);
    more = check_open(check_path("more"), &options);
    CHECK_U64(check_info(more).means, MMG_MEANS_LEASE);
    CHECK_STATUS(mmg_close(more, 0), MMG_OK);
    for (size_t index = 0; index < MOST; index++) {
        check_stable(handles[index]);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    CHECK_U64(check_stats().leases, 0);
    close_all(others, sizeof others / sizeof *others);
}

static void
overwrite_as_a_child(void *path)
{
    overwrite(path, 0);
}

/** A host may have closed its standard input. The snapshot is then in a file with the smallest number. */
CHECK_IN_A_CHILD(a_snapshot_may_have_the_descriptor_0)
{
    const char *path = check_file("file", MIB);
    close(STDIN_FILENO);
    const int placeholder = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(placeholder == STDIN_FILENO);
    mmg_handle handle = open_window(path, 0, 0, MMG_NO_LIMIT);
    if (handle == 0) {
        return;
    }
    REQUIRE(close(placeholder) == 0);
    CHECK_EXITED(check_child(overwrite_as_a_child, (void *)(uintptr_t)path));
    check_stable(handle);
    CHECK(check_info(handle).means != MMG_MEANS_LEASE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** What cannot change needs no lease. */
static void
a_sealed_file_in_memory_needs_no_lease(void)
{
    const mmg_options options = stable_options(MMG_BACKING_MAP);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    uint8_t bytes[50000];
    mmg_handle handle = 0;
    const int file = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    check_fill(bytes, 0, sizeof bytes);
    REQUIRE(file >= 0 && write(file, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    REQUIRE_STATUS(mmg_open_fd(file, &options, &handle, NULL), MMG_OK);
    CHECK(check_info(handle).means != MMG_MEANS_SEALED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(fcntl(file, F_ADD_SEALS, seals) == 0);
    REQUIRE_STATUS(mmg_open_fd(file, &options, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).means, MMG_MEANS_SEALED);
    check_stable(handle);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(file);
}

static const struct check_case cases[] = {
    {"over the cap only the beginning is stable", over_the_cap_only_the_beginning_is_stable, CHECK_THREADS},
    {"out of time, the writer goes on", out_of_time_the_writer_goes_on, CHECK_ONCE},
    {"windows that overlap share a snapshot and the larger cap",
     windows_that_overlap_share_a_snapshot_and_the_larger_cap, CHECK_THREADS},
    {"a snapshot that ends early serves each window as far as it goes",
     a_snapshot_that_ends_early_serves_each_window_as_far_as_it_goes, CHECK_THREADS},
    {"no more leases are taken than allowed", no_more_leases_are_taken_than_allowed, CHECK_THREADS},
    {"a snapshot may have the descriptor 0", a_snapshot_may_have_the_descriptor_0, CHECK_ONCE},
    {"a sealed file in memory needs no lease", a_sealed_file_in_memory_needs_no_lease, CHECK_THREADS},
};

CHECK_MAIN(cases)
