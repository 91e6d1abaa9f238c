/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what mmg_explain() says of a region, for each way in which its bytes can be wrong: the sentence, the place, and
 * the status, which is that of mmg_verify().
 */
#include "lost_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/** Checks an explanation. `place` is the offset in the file, and `words` are in the message, beside the path. */
static void
check_explained(mmg_handle handle, mmg_status status, uint64_t place, const char *words)
{
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_verify(handle), status);
    CHECK_STATUS(mmg_explain(handle, &error), status);
    CHECK_STATUS(error.status, status);
    CHECK_U64(error.offset, place);
    CHECK_TEXT(error.operation, status == MMG_OK ? "" : "verify");
    CHECK(strstr(error.message, words) != NULL);
    CHECK(status == MMG_OK || strstr(error.message, file) != NULL);
}

static void
nothing_is_said_of_bytes_that_hold(void)
{
    mmg_handle handle = open_third_page();
    check_explained(handle, MMG_OK, 0, "");
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** The system has no part in it, so there is no number of an error of the system. */
static void
a_handle_that_is_closed_is_told(void)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = open_third_page();
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_explain(handle, &error), MMG_E_HANDLE);
    CHECK_STATUS(error.status, MMG_E_HANDLE);
    CHECK_I64(error.os_code, 0);
    CHECK_U64(error.offset, 0);
    CHECK_TEXT(error.operation, "verify");
}

static void
a_cut_is_told_with_its_first_byte(void)
{
    char words[64];
    mmg_handle handle = open_third_page();
    check_truncate(file, 5 * page + 7);
    snprintf(words, sizeof words, "was cut short; the bytes from offset %llu on read as zeros",
             (unsigned long long)(5 * page + 7));
    check_explained(handle, MMG_E_TRUNCATED, 5 * page + 7, words);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Closes the descriptor that the library has of the file, as a host may by mistake. */
static void
close_descriptor_of_region(void)
{
    struct stat wanted, status;
    REQUIRE(stat(file, &wanted) == 0);
    for (int fd = 3; fd < 1000; fd++) {
        if (fstat(fd, &status) == 0 && status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino) {
            close(fd);
            return;
        }
    }
    CHECK(false);
}

/** Without a descriptor the guard cannot ask for the size, and a page that is not delivered counts as one of the device. */
static void
a_page_that_the_device_did_not_deliver_is_told(void)
{
    char words[96];
    mmg_handle handle = open_third_page();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    siginfo_t info = check_fault(span.data + 3 * page + 5);
    close_descriptor_of_region();
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_IO);
    snprintf(words, sizeof words, "could not be read from its device; the page at offset %llu reads as zeros",
             (unsigned long long)(5 * page));
    check_explained(handle, MMG_E_IO, 5 * page, words);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_memory_error_is_told_with_its_page(void)
{
    char words[96];
    mmg_handle handle = open_third_page();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    siginfo_t info = check_fault(span.data + 3 * page + 5);
    info.si_code = BUS_MCEERR_AR;
    info.si_addr_lsb = 12;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    snprintf(words, sizeof words, "lost bytes to a hardware memory error; the page at offset %llu reads as zeros",
             (unsigned long long)(5 * page));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_POISONED);
    check_explained(handle, MMG_E_POISONED, 5 * page, words);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_write_is_told(void)
{
    mmg_handle handle = open_third_page();
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    REQUIRE(utimensat(AT_FDCWD, file, times, 0) == 0);
    check_explained(handle, MMG_E_CHANGED, 0, "was written to since it was opened");
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** A host that closes all descriptors leaves nothing to ask. That is no statement about bytes. */
static void
a_file_that_cannot_be_asked_is_told(void)
{
    mmg_handle handle = open_third_page();
    close_descriptor_of_region();
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_explain(handle, &error), MMG_E_SYSTEM);
    CHECK_I64(error.os_code, EBADF);
    CHECK(strstr(error.message, "cannot be asked for its size and its times") != NULL);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** The host closes the descriptor of a lease, which ends with it: nobody knows from then on what the bytes are. */
static void
bytes_that_are_no_longer_stable_are_told(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    if (CHECK_UNDER_TSAN) {
        check_skip(
            "the thread of the library may get the number of the descriptor, in which ThreadSanitizer sees a race");
        return;
    }
    options.guarantee = MMG_GUARANTEE_STABLE;
    make_file();
    mmg_handle handle = check_open(file, &options);
    if (check_info(handle).means != MMG_MEANS_LEASE) {
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        check_skip("the file system under TMPDIR gives no lease, or another user owns the file");
        return;
    }
    close_descriptor_of_region();
    const struct timespec pause = {.tv_sec = 1};
    nanosleep(&pause, NULL); /* the library asks the kernel for the lease again after 0.9 s */
    check_explained(handle, MMG_E_UNSTABLE, 0, "is no longer stable; the bytes from offset 0 on may have changed");
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a handle that is closed is told", a_handle_that_is_closed_is_told, 0},
    {"nothing is said of bytes that hold", nothing_is_said_of_bytes_that_hold, 0},
    {"a cut is told with its first byte", a_cut_is_told_with_its_first_byte, 0},
    {"a page that the device did not deliver is told", a_page_that_the_device_did_not_deliver_is_told, 0},
    {"a memory error is told with its page", a_memory_error_is_told_with_its_page, 0},
    {"a write is told", a_write_is_told, 0},
    {"a file that cannot be asked is told", a_file_that_cannot_be_asked_is_told, 0},
    {"bytes that are no longer stable are told", bytes_that_are_no_longer_stable_are_told, CHECK_THREADS},
};

CHECK_MAIN(cases)
