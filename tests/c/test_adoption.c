/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests that an adopted region has the size that the file has under its lock: a cooperating writer may cut the file up to the
 * moment at which the lock is taken.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/file_lock.h"
#include "standing_in.h"

STANDS_IN(int, mmgi_lock_try, (int fd, uint32_t kind), (fd, kind))

#define PAGES 3
#define REGIONS 16

static char path[4096];

static void
cut_the_file(void)
{
    check_truncate(path, check_page() + 5);
}

/** Maps the file, cuts it while the lock is taken, and checks what the adopted region has. */
static void
adopt_during_a_cut(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    options.lock = MMG_LOCK_SHARED;
    strncpy(path, check_file("file", PAGES * check_page()), sizeof path - 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = mmap(NULL, PAGES * check_page(), PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(fd >= 0 && bytes != MAP_FAILED);
    close(fd);
    PLAN_MEANWHILE(mmgi_lock_try, 1, cut_the_file);
    const mmg_status status = mmg_adopt(bytes, PAGES * check_page(), -1, &options, &handle, NULL);
    if (status == MMG_E_UNSUPPORTED) {
        check_skip("the kernel does not say here what is mapped at an address");
    } else if (CHECK_STATUS(status, MMG_OK)) {
        CHECK(CALLS(mmgi_lock_try) > 0);
        CHECK_U64(check_info(handle).size, check_page() + 5);
        CHECK_U64(check_info(handle).file_size, check_page() + 5);
        CHECK_U64(check_info(handle).lock, MMG_LOCK_SHARED);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    munmap(bytes, PAGES * check_page());
}

static void
the_size_is_that_under_the_lock(void)
{
    adopt_during_a_cut();
}

/** The lock is asked for later when another file has many regions, which share one lock. */
static void
the_size_is_that_under_the_lock_beside_shared_locks(void)
{
    mmg_handle handles[REGIONS];
    const char *large = check_file("large", 300000);
    for (size_t index = 0; index < REGIONS; index++) {
        handles[index] = check_open(large, NULL);
    }
    adopt_during_a_cut();
    for (size_t index = 0; index < REGIONS; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"the size is that under the lock", the_size_is_that_under_the_lock, 0},
    {"the size is that under the lock, beside shared locks", the_size_is_that_under_the_lock_beside_shared_locks, 0},
};

CHECK_MAIN(cases)
