/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file changes its size while it is opened: before each call that the opening makes, one at a time. A file is written
 * to while it is copied.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"

/* The options for opening the file, its size at first, the size to which it suddenly changes, and the call at which it
   does. */
static mmg_options moving_options;
static uint64_t first_size = SIZE, moving_size;
static enum shim_function moving_at;
static bool has_moved;

static void
move_file(void)
{
    check_truncate(path, moving_size);
    has_moved = true;
}

/** Checks that every byte shows the pattern or is known to be lost. */
static void
judge_moved(mmg_handle handle)
{
    struct stat now;
    mmg_info info = check_info(handle);
    mmg_span span = MMG_SPAN_INIT;
    bool is_copy = info.backing == MMG_BACKING_COPY;
    REQUIRE(stat(path, &now) == 0);
    uint64_t size = (uint64_t)now.st_size;
    uint64_t end = size > info.offset ? size - info.offset : 0;
    uint64_t left = is_copy || info.size < end ? info.size : end;
    mmg_status status = mmg_pin(handle, 0, MMG_TO_END, &span);
    CHECK(status == MMG_OK || (left < info.size && status == MMG_E_TRUNCATED));
    if (status == MMG_OK) {
        uint64_t written = info.offset + left < first_size
                               ? left
                               : first_size - info.offset; /* the file has grown by a hole */
        CHECK(check_is_pattern(span.data, info.offset, written));
        CHECK(check_is_zero(span.data + written, span.size - written));
        status = mmg_unpin(&span); /* the end of the last page is lost without a fault, so only mmg_check() finds it */
        CHECK(status == MMG_OK || (left < info.size && status == MMG_E_TRUNCATED));
    }
    CHECK_STATUS(mmg_check(handle), left < info.size ? MMG_E_TRUNCATED : MMG_OK);
    CHECK(left == info.size || check_info(handle).fault_offset == left);
    if (has_moved && moving_at == SHIM_flock && moving_options.length == 0) { /* the size is that under the lock */
        CHECK_U64(info.offset + info.size, moving_size);
        CHECK_U64(info.file_size, moving_size);
        CHECK(moving_options.backing != MMG_BACKING_AUTO || is_copy == (info.size <= (64 << 10)));
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
moving_file(void)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    check_file("moving", first_size);
    has_moved = false;
    mmg_status status = mmg_open(path, &moving_options, &handle, &error);
    shim_disarm(); /* the file must not change while the result is checked */
    CHECK_STATUS(error.status, status);
    if (status == MMG_OK) {
        judge_moved(handle);
    } else {
        CHECK(handle == 0 && strstr(error.message, path) != NULL);
        CHECK(!strict && moving_size < first_size && (status == MMG_E_TRUNCATED || status == MMG_E_RANGE));
    }
}

/** Changes the size of the file before each call that the opening makes, one at a time. */
static void
move_at_every_call(void)
{
    const uint64_t sizes[] = {0, 1, 4096, 5001, first_size / 2, first_size - 1, first_size + 1, 2 * first_size, SIZE};
    static const struct scenario this_one = {.run = moving_file};
    unsigned reached = 0;
    shim_set_hook(move_file);
    moving_size = first_size;
    begin(&this_one, check_path("moving"));
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        for (enum shim_function function = 0; function < SHIM_COUNT; function++) {
            for (unsigned nth = 1; nth <= rehearsed_calls(function) && nth <= 12; nth++) {
                moving_size = sizes[index];
                moving_at = function;
                reached += inject(function, nth, SHIM_HOOK, false);
            }
        }
    }
    printf("%u times ... ", reached);
    CHECK(reached > 0);
    finish();
}

void
a_mapped_file_may_change_its_size_while_it_is_opened(void)
{
    moving_options = check_backing(MMG_BACKING_MAP);
    move_at_every_call();
    moving_options.offset = 5000;
    moving_options.length = SIZE - 5000;
    move_at_every_call();
}

void
a_copied_file_may_change_its_size_while_it_is_opened(void)
{
    moving_options = check_backing(MMG_BACKING_COPY);
    move_at_every_call();
    moving_options.offset = 5000;
    moving_options.length = SIZE - 5000;
    move_at_every_call();
}

void
a_small_file_may_change_its_size_while_it_is_opened(void)
{
    first_size = 7000;
    moving_options = check_backing(MMG_BACKING_AUTO);
    move_at_every_call();
    moving_options.offset = 5000;
    move_at_every_call();
    moving_options.length = 2000;
    move_at_every_call();
    moving_options = check_backing(MMG_BACKING_MAP);
    move_at_every_call();
    first_size = SIZE;
}

#define SMALL 5000

/* How often the small file was written; all its bytes have this value. */
static unsigned char version;

/* Writes the small file again, with a modification time of its own. */
static void
write_version(void)
{
    unsigned char bytes[SMALL];
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = ++version}};
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    memset(bytes, version, sizeof bytes);
    REQUIRE(fd >= 0 && pwrite(fd, bytes, sizeof bytes, 0) == SMALL && futimens(fd, times) == 0 && close(fd) == 0);
}

/* Opens the small file while it is written before the first call of a function, or before every call. */
static mmg_status
open_while_written(enum shim_function function, bool always, uint32_t guarantee, mmg_handle *handle)
{
    mmg_options options = MMG_OPTIONS_INIT;

    options.guarantee = guarantee;
    options.flags = MMG_FLAG_NO_LEASE;
    shim_arm(function, 1, SHIM_HOOK, always);
    mmg_status status = mmg_open(path, &options, handle, NULL);
    shim_disarm();
    return status;
}

/* Returns true when all bytes of the region are those of the newest version. */
static bool
is_newest(mmg_handle handle)
{
    unsigned char bytes[SMALL];
    uint64_t got = 0;

    CHECK_STATUS(mmg_read(handle, 0, bytes, sizeof bytes, &got), MMG_OK);
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != version)
            return false;
    return got == sizeof bytes;
}

void
a_copy_of_a_file_that_is_written_meanwhile_is_known(void)
{
    static const enum shim_function reads[] = {SHIM_pread, SHIM_pread64, SHIM___pread64_chk};
    unsigned reached = 0;
    mmg_handle handle;

    path = check_file("written", SMALL);
    shim_set_hook(write_version);
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        CHECK_STATUS(open_while_written(reads[i], false, 0, &handle), MMG_OK);
        bool is_reached = shim_has_fired();
        if (is_reached) {
            CHECK(check_info(handle).backing == MMG_BACKING_COPY && is_newest(handle)); /* the second copy */
            CHECK_STATUS(mmg_verify(handle), MMG_OK);
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        if (!is_reached)
            continue;
        reached++;
        mmg_error error = MMG_ERROR_INIT;
        CHECK_STATUS(open_while_written(reads[i], true, 0, &handle), MMG_OK);
        CHECK(is_newest(handle)); /* each write was over before the kernel read, but the library cannot know */
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_verify(handle), MMG_E_CHANGED);
        CHECK_STATUS(mmg_explain(handle, &error), MMG_E_CHANGED);
        CHECK(strstr(error.message, "was written to while it was copied") != NULL);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK_STATUS(open_while_written(reads[i], true, MMG_GUARANTEE_STABLE, &handle), MMG_E_UNSTABLE);
    }
    CHECK(reached > 0);
}

void
a_file_that_is_filled_while_it_is_opened_is_no_virtual_one(void)
{
    static const enum shim_function reads[] = {SHIM_pread, SHIM_pread64, SHIM___pread64_chk};
    static const uint32_t guarantees[] = {MMG_GUARANTEE_CONTAINED, MMG_GUARANTEE_STABLE};
    unsigned reached = 0;

    shim_set_hook(write_version);
    for (size_t i = 0; i < 2 * sizeof reads / sizeof *reads; i++) {
        mmg_handle handle;
        path = check_file("filled", 0);
        CHECK_STATUS(open_while_written(reads[i / 2], false, guarantees[i % 2], &handle), MMG_OK);
        if (shim_has_fired()) {
            mmg_info info = check_info(handle);
            reached++;
            CHECK(info.size == SMALL && info.file_size == SMALL && info.backing_reason != MMG_REASON_VIRTUAL);
            CHECK(is_newest(handle));
            CHECK_STATUS(mmg_verify(handle), MMG_OK);
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    CHECK(reached > 0);
}
