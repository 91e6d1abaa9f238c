/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what changes while a mapping is adopted: a cooperating writer may cut the file up to the moment at which the lock is
 * taken, and the owner may replace the mapping, although it must not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/file_lock.h"
#include "os/map_query.h"
#include "standing_in.h"

STANDS_IN(int, mmgi_map_find, (uintptr_t address, char *path, char *text, struct map_area *area),
          (address, path, text, area))
STANDS_IN(int, mmgi_map_list_find, (int list, uintptr_t address, char *path, char *text, struct map_area *area),
          (list, address, path, text, area))
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

static uint8_t *owned;
static bool is_replaced;

static void
map_memory_there(void)
{
    REQUIRE(mmap(owned, PAGES * check_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            owned);
    memset(owned, 7, PAGES * check_page());
    is_replaced = true;
}

static void
write_there(void)
{
    REQUIRE(mprotect(owned, PAGES * check_page(), PROT_READ | PROT_WRITE) == 0);
    memset(owned, 7, PAGES * check_page());
    is_replaced = true;
}

/** The owner protects the mapping again, so that only its pages tell of the write. */
static void
write_there_and_protect(void)
{
    write_there();
    REQUIRE(mprotect(owned, PAGES * check_page(), PROT_READ) == 0);
}

/**
 * Adopts a mapping that its owner changes while the kernel is asked for the `nth` time by `asked`. Stores the error when the
 * owner has done so.
 */
static void
adopt_during_a_change(int kind, struct plan *asked, unsigned nth, void (*change)(void), mmg_error *found)
{
    mmg_error error = MMG_ERROR_INIT;
    static uint8_t expected[PAGES << 16];
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.flags = MMG_FLAG_NO_LEASE;
    const int fd = open(check_file("file", PAGES * check_page()), O_RDONLY | O_CLOEXEC);
    owned = mmap(NULL, PAGES * check_page(), PROT_READ, kind, fd, 0);
    REQUIRE(fd >= 0 && owned != MAP_FAILED && PAGES * check_page() <= sizeof expected);
    close(fd);
    is_replaced = false;
    PLAN(mmgi_map_find, GO_ON);
    PLAN(mmgi_map_list_find, GO_ON);
    *asked = (struct plan){.meanwhile = change, .meanwhile_at = nth};
    const mmg_status status = mmg_adopt(owned, PAGES * check_page(), -1, &options, &handle, &error);
    *found = is_replaced ? error : *found;
    CHECK(!is_replaced || status != MMG_OK);
    memset(expected, 7, sizeof expected);
    CHECK(!is_replaced || memcmp(owned, expected, PAGES * check_page()) == 0);
    CHECK(status != MMG_OK || mmg_close(handle, 0) == MMG_OK);
    munmap(owned, PAGES * check_page());
    PLAN(mmgi_map_find, GO_ON);
    PLAN(mmgi_map_list_find, GO_ON);
}

/** Checks that the owner's change was seen when the snapshot was ready to be put in the place of the mapping. */
static void
check_seen_at_the_end(const mmg_error *error)
{
    CHECK_STATUS(error->status, MMG_E_UNSTABLE);
    CHECK_TEXT(error->operation, "mmap");
    CHECK_I64(error->os_code, ESTALE);
}

/** STABLE puts a snapshot in the place of the file. What the owner has put there in the meantime is not the file's. */
static void
nothing_is_put_in_the_place_of_another_mapping(void)
{
    unsigned nth = 0;
    mmg_error last = MMG_ERROR_INIT;
    do {
        adopt_during_a_change(MAP_SHARED, &mmgi_map_find_plan, ++nth, map_memory_there, &last);
    } while (is_replaced);
    if (nth == 1) {
        check_skip("the kernel does not say here what is mapped at an address");
        return;
    }
    adopt_during_a_change(MAP_SHARED, &mmgi_map_list_find_plan, 1, map_memory_there, &last);
    CHECK(is_replaced);
    check_seen_at_the_end(&last);
}

/** The owner writes to a private mapping before the first look at it, and between its pages and the second look. */
static void
nothing_is_put_in_the_place_of_what_the_owner_writes(void)
{
    static void (*const changes[])(void) = {write_there, write_there_and_protect, write_there};
    for (unsigned index = 0; index < 3; index++) {
        mmg_error last = MMG_ERROR_INIT;
        adopt_during_a_change(MAP_PRIVATE, &mmgi_map_list_find_plan, index < 2 ? 1 : 2, changes[index], &last);
        if (!is_replaced) {
            check_skip("the kernel does not say here what is mapped at an address, or which pages are copies");
            return;
        }
        check_seen_at_the_end(&last);
    }
}

/** The library itself refuses the range, so there is no number of an error of the system. */
static void
memory_that_is_no_file_is_no_error_of_the_system(void)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 1;
    const uint8_t *memory = mmap(NULL, check_page(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    const mmg_status status = mmg_adopt(memory, check_page(), -1, NULL, &handle, &error);
    if (status == MMG_E_UNSUPPORTED) {
        check_skip("the kernel does not say here what is mapped at an address");
    } else if (CHECK_STATUS(status, MMG_E_NOT_MAPPABLE)) {
        CHECK_U64(handle, 0);
        CHECK_I64(error.os_code, 0);
        CHECK_U64(error.offset, 0);
        CHECK_TEXT(error.operation, "adopt");
    }
    munmap((void *)(uintptr_t)memory, check_page());
}

/** The kernel is not asked about a range that no process can have. */
static void
a_range_ends_inside_the_address_space(void)
{
    static const struct {
        uintptr_t address;
        size_t size;
        bool is_possible;
    } ranges[] = {
        {4096, UINTPTR_MAX / 2, true}, {4096, UINTPTR_MAX / 2 + 1, false}, {4096, UINTPTR_MAX, false},
        {UINTPTR_MAX - 10, 10, true},  {UINTPTR_MAX - 10, 11, false},      {UINTPTR_MAX, 1, false},
    };
    for (size_t index = 0; index < sizeof ranges / sizeof *ranges; index++) {
        mmg_handle handle = 1;
        mmg_error error = MMG_ERROR_INIT;
        PLAN(mmgi_map_find, ENOENT);
        CHECK_STATUS(mmg_adopt((const void *)ranges[index].address, ranges[index].size, -1, NULL, &handle, &error),
                     ranges[index].is_possible ? MMG_E_NOT_MAPPABLE : MMG_E_RANGE);
        CHECK_U64(CALLS(mmgi_map_find), ranges[index].is_possible);
        CHECK_U64(handle, 0);
        CHECK_I64(error.os_code, 0);
    }
}

static const struct check_case cases[] = {
    {"a range ends inside the address space", a_range_ends_inside_the_address_space, 0},
    {"memory that is no file is no error of the system", memory_that_is_no_file_is_no_error_of_the_system, 0},
    {"nothing is put in the place of another mapping", nothing_is_put_in_the_place_of_another_mapping, 0},
    {"nothing is put in the place of what the owner writes", nothing_is_put_in_the_place_of_what_the_owner_writes, 0},
    {"the size is that under the lock", the_size_is_that_under_the_lock, 0},
    {"the size is that under the lock, beside shared locks", the_size_is_that_under_the_lock_beside_shared_locks, 0},
};

CHECK_MAIN(cases)
