/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_read(). Copies are exact, and short only at the end of the region. The call never raises a signal.
 */
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD 0x5a

/** Reads into a buffer with a guard byte on each side, and checks the result. */
static void
check_read(mmg_handle handle, uint64_t size, uint64_t offset, size_t wanted)
{
    uint8_t *buffer = malloc(wanted + 2);
    uint64_t got = 12345;
    REQUIRE(buffer != NULL);
    memset(buffer, GUARD, wanted + 2);
    mmg_status status = mmg_read(handle, offset, buffer + 1, wanted, &got);
    if (offset > size) {
        CHECK_STATUS(status, MMG_E_RANGE);
        CHECK_U64(got, 12345);
        got = 0;
    } else {
        uint64_t rest = size - offset;
        CHECK_STATUS(status, MMG_OK);
        CHECK_U64(got, wanted < rest ? wanted : rest);
        CHECK(got > wanted || check_is_pattern(buffer + 1, offset, got));
    }
    CHECK_U64(buffer[0], GUARD);
    for (size_t at = got <= wanted ? (size_t)got : wanted; at <= wanted; at++) {
        REQUIRE(buffer[at + 1] == GUARD);
    }
    free(buffer);
}

static void
reads_are_exact_and_end_with_the_region(void)
{
    uint64_t page = check_page();
    uint64_t sizes[] = {0, 1, page - 1, page, page + 1, 3 * page + 17};
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        uint64_t size = sizes[index];
        const char *path = check_file("file", size);
        uint64_t offsets[] = {0, 1, page - 1, page, page + 1, size - 1, size, size + 1, INT64_MAX, UINT64_MAX};
        size_t lengths[] = {0, 1, 2, (size_t)page - 1, (size_t)page, (size_t)page + 1, (size_t)size, (size_t)size + 1};
        for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
            mmg_options options = check_backing(backing);
            mmg_handle handle = check_open(path, &options);
            for (size_t from = 0; from < sizeof offsets / sizeof *offsets; from++) {
                for (size_t length = 0; length < sizeof lengths / sizeof *lengths; length++) {
                    check_read(handle, size, offsets[from], lengths[length]);
                }
            }
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

static void
reads_stay_within_the_window(void)
{
    uint64_t page = check_page();
    const char *path = check_file("file", 4 * page);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        uint8_t buffer[512];
        uint64_t got = 0;
        options.offset = page + 77;
        options.length = 333;
        mmg_handle handle = check_open(path, &options);
        CHECK_STATUS(mmg_read(handle, 0, buffer, sizeof buffer, &got), MMG_OK);
        CHECK_U64(got, 333);
        CHECK(check_is_pattern(buffer, page + 77, 333));
        CHECK_STATUS(mmg_read(handle, 300, buffer, sizeof buffer, &got), MMG_OK);
        CHECK_U64(got, 33);
        CHECK(check_is_pattern(buffer, page + 377, 33));
        CHECK_STATUS(mmg_read(handle, 334, buffer, sizeof buffer, &got), MMG_E_RANGE);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
an_enormous_size_reads_what_is_there(void)
{
    static uint8_t buffer[5000];
    const char *path = check_file("file", sizeof buffer);
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)INT64_MAX, (uint64_t)INT64_MAX + 1,
                                     UINT64_C(1) << 47};
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(path, &options);
        for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
            uint64_t got = 0;
            memset(buffer, 0, sizeof buffer);
            CHECK_STATUS(mmg_read(handle, 1, buffer, sizes[index], &got), MMG_OK);
            CHECK_U64(got, sizeof buffer - 1);
            CHECK(check_is_pattern(buffer, 1, sizeof buffer - 1));
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
random_reads_agree_with_the_file(void)
{
    enum {
        SIZE = 300000,
        LARGEST = 70000
    };
    static uint8_t buffer[LARGEST];
    uint64_t state = check_seed();
    const char *path = check_file("file", SIZE);
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    mmg_handle handles[2] = {check_open(path, &map), check_open(path, &copy)};
    for (uint64_t round = 0; round < check_scaled(3000); round++) {
        uint64_t offset = check_random_below(&state, SIZE + 1);
        uint64_t wanted = check_random_below(&state, LARGEST);
        uint64_t expected = wanted < SIZE - offset ? wanted : SIZE - offset;
        uint64_t got = 0;
        REQUIRE_STATUS(mmg_read(handles[round % 2], offset, buffer, wanted, &got), MMG_OK);
        REQUIRE(got == expected);
        REQUIRE(check_is_pattern(buffer, offset, got));
    }
    CHECK_STATUS(mmg_close(handles[0], 0), MMG_OK);
    CHECK_STATUS(mmg_close(handles[1], 0), MMG_OK);
}

static void
a_read_of_a_shortened_file_says_how_much_was_left(void)
{
    uint64_t page = check_page();
    uint64_t lengths[] = {0, 1, page - 1, page, page + 1, 2 * page + 100};
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        static uint8_t buffer[100000];
        uint64_t got = 0;
        const char *path = check_file("file", 4 * page);
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_handle handle = check_open(path, &options);
        check_truncate(path, lengths[index]);
        CHECK_STATUS(mmg_read(handle, 0, buffer, lengths[index], &got), MMG_OK);
        CHECK_U64(got, lengths[index]);
        CHECK_STATUS(mmg_read(handle, 0, buffer, sizeof buffer, &got), MMG_E_TRUNCATED);
        CHECK_U64(got, lengths[index]);
        CHECK(check_is_pattern(buffer, 0, got));
        CHECK_STATUS(mmg_read(handle, 3 * page, buffer, 1, &got), MMG_E_TRUNCATED);
        CHECK_U64(got, 0);
        CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
        CHECK_U64(check_info(handle).faults, 0);
        CHECK_U64(check_info(handle).fault_offset, lengths[index]);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
a_read_needs_no_guard(void)
{
    uint8_t buffer[100];
    uint64_t got = 0;
    const char *path = check_file("file", 50000);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.flags = MMG_FLAG_NO_FAULT_GUARD;
    mmg_handle handle = check_open(path, &options);
    check_block_bus(true);
    check_truncate(path, 0);
    CHECK_STATUS(mmg_read(handle, 0, buffer, sizeof buffer, &got), MMG_E_TRUNCATED);
    CHECK_U64(got, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    check_block_bus(false);
}

/** The failure is the caller's, and says so, whether the bytes come from the file or from a snapshot of it. */
static void
a_buffer_that_cannot_be_written_to_is_a_status(void)
{
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("valgrind reports the buffer itself, and an emulator may lack the system call that copies");
        return;
    }
    const size_t page = (size_t)check_page();
    const char *path = check_file("file", 4 * page);
    uint8_t *buffer = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(buffer != MAP_FAILED && mprotect(buffer + page, page, PROT_NONE) == 0);
    for (uint32_t guarantee = MMG_GUARANTEE_NONE; guarantee <= MMG_GUARANTEE_STABLE; guarantee++) {
        mmg_options options = check_backing(MMG_BACKING_MAP);
        options.guarantee = guarantee;
        options.flags = MMG_FLAG_NO_LEASE;
        mmg_handle handle = check_open(path, &options);
        uint64_t got = 12345;
        CHECK_STATUS(mmg_read(handle, 0, buffer + page, 100, &got), MMG_E_SYSTEM);
        CHECK_I64(check_info(handle).os_error, EFAULT);
        CHECK_STATUS(mmg_read(handle, 0, buffer, 2 * page, &got), MMG_E_SYSTEM);
        CHECK(check_is_pattern(buffer, 0, page));
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    munmap(buffer, 2 * page);
}

static const struct check_case cases[] = {
    {"reads are exact and end with the region", reads_are_exact_and_end_with_the_region, 0},
    {"reads stay within the window", reads_stay_within_the_window, 0},
    {"an enormous size reads what is there", an_enormous_size_reads_what_is_there, 0},
    {"random reads agree with the file", random_reads_agree_with_the_file, 0},
    {"a read of a shortened file says how much was left", a_read_of_a_shortened_file_says_how_much_was_left, 0},
    {"a read needs no guard", a_read_needs_no_guard, 0},
    {"a buffer that cannot be written to is a status", a_buffer_that_cannot_be_written_to_is_a_status, 0},
};

CHECK_MAIN(cases)
