/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the comparisons of files with memory and with each other, which decide whether a copy is that of one moment: each
 * byte counts, also the first and the last of the blocks in which they are read. Tests as well the reads and the copies that
 * fail, and how long a stream is waited for.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file_io.h"
#include "os/snapshot_file.h"
#include "unnamed.h"

static const size_t sizes[] = {0, 1, 2, 8191, 8192, 8193, 16384, 16385, 30000};
#define MOST 30000u
#define FROM 777u
#define TMPFS_TYPE 0x01021994 /* statfs(2) */

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

/** The kernel fills the buffer up to the page that is missing. Only the next call tells that the rest is not read. */
static void
a_read_that_fails_half_way_is_no_end_of_the_file(void)
{
    const size_t page = (size_t)check_page();
    size_t got = 77;
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("the emulator looks at the whole buffer before the kernel does");
        return;
    }
    const int fd = open_both_ways(check_file("file", 2 * page));
    uint8_t *buffer = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(buffer != MAP_FAILED && mprotect(buffer + page, page, PROT_NONE) == 0);
    CHECK_I64(mmgi_file_read_at(fd, 0, buffer, 2 * page, &got), EFAULT);
    CHECK_U64(got, page);
    CHECK(check_is_pattern(buffer, 0, page));
    munmap(buffer, 2 * page);
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------- streams -- */

int __real_poll(struct pollfd *entries, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout);

static int writer = -1;  /* the end of a pipe whose other end is waited for */
static int last_timeout; /* of the last poll(2) */

/** Somebody writes to the pipe during the first wait, and ends. */
int
__wrap_poll(struct pollfd *entries, nfds_t count, int timeout)
{
    last_timeout = timeout;
    if (writer >= 0) {
        REQUIRE(write(writer, "0123456789", 10) == 10);
        close(writer);
        writer = -1;
    }
    return __real_poll(entries, count, timeout);
}

/** Without a deadline the kernel wakes the thread for an event, and for nothing else. */
static void
a_stream_is_waited_for_until_its_deadline_or_for_ever(void)
{
    for (int round = 0; round < 2; round++) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        writer = ends[1];
        last_timeout = 77;
        struct stream stream = {.fd = ends[0], .cap = 100};
        if (round == 1) {
            stream.deadline_ns = mmgi_clock_monotonic_ns() + INT64_C(3600000000000);
        }
        CHECK_I64(mmgi_stream_read(&stream), 0);
        CHECK_U64(stream.size, 10);
        CHECK(round == 0 ? last_timeout == -1 : last_timeout > 0 && last_timeout <= 3600001);
        free(stream.data);
        close(ends[0]);
    }
}

/** A wait without an event says nothing in errno, which still has what an earlier call left there. */
static void
a_wait_without_an_event_does_not_depend_on_errno(void)
{
    static const int left[] = {0, EINTR, EAGAIN, EIO};
    const char *path = check_path("fifo");
    int ends[2];
    REQUIRE(mkfifo(path, 0600) == 0 && pipe2(ends, O_CLOEXEC) == 0);
    const int fifo = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fifo >= 0);
    for (size_t index = 0; index < sizeof left / sizeof *left; index++) {
        struct stream no_writer = {.fd = fifo, .is_fifo = true, .cap = 100};
        errno = left[index];
        CHECK_I64(mmgi_stream_read(&no_writer), EWOULDBLOCK);
        struct stream silent = {.fd = ends[0], .cap = 100, .deadline_ns = mmgi_clock_monotonic_ns() + 20000000};
        errno = left[index];
        CHECK_I64(mmgi_stream_read(&silent), ETIMEDOUT);
        CHECK(mmgi_clock_monotonic_ns() >= silent.deadline_ns);
    }
    close(fifo);
    close(ends[0]);
    close(ends[1]);
}

/** At the end of a file read(2) says nothing in errno, which still has what an earlier call left there. */
static void
the_end_of_a_file_does_not_depend_on_errno(void)
{
    static const int left[] = {0, ESPIPE, EINTR, EAGAIN};
    const int fd = open_both_ways(check_file("file", MOST));
    for (size_t index = 0; index < sizeof left / sizeof *left; index++) {
        struct stream stream = {.fd = fd, .positioned = true, .cap = 10 * MOST};
        errno = left[index];
        CHECK_I64(mmgi_stream_read(&stream), 0);
        CHECK(stream.positioned);
        CHECK_U64(stream.size, MOST);
        CHECK(check_is_pattern(stream.data, 0, MOST));
        free(stream.data);
    }
    CHECK_I64(lseek(fd, 0, SEEK_CUR), 0);
    close(fd);
}

/** A driver that allows reading in order only refuses pread(2), as a pipe does. */
static void
a_stream_without_positions_is_read_in_order(void)
{
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "0123456789", 10) == 10);
    close(ends[1]);
    struct stream stream = {.fd = ends[0], .positioned = true, .skip = 3, .cap = 100};
    CHECK_I64(mmgi_stream_read(&stream), 0);
    CHECK(!stream.positioned);
    CHECK_U64(stream.size, 7);
    CHECK_BYTES(stream.data, "3456789", 7);
    free(stream.data);
    close(ends[0]);
}

/** The caller has nothing to give back, and no bytes that look like those of the stream. */
static void
a_stream_that_fails_leaves_nothing(void)
{
    static const struct {
        uint64_t skip, length, cap;
        int os_code;
    } wishes[] = {{0, 0, 5, EFBIG}, {0, 11, 100, ENODATA}, {11, 0, 100, ENODATA}};
    static unsigned char elsewhere; /* what the result held before is no memory of the stream */
    for (size_t index = 0; index < sizeof wishes / sizeof *wishes; index++) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "0123456789", 10) == 10);
        close(ends[1]);
        struct stream stream = {.fd = ends[0],
                                .skip = wishes[index].skip,
                                .length = wishes[index].length,
                                .cap = wishes[index].cap,
                                .data = &elsewhere,
                                .size = 77};
        CHECK_I64(mmgi_stream_read(&stream), wishes[index].os_code);
        CHECK(stream.data == NULL);
        CHECK_U64(stream.size, 0);
        close(ends[0]);
    }
}

static void
wait_without_descriptors(void *unused)
{
    (void)unused;
    struct rlimit limit;
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && write(ends[1], "0123456789", 10) == 10);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct stream stream = {.fd = ends[0], .cap = 100, .deadline_ns = mmgi_clock_monotonic_ns() + INT64_C(60000000000)};
    CHECK_I64(mmgi_stream_read(&stream), EINVAL); /* before the first byte */
    stream.deadline_ns = 0;
    CHECK_I64(mmgi_stream_read(&stream), EINVAL); /* behind the last one that is there */
    char byte;
    CHECK_I64(read(ends[0], &byte, 1), -1);
}

/** Makes poll(2) fail: a process that may have no descriptor may not wait for one. */
static void
a_wait_that_fails_is_a_failure_of_the_read(void)
{
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("the emulator does not apply the limit on descriptors to poll(2)");
        return;
    }
    CHECK_EXITED(check_child(wait_without_descriptors, NULL));
}

/* ----------------------------------------------------------------------------------------------- files of snapshots -- */

static void
a_copy_to_a_full_device_fails_for_want_of_room(void)
{
    const int from = open_both_ways(check_file("file", MOST)), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const int to = open_both_ways(check_file("copy", 0));
    if (full >= 0) {
        CHECK_I64(mmgi_snapshot_file_copy(from, full, 0, MOST), ENOSPC);
    }
    CHECK_I64(mmgi_snapshot_file_copy(from, to, FROM, MOST - FROM), 0);
    CHECK_I64(lseek(to, 0, SEEK_END), MOST);                       /* the bytes have their offsets */
    CHECK_I64(mmgi_snapshot_file_copy(from, to, FROM, MOST), EIO); /* the source has fewer */
    CHECK_I64(mmgi_snapshot_file_copy(-1, to, 0, 1), EBADF);
    CHECK(mmgi_files_equal(from, to, FROM, MOST - FROM));
    close(from);
    close(full);
    close(to);
}

static void
what_is_in_no_directory_has_no_place_beside_it(void)
{
    int ends[2], target = 77;
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    CHECK_I64(mmgi_snapshot_file_beside(ends[0], 10, 10, &target), EXDEV);
    close(ends[0]);
    close(ends[1]);
    CHECK(mmgi_snapshot_file_beside(ends[0], 10, 10, &target) != 0);
}

/** Returns true when the descriptor is that of a file without a name in this directory. Closes it. */
static bool
is_unnamed_in(int fd, const char *directory)
{
    char link[64], path[PATH_MAX + 16];
    struct stat of_file, of_directory;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof path - 1);
    bool result = fstat(fd, &of_file) == 0 && stat(directory, &of_directory) == 0 &&
                  of_file.st_dev == of_directory.st_dev && of_file.st_nlink == 0;
    if (size > 0) {
        path[size] = '\0';
        const char *name = strrchr(path, '/');
        const size_t length = strlen(directory);
        result = result && name != NULL && (size_t)(name - path) == length && memcmp(path, directory, length) == 0;
    }
    close(fd);
    return result;
}

static void
a_file_goes_where_the_environment_says(void)
{
    const char *folder = check_path("folder"), *before = getenv("TMPDIR");
    char here[PATH_MAX], usual[PATH_MAX] = "";
    int target, started_in = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(started_in >= 0 && mkdir(folder, 0700) == 0 && chdir(folder) == 0 && getcwd(here, sizeof here) != NULL);
    if (before != NULL) {
        snprintf(usual, sizeof usual, "%s", before);
    }
    const char *const values[] = {here, ".", "", NULL};
    for (size_t index = 0; index < sizeof values / sizeof *values; index++) {
        REQUIRE(values[index] != NULL ? setenv("TMPDIR", values[index], 1) == 0 : unsetenv("TMPDIR") == 0);
        if (has_unnamed_files() && CHECK_I64(mmgi_snapshot_file_in_tmpdir(10, 10, &target), 0)) {
            CHECK(is_unnamed_in(target, index < 2 ? here : "/tmp"));
        }
    }
    REQUIRE(before != NULL ? setenv("TMPDIR", usual, 1) == 0 : unsetenv("TMPDIR") == 0);
    REQUIRE(fchdir(started_in) == 0 && rmdir(folder) == 0);
    close(started_in);
}

/** Other writers need space, too. Half of what is free is far from both sizes, whatever other programs write meanwhile. */
static void
a_file_may_take_half_of_the_free_space(void)
{
    struct statfs room;
    int target = 77;
    const char *directory = getenv("TMPDIR") != NULL && *getenv("TMPDIR") != '\0' ? getenv("TMPDIR") : "/tmp";
    REQUIRE(statfs(directory, &room) == 0);
    const uint64_t quarter = (uint64_t)room.f_bavail / 4 * (uint64_t)room.f_bsize;
    if (room.f_blocks == 0 || room.f_type == TMPFS_TYPE || quarter < 1000000) {
        check_skip("the folder for temporary files is in memory, or full");
        return;
    }
    if (!has_unnamed_files()) {
        return;
    }
    CHECK_I64(mmgi_snapshot_file_in_tmpdir(10, quarter, &target), 0);
    close(target);
    CHECK_I64(mmgi_snapshot_file_in_tmpdir(10, 3 * quarter, &target), ENOSPC);
    CHECK_I64(mmgi_snapshot_file_in_tmpdir(10, UINT64_MAX, &target), ENOSPC);
}

static const struct check_case cases[] = {
    {"a file equals its bytes and no others", a_file_equals_its_bytes_and_no_others, 0},
    {"a file that is too short equals nothing", a_file_that_is_too_short_equals_nothing, 0},
    {"a read that fails half-way is no end of the file", a_read_that_fails_half_way_is_no_end_of_the_file, 0},
    {"a stream is waited for until its deadline, or for ever", a_stream_is_waited_for_until_its_deadline_or_for_ever,
     0},
    {"the end of a file does not depend on errno", the_end_of_a_file_does_not_depend_on_errno, 0},
    {"a wait without an event does not depend on errno", a_wait_without_an_event_does_not_depend_on_errno, 0},
    {"a stream that fails leaves nothing", a_stream_that_fails_leaves_nothing, 0},
    {"a stream without positions is read in order", a_stream_without_positions_is_read_in_order, 0},
    {"a wait that fails is a failure of the read", a_wait_that_fails_is_a_failure_of_the_read, 0},
    {"a copy to a full device fails for want of room", a_copy_to_a_full_device_fails_for_want_of_room, 0},
    {"a file goes where the environment says", a_file_goes_where_the_environment_says, 0},
    {"a file may take half of the free space", a_file_may_take_half_of_the_free_space, 0},
    {"what is in no directory has no place beside it", what_is_in_no_directory_has_no_place_beside_it, 0},
};

CHECK_MAIN(cases)
