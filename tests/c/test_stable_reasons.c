/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the means of STABLE one by one: each is refused for each reason, and the message names the reasons in the order in which
 * the means were tried. The file system is said to be one that has every means.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "region/backing.h"
#include "region/source.h"
#include "stable/lease.h"
#include "stable/snapshot.h"
#include "standing_in.h"

STANDS_IN(int, mmgi_lease_begin, (const struct source *source, struct lease **lease), (source, lease))
STANDS_IN(bool, mmgi_backing_has_memory, (uint64_t length), (length))
STANDS_IN(int, mmgi_thread_start, (void *(*body)(void *), void *argument, size_t stack_size),
          (body, argument, stack_size))
STANDS_IN(mmg_status, mmgi_source_refresh, (struct source * source), (source))
STANDING_IN(int, mmgi_snapshot_reflink, (int fd, int *clone))
STANDING_IN(bool, mmgi_mount_name, (int fd, uint64_t unique, char *name, size_t size))

#define SIZE (UINT64_C(1) << 20)

/** The file that is taken for a clone. */
static const char *clone_path;

int
__wrap_mmgi_snapshot_reflink(int fd, int *clone)
{
    int result;
    if (plan_next(&mmgi_snapshot_reflink_plan, &result)) {
        return result;
    }
    if (clone_path == NULL) {
        return __real_mmgi_snapshot_reflink(fd, clone);
    }
    *clone = open(clone_path, O_RDONLY | O_CLOEXEC);
    return *clone < 0 ? errno : 0;
}

static const char *mount_name;

bool
__wrap_mmgi_mount_name(int fd, uint64_t unique, char *name, size_t size)
{
    (void)fd;
    (void)unique;
    CALLS(mmgi_mount_name)++;
    memset(name, 0, size);
    memcpy(name, mount_name, strlen(mount_name));
    return true;
}

static mmg_options
stable(uint64_t most)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.max_snapshot_bytes = most;
    return options;
}

/** Opens a file for which each means is refused. The message must have the words. */
static void
check_reasons(const mmg_options *options, mmg_status expected, const char *words)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 77;
    CHECK_STATUS(mmg_open(check_file("file", SIZE), options, &handle, &error), expected);
    CHECK_U64(handle, 0);
    CHECK_I64(error.os_code, 0); /* no single call is to blame */
    CHECK_TEXT(error.operation, "stable");
    if (strstr(error.message, words) == NULL) {
        CHECK_TEXT(error.message, words);
    }
}

CHECK_IN_A_CHILD(a_refused_lease_is_explained)
{
    static const struct {
        int os_code;
        const char *words;
    } refusals[] = {
        {EACCES,
         "not a read-only medium; lease: not the owner; reflink: not possible; copy: larger than max_snapshot_bytes"},
        {EAGAIN, "; lease: open for writing elsewhere;"},
        {EDQUOT, "; lease: max_leases are held;"},
        {EINVAL, "; lease: switched off, or the file system has none;"},
        {ENOMEM, "; lease: no memory or no thread for it;"},
        {EPERM, "; lease: refused;"},
    };
    const mmg_options options = stable(1);
    mount_name = "btrfs";
    for (size_t index = 0; index < sizeof refusals / sizeof *refusals; index++) {
        PLAN(mmgi_lease_begin, refusals[index].os_code);
        PLAN(mmgi_snapshot_reflink, EXDEV);
        check_reasons(&options, MMG_E_UNSTABLE, refusals[index].words);
        CHECK_U64(CALLS(mmgi_lease_begin), 1);
    }
}

CHECK_IN_A_CHILD(a_lease_without_its_thread_is_explained)
{
    const mmg_options options = stable(1);
    mount_name = "btrfs";
    PLAN(mmgi_thread_start, EAGAIN);
    PLAN(mmgi_snapshot_reflink, EXDEV);
    check_reasons(&options, MMG_E_UNSTABLE, "; lease: no memory or no thread for it;");
    CHECK_U64(CALLS(mmgi_thread_start), 1);
}

CHECK_IN_A_CHILD(a_refused_reflink_is_explained)
{
    static const struct {
        int os_code;
        const char *words;
    } refusals[] = {
        {EACCES, "; lease: not wanted; reflink: directory not writable; copy: larger"},
        {EROFS, "; lease: not wanted; reflink: directory not writable; copy: larger"},
        {EOPNOTSUPP, "; lease: not wanted; reflink: not possible; copy: larger"},
    };
    mmg_options options = stable(1);
    options.flags = MMG_FLAG_NO_LEASE;
    mount_name = "btrfs";
    for (size_t index = 0; index < sizeof refusals / sizeof *refusals; index++) {
        PLAN(mmgi_snapshot_reflink, refusals[index].os_code);
        check_reasons(&options, MMG_E_UNSTABLE, refusals[index].words);
        CHECK_U64(CALLS(mmgi_lease_begin), 0);
    }
}

/** The status of a clone must be from before the clone, so without one there is no clone, and no other means is tried. */
CHECK_IN_A_CHILD(a_file_that_fails_before_its_clone_is_not_cloned)
{
    mmg_options options = stable(MMG_NO_LIMIT);
    mmg_handle handle = 77;
    options.flags = MMG_FLAG_NO_LEASE;
    mount_name = "btrfs";
    const char *path = check_file("file", SIZE);
    PLAN(mmgi_snapshot_reflink, EXDEV);
    PLAN(mmgi_source_refresh, MMG_E_IO);
    CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_IO);
    CHECK_U64(handle, 0);
    CHECK_U64(CALLS(mmgi_source_refresh), 1);
    CHECK_U64(CALLS(mmgi_snapshot_reflink), 0);
}

static void
copy_without_memory(void *unused)
{
    (void)unused;
    mmg_options options = stable(MMG_NO_LIMIT);
    options.flags = MMG_FLAG_NO_LEASE;
    mount_name = "btrfs";
    PLAN(mmgi_snapshot_reflink, EXDEV);
    PLAN(mmgi_backing_has_memory, false);
    const mmg_handle handle = check_open(check_file("file", SIZE), &options);
    CHECK_U64(check_info(handle).means, MMG_MEANS_SNAPSHOT);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    CHECK(check_is_pattern(span.data, 0, SIZE));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    PLAN(mmgi_snapshot_reflink, EXDEV);
    PLAN(mmgi_backing_has_memory, GO_ON);
    const mmg_handle copied = check_open(check_path("file"), &options);
    CHECK_U64(check_info(copied).means, MMG_MEANS_PRIVATE_COPY);
    CHECK_STATUS(mmg_close(copied, 0), MMG_OK);
}

/** What is larger than the memory that is left goes to a file. */
static void
a_copy_for_which_there_is_no_memory_goes_to_a_file(void)
{
    const int unnamed = open(check_path("."), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (unnamed < 0) {
        check_skip("the file system under TMPDIR has no files without a name");
        return;
    }
    close(unnamed);
    CHECK_EXITED(check_child(copy_without_memory, NULL));
}

/** The clone shows one moment of the file. The size of that moment counts, whatever was asked before. */
CHECK_IN_A_CHILD(a_region_of_a_clone_has_the_size_of_the_clone)
{
    mmg_options options = stable(MMG_NO_LIMIT);
    options.flags = MMG_FLAG_NO_LEASE;
    mount_name = "btrfs";
    char path[4096];
    strncpy(path, check_file("clone", SIZE / 2 + 5), sizeof path - 1);
    path[sizeof path - 1] = '\0';
    clone_path = path;
    const unsigned before = check_descriptors();
    const mmg_handle handle = check_open(check_file("file", SIZE), &options);
    const mmg_info info = check_info(handle);
    CHECK_U64(info.means, MMG_MEANS_REFLINK);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info.size, SIZE / 2 + 5);
    CHECK_U64(CALLS(mmgi_snapshot_reflink), 1);
    check_truncate(check_path("file"), 0); /* the region does not need the file any more */
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    CHECK(check_is_pattern(span.data, 0, SIZE / 2 + 5));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_U64(check_descriptors(), before);
    /* A window that the clone does not have is an error of this moment. */
    options.offset = SIZE / 2 + 6;
    mmg_handle none = 77;
    CHECK_STATUS(mmg_open(check_file("file", SIZE), &options, &none, NULL), MMG_E_RANGE);
    CHECK_U64(check_descriptors(), before);
}

CHECK_IN_A_CHILD(what_no_process_can_write_to_needs_no_means)
{
    const mmg_options options = stable(1);
    mount_name = "squashfs";
    const mmg_handle handle = check_open(check_file("file", SIZE), &options);
    CHECK_U64(check_info(handle).means, MMG_MEANS_READ_ONLY_MEDIUM);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_U64(CALLS(mmgi_lease_begin) + CALLS(mmgi_snapshot_reflink), 0);
}

CHECK_IN_A_CHILD(without_the_guard_that_is_required_nothing_is_mapped)
{
    mmg_options options = stable(MMG_NO_LIMIT);
    options.flags = MMG_FLAG_REQUIRE_GUARD;
    mount_name = "btrfs";
    setenv("MMAPGUARD_NO_SIGNAL", "1", 1);
    const mmg_handle handle = check_open(check_file("file", SIZE), &options);
    CHECK_U64(check_info(handle).means, MMG_MEANS_PRIVATE_COPY);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    options.backing = MMG_BACKING_MAP;
    check_reasons(&options, MMG_E_GUARD, "; no mapping without the fault guard");
    CHECK_U64(CALLS(mmgi_lease_begin) + CALLS(mmgi_snapshot_reflink), 0);
}

static const struct check_case cases[] = {
    {"a refused lease is explained", a_refused_lease_is_explained, 0},
    {"a lease without its thread is explained", a_lease_without_its_thread_is_explained, 0},
    {"a refused reflink is explained", a_refused_reflink_is_explained, 0},
    {"a file that fails before its clone is not cloned", a_file_that_fails_before_its_clone_is_not_cloned, 0},
    {"a copy for which there is no memory goes to a file", a_copy_for_which_there_is_no_memory_goes_to_a_file, 0},
    {"a region of a clone has the size of the clone", a_region_of_a_clone_has_the_size_of_the_clone, 0},
    {"what no process can write to needs no means", what_no_process_can_write_to_needs_no_means, 0},
    {"without the guard that is required nothing is mapped", without_the_guard_that_is_required_nothing_is_mapped, 0},
};

CHECK_MAIN(cases)
