/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what is left of a stream whose bytes were read and are not wanted, because the file has become an ordinary one or no
 * region can be made. The harness counts the heap.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/file_io.h"
#include "region/region.h"
#include "region/source.h"
#include "sources.h"
#include "standing_in.h"

STANDS_IN(bool, mmgi_region_reserve, (const struct source *source, uint64_t room, struct region_memory *memory),
          (source, room, memory))
STANDS_IN(mmg_status, mmgi_source_refresh, (struct source * source), (source))
STANDS_IN(int, mmgi_stream_read, (struct stream * stream), (stream))

#define SIZE 3000

static void
a_stream_without_memory_for_its_region_is_given_back(void)
{
    int ends[2];
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    REQUIRE(pipe(ends) == 0);
    REQUIRE(write(ends[1], "some bytes", 10) == 10);
    close(ends[1]);
    PLAN(mmgi_region_reserve, false);
    CHECK_STATUS(mmg_open_fd(ends[0], NULL, &handle, &error), MMG_E_NO_MEMORY);
    CHECK_U64(handle, 0);
    CHECK_I64(error.os_code, ENOMEM);
    CHECK_U64(CALLS(mmgi_region_reserve), 1);
    close(ends[0]);
}

static void
fill_the_file(void)
{
    check_file("file", SIZE);
}

/** Another process fills an empty file between the look at its size and the attempt to read it. */
static void
a_file_that_was_filled_meanwhile_is_an_ordinary_file(void)
{
    static uint8_t expected[SIZE];
    const char *path = check_file("file", 0);
    mmg_options options = MMG_OPTIONS_INIT;
    check_fill(expected, 0, SIZE);
    PLAN(mmgi_region_reserve, GO_ON);
    PLAN_MEANWHILE(mmgi_stream_read, 1, fill_the_file);
    mmg_handle handle = check_open(path, &options);
    CHECK_U64(CALLS(mmgi_stream_read), 1);
    CHECK_U64(check_info(handle).backing_reason, MMG_REASON_SMALL);
    check_contents(handle, expected, SIZE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
fill_the_file_and_fail(void)
{
    fill_the_file();
    PLAN(mmgi_source_refresh, MMG_E_IO);
}

/** Then the device fails. */
static void
a_file_that_was_filled_and_fails_is_given_back(void)
{
    const char *path = check_file("file", 0);
    mmg_handle handle = 1;
    PLAN_MEANWHILE(mmgi_stream_read, 1, fill_the_file_and_fail);
    CHECK_STATUS(mmg_open(path, NULL, &handle, NULL), MMG_E_IO);
    CHECK_U64(handle, 0);
    CHECK_U64(CALLS(mmgi_stream_read), 1);
    PLAN(mmgi_source_refresh, GO_ON);
}

/** The ledger may read the handle of a region as soon as its mapping is registered, so memory that was used is no handle. */
static void
a_region_without_a_number_has_no_handle(void)
{
    const struct source source = {.path = "/a/path"};
    struct region_memory memory;
    PLAN(mmgi_region_reserve, GO_ON);
    REQUIRE(mmgi_region_reserve(&source, 0, &memory));
    const size_t size = memory.total;
    CHECK_U64(size, sizeof *memory.region + strlen(source.path) + 1); /* what mmg_info and mmg_stats tell of the heap */
    memset(memory.region, 0xAA, size);
    mmgi_region_unreserve(&memory);
    CHECK(memory.region == NULL);
    REQUIRE(mmgi_region_reserve(&source, 0, &memory));
    CHECK_U64(memory.total, size);
    CHECK_U64(atomic_load(&memory.region->owner.handle), 0);
    CHECK_TEXT(memory.region->owner.path, source.path);
    CHECK(memory.region->owner.path != source.path && memory.bytes == NULL);
    mmgi_region_unreserve(&memory);
}

static const struct check_case cases[] = {
    {"a stream without memory for its region is given back", a_stream_without_memory_for_its_region_is_given_back, 0},
    {"a file that was filled meanwhile is an ordinary file", a_file_that_was_filled_meanwhile_is_an_ordinary_file, 0},
    {"a file that was filled and fails is given back", a_file_that_was_filled_and_fails_is_given_back, 0},
    {"a region without a number has no handle", a_region_without_a_number_has_no_handle, 0},
};

CHECK_MAIN(cases)
