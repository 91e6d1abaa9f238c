/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests which status each errno becomes: one table for calls that open a file, and one for calls that read the contents of
 * an open one. The second never blames the file for a mistake of this process.
 */
#include "check.h"

#include <errno.h>

#include "base/status.h"

static void
a_failed_open_has_the_status_of_its_errno(void)
{
    static const struct {
        int os_code;
        mmg_status status;
    } expected[] = {
        {ENOENT, MMG_E_NOT_FOUND},
        {ENOTDIR, MMG_E_NOT_FOUND},
        {EACCES, MMG_E_PERMISSION},
        {EPERM, MMG_E_PERMISSION},
        {EISDIR, MMG_E_NOT_MAPPABLE},
        {ENXIO, MMG_E_NOT_MAPPABLE},
        {ENODEV, MMG_E_NOT_MAPPABLE},
        {EBADF, MMG_E_ARGUMENT},
        {EFAULT, MMG_E_ARGUMENT},
        {EINVAL, MMG_E_ARGUMENT},
        {ENAMETOOLONG, MMG_E_ARGUMENT},
        {EMFILE, MMG_E_LIMIT},
        {ENFILE, MMG_E_LIMIT},
        {ENOMEM, MMG_E_NO_MEMORY},
        {EFBIG, MMG_E_TOO_BIG},
        {EOVERFLOW, MMG_E_TOO_BIG},
        {EIO, MMG_E_IO},
        {EREMOTEIO, MMG_E_IO},
        {ENOTCONN, MMG_E_IO},
        {ESTALE, MMG_E_IO},
        {EHWPOISON, MMG_E_POISONED},
        {EAGAIN, MMG_E_WOULD_BLOCK},
        {EWOULDBLOCK, MMG_E_WOULD_BLOCK},
        {ENOTSUP, MMG_E_UNSUPPORTED},
        {ELOOP, MMG_E_SYSTEM},
        {ENOSYS, MMG_E_SYSTEM},
        {EDEADLK, MMG_E_SYSTEM},
        {INT32_MAX, MMG_E_SYSTEM},
    };

    for (size_t index = 0; index < sizeof expected / sizeof *expected; index++) {
        CHECK_STATUS(mmgi_status_from_errno(expected[index].os_code), expected[index].status);
    }
}

static void
a_failed_read_is_a_failure_of_the_medium_unless_this_process_is_wrong(void)
{
    for (int os_code = 1; os_code < 200; os_code++) {
        const bool is_our_mistake = os_code == EBADF || os_code == EFAULT || os_code == EINVAL;
        const mmg_status of_medium = os_code == EHWPOISON ? MMG_E_POISONED : MMG_E_IO;
        CHECK_STATUS(mmgi_status_of_contents(os_code), is_our_mistake ? MMG_E_SYSTEM : of_medium);
    }
}

static const struct check_case cases[] = {
    {"a failed open has the status of its errno", a_failed_open_has_the_status_of_its_errno, 0},
    {"a failed read is a failure of the medium, unless this process is wrong",
     a_failed_read_is_a_failure_of_the_medium_unless_this_process_is_wrong, 0},
};

CHECK_MAIN(cases)
