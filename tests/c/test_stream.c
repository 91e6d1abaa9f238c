/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests streams, which are read and never mapped: FIFOs, pipes, sockets, terminals and standard input.
 */
#include "sources.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/** Starts a child that opens the FIFO for writing, writes `size` bytes of the pattern, and ends. */
static pid_t
start_writer(const char *path, size_t size)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        static uint8_t bytes[1 << 20];
        int descriptor = open(path, O_WRONLY | O_CLOEXEC);
        check_fill(bytes, 0, size);
        for (size_t at = 0; at < size;) {
            size_t part = size - at < 3001 ? size - at : 3001;
            ssize_t written = write(descriptor, bytes + at, part);
            if (written <= 0) {
                _exit(1);
            }
            at += (size_t)written;
        }
        _exit(0);
    }
    return child;
}

static void
join(pid_t child)
{
    int wait_status = 0;
    REQUIRE(waitpid(child, &wait_status, 0) == child);
    CHECK_EXITED(wait_status);
}

static const char *
new_fifo(void)
{
    const char *path = check_path("fifo");
    REQUIRE(mkfifo(path, 0600) == 0);
    return path;
}

static void
a_fifo_without_a_writer_does_not_hang(void)
{
    const char *path = new_fifo();
    for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing += 2) {
        mmg_options options = check_backing(backing);
        refuse(path, &options, MMG_E_WOULD_BLOCK, -1);
    }
}

/** No system call has failed, so the error names none. */
static void
a_fifo_where_a_regular_file_is_demanded_is_no_error_of_the_system(void)
{
    const char *path = new_fifo();
    mmg_options options = MMG_OPTIONS_INIT;
    options.flags = MMG_FLAG_REGULAR_ONLY;
    refuse(path, &options, MMG_E_NOT_MAPPABLE, 0);
}

static void
a_fifo_is_read_to_the_end_of_its_writer(void)
{
    enum {
        SIZE = 300000
    };
    static uint8_t expected[SIZE];
    const char *path = new_fifo();
    mmg_options options = MMG_OPTIONS_INIT;
    check_fill(expected, 0, SIZE);
    options.flags = MMG_FLAG_FIFO_WAIT;
    pid_t child = start_writer(path, SIZE);
    mmg_handle handle = check_open(path, &options);
    mmg_info info = check_info(handle);
    CHECK_U64(info.backing, MMG_BACKING_COPY);
    CHECK_U64(info.backing_reason, MMG_REASON_STREAM);
    CHECK_U64(info.file_size, SIZE);
    check_contents(handle, expected, SIZE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    join(child);
}

static void
a_fifo_whose_writer_writes_nothing_is_empty(void)
{
    const char *path = new_fifo();
    mmg_options options = MMG_OPTIONS_INIT;
    options.flags = MMG_FLAG_FIFO_WAIT;
    pid_t child = start_writer(path, 0);
    mmg_handle handle = check_open(path, &options);
    CHECK_U64(check_info(handle).size, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    join(child);
}

/** Who has opened the FIFO has decided not to wait for a writer. So a FIFO that nobody writes to is at its end. */
static void
a_descriptor_of_a_fifo_without_a_writer_is_at_its_end(void)
{
    const int fd = open(new_fifo(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    mmg_handle handle = 0;
    REQUIRE(fd >= 0);
    for (int call = 0; call < 2; call++) {
        REQUIRE_STATUS(call == 0 ? mmg_read_fd(fd, NULL, &handle, NULL) : mmg_open_fd(fd, NULL, &handle, NULL), MMG_OK);
        CHECK_U64(check_info(handle).size, 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    close(fd);
}

static void
a_stream_cannot_be_mapped(void)
{
    int ends[2];
    mmg_options options = check_backing(MMG_BACKING_MAP);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(write(ends[1], "bytes", 5) == 5);
    close(ends[1]);
    refuse_descriptor(ends[0], &options, MMG_E_NOT_MAPPABLE);
    char kept[8];
    CHECK_I64(read(ends[0], kept, sizeof kept), 5); /* the library has taken no bytes out of the pipe */
    close(ends[0]);
    refuse("/proc/version", &options, MMG_E_NOT_MAPPABLE, -1);
}

static void
pipes_and_sockets_are_read_from_where_they_stand(void)
{
    for (unsigned round = 0; round < 2; round++) {
        int ends[2];
        char byte = 0;
        mmg_handle handle = 0;
        REQUIRE(round == 0 ? pipe2(ends, O_CLOEXEC) == 0
                           : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        REQUIRE(write(ends[1], "-some bytes", 11) == 11);
        REQUIRE(read(ends[0], &byte, 1) == 1);
        close(ends[1]);
        REQUIRE_STATUS(mmg_open_fd(ends[0], NULL, &handle, NULL), MMG_OK);
        CHECK_U64(check_info(handle).backing_reason, MMG_REASON_STREAM);
        check_contents(handle, "some bytes", 10);
        CHECK(fcntl(ends[0], F_GETFD) >= 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        close(ends[0]);
    }
}

/** The size of the file of a stream is what was read, and what was skipped before. */
static void
a_window_of_a_stream_tells_the_size_of_the_whole(void)
{
    int ends[2];
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    options.offset = 5;
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(write(ends[1], "some bytes", 10) == 10);
    close(ends[1]);
    REQUIRE_STATUS(mmg_open_fd(ends[0], &options, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).offset, 5);
    CHECK_U64(check_info(handle).file_size, 10);
    check_contents(handle, "bytes", 5);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(ends[0]);
}

/** No system call has failed where the bytes end too early or are too many, so the error names none. */
static void
a_stream_that_is_not_as_long_as_wanted_is_no_error_of_the_system(void)
{
    static const struct {
        uint64_t offset, length, cap;
        mmg_status status;
    } wishes[] = {{0, 11, 100, MMG_E_RANGE}, {11, 0, 100, MMG_E_RANGE}, {0, 0, 9, MMG_E_TOO_BIG}};
    for (size_t index = 0; index < sizeof wishes / sizeof *wishes; index++) {
        int ends[2];
        mmg_handle handle = 1;
        mmg_error error = MMG_ERROR_INIT;
        mmg_options options = MMG_OPTIONS_INIT;
        options.offset = wishes[index].offset;
        options.length = wishes[index].length;
        options.max_bytes = wishes[index].cap;
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        REQUIRE(write(ends[1], "some bytes", 10) == 10);
        close(ends[1]);
        CHECK_STATUS(mmg_open_fd(ends[0], &options, &handle, &error), wishes[index].status);
        CHECK_U64(handle, 0);
        CHECK_I64(error.os_code, 0);
        CHECK_U64(error.offset, 0);
        CHECK_TEXT(error.operation, "read");
        close(ends[0]);
    }
}

static void
load_standard_input(void *unused)
{
    static uint8_t expected[200000];
    int ends[2];
    mmg_handle handle = 0;
    (void)unused;
    check_fill(expected, 0, sizeof expected);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < sizeof expected;) {
            ssize_t written = write(ends[1], expected + at, sizeof expected - at);
            if (written <= 0) {
                _exit(1);
            }
            at += (size_t)written;
        }
        _exit(0);
    }
    close(ends[1]);
    REQUIRE(dup2(ends[0], 0) == 0);
    close(ends[0]);
    REQUIRE_STATUS(mmg_load("-", NULL, &handle, NULL), MMG_OK);
    check_contents(handle, expected, sizeof expected);
    CHECK_U64(check_info(handle).backing_reason, MMG_REASON_STREAM);
    CHECK(fcntl(0, F_GETFD) >= 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    join(child);
}

static void
load_reads_standard_input_for_a_dash(void)
{
    CHECK_EXITED(check_child(load_standard_input, NULL));
}

static void
in_the_directory_of_a_file_named_dash(void *directory)
{
    mmg_handle handle = 0;
    REQUIRE(chdir(directory) == 0);
    REQUIRE(close(0) == 0);
    CHECK_STATUS(mmg_load("-", NULL, &handle, NULL), MMG_E_ARGUMENT);
    REQUIRE_STATUS(mmg_load("./-", NULL, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).size, 77);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE_STATUS(mmg_open("-", NULL, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).size, 77);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_dash_names_a_file_for_every_call_but_load(void)
{
    char above[4096];
    const char *path = check_file("-", 77);
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path), path);
    CHECK_EXITED(check_child(in_the_directory_of_a_file_named_dash, above));
}

static void
a_terminal_is_read_as_a_stream(void)
{
    mmg_handle handle = 0;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        check_skip("no pseudo-terminals here");
        close(master);
        return;
    }
    const char *name = ptsname(master);
    REQUIRE(name != NULL);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(slave >= 0);
    REQUIRE(write(master, "typed\n\004", 7) == 7); /* a line, and the character for the end of the file */
    REQUIRE_STATUS(mmg_open_fd(slave, NULL, &handle, NULL), MMG_OK);
    check_contents(handle, "typed\n", 6);
    CHECK_U64(check_info(handle).backing_reason, MMG_REASON_STREAM);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(slave);
    close(master);
}

static const struct check_case cases[] = {
    {"a window of a stream tells the size of the whole", a_window_of_a_stream_tells_the_size_of_the_whole, 0},
    {"a descriptor of a FIFO without a writer is at its end", a_descriptor_of_a_fifo_without_a_writer_is_at_its_end, 0},
    {"a FIFO without a writer does not hang", a_fifo_without_a_writer_does_not_hang, 0},
    {"a FIFO where a regular file is demanded is no error of the system",
     a_fifo_where_a_regular_file_is_demanded_is_no_error_of_the_system, 0},
    {"a FIFO is read to the end of its writer", a_fifo_is_read_to_the_end_of_its_writer, 0},
    {"a FIFO whose writer writes nothing is empty", a_fifo_whose_writer_writes_nothing_is_empty, 0},
    {"a stream cannot be mapped", a_stream_cannot_be_mapped, 0},
    {"pipes and sockets are read from where they stand", pipes_and_sockets_are_read_from_where_they_stand, 0},
    {"a stream that is not as long as wanted is no error of the system",
     a_stream_that_is_not_as_long_as_wanted_is_no_error_of_the_system, 0},
    {"load reads standard input for a dash", load_reads_standard_input_for_a_dash, 0},
    {"a dash names a file for every call but load", a_dash_names_a_file_for_every_call_but_load, 0},
    {"a terminal is read as a stream", a_terminal_is_read_as_a_stream, 0},
};

CHECK_MAIN(cases)
