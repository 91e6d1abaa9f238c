/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_advise() and mmg_resident() where the kernel refuses. A child process has a filter that refuses the call
 * behind them with an errno, which stands for an old kernel, a full machine, or a page that the device does not deliver.
 * Tests as well how often pages are asked for that another process takes away.
 */
#include "forbid.h"
#include "lost_file.h"
#include "os/clock.h"
#include "os/map.h"
#include "standing_in.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

STANDS_IN(int, mmgi_map_advise,
          (const struct mapping *mapping, const unsigned char *start, size_t length, uint32_t advice),
          (mapping, start, length, advice))

/** The time of the clock, or 0: the clock goes on. */
static int64_t time_stands_still_at;

int64_t __real_mmgi_clock_realtime_ns(void);
int64_t __wrap_mmgi_clock_realtime_ns(void);

int64_t
__wrap_mmgi_clock_realtime_ns(void)
{
    return time_stands_still_at != 0 ? time_stands_still_at : __real_mmgi_clock_realtime_ns();
}

static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

/** Returns true when a filter stands for the kernel here. Otherwise skips the case. */
static bool
may_run(void)
{
    if (check_under_valgrind() || check_under_qemu() || check_is_slow()) {
        check_skip("valgrind, qemu and sanitizers make the same system calls themselves");
        return false;
    }
    return true;
}

/** What a child does: the errno of madvise(2), and the status of each kind of advice. */
struct refusal {
    int os_code;
    mmg_status populate;
    mmg_status willneed;
};

static void
advise_in_vain(void *argument)
{
    const struct refusal *refusal = argument;
    mmg_handle handle = open_mapped();
    REQUIRE(forbid(SYS_madvise, refusal->os_code));
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), refusal->populate);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_WILLNEED), refusal->willneed);
    CHECK_STATUS(mmg_advise(handle, 5, 0, MMG_ADVICE_POPULATE), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
advice_that_the_kernel_refuses_has_the_status_of_its_errno(void)
{
    static struct refusal refusals[] = {
        {EINVAL, MMG_E_UNSUPPORTED, MMG_E_SYSTEM},
        {ENOMEM, MMG_E_NO_MEMORY, MMG_E_NO_MEMORY},
        {EIO, MMG_E_IO, MMG_E_IO},
        {EHWPOISON, MMG_E_POISONED, MMG_E_POISONED},
        {EBADF, MMG_E_SYSTEM, MMG_E_SYSTEM},
    };
    if (!may_run()) {
        return;
    }
    make_file();
    for (size_t index = 0; index < sizeof refusals / sizeof *refusals; index++) {
        CHECK_EXITED(check_child(advise_in_vain, &refusals[index]));
    }
}

static void
populate_what_is_not_delivered(void *is_cut)
{
    mmg_handle handle = open_mapped();
    REQUIRE(forbid(SYS_madvise, EFAULT));
    if (is_cut != NULL) {
        check_truncate(file, 10 * page);
    }
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), is_cut != NULL ? MMG_E_TRUNCATED : MMG_E_IO);
    CHECK_STATUS(mmg_check(handle), is_cut != NULL ? MMG_E_TRUNCATED : MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** A page that is not delivered although the file has it is the device's fault, unless the file was written to meanwhile. */
static void
a_page_that_is_not_delivered_is_lost_or_not_readable(void)
{
    if (!may_run()) {
        return;
    }
    make_file();
    CHECK_EXITED(check_child(populate_what_is_not_delivered, NULL));
    CHECK_EXITED(check_child(populate_what_is_not_delivered, file));
}

static void
ask_in_vain(void *argument)
{
    mmg_handle handle = open_mapped();
    mmg_options options = check_backing(MMG_BACKING_COPY);
    mmg_handle copy = check_open(file, &options);
    uint64_t bytes = 77;
    (void)argument;
    REQUIRE(forbid(SYS_mincore, EAGAIN));
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &bytes), MMG_E_SYSTEM);
    CHECK_U64(bytes, 77);
    CHECK_I64(check_info(handle).os_error, EAGAIN);
    CHECK_STATUS(mmg_resident(copy, 0, MMG_TO_END, &bytes), MMG_OK);
    CHECK_U64(bytes, PAGES * page);
    CHECK_STATUS(mmg_close(copy, 0), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
what_the_kernel_does_not_tell_is_an_error_of_the_system(void)
{
    if (!may_run()) {
        return;
    }
    make_file();
    CHECK_EXITED(check_child(ask_in_vain, NULL));
}

/** A file that changes again and again may have been cut during each attempt, so a page that was missing is tried for again. */
static void
pages_of_a_file_that_changes_are_tried_for_sixteen_times(void)
{
    struct stat status;
    make_file();
    REQUIRE(stat(file, &status) == 0);
    mmg_handle handle = open_mapped();
    time_stands_still_at = status.st_ctim.tv_sec * INT64_C(1000000000) + status.st_ctim.tv_nsec;
    for (int failures = 14; failures <= 17; failures++) {
        int results[20];
        for (int call = 0; call < failures; call++) {
            results[call] = EFAULT;
        }
        plan_make(&mmgi_map_advise_plan, results, (size_t)failures);
        CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), failures < 16 ? MMG_OK : MMG_E_IO);
        CHECK_U64(CALLS(mmgi_map_advise), failures < 16 ? (uint64_t)failures + 1 : 16);
    }
    time_stands_still_at += INT64_C(20000000); /* too long ago to be within the same tick of a coarse clock */
    PLAN(mmgi_map_advise, EFAULT);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), MMG_E_IO);
    CHECK_U64(CALLS(mmgi_map_advise), 1);
    time_stands_still_at = 0;
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** A host that closes the descriptor leaves the pages in memory, and nobody to ask whether all of them are the file's. */
static void
populate_without_a_descriptor(void *argument)
{
    mmg_handle handle = open_mapped();
    struct stat wanted, status;
    (void)argument;
    REQUIRE(stat(file, &wanted) == 0 && utimensat(AT_FDCWD, file, long_ago, 0) == 0);
    for (int fd = 3; fd < 100; fd++) {
        if (fstat(fd, &status) == 0 && status.st_ino == wanted.st_ino) {
            close(fd);
        }
    }
    REQUIRE(forbid(SYS_madvise, EFAULT));
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), MMG_E_SYSTEM);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
without_a_descriptor_nobody_knows_what_a_missing_page_means(void)
{
    if (!may_run()) {
        return;
    }
    make_file();
    CHECK_EXITED(check_child(populate_without_a_descriptor, NULL));
}

static const struct check_case cases[] = {
    {"advice that the kernel refuses has the status of its errno",
     advice_that_the_kernel_refuses_has_the_status_of_its_errno, 0},
    {"a page that is not delivered is lost or not readable", a_page_that_is_not_delivered_is_lost_or_not_readable, 0},
    {"what the kernel does not tell is an error of the system", what_the_kernel_does_not_tell_is_an_error_of_the_system,
     0},
    {"without a descriptor nobody knows what a missing page means",
     without_a_descriptor_nobody_knows_what_a_missing_page_means, 0},
    {"pages of a file that changes are tried for sixteen times",
     pages_of_a_file_that_changes_are_tried_for_sixteen_times, 0},
};

CHECK_MAIN(cases)
