/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_read() on a mapping where a sandbox refuses process_vm_readv(2), by which the kernel copies the bytes: the
 * bytes, their number and the status are the same, whether the file is whole or was cut.
 */
#include "forbid.h"
#include "lost_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/** Checks one read of a region that begins at the third page of the file. `got` bytes of the file are there. */
static void
check_read(mmg_handle handle, uint64_t offset, uint64_t size, mmg_status status, uint64_t got)
{
    static uint8_t buffer[1 << 20];
    uint64_t number = 77;
    memset(buffer, 0xEE, sizeof buffer);
    REQUIRE(size <= sizeof buffer);
    CHECK_STATUS(mmg_read(handle, offset, buffer, size, &number), status);
    CHECK_U64(number, got);
    CHECK(check_is_pattern(buffer, 2 * page + offset, got));
    CHECK(size == sizeof buffer || buffer[size] == 0xEE);
}

/** Each page of the region, and ranges across pages, before and after a cut in the middle of a page. */
static void
a_cut_file_is_read_up_to_the_cut(void)
{
    mmg_handle handle = open_third_page();
    const uint64_t size = (PAGES - 2) * page, left = 3 * page + 100;
    for (uint64_t offset = 0; offset < size; offset += page / 2 + 1) {
        check_read(handle, offset, page, MMG_OK, size - offset < page ? size - offset : page);
    }
    check_read(handle, size, 10, MMG_OK, 0);
    check_truncate(file, 2 * page + left);
    check_read(handle, 0, left, MMG_OK, left);
    check_read(handle, 0, left + 1, MMG_E_TRUNCATED, left);
    check_read(handle, page, 10 * page, MMG_E_TRUNCATED, left - page);
    check_read(handle, left - 1, 2, MMG_E_TRUNCATED, 1);
    check_read(handle, left, 1, MMG_E_TRUNCATED, 0);
    check_read(handle, 10 * page, page, MMG_E_TRUNCATED, 0);
    check_read(handle, 0, page, MMG_OK, page);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    check_read(handle, 10 * page, page, MMG_E_TRUNCATED, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Adopts a private mapping of a new file, whose owner has written to one of its pages. Returns 0 where that is not possible. */
static mmg_handle
adopt_written_pages(void)
{
    mmg_handle handle = 0;
    make_file();
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(fd >= 0 && bytes != MAP_FAILED);
    close(fd);
    memset(bytes + 5 * page, 7, page);
    CHECK(mmg_adopt(bytes, PAGES * page, -1, NULL, &handle, NULL) == MMG_OK || mmg_supports(MMG_FEATURE_FOREIGN) != 1);
    return handle;
}

/** The file does not have what the owner has written, so the bytes come from the mapping. */
static void
read_written_pages(mmg_handle handle)
{
    static uint8_t buffer[PAGES << 16];
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    uint64_t number = 77;
    REQUIRE(PAGES * page <= sizeof buffer);
    CHECK_STATUS(mmg_read(handle, 0, buffer, PAGES * page, &number), MMG_OK);
    CHECK_U64(number, PAGES * page);
    CHECK_BYTES(buffer, span.data, PAGES * page);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK(buffer[5 * page] == 7 && check_is_pattern(buffer + 6 * page, 6 * page, page));
    check_truncate(file, 20 * page + 9);
    CHECK_STATUS(mmg_read(handle, 4 * page, buffer, 2 * page, &number), MMG_OK);
    CHECK(number == 2 * page && buffer[page] == 7);
    CHECK_STATUS(mmg_read(handle, 4 * page, buffer, 30 * page, &number), MMG_E_TRUNCATED);
    CHECK_U64(number, 16 * page + 9);
    CHECK(buffer[page] == 7 && check_is_pattern(buffer + 2 * page, 6 * page, 14 * page + 9));
    CHECK_STATUS(mmg_read(handle, 30 * page, buffer, 10, &number), MMG_E_TRUNCATED);
    CHECK_U64(number, 0);
}

/** The owner forbids the access to a page. A read fails there, and writes to no byte behind the buffer. */
static void
read_a_page_that_is_gone(mmg_handle handle)
{
    uint8_t bytes[2] = {1, 2};
    uint64_t number = 77;
    mmg_span span = check_pin(handle, 10 * page, page);
    REQUIRE(mprotect((void *)(uintptr_t)span.data, page, PROT_NONE) == 0);
    CHECK_STATUS(mmg_read(handle, 10 * page, bytes, 1, &number), MMG_E_IO);
    CHECK_U64(number, 0);
    CHECK_I64(bytes[1], 2);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

static void
read_in_a_sandbox(void *unused)
{
    (void)unused;
    CHECK_STATUS(mmg_close(open_third_page(), 0), MMG_OK);
    mmg_handle adopted = adopt_written_pages();
    REQUIRE(forbid(SYS_process_vm_readv, EPERM));
    if (adopted != 0) {
        read_written_pages(adopted);
        CHECK_STATUS(mmg_close(adopted, 0), MMG_OK);
    }
    a_cut_file_is_read_up_to_the_cut();
}

CHECK_IN_A_CHILD(written_pages_are_read_from_their_mapping)
{
    mmg_handle adopted = adopt_written_pages();
    if (adopted != 0) {
        read_written_pages(adopted);
        read_a_page_that_is_gone(adopted);
        CHECK_STATUS(mmg_close(adopted, 0), MMG_OK);
    }
}

static void
a_sandbox_without_copies_by_the_kernel_reads_the_same(void)
{
    if (check_under_valgrind() || check_under_qemu() || check_is_slow()) {
        check_skip("valgrind, qemu and sanitizers need the call themselves");
        return;
    }
    CHECK_EXITED(check_child(read_in_a_sandbox, NULL));
}

static const struct check_case cases[] = {
    {"a cut file is read up to the cut", a_cut_file_is_read_up_to_the_cut, CHECK_LOSES},
    {"written pages are read from their mapping", written_pages_are_read_from_their_mapping, CHECK_LOSES},
    {"a sandbox without copies by the kernel reads the same", a_sandbox_without_copies_by_the_kernel_reads_the_same,
     CHECK_LOSES},
};

CHECK_MAIN(cases)
