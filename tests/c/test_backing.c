/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests whether a region is a mapping or a copy: the thresholds, the caps, and what each of the two keeps of the file.
 */
#include "check.h"

#include <string.h>
#include <unistd.h>

static void
small_files_are_copied_and_large_files_are_mapped(void)
{
    mmg_handle small = check_open(check_file("small", 16384), NULL);
    mmg_handle large = check_open(check_file("large", 1 << 20), NULL);
    mmg_info info = check_info(small);
    CHECK_U64(info.backing, MMG_BACKING_COPY);
    CHECK_U64(info.backing_reason, MMG_REASON_SMALL);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    info = check_info(large);
    CHECK_U64(info.backing, MMG_BACKING_MAP);
    CHECK_U64(info.backing_reason, MMG_REASON_LARGE);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_STATUS(mmg_close(small, 0), MMG_OK);
    CHECK_STATUS(mmg_close(large, 0), MMG_OK);
}

static void
the_copy_threshold_is_exact(void)
{
    static const uint64_t thresholds[] = {1, 1000, 4096, 70000, 300000};
    for (size_t index = 0; index < sizeof thresholds / sizeof *thresholds; index++) {
        for (uint64_t size = thresholds[index] - 1; size <= thresholds[index] + 1; size++) {
            mmg_options options = MMG_OPTIONS_INIT;
            options.copy_threshold = thresholds[index];
            mmg_handle handle = check_open(check_file("file", size), &options);
            mmg_info info = check_info(handle);
            CHECK_U64(info.backing, size <= thresholds[index] ? MMG_BACKING_COPY : MMG_BACKING_MAP);
            CHECK_U64(info.backing_reason, size == 0                   ? MMG_REASON_EMPTY
                                           : size <= thresholds[index] ? MMG_REASON_SMALL
                                                                       : MMG_REASON_LARGE);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

/* Opens the file again and again until the library maps it, at most `most` times. Returns how many handles are stored. */
static unsigned
open_until_mapped(const char *path, mmg_handle *handles, unsigned most)
{
    for (unsigned count = 0; count < most; count++) {
        handles[count] = check_open(path, NULL);
        if (check_info(handles[count]).backing == MMG_BACKING_MAP) {
            CHECK_U64(check_info(handles[count]).backing_reason, MMG_REASON_LARGE);
            return count + 1;
        }
    }
    return most;
}

static void
the_default_threshold_depends_on_the_copies_that_are_held(void)
{
    enum {
        SIZE = 64 << 10,
        MOST = 400
    };
    static mmg_handle handles[MOST];
    const char *path = check_file("file", SIZE), *page = check_file("page", 4096);
    mmg_options fixed = MMG_OPTIONS_INIT, stable = MMG_OPTIONS_INIT;
    fixed.copy_threshold = SIZE;
    stable.guarantee = MMG_GUARANTEE_STABLE;

    unsigned held = open_until_mapped(path, handles, MOST);
    CHECK_U64(held, 4 + 1 + 1); /* copies of 256 KiB in all, one more, and the mapping */
    mmg_handle others[] = {check_open(path, &fixed), check_open(path, &stable), check_open(page, NULL)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK_U64(check_info(others[i]).backing, MMG_BACKING_COPY);
        CHECK_STATUS(mmg_close(others[i], 0), MMG_OK);
    }
    /* Each mapping keeps a descriptor, so the library makes only some of them. */
    unsigned before = check_descriptors(), all = held;
    while (all < MOST)
        handles[all++] = check_open(path, NULL);
    CHECK(check_descriptors() - before <= 256);
    CHECK_U64(check_info(handles[MOST - 1]).backing, MMG_BACKING_COPY);
    while (all > 0)
        CHECK_STATUS(mmg_close(handles[--all], 0), MMG_OK);
    mmg_handle again = check_open(path, NULL);
    CHECK_U64(check_info(again).backing, MMG_BACKING_COPY);
    CHECK_STATUS(mmg_close(again, 0), MMG_OK);
}

static void
a_copy_keeps_neither_descriptor_nor_lock(void)
{
    const char *path = check_file("file", 1000);
    unsigned before = check_descriptors();
    mmg_handle handle = check_open(path, NULL);
    CHECK_U64(check_descriptors(), before);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_copy_is_stable_whatever_happens_to_the_file(void)
{
    const char *path = check_file("file", 10000);
    mmg_handle handle = check_open(path, NULL);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_file_with("file", "another content", 15);
    check_truncate(path, 0);
    unlink(path);
    CHECK(check_is_pattern(span.data, 0, 10000));
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
stable_is_upheld_or_refused_with_the_reason(void)
{
    const char *path = check_file("file", 300000);
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 0;
    options.guarantee = MMG_GUARANTEE_STABLE;
    handle = check_open(path, &options);
    mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info.shortfall, MMG_SHORT_NONE);
    CHECK(info.means != MMG_MEANS_NONE && info.means != MMG_MEANS_FAULT_GUARD);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, 0);
    CHECK(check_is_pattern(span.data, 0, 300000));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    path = check_file("file", 300000);
    options.flags = MMG_FLAG_NO_LEASE;
    options.max_snapshot_bytes = 299999;
    const mmg_status status = mmg_open(path, &options, &handle, &error);
    if (status == MMG_OK) {
        CHECK_U64(check_info(handle).means, MMG_MEANS_REFLINK); /* it copies no bytes, so it meets no cap */
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    } else {
        CHECK_STATUS(status, MMG_E_UNSTABLE);
        CHECK(strstr(error.message, path) != NULL && strstr(error.message, "max_snapshot_bytes") != NULL);
    }
    options.max_snapshot_bytes = 300000;
    handle = check_open(path, &options);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_copy_over_the_cap_is_too_big(void)
{
    const char *path = check_file("file", 5000);
    for (uint64_t cap = 4999; cap <= 5001; cap++) {
        mmg_options options = check_backing(MMG_BACKING_COPY);
        mmg_handle handle = 1;
        options.max_bytes = cap;
        mmg_status status = mmg_open(path, &options, &handle, NULL);
        CHECK_STATUS(status, cap < 5000 ? MMG_E_TOO_BIG : MMG_OK);
        CHECK(status != MMG_OK || mmg_close(handle, 0) == MMG_OK);
        options.offset = 1;
        status = mmg_open(path, &options, &handle, NULL);
        CHECK_STATUS(status, MMG_OK);
        CHECK(status != MMG_OK || mmg_close(handle, 0) == MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"small files are copied and large files are mapped", small_files_are_copied_and_large_files_are_mapped, 0},
    {"the copy threshold is exact", the_copy_threshold_is_exact, 0},
    {"the default threshold depends on the copies that are held",
     the_default_threshold_depends_on_the_copies_that_are_held, 0},
    {"a copy keeps neither descriptor nor lock", a_copy_keeps_neither_descriptor_nor_lock, 0},
    {"a copy is stable whatever happens to the file", a_copy_is_stable_whatever_happens_to_the_file, 0},
    {"STABLE is upheld, or refused with the reason", stable_is_upheld_or_refused_with_the_reason, 0},
    {"a copy over the cap is too big", a_copy_over_the_cap_is_too_big, 0},
};

CHECK_MAIN(cases)
