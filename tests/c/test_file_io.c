/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the comparisons of files with memory and with each other, which decide whether a copy is that of one moment: each
 * byte counts, also the first and the last of the blocks in which they are read.
 */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

#include "os/file_io.h"

static const size_t sizes[] = {0, 1, 2, 8191, 8192, 8193, 16384, 16385, 30000};
#define MOST 30000u
#define FROM 777u

static int
open_both_ways(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/** Changes one byte of a file. */
static void
flip(int fd, uint64_t at)
{
    uint8_t byte;
    REQUIRE(pread(fd, &byte, 1, (off_t)at) == 1);
    byte = (uint8_t)~byte;
    REQUIRE(pwrite(fd, &byte, 1, (off_t)at) == 1);
}

static void
a_file_equals_its_bytes_and_no_others(void)
{
    static uint8_t bytes[MOST];
    const int fd = open_both_ways(check_file("file", FROM + MOST));
    const int other = open_both_ways(check_file("other", FROM + MOST));
    check_fill(bytes, FROM, sizeof bytes);
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        const size_t size = sizes[index];
        CHECK(mmgi_file_equals(fd, FROM, bytes, size));
        CHECK(mmgi_files_equal(fd, other, FROM, size));
        for (size_t at = 0; at < size; at += at % 8192 == 0 || at % 8192 == 8191 ? 1 : size - 1 - at > 500 ? 499 : 1) {
            flip(fd, FROM + at);
            CHECK(!mmgi_file_equals(fd, FROM, bytes, size));
            CHECK(!mmgi_files_equal(fd, other, FROM, size));
            CHECK(!mmgi_files_equal(other, fd, FROM, size));
            flip(fd, FROM + at);
        }
        flip(fd, FROM + size == FROM + MOST ? FROM - 1 : FROM + size); /* a byte outside the range */
        flip(fd, FROM - 1);
        CHECK(mmgi_file_equals(fd, FROM, bytes, size));
        CHECK(mmgi_files_equal(fd, other, FROM, size));
        flip(fd, FROM - 1);
        flip(fd, FROM + size == FROM + MOST ? FROM - 1 : FROM + size);
    }
    close(fd);
    close(other);
}

static void
a_file_that_is_too_short_equals_nothing(void)
{
    static uint8_t bytes[MOST];
    const char *path = check_file("file", FROM + MOST);
    const int fd = open_both_ways(path), other = open_both_ways(check_file("other", FROM + MOST));
    check_fill(bytes, FROM, sizeof bytes);
    for (size_t index = 1; index < sizeof sizes / sizeof *sizes; index++) {
        (void)check_file("file", FROM + sizes[index] - 1);
        CHECK(!mmgi_file_equals(fd, FROM, bytes, sizes[index]));
        CHECK(!mmgi_files_equal(fd, other, FROM, sizes[index]));
        CHECK(!mmgi_files_equal(other, fd, FROM, sizes[index]));
        CHECK(mmgi_files_equal(other, fd, FROM, sizes[index] - 1));
    }
    CHECK(!mmgi_file_equals(-1, 0, bytes, 1));
    CHECK(!mmgi_files_equal(fd, -1, 0, 1));
    close(fd);
    close(other);
}

static const struct check_case cases[] = {
    {"a file equals its bytes and no others", a_file_equals_its_bytes_and_no_others, 0},
    {"a file that is too short equals nothing", a_file_that_is_too_short_equals_nothing, 0},
};

CHECK_MAIN(cases)
