/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests regions of a file system that is stacked on another one: the file behind the descriptor may be replaced by a copy, while
 * the mapping goes on to show the file that was opened. So only the mapping tells whether bytes are lost.
 */
#include <string.h>

#include "os/file.h"
#include "os/file_system.h"
#include "standing_in.h"

#define PAGES 8

void __real_mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system);
void __wrap_mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system);
int __real_mmgi_file_status(int fd, struct file_status *status);
int __wrap_mmgi_file_status(int fd, struct file_status *status);
int __real_mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status);
int __wrap_mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status);

static uint64_t page;
static uint64_t most =
    UINT64_MAX; /* of the file behind the descriptor, which may be shorter than that of the mapping */

void
__wrap_mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system)
{
    __real_mmgi_file_system_find(fd, status, file_system);
    file_system->is_stacked = true;
}

static int
describe(int os_code, struct file_status *status)
{
    if (os_code == 0 && status->size > most) {
        status->size = most;
    }
    return os_code;
}

int
__wrap_mmgi_file_status(int fd, struct file_status *status)
{
    return describe(__real_mmgi_file_status(fd, status), status);
}

int
__wrap_mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status)
{
    return describe(__real_mmgi_file_status_if(fd, device, inode, status), status);
}

/** Opens a new file from an offset on as a mapping. */
static mmg_handle
open_from(uint64_t offset)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    page = check_page();
    options.offset = offset;
    return check_open(check_file("file", PAGES * page), &options);
}

/** Checks a read of the whole region. `got` bytes of the file are there. */
static void
check_read(mmg_handle handle, uint64_t offset, mmg_status status, uint64_t got)
{
    static uint8_t buffer[PAGES << 16];
    uint64_t number = 77;
    REQUIRE(PAGES * page <= sizeof buffer);
    CHECK_STATUS(mmg_read(handle, 0, buffer, PAGES * page - offset, &number), status);
    CHECK_U64(number, got);
    CHECK(check_is_pattern(buffer, offset, got));
}

/** Whatever page the cut is in, and whether it leaves a part of that page. */
static void
a_cut_shows_in_the_mapping(void)
{
    const uint64_t ahead[] = {0, check_page() + 5};
    for (uint64_t left = 2 * check_page(); left < PAGES * check_page(); left += check_page() / 2) {
        for (size_t index = 0; index < 2; index++) {
            const uint64_t offset = ahead[index];
            const mmg_handle handle = open_from(offset);
            check_read(handle, offset, MMG_OK, PAGES * page - offset);
            check_truncate(check_path("file"), left);
            check_read(handle, offset, MMG_E_TRUNCATED, left - offset);
            CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
            CHECK_U64(check_info(handle).fault_offset, left - offset);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

/** Nothing is lost while the file of the mapping has all its bytes. */
static void
a_shorter_file_behind_the_descriptor_loses_nothing(void)
{
    for (uint64_t left = 0; left < PAGES * check_page(); left += check_page() / 2) {
        const mmg_handle handle = open_from(0);
        most = left;
        check_read(handle, 0, MMG_OK, PAGES * page);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        most = UINT64_MAX;
        CHECK_U64(check_info(handle).faults, 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
skip_without_self(void (*body)(void))
{
    if (!check_reads_itself()) {
        check_skip("no process_vm_readv(2) here, so nobody can ask whether a page is lost");
        return;
    }
    body();
}

static void
cuts(void)
{
    skip_without_self(a_cut_shows_in_the_mapping);
}

static void
copies(void)
{
    skip_without_self(a_shorter_file_behind_the_descriptor_loses_nothing);
}

static const struct check_case cases[] = {
    {"a cut shows in the mapping", cuts, CHECK_LOSES},
    {"a shorter file behind the descriptor loses nothing", copies, CHECK_LOSES},
};

CHECK_MAIN(cases)
