/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_changed(): each kind of change of a file is reported by itself.
 */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t
changed(mmg_handle handle)
{
    uint32_t what = 0;
    REQUIRE_STATUS(mmg_changed(handle, &what), MMG_OK);
    return what;
}

/** Sets the modification time of the file, so that the change shows with any resolution of the clock. */
static void
set_mtime(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void
the_kinds_of_changes_of_the_file_are_reported_separately(void)
{
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        const char *path = check_file("file", 10000);
        const char *aside = check_path("aside");
        mmg_options options = check_backing(backing);
        set_mtime(path, 1000);
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(changed(handle), 0);
        set_mtime(path, 2000);
        CHECK((changed(handle) & ~(uint32_t)MMG_CHANGED_CTIME) == MMG_CHANGED_MTIME);
        set_mtime(path, 1000);
        CHECK((changed(handle) & ~(uint32_t)MMG_CHANGED_CTIME) == 0);
        check_truncate(path, 9000);
        set_mtime(path, 1000);
        CHECK((changed(handle) & ~(uint32_t)MMG_CHANGED_CTIME) == MMG_CHANGED_SIZE);
        check_truncate(path, 10000);
        set_mtime(path, 1000);
        CHECK((changed(handle) & ~(uint32_t)MMG_CHANGED_CTIME) == 0);
        REQUIRE(rename(path, aside) == 0);
        CHECK((changed(handle) & MMG_CHANGED_PATH) != 0);
        check_file("file", 10000);
        CHECK((changed(handle) & MMG_CHANGED_PATH) != 0);
        REQUIRE(unlink(path) == 0);
        CHECK((changed(handle) & MMG_CHANGED_PATH) != 0);
        REQUIRE(rename(aside, path) == 0);
        CHECK((changed(handle) & MMG_CHANGED_PATH) == 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
change_of_attributes_shows_in_the_ctime(void)
{
    struct stat before;
    struct stat after;
    const char *path = check_file("file", 200000);
    mmg_handle handle = check_open(path, NULL);
    REQUIRE(stat(path, &before) == 0);
    do { /* repeat until the clock of the file system has advanced */
        REQUIRE(chmod(path, 0600) == 0 && chmod(path, 0644) == 0 && stat(path, &after) == 0);
    } while (memcmp(&before.st_ctim, &after.st_ctim, sizeof after.st_ctim) == 0);
    CHECK_U64(changed(handle), MMG_CHANGED_CTIME);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_replaced_path_is_the_only_change_of_a_copy(void)
{
    const char *path = check_file("file", 1000);
    int keeper = open(path, O_RDONLY | O_CLOEXEC); /* keeps the inode in use, so that the next file gets another one */
    mmg_handle handle = check_open(path, NULL);
    REQUIRE(keeper >= 0 && unlink(path) == 0);
    CHECK_U64(changed(handle), MMG_CHANGED_PATH);
    REQUIRE(mkdir(path, 0755) == 0);
    CHECK_U64(changed(handle), MMG_CHANGED_PATH);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(keeper);
}

static void
a_region_without_a_path_has_no_path_to_change(void)
{
    const char *path = check_file("file", 200000);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    mmg_handle handle = 0;
    uint32_t what = 0;
    REQUIRE(descriptor >= 0);
    REQUIRE_STATUS(mmg_open_fd(descriptor, NULL, &handle, NULL), MMG_OK);
    CHECK_U64(changed(handle), 0);
    check_truncate(path, 200001);
    CHECK((changed(handle) & MMG_CHANGED_SIZE) != 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    mmg_options options = check_backing(MMG_BACKING_COPY);
    REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_OK);
    CHECK_STATUS(mmg_changed(handle, &what), MMG_E_UNSUPPORTED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(descriptor);
}

static const struct check_case cases[] = {
    {"the kinds of changes of the file are reported separately",
     the_kinds_of_changes_of_the_file_are_reported_separately, 0},
    {"a change of attributes shows in the ctime", change_of_attributes_shows_in_the_ctime, 0},
    {"a replaced path is the only change of a copy", a_replaced_path_is_the_only_change_of_a_copy, 0},
    {"a region without a path has no path to change", a_region_without_a_path_has_no_path_to_change, 0},
};

CHECK_MAIN(cases)
