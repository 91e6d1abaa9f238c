/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The scenarios in which bytes are lost, and those with mappings that other code made.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"

/** Searches with SIGBUS blocked. The library then lets the kernel copy the bytes into its own memory. */
void
guardless_search(void)
{
    uint8_t needle[40];
    uint64_t position = 0;
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, NULL, &handle, &error);
    if (!observe_open(OPEN, status, MMG_OK, handle, &error)) {
        return;
    }
    check_block_bus(true);
    check_fill(needle, SIZE - 40, sizeof needle);
    if (observe(FIND, mmg_find(handle, 0, MMG_TO_END, needle, sizeof needle, &position), "mmg_find")) {
        CHECK_U64(position, SIZE - 40);
    }
    check_block_bus(false);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Causes a fault in a file that was cut short, so that calls of the handler can fail. */
void
contained_fault(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    check_file("faulty", SIZE);
    mmg_status status = mmg_open(path, &options, &handle, &error);
    if (!observe_open(OPEN, status, MMG_OK, handle, &error)) {
        return;
    }
    mmg_info info = check_info(handle);
    mmg_span span = MMG_SPAN_INIT;
    if (info.guarantee == MMG_GUARANTEE_CONTAINED && mmg_guard_state() == MMG_GUARD_TOP &&
        mmg_pin(handle, 0, MMG_TO_END, &span) == MMG_OK) {
        check_truncate(path, SIZE / 2);
        for (uint64_t at = 0; at < SIZE; at += check_page()) {
            uint8_t byte = ((const volatile uint8_t *)span.data)[at];
            CHECK_U64(byte, at < SIZE / 2 ? check_byte(at) : 0);
        }
        status = mmg_unpin(&span);
        CHECK(status == MMG_E_TRUNCATED || (!strict && status == MMG_E_IO));
        CHECK(mmg_check(handle) < 0);
        CHECK(check_info(handle).faults >= 1);
    } else {
        CHECK(!strict);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Maps the file as any program would. */
static uint8_t *
map_plainly(void)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *bytes = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    close(descriptor);
    return bytes;
}

/**
 * Returns the first byte of the file that was lost behind a mark, or SIZE. Checks that every record is about this file.
 */
static uint64_t
lost_since(uint64_t mark, uint32_t origin)
{
    static mmg_loss losses[64];
    uint64_t count = 0, next = 0, first = SIZE;
    losses[0].struct_size = sizeof *losses;
    REQUIRE_STATUS(mmg_losses_get(mark, losses, 64, &count, &next), MMG_OK);
    CHECK_U64(next - mark, count);
    CHECK(!strict || count == 1);
    for (uint64_t index = 0; index < count; index++) {
        CHECK_TEXT(losses[index].path, path);
        CHECK_U64(losses[index].origin, origin);
        CHECK(losses[index].cause == MMG_E_TRUNCATED || (!strict && losses[index].cause == MMG_E_IO));
        first = losses[index].offset < first ? losses[index].offset : first;
    }
    return first;
}

static uint64_t
mark_of_now(void)
{
    uint64_t count = 0, next = 0;
    REQUIRE_STATUS(mmg_losses_get(0, NULL, 0, &count, &next), MMG_OK);
    return next;
}

/**
 * Cuts the file below its mapping, and touches every page. Bytes that read as zeros must be reported, and all other
 * bytes must be true.
 */
static void
cut_and_touch(const uint8_t *bytes, uint32_t origin)
{
    static uint8_t seen[SIZE];
    const uint64_t mark = mark_of_now();
    check_truncate(path, SIZE / 2);
    for (uint64_t at = 0; at < SIZE; at += check_page()) {
        seen[at] = ((const volatile uint8_t *)bytes)[at];
    }
    const uint64_t lost = lost_since(mark, origin);
    CHECK(lost <= SIZE / 2 + check_page() && (!strict || lost == SIZE / 2));
    for (uint64_t at = 0; at < SIZE; at += check_page()) {
        CHECK(seen[at] == (at < SIZE / 2 ? check_byte(at) : 0) || (!strict && seen[at] == 0 && at >= lost));
    }
}

/** Causes a fault in a mapping of other code, so that questions and calls of the handler can fail. */
void
foreign_fault(void)
{
    check_file("foreign", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, 0);
    if (observe(GUARD, status, "mmg_guard_process")) {
        cut_and_touch(bytes, MMG_ORIGIN_FOREIGN);
        CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    }
    munmap(bytes, SIZE);
}

/** Does the same where the kernel has only the list of all mappings. */
void
listed_foreign_fault(void)
{
    shim_forget_map_query();
    foreign_fault();
}

/** Does the same with a file whose path is gone, so that the guard must find out which pages can be read. */
void
nameless_foreign_fault(void)
{
    check_file("foreign", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, 0);
    if (observe(GUARD, status, "mmg_guard_process")) {
        const uint64_t mark = mark_of_now();
        check_truncate(path, SIZE / 2);
        REQUIRE(unlink(path) == 0);
        for (uint64_t at = 0; at < SIZE; at += check_page()) {
            const uint8_t byte = ((const volatile uint8_t *)bytes)[at];
            CHECK_U64(byte,
                      at < SIZE / 2 ? check_byte(at) : 0); /* the guard must never give up a page that can be read */
        }
        CHECK(lost_since(mark, MMG_ORIGIN_FOREIGN) >= SIZE / 2);
        CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    }
    munmap(bytes, SIZE);
}

static mmg_handle
adopt(const uint8_t *bytes, uint64_t size, const mmg_options *options)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_adopt(bytes, size, -1, options, &handle, &error);
    return observe_open(ADOPT, status, MMG_OK, handle, &error) ? handle : 0;
}

void
adopted_mapping(void)
{
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes + 77, SIZE - 77, NULL);
    if (handle != 0) {
        use(handle, 77, SIZE - 77);
    }
    CHECK(check_is_pattern(bytes, 0, SIZE)); /* the owner still has the mapping */
    munmap(bytes, SIZE);
}

void
adopted_fault(void)
{
    check_file("adopted", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes, SIZE, NULL);
    if (handle != 0 && check_info(handle).guarantee == MMG_GUARANTEE_CONTAINED && mmg_guard_state() == MMG_GUARD_TOP) {
        cut_and_touch(bytes, MMG_ORIGIN_ADOPTED);
        mmg_status status = mmg_check(handle);
        CHECK(status == MMG_E_TRUNCATED || (!strict && status == MMG_E_IO));
        CHECK(check_info(handle).faults >= 1);
    } else {
        CHECK(!strict || handle == 0);
    }
    CHECK_STATUS(handle == 0 ? MMG_OK : mmg_close(handle, 0), MMG_OK);
    munmap(bytes, SIZE);
}

/** Adopts a mapping as STABLE, by a lease or by a copy that replaces the pages at once. */
static void
stable_adoption(uint64_t flags)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.flags = flags;
    check_file("stable", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes, SIZE, &options);
    if (handle != 0) {
        CHECK(!strict || !has_leases || (check_info(handle).means == MMG_MEANS_LEASE) == (flags == 0));
        cut_stable(handle);
    }
    munmap(bytes, SIZE);
}

void
leased_adoption(void)
{
    stable_adoption(0);
}

void
copied_adoption(void)
{
    stable_adoption(MMG_FLAG_NO_LEASE);
}
