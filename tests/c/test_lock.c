/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the advisory lock. It is taken before mapping and held as long as the mapping lives. It works together with
 * other users of flock(2) or of POSIX locks, and does not affect the caller's own descriptors.
 */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void
a_mapping_holds_a_shared_flock_until_its_end(void)
{
    const char *path = check_file("file", 100000);
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_SHARED);
    mmg_handle handle = check_open(path, &options);
    CHECK_U64(check_info(handle).lock, MMG_LOCK_SHARED);
    CHECK(can_flock(path, LOCK_SH));
    CHECK(!can_flock(path, LOCK_EX));
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(!can_flock(path, LOCK_EX));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK(can_flock(path, LOCK_EX));
}

static void
a_mapping_with_an_ofd_lock_keeps_posix_writers_out(void)
{
    const char *path = check_file("file", 100000);
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_OFD);
    mmg_handle handle = check_open(path, &options);
    CHECK_U64(check_info(handle).lock, MMG_LOCK_OFD);
    CHECK(can_posix_lock(path, F_RDLCK));
    CHECK(!can_posix_lock(path, F_WRLCK));
    CHECK(can_flock(path, LOCK_EX));
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, 10, &span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(!can_posix_lock(path, F_WRLCK));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK(can_posix_lock(path, F_WRLCK));
}

static void
an_ofd_lock_covers_the_whole_file_whatever_the_window(void)
{
    const char *path = check_file("file", 100000);
    struct flock last = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 99999, .l_len = 1};
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_OFD);
    options.offset = 5;
    options.length = 10;
    mmg_handle handle = check_open(path, &options);
    int descriptor = other(path);
    CHECK(fcntl(descriptor, F_OFD_SETLK, &last) != 0);
    close(descriptor);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
an_open_with_mmg_lock_none_takes_no_lock(void)
{
    const char *path = check_file("file", 100000);
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_NONE);
    int held = hold_flock(path, LOCK_EX);
    mmg_handle handle = check_open(path, &options);
    CHECK_U64(check_info(handle).lock, MMG_LOCK_NONE);
    CHECK(check_info(handle).lock_error == 0);
    close(held);
    CHECK(can_flock(path, LOCK_EX));
    CHECK(can_posix_lock(path, F_WRLCK));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_copy_gives_its_lock_back_at_once(void)
{
    const char *path = check_file("file", 1000);
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_NONE; lock++) {
        mmg_options options = lock_options(MMG_BACKING_COPY, lock);
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(check_info(handle).lock, MMG_LOCK_NONE);
        CHECK(can_flock(path, LOCK_EX));
        CHECK(can_posix_lock(path, F_WRLCK));
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
readers_share_and_a_writer_keeps_them_out(void)
{
    for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
        const char *path = check_file("file", backing == MMG_BACKING_AUTO ? 100 : 200000);
        mmg_options options = lock_options(backing, MMG_LOCK_SHARED);
        mmg_error error = MMG_ERROR_INIT;
        mmg_handle handle = 1;
        int held = hold_flock(path, LOCK_SH);
        CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
        close(held);
        held = hold_flock(path, LOCK_EX);
        CHECK_STATUS(mmg_open(path, &options, &handle, &error), MMG_E_WOULD_BLOCK);
        CHECK_U64(handle, 0);
        CHECK_TEXT(error.operation, "flock");
        CHECK_I64(error.os_code, EWOULDBLOCK);
        CHECK(strstr(error.message, path) != NULL);
        close(held);
        CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
    }
}

static void
a_posix_writer_keeps_ofd_readers_out(void)
{
    const char *path = check_file("file", 100000);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50000, .l_len = 1};
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_OFD);
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    int held = other(path);
    REQUIRE(fcntl(held, F_OFD_SETLK, &lock) == 0);
    CHECK_STATUS(mmg_open(path, &options, &handle, &error), MMG_E_WOULD_BLOCK);
    CHECK(error.os_code == EAGAIN || error.os_code == EACCES);
    options = lock_options(MMG_BACKING_MAP, MMG_LOCK_SHARED);
    CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
    close(held);
}

static void
a_lock_of_the_callers_own_is_a_lock_held_elsewhere(void)
{
    const char *path = check_file("file", 200000);
    mmg_handle handle = 1;
    int held = hold_flock(path, LOCK_EX);
    CHECK_STATUS(mmg_open_fd(held, NULL, &handle, NULL), MMG_E_WOULD_BLOCK);
    mmg_options options = lock_options(MMG_BACKING_AUTO, MMG_LOCK_NONE);
    CHECK_STATUS(mmg_open_fd(held, &options, &handle, NULL), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(!can_flock(path, LOCK_SH));
    close(held);
}

static void
the_callers_descriptor_is_neither_locked_nor_moved(void)
{
    const char *path = check_file("file", 200000);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_NONE; lock++) {
            mmg_options options = lock_options(backing, lock);
            mmg_handle handle = 0;
            int descriptor = other(path);
            REQUIRE(lseek(descriptor, 1234, SEEK_SET) == 1234);
            REQUIRE(flock(descriptor, LOCK_SH) == 0);
            REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_OK);
            CHECK_I64(lseek(descriptor, 0, SEEK_CUR), 1234);
            mmg_span span = MMG_SPAN_INIT;
            REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
            CHECK(check_is_pattern(span.data, 0, 200000));
            CHECK_STATUS(mmg_unpin(&span), MMG_OK);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
            CHECK_I64(lseek(descriptor, 0, SEEK_CUR), 1234);
            CHECK(!can_flock(path, LOCK_EX)); /* the caller still has its own lock */
            close(descriptor);
            CHECK(can_flock(path, LOCK_EX));
        }
    }
}

static void
a_required_lock_that_can_be_had_is_held(void)
{
    const char *path = check_file("file", 200000);
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_OFD; lock++) {
        mmg_options options = lock_options(MMG_BACKING_MAP, lock);
        options.flags = MMG_FLAG_REQUIRE_LOCK;
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(check_info(handle).lock, lock);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

/* A copy of a file gives its lock back, but not when the caller requires the lock. */
static void
a_required_lock_is_held_by_a_copy_as_well(void)
{
    static const uint64_t sizes[] = {0, 1000, 200000};
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_OFD; lock++) {
        for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
            const char *path = check_file("file", sizes[index]);
            mmg_options options = lock_options(sizes[index] > 1000 ? MMG_BACKING_COPY : MMG_BACKING_AUTO, lock);
            options.flags = MMG_FLAG_REQUIRE_LOCK;
            const unsigned before = check_descriptors();
            mmg_handle handle = check_open(path, &options);
            mmg_info info = check_info(handle);
            CHECK_U64(info.backing, MMG_BACKING_COPY);
            CHECK_U64(info.lock, lock);
            CHECK_U64(info.lock_reason, MMG_LOCKING_HELD);
            CHECK_U64(check_descriptors(), before + 1);
            mmg_span span = MMG_SPAN_INIT;
            REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
            CHECK(!(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX)));
            CHECK_STATUS(mmg_unpin(&span), MMG_OK);
            CHECK(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX));
            CHECK_U64(check_descriptors(), before);
        }
    }
}

/* The kernel makes the bytes up when they are read, so a lock on the file does not hold them. */
static void
a_required_lock_reads_no_bytes_that_the_kernel_makes_up(void)
{
    static const char attribute[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    mmg_options options = lock_options(MMG_BACKING_AUTO, MMG_LOCK_SHARED);
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    options.flags = MMG_FLAG_REQUIRE_LOCK;
    CHECK_STATUS(mmg_open("/proc/version", &options, &handle, NULL), MMG_E_UNSUPPORTED);
    if (access(attribute, R_OK) != 0)
        return; /* no file system of this machine has such a file */
    CHECK_STATUS(mmg_open(attribute, &options, &handle, &error), MMG_E_NOT_MAPPABLE);
    CHECK_I64(error.os_code, ENODEV);
    options.guarantee = MMG_GUARANTEE_STABLE;
    CHECK_STATUS(mmg_open(attribute, &options, &handle, NULL), MMG_E_UNSUPPORTED);
    options.guarantee = MMG_GUARANTEE_CONTAINED;
    options.backing = MMG_BACKING_COPY;
    CHECK_STATUS(mmg_open(attribute, &options, &handle, NULL), MMG_E_UNSUPPORTED);
    options.flags = 0;
    handle = check_open(attribute, &options);
    CHECK(check_info(handle).size > 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
to_require_a_lock_and_ask_for_none_is_a_contradiction(void)
{
    mmg_options options = lock_options(MMG_BACKING_AUTO, MMG_LOCK_NONE);
    mmg_handle handle = 1;
    options.flags = MMG_FLAG_REQUIRE_LOCK;
    CHECK_STATUS(mmg_open(check_file("file", 100), &options, &handle, NULL), MMG_E_ARGUMENT);
}

static void
a_failed_open_leaves_no_lock(void)
{
    const char *path = check_file("file", 200000);
    mmg_options options = lock_options(MMG_BACKING_MAP, MMG_LOCK_SHARED);
    mmg_handle handle = 1;
    options.offset = 200001;
    CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_RANGE);
    CHECK(can_flock(path, LOCK_EX));
    options.lock = MMG_LOCK_OFD;
    CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_RANGE);
    CHECK(can_posix_lock(path, F_WRLCK));
}

static const struct check_case cases[] = {
    {"a mapping holds a shared flock until its end", a_mapping_holds_a_shared_flock_until_its_end, 0},
    {"a mapping with an OFD lock keeps POSIX writers out", a_mapping_with_an_ofd_lock_keeps_posix_writers_out, 0},
    {"an OFD lock covers the whole file whatever the window", an_ofd_lock_covers_the_whole_file_whatever_the_window, 0},
    {"an open with MMG_LOCK_NONE takes no lock", an_open_with_mmg_lock_none_takes_no_lock, 0},
    {"a copy gives its lock back at once", a_copy_gives_its_lock_back_at_once, 0},
    {"readers share, and a writer keeps them out", readers_share_and_a_writer_keeps_them_out, 0},
    {"a POSIX writer keeps OFD readers out", a_posix_writer_keeps_ofd_readers_out, 0},
    {"a lock of the caller's own is a lock held elsewhere", a_lock_of_the_callers_own_is_a_lock_held_elsewhere, 0},
    {"the caller's descriptor is neither locked nor moved", the_callers_descriptor_is_neither_locked_nor_moved, 0},
    {"a required lock that can be had is held", a_required_lock_that_can_be_had_is_held, 0},
    {"a required lock is held by a copy as well", a_required_lock_is_held_by_a_copy_as_well, 0},
    {"a required lock reads no bytes that the kernel makes up", a_required_lock_reads_no_bytes_that_the_kernel_makes_up,
     0},
    {"to require a lock and ask for none is a contradiction", to_require_a_lock_and_ask_for_none_is_a_contradiction, 0},
    {"a failed open leaves no lock", a_failed_open_leaves_no_lock, 0},
};

CHECK_MAIN(cases)
