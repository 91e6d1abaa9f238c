/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what kind of mapping the kernel has of a region, by what /proc/self/smaps says of it.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** Finds the line of /proc/self/smaps that begins with `wanted`, for the mapping at an address; "" is its first line. */
static bool
find_in_smaps(const uint8_t *address, const char *wanted, char *line, int room)
{
    const uintptr_t at = (uintptr_t)address;
    unsigned long start, end;
    bool is_here = false, is_found = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    while (file != NULL && !is_found && fgets(line, room, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            is_here = start <= at && at < end;
            is_found = is_here && *wanted == '\0';
        } else {
            is_found = is_here && *wanted != '\0' && strncmp(line, wanted, strlen(wanted)) == 0;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/** Other processes that read the file share the pages of the mapping, and not only those of the cache. */
static void
a_mapping_is_shared(void)
{
    char line[1024], access[8] = "";
    const mmg_handle handle = check_open(check_file("file", 200000), NULL);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    if (find_in_smaps(span.data, "", line, sizeof line)) {
        REQUIRE(sscanf(line, "%*s %7s", access) == 1);
        CHECK_TEXT(access, "r--s");
    } else {
        check_skip("the kernel does not list mappings here");
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** The page of zeros in the place of a lost one is no more writable than the bytes of the file were. */
static void
zeros_in_the_place_of_lost_bytes_are_for_reading_only(void)
{
    char line[1024], access[8] = "";
    const uint64_t page = check_page();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", 3 * page);
    const mmg_handle handle = check_open(path, &options);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    REQUIRE(truncate(path, (off_t)page) == 0);
    CHECK_U64(*(const volatile uint8_t *)(span.data + 2 * page), 0);
    if (find_in_smaps(span.data + 2 * page, "", line, sizeof line)) {
        REQUIRE(sscanf(line, "%*s %7s", access) == 1);
        CHECK_TEXT(access, "r--p");
    } else {
        check_skip("the kernel does not list mappings here");
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Returns true when the kernel says of the mapping at an address that it has this flag of two letters (proc(5)). */
static bool
has_flag(const uint8_t *address, const char *flag)
{
    char line[1024], word[8];
    snprintf(word, sizeof word, " %s ", flag);
    return find_in_smaps(address, "VmFlags:", line, sizeof line) && strstr(line, word) != NULL;
}

/** A mapping for one scan is read far ahead while it is scanned, in huge pages where the kernel has them for files. */
static void
sequential_advice_reads_far_ahead_in_a_mapping_for_one_scan(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.access = MMG_ADVICE_SEQUENTIAL;
    const mmg_handle scanned = check_open(check_file("scanned", UINT64_C(3) << 20), &options);
    options.access = MMG_ADVICE_NORMAL;
    const mmg_handle other = check_open(check_file("other", UINT64_C(3) << 20), &options);
    mmg_span of_scanned = check_pin(scanned, 0, MMG_TO_END), of_other = check_pin(other, 0, MMG_TO_END);
    CHECK_STATUS(mmg_advise(other, 0, MMG_TO_END, MMG_ADVICE_HUGEPAGE), MMG_OK);
    if (has_flag(of_other.data, "hg")) {
        CHECK_STATUS(mmg_advise(scanned, 0, MMG_TO_END, MMG_ADVICE_NORMAL), MMG_OK);
        CHECK(has_flag(of_scanned.data, "nh") && !has_flag(of_scanned.data, "hg"));
        CHECK_STATUS(mmg_advise(scanned, 0, MMG_TO_END, MMG_ADVICE_SEQUENTIAL), MMG_OK);
        CHECK(has_flag(of_scanned.data, "hg") && has_flag(of_scanned.data, "sr"));
        CHECK_STATUS(mmg_advise(scanned, 0, MMG_TO_END, MMG_ADVICE_WILLNEED), MMG_OK);
        CHECK(has_flag(of_scanned.data, "hg"));
        CHECK_STATUS(mmg_advise(scanned, 0, MMG_TO_END, MMG_ADVICE_RANDOM), MMG_OK);
        CHECK(has_flag(of_scanned.data, "nh") && has_flag(of_scanned.data, "rr"));
        CHECK_STATUS(mmg_advise(other, 0, MMG_TO_END, MMG_ADVICE_RANDOM), MMG_OK);
        CHECK(has_flag(of_other.data, "hg") && has_flag(of_other.data, "rr"));
    } else {
        check_skip("the kernel has no huge pages for mappings of files, or does not tell of them");
    }
    CHECK_STATUS(mmg_unpin(&of_scanned), MMG_OK);
    CHECK_STATUS(mmg_unpin(&of_other), MMG_OK);
    CHECK_STATUS(mmg_close(scanned, 0), MMG_OK);
    CHECK_STATUS(mmg_close(other, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a mapping is shared", a_mapping_is_shared, 0},
    {"zeros in the place of lost bytes are for reading only", zeros_in_the_place_of_lost_bytes_are_for_reading_only,
     CHECK_LOSES},
    {"sequential advice reads far ahead in a mapping for one scan",
     sequential_advice_reads_far_ahead_in_a_mapping_for_one_scan, 0},
};

CHECK_MAIN(cases)
