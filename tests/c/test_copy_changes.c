/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests copies of files that another process writes to or cuts during the copy: how often the library copies again, what it
 * keeps in the end, and when the times of a file prove that nothing has changed.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/file_io.h"
#include "region/file_identity.h"
#include "standing_in.h"

#define SMALL 3000
#define LARGE 100000 /* is not copied again for a change */
#define STEP 10
#define MOST_ATTEMPTS 16 /* backing.c */

STANDING_IN(int, mmgi_file_read_at, (int fd, uint64_t offset, void *buffer, size_t size, size_t *got))
STANDING_IN(int64_t, mmgi_clock_realtime_ns, (void))

static unsigned changes;             /* so many attempts see a change */
static void (*change)(unsigned nth); /* what another process does during an attempt */
static int64_t now;                  /* the time in place of the clock's, or 0 */

int
__wrap_mmgi_file_read_at(int fd, uint64_t offset, void *buffer, size_t size, size_t *got)
{
    const unsigned nth = atomic_fetch_add(&CALLS(mmgi_file_read_at), 1) + 1;
    if (nth <= changes) {
        change(nth);
    }
    return __real_mmgi_file_read_at(fd, offset, buffer, size, got);
}

int64_t
__wrap_mmgi_clock_realtime_ns(void)
{
    atomic_fetch_add(&CALLS(mmgi_clock_realtime_ns), 1);
    return now != 0 ? now : __real_mmgi_clock_realtime_ns();
}

static void
expect(unsigned count, void (*what)(unsigned nth))
{
    PLAN(mmgi_file_read_at, GO_ON);
    changes = count;
    change = what;
}

/** Checks that a copy has the first bytes of the pattern, and closes it. */
static void
check_and_close(mmg_handle handle, uint64_t size, mmg_status verified)
{
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    CHECK_U64(check_info(handle).backing, MMG_BACKING_COPY);
    CHECK_U64(span.size, size);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_verify(handle), verified);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
grow(unsigned nth)
{
    (void)check_file("file", SMALL + STEP * nth);
}

/** Three attempts are enough to try. The last of them may mix two versions, which the copy tells. */
static void
a_small_file_that_changes_is_copied_again(void)
{
    for (unsigned count = 0; count <= 3; count++) {
        const char *path = check_file("file", SMALL);
        expect(count, grow);
        const mmg_handle handle = check_open(path, NULL);
        CHECK_U64(CALLS(mmgi_file_read_at), count < 3 ? count + 1 : 3);
        check_and_close(handle, SMALL + STEP * (count < 3 ? count : 2), count < 3 ? MMG_OK : MMG_E_CHANGED);
    }
}

static void
grow_the_large_file(unsigned nth)
{
    (void)check_file("file", LARGE + STEP * nth);
}

static void
a_large_file_that_changes_is_copied_once(void)
{
    const mmg_options options = check_backing(MMG_BACKING_COPY);
    for (unsigned count = 0; count <= 1; count++) {
        const char *path = check_file("file", LARGE);
        expect(count, grow_the_large_file);
        const mmg_handle handle = check_open(path, &options);
        CHECK_U64(CALLS(mmgi_file_read_at), 1);
        check_and_close(handle, LARGE, count == 0 ? MMG_OK : MMG_E_CHANGED);
    }
}

static void
cut(unsigned nth)
{
    check_truncate(check_path("file"), SMALL - STEP * nth);
}

/** No system call fails when another process cuts the file, so the error names its size and no errno. */
static void
open_in_vain(const char *path, const mmg_options *options, mmg_status expected, uint64_t size)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(path, options, &handle, &error), expected);
    CHECK_U64(handle, 0);
    CHECK_STATUS(error.status, expected);
    CHECK_I64(error.os_code, 0);
    CHECK_U64(error.offset, size);
}

/** A file that is shorter at every attempt has no version that could be copied. */
static void
a_file_that_shrinks_without_end_is_given_up(void)
{
    for (unsigned is_stable = 0; is_stable <= 1; is_stable++) {
        mmg_options options = check_backing(MMG_BACKING_COPY);
        options.guarantee = is_stable ? MMG_GUARANTEE_STABLE : options.guarantee;
        const char *path = check_file("file", SMALL);
        expect(MOST_ATTEMPTS - 1, cut);
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(CALLS(mmgi_file_read_at), MOST_ATTEMPTS);
        check_and_close(handle, SMALL - STEP * (MOST_ATTEMPTS - 1), MMG_OK);
        path = check_file("file", SMALL);
        expect(MOST_ATTEMPTS, cut);
        open_in_vain(path, &options, is_stable ? MMG_E_UNSTABLE : MMG_E_TRUNCATED,
                     is_stable ? 0 : SMALL - STEP * MOST_ATTEMPTS);
        CHECK_U64(CALLS(mmgi_file_read_at), MOST_ATTEMPTS);
    }
}

static void
cut_before_the_window(unsigned nth)
{
    (void)nth;
    check_truncate(check_path("file"), SMALL / 3);
}

/** The window was in the file when it was opened, so the file has shrunk, and nothing of the window is there. */
static void
a_file_that_is_cut_before_the_window_is_read_once(void)
{
    for (unsigned is_stable = 0; is_stable <= 1; is_stable++) {
        for (uint64_t length = 0; length <= 10; length += 10) {
            mmg_options options = check_backing(MMG_BACKING_COPY);
            options.guarantee = is_stable ? MMG_GUARANTEE_STABLE : options.guarantee;
            options.offset = SMALL / 2;
            options.length = length;
            const char *path = check_file("file", SMALL);
            expect(1, cut_before_the_window);
            open_in_vain(path, &options, MMG_E_TRUNCATED, SMALL / 3);
            CHECK_U64(CALLS(mmgi_file_read_at), 1);
        }
    }
}

/**
 * Two writes within one unit of the file's times leave the same times. So the times of a young file prove nothing, and the file
 * is read again. The copy of this case has another byte than the file, which only such a comparison can tell.
 */
static void
the_times_of_a_young_file_prove_nothing(void)
{
    static const struct {
        int64_t age;
        bool has_other_clock;
        bool is_believed;
    } files[] = {
        {-1, false, false},        {0, false, false},         {20000000, false, false},
        {2020000001, false, true}, {2020000001, true, false},
    };
    uint8_t bytes[SMALL];
    const mmg_options options = MMG_OPTIONS_INIT;
    const struct report report = {.path = "file"};
    const struct file_copy copy = {.bytes = bytes};
    struct source source = {.options = &options, .report = &report, .kind = SOURCE_FILE};
    source.fd = open(check_file("file", SMALL), O_RDONLY | O_CLOEXEC);
    REQUIRE(source.fd >= 0 && mmgi_file_status(source.fd, &source.status) == 0);
    check_fill(bytes, 0, SMALL);
    bytes[SMALL - 1] ^= 1;
    for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
        now = source.status.changed.seconds * INT64_C(1000000000) + source.status.changed.nanoseconds +
              files[index].age;
        source.file_system.has_other_clock = files[index].has_other_clock;
        CHECK_I64(mmgi_copy_is_one_version(&source, 0, SMALL, &copy), files[index].is_believed);
        CHECK(mmgi_copy_is_one_version(&source, 0, SMALL - 1, &copy));
    }
    now = 0;
    close(source.fd);
}

static const struct check_case cases[] = {
    {"a small file that changes is copied again", a_small_file_that_changes_is_copied_again, 0},
    {"a large file that changes is copied once", a_large_file_that_changes_is_copied_once, 0},
    {"a file that shrinks without end is given up", a_file_that_shrinks_without_end_is_given_up, 0},
    {"a file that is cut before the window is read once", a_file_that_is_cut_before_the_window_is_read_once, 0},
    {"the times of a young file prove nothing", the_times_of_a_young_file_prove_nothing, 0},
};

CHECK_MAIN(cases)
