/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what a region of an adopted mapping shows when the owner of the mapping breaks the promise to leave it alone, and
 * what STABLE costs such a region.
 */
#include "adopted.h"
#include "foreign.h"

/* ----------------------------------------------------------------------------------- an owner who breaks the promise -- */

/** The owner unmaps the file and maps a second one there, which is cut. A fault there does not concern the library. */
static void
exchanges_the_mapping(void *unused)
{
    (void)unused;
    signal(SIGBUS, SIG_DFL);
    const char *path = check_path("adopted");
    uint8_t *bytes = map_shared(path);
    adopt(bytes, whole(), -1, NULL);
    int other = open(check_path("other"), O_RDWR | O_CLOEXEC);
    REQUIRE(mmap(bytes, whole(), PROT_READ, MAP_SHARED | MAP_FIXED, other, 0) == bytes);
    check_truncate(path, 0);
    REQUIRE(ftruncate(other, (off_t)check_page()) == 0);
    touch(bytes, whole() - 1);
}

/** The owner maps memory there. The library must not change that memory, whatever happens to the file. */
static void
puts_memory_there(void *unused)
{
    (void)unused;
    const uint64_t page = check_page();
    const char *path = check_path("adopted");
    uint8_t *bytes = map_shared(path);
    mmg_handle handle = adopt(bytes, whole(), -1, NULL);
    uint8_t *half = bytes + whole() / 2;
    REQUIRE(mmap(half, whole() / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == half);
    memset(half, 42, whole() / 2);
    check_truncate(path, page + 100);
    CHECK(touch(bytes, 3 * page) == 0);
    CHECK_U64(check_info(handle).fault_offset, page + 100);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK(half[0] == 42 && memcmp(half, half + 1, whole() / 2 - 1) == 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(half[0] == 42);
    check_child_end();
}

static void
pages_that_the_owner_has_exchanged_are_not_replaced(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    check_file("adopted", whole());
    check_file("other", whole());
    CHECK_KILLED(check_child(exchanges_the_mapping, NULL), SIGBUS);
    check_file("adopted", whole());
    CHECK_EXITED(check_child(puts_memory_there, NULL));
}

/* ---------------------------------------------------------------------------------------------------------- STABLE -- */

/** Overwrites the file in another process. The owner and the region must both still see the old bytes. */
static void
stays_as_it_was(uint64_t flags, uint32_t means)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page(), from = 2 * page + 100, size = 30 * page;
    const char *path = check_file("adopted", whole());
    mmg_options options = MMG_OPTIONS_INIT;
    uint8_t *bytes = map_shared(path);
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;

    options.guarantee = MMG_GUARANTEE_STABLE;
    options.flags = flags;
    mmg_status status = mmg_adopt(bytes + from, size, -1, &options, &handle, &error);
    if (status == MMG_E_UNSTABLE && strstr(error.message, "lease") != NULL && means == MMG_MEANS_LEASE) {
        CHECK(!check_kernel_has_leases());
        check_skip("no leases on this file system");
        munmap(bytes, whole());
        return;
    }
    REQUIRE_STATUS(status, MMG_OK);
    if (means != MMG_MEANS_LEASE || check_info(handle).means == MMG_MEANS_LEASE) {
        CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    }
    int writer = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC); /* this breaks the lease, and waits for the snapshot */
    REQUIRE(writer >= 0);
    uint8_t zeros[4096] = {0};
    for (uint64_t at = 0; at < whole(); at += sizeof zeros) {
        REQUIRE(pwrite(writer, zeros, sizeof zeros, (off_t)at) == (ssize_t)sizeof zeros);
    }
    close(writer);
    CHECK(check_is_pattern(bytes + from, from, size));
    CHECK(check_is_pattern(bytes + 2 * page, 2 * page, 31 * page)); /* the owner can read whole pages */
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(check_is_pattern(bytes + from, from, size)); /* the owner still sees the bytes after the close */
    REQUIRE(munmap(bytes, whole()) == 0);
}

static void
stable_by_a_lease(void)
{
    stays_as_it_was(0, MMG_MEANS_LEASE);
}

static void
stable_by_a_snapshot(void)
{
    stays_as_it_was(MMG_FLAG_NO_LEASE, MMG_MEANS_SNAPSHOT);
}

static bool
are_of_the_owner(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 42 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/** What the owner of a private mapping does with its pages while a lease keeps them STABLE. */
static void
writes_to_a_page(uint8_t *at)
{
    REQUIRE(mprotect(at, check_page(), PROT_READ | PROT_WRITE) == 0);
    memset(at, 42, check_page());
}

static void
writes_to_a_page_and_protects_it(uint8_t *at)
{
    writes_to_a_page(at);
    REQUIRE(mprotect(at, check_page(), PROT_READ) == 0);
}

static void
puts_memory_in_place_of_a_page(uint8_t *at)
{
    REQUIRE(mmap(at, check_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    memset(at, 42, check_page());
}

/** The same page of another file, so that only the number of the file tells the two apart. */
static void
puts_another_file_in_place_of_a_page(uint8_t *at)
{
    uint8_t page[65536];
    memset(page, 42, sizeof page);
    const int other = open(check_file("other", whole()), O_RDWR | O_CLOEXEC);
    REQUIRE(other >= 0 && check_page() <= sizeof page);
    REQUIRE(pwrite(other, page, check_page(), (off_t)(5 * check_page())) == (ssize_t)check_page());
    REQUIRE(mmap(at, check_page(), PROT_READ, MAP_PRIVATE | MAP_FIXED, other, (off_t)(5 * check_page())) == at);
    close(other);
}

/** The owner changes a page in the middle, and a writer breaks the lease. Returns false where there is no lease. */
static bool
lose_the_lease_after(void (*change)(uint8_t *at))
{
    const uint64_t page = check_page();
    const char *path = check_file("adopted", whole());
    mmg_options options = MMG_OPTIONS_INIT;
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_PRIVATE, whole(), 0);
    mmg_handle handle = 0;

    options.guarantee = MMG_GUARANTEE_STABLE;
    const bool is_leased = mmg_adopt(bytes, whole(), -1, &options, &handle, NULL) == MMG_OK &&
                           check_info(handle).means == MMG_MEANS_LEASE;
    if (is_leased) {
        change(bytes + 5 * page);
        const int writer = open(check_path("adopted"), O_WRONLY | O_CLOEXEC);
        REQUIRE(writer >= 0);
        close(writer);
        CHECK(are_of_the_owner(bytes + 5 * page, page));
        CHECK(check_is_pattern(bytes, 0, 5 * page) && check_is_pattern(bytes + 6 * page, 6 * page, 58 * page));
        CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
        CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_CONTAINED);
    }
    CHECK(handle == 0 || mmg_close(handle, 0) == MMG_OK);
    munmap(bytes, whole());
    return is_leased;
}

static void
no_snapshot_replaces_what_the_owner_has_changed(void)
{
    static void (*const changes[])(uint8_t *) = {writes_to_a_page, writes_to_a_page_and_protects_it,
                                                 puts_memory_in_place_of_a_page, puts_another_file_in_place_of_a_page};
    if (foreign_is_unsupported()) {
        return;
    }
    for (size_t index = 0; index < sizeof changes / sizeof *changes; index++) {
        if (!lose_the_lease_after(changes[index])) {
            CHECK(!check_kernel_has_leases());
            check_skip("no leases on this file system");
            return;
        }
    }
}

/** Two regions share a page, which shows the snapshot as soon as the first of them does. */
static void
mappings_that_share_a_page_all_get_the_snapshot(void)
{
    const uint64_t half = 20 * check_page() + 100;
    const int kinds[] = {MAP_SHARED, MAP_PRIVATE};
    if (foreign_is_unsupported()) {
        return;
    }
    for (size_t kind = 0; kind < 2; kind++) {
        const char *path = check_file("adopted", whole());
        mmg_options options = MMG_OPTIONS_INIT;
        uint8_t *bytes = foreign_map(path, PROT_READ, kinds[kind], whole(), 0);
        mmg_handle handles[2] = {0, 0};
        bool are_leased = true;
        options.guarantee = MMG_GUARANTEE_STABLE;
        for (size_t index = 0; index < 2; index++) {
            are_leased &= mmg_adopt(bytes + index * half, half, -1, &options, &handles[index], NULL) == MMG_OK &&
                          check_info(handles[index]).means == MMG_MEANS_LEASE;
        }
        if (are_leased) {
            const int writer = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
            REQUIRE(writer >= 0 && close(writer) == 0);
            CHECK(check_is_pattern(bytes, 0, 2 * half));
        }
        for (size_t index = 0; index < 2; index++) {
            CHECK(!are_leased || mmg_check(handles[index]) == MMG_OK);
            CHECK(!are_leased || check_info(handles[index]).guarantee == MMG_GUARANTEE_STABLE);
            CHECK(handles[index] == 0 || mmg_close(handles[index], 0) == MMG_OK);
        }
        munmap(bytes, whole());
        if (!are_leased) {
            CHECK(!check_kernel_has_leases());
            check_skip("no leases on this file system");
            return;
        }
    }
}

static void
stable_is_refused_where_nothing_can_be_put(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("adopted", whole());
    mmg_options options = MMG_OPTIONS_INIT;
    uint8_t *bytes = foreign_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE, whole(), 0);
    options.guarantee = MMG_GUARANTEE_STABLE;
    is_refused(MMG_E_UNSTABLE, "can write", bytes, whole(), -1, &options);
    memset(bytes, 42, check_page() + 1); /* these bytes are not in the file */
    REQUIRE(mprotect(bytes, whole(), PROT_READ) == 0);
    is_refused(MMG_E_UNSTABLE, "have written", bytes, whole(), -1, &options);
    options.flags = MMG_FLAG_NO_LEASE;
    is_refused(MMG_E_UNSTABLE, "have written", bytes + check_page(), whole() - check_page(), -1, &options);
    CHECK(are_of_the_owner(bytes, check_page() + 1));
    options.flags = 0;
    munmap(bytes, whole());
    bytes = map_shared(path);
    options.flags = MMG_FLAG_NO_LEASE;
    options.max_snapshot_bytes = 100;
    is_refused(MMG_E_UNSTABLE, "not in place", bytes, whole(), -1, &options);
    munmap(bytes, whole());
}

static const struct check_case cases[] = {
    {"pages that the owner has exchanged are not replaced", pages_that_the_owner_has_exchanged_are_not_replaced, 0},
    {"a lease keeps the region STABLE, and a snapshot replaces its pages", stable_by_a_lease, CHECK_THREADS},
    {"no snapshot replaces what the owner has changed", no_snapshot_replaces_what_the_owner_has_changed, CHECK_THREADS},
    {"mappings that share a page all get the snapshot", mappings_that_share_a_page_all_get_the_snapshot, CHECK_THREADS},
    {"a snapshot in place keeps the region STABLE", stable_by_a_snapshot, 0},
    {"STABLE is refused where nothing can be put in place", stable_is_refused_where_nothing_can_be_put, 0},
};

CHECK_MAIN(cases)
