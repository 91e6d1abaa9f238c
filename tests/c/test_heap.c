/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests reading streams into memory: exact caps, interruptions, non-blocking descriptors, windows of a stream, and no
 * leaked memory after a failure.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/**
 * A thread that writes `size` bytes of the pattern, in pieces of at most `piece` bytes, with pauses between them if
 * `pauses` is set.
 */
struct writer {
    pthread_t thread;
    int descriptor;
    size_t size;
    size_t piece;
    bool pauses;
};

static void *
write_pattern(void *argument)
{
    struct writer *writer = argument;
    const struct timespec moment = {0, 200000};
    uint8_t *bytes = malloc(writer->piece);
    REQUIRE(bytes != NULL);
    for (size_t at = 0; at < writer->size;) {
        size_t part = writer->size - at < writer->piece ? writer->size - at : writer->piece;
        check_fill(bytes, at, part);
        ssize_t written = write(writer->descriptor, bytes, part);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) { /* the reader has closed its end */
            break;
        }
        at += (size_t)written;
        if (writer->pauses) {
            nanosleep(&moment, NULL);
        }
    }
    free(bytes);
    close(writer->descriptor);
    return NULL;
}

/** Starts a writer and returns the descriptor for reading. */
static int
start(struct writer *writer, size_t size, size_t piece, bool pauses)
{
    int ends[2];
    sigset_t all;
    sigset_t before;
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    *writer = (struct writer){.descriptor = ends[1], .size = size, .piece = piece, .pauses = pauses};
    sigfillset(&all);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &all, &before) == 0); /* only the reader may get signals */
    REQUIRE(pthread_create(&writer->thread, NULL, write_pattern, writer) == 0);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return ends[0];
}

static void
finish(struct writer *writer, int descriptor)
{
    close(descriptor);
    REQUIRE(pthread_join(writer->thread, NULL) == 0);
}

static void
check_pattern(mmg_handle handle, uint64_t offset, uint64_t size)
{
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    CHECK_U64(span.size, size);
    CHECK(check_is_pattern(span.data, offset, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

static void
streams_of_every_size_are_read_whole(void)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 1000003};
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        struct writer writer;
        mmg_handle handle = 0;
        int descriptor = start(&writer, sizes[index], 10007, false);
        REQUIRE_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_OK);
        mmg_info info = check_info(handle);
        CHECK_U64(info.size, sizes[index]);
        CHECK_U64(info.file_size, sizes[index]);
        CHECK_U64(info.backing, MMG_BACKING_COPY);
        CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
        check_pattern(handle, 0, sizes[index]);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        finish(&writer, descriptor);
    }
}

static void
the_cap_is_exact(void)
{
    static const size_t caps[] = {1, 100, 4096, 65536, 65537, 300000};
    for (size_t index = 0; index < sizeof caps / sizeof *caps; index++) {
        for (size_t size = caps[index] - 1; size <= caps[index] + 1; size++) {
            struct writer writer;
            mmg_handle handle = 1;
            mmg_error error = MMG_ERROR_INIT;
            mmg_options options = MMG_OPTIONS_INIT;
            mmg_stats before = check_stats();
            options.max_bytes = caps[index];
            int descriptor = start(&writer, size, 50000, false);
            mmg_status status = mmg_read_fd(descriptor, &options, &handle, &error);
            if (size > caps[index]) {
                CHECK_STATUS(status, MMG_E_TOO_BIG);
                CHECK_U64(handle, 0);
                CHECK_STATUS(error.status, MMG_E_TOO_BIG);
                CHECK_U64(check_stats().heap_bytes, before.heap_bytes);
            } else {
                REQUIRE_STATUS(status, MMG_OK);
                check_pattern(handle, 0, size);
                CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
            }
            finish(&writer, descriptor);
        }
    }
}

/** Reads a stream of `size` bytes under a cap. Returns the bytes of heap that its region took. */
static uint64_t
read_under_cap(uint64_t cap, size_t size)
{
    struct writer writer;
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    options.max_bytes = cap;
    int descriptor = start(&writer, size, 65536, false);
    REQUIRE_STATUS(mmg_read_fd(descriptor, &options, &handle, NULL), MMG_OK);
    check_pattern(handle, 0, size);
    const uint64_t heap_bytes = check_info(handle).heap_bytes;
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    finish(&writer, descriptor);
    return heap_bytes;
}

static void
no_cap_reads_everything(void)
{
    CHECK(read_under_cap(MMG_NO_LIMIT, 5000000) >= 5000000);
}

static void
a_large_cap_takes_no_memory_in_advance(void)
{
    CHECK(read_under_cap(UINT64_C(1) << 45, 1000) < 1 << 20);
}

static volatile sig_atomic_t alarms;

static void
on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

static void
interrupted_reads_are_resumed(void)
{
    const struct sigaction interrupting = {.sa_handler = on_alarm}; /* SA_RESTART is not set */
    const struct itimerval often = {{0, 500}, {0, 500}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    REQUIRE(sigaction(SIGALRM, &interrupting, NULL) == 0);
    alarms = 0;
    for (unsigned round = 0; round < 3 || (alarms < 20 && round < 1000); round++) {
        struct writer writer;
        mmg_handle handle = 0;
        int descriptor = start(&writer, 100000, 1000, true);
        REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
        CHECK_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_OK);
        REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
        check_pattern(handle, 0, 100000);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        finish(&writer, descriptor);
    }
    REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* an alarm may still be pending */
    CHECK(alarms >= 20);
}

static void
a_descriptor_that_does_not_block_is_waited_for(void)
{
    struct writer writer;
    mmg_handle handle = 0;
    int descriptor = start(&writer, 50000, 1000, true);
    REQUIRE(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0);
    CHECK_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_OK);
    check_pattern(handle, 0, 50000);
    CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    finish(&writer, descriptor);
}

static void
a_window_of_a_stream_skips_and_then_ends(void)
{
    enum {
        SIZE = 200000
    };
    static const struct {
        uint64_t offset;
        uint64_t length;
        mmg_status status;
    } windows[] = {
        {0, 1, MMG_OK},        {0, SIZE, MMG_OK},      {0, SIZE + 1, MMG_E_RANGE}, {1, 0, MMG_OK},
        {1, SIZE - 1, MMG_OK}, {1, SIZE, MMG_E_RANGE}, {65536, 65536, MMG_OK},     {SIZE - 1, 1, MMG_OK},
        {SIZE, 0, MMG_OK},     {SIZE, 1, MMG_E_RANGE}, {SIZE + 1, 0, MMG_E_RANGE}, {UINT64_MAX, 0, MMG_E_RANGE},
    };
    for (size_t index = 0; index < sizeof windows / sizeof *windows; index++) {
        struct writer writer;
        mmg_handle handle = 1;
        mmg_options options = MMG_OPTIONS_INIT;
        options.offset = windows[index].offset;
        options.length = windows[index].length;
        int descriptor = start(&writer, SIZE, 7777, false);
        CHECK_STATUS(mmg_read_fd(descriptor, &options, &handle, NULL), windows[index].status);
        if (windows[index].status == MMG_OK) {
            CHECK_U64(check_info(handle).offset, options.offset);
            check_pattern(handle, options.offset, options.length == 0 ? SIZE - options.offset : options.length);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
        finish(&writer, descriptor);
    }
}

static void
the_cap_counts_the_window_only(void)
{
    struct writer writer;
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    options.max_bytes = 1000;
    options.offset = 150000;
    options.length = 1000;
    int descriptor = start(&writer, 200000, 7777, false);
    REQUIRE_STATUS(mmg_read_fd(descriptor, &options, &handle, NULL), MMG_OK);
    check_pattern(handle, 150000, 1000);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    finish(&writer, descriptor);
    options.length = 1001;
    descriptor = start(&writer, 200000, 7777, false);
    CHECK_STATUS(mmg_read_fd(descriptor, &options, &handle, NULL), MMG_E_TOO_BIG);
    finish(&writer, descriptor);
}

static void
a_regular_file_is_read_from_its_position(void)
{
    mmg_handle handle = 0;
    int descriptor = open(check_file("file", 300000), O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0 && lseek(descriptor, 12345, SEEK_SET) == 12345);
    REQUIRE_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_OK);
    check_pattern(handle, 12345, 300000 - 12345);
    CHECK_U64(check_info(handle).backing, MMG_BACKING_COPY);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).size, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(descriptor);
}

static void
a_reset_connection_is_an_error_and_no_partial_data(void)
{
    int ends[2];
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    static char unread[1000];
    /* Closing a stream socket with unread input resets the connection. */
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    REQUIRE(write(ends[0], unread, sizeof unread) == sizeof unread);
    REQUIRE(write(ends[1], unread, sizeof unread) == sizeof unread);
    close(ends[1]);
    mmg_status status = mmg_read_fd(ends[0], NULL, &handle, &error);
    CHECK(status == MMG_E_SYSTEM || status == MMG_E_IO);
    CHECK_I64(error.os_code, ECONNRESET);
    CHECK_TEXT(error.operation, "read");
    CHECK_U64(handle, 0);
    close(ends[0]);
}

static const struct check_case cases[] = {
    {"streams of every size are read whole", streams_of_every_size_are_read_whole, CHECK_THREADS},
    {"the cap is exact", the_cap_is_exact, CHECK_THREADS},
    {"no cap reads everything", no_cap_reads_everything, CHECK_THREADS},
    {"a large cap takes no memory in advance", a_large_cap_takes_no_memory_in_advance, CHECK_THREADS},
    {"interrupted reads are resumed", interrupted_reads_are_resumed, CHECK_THREADS},
    {"a descriptor that does not block is waited for", a_descriptor_that_does_not_block_is_waited_for, CHECK_THREADS},
    {"a window of a stream skips and then ends", a_window_of_a_stream_skips_and_then_ends, CHECK_THREADS},
    {"the cap counts the window only", the_cap_counts_the_window_only, CHECK_THREADS},
    {"a regular file is read from its position", a_regular_file_is_read_from_its_position, CHECK_THREADS},
    {"a reset connection is an error and no partial data", a_reset_connection_is_an_error_and_no_partial_data,
     CHECK_THREADS},
};

CHECK_MAIN(cases)
