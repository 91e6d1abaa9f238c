/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mappings. They are read-only and exactly as large as needed. Advice does not change bytes. The status is
 * defined when descriptors, mappings or address space run out.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/** Returns the status of advice on a valid range. */
static mmg_status
status_of_advice(uint32_t advice)
{
    return advice != MMG_ADVICE_POPULATE || check_kernel_populates() ? MMG_OK : MMG_E_UNSUPPORTED;
}

static void
write_through_a_span(void *path)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(path, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    signal(SIGSEGV, SIG_DFL);
    *(volatile uint8_t *)(uintptr_t)span.data = 1; /* the cast removes the const, as a faulty program would */
}

static void
writing_through_a_span_of_a_mapping_is_an_access_violation(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", check_file("file", 10000));
    CHECK_KILLED(check_child(write_through_a_span, path), SIGSEGV);
}

static void
a_mapping_shows_changes_of_the_file(void)
{
    const char *path = check_file("file", 200000);
    mmg_handle handle = check_open(path, NULL);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0 && pwrite(descriptor, "changed", 7, 150000) == 7);
    close(descriptor);
    CHECK_BYTES(span.data + 150000, "changed", 7);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_window_maps_its_own_pages_only(void)
{
    uint64_t page = check_page();
    const char *path = check_file("file", 100 * page);
    static const struct {
        uint64_t before;
        uint64_t length;
        uint64_t pages;
    } windows[] = {{0, 1, 1}, {4095, 1, 1}, {4095, 2, 2}, {4096, 4096, 1}, {1, 4096, 2}, {8192, 12288, 3}};
    if (page != 4096) {
        check_skip("the windows of this case are made for pages of 4096 bytes");
        return;
    }
    for (size_t index = 0; index < sizeof windows / sizeof *windows; index++) {
        mmg_options options = check_backing(MMG_BACKING_MAP);
        options.offset = windows[index].before;
        options.length = windows[index].length;
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(check_info(handle).mapped_bytes, windows[index].pages * page);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
every_mapping_ends_with_its_region(void)
{
    const char *path = check_file("file", 200000);
    for (unsigned round = 0; round < 100; round++) {
        mmg_handle handle = check_open(path, NULL);
        CHECK_U64(check_mappings_of(path), 1);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK_U64(check_mappings_of(path), 0);
    }
}

static void
advice_changes_no_byte(void)
{
    const char *path = check_file("file", 300001);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        options.offset = 3;
        mmg_handle handle = check_open(path, &options);
        mmg_span span = MMG_SPAN_INIT;
        uint64_t state = check_seed();
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        for (unsigned round = 0; round < 200; round++) {
            uint64_t offset = check_random_below(&state, span.size + 1);
            uint64_t length = check_random_below(&state, span.size - offset + 1);
            uint32_t advice = (uint32_t)check_random_below(&state, MMG_ADVICE_EVICT + 1);
            mmg_status status = mmg_advise(handle, offset, round % 5 == 0 ? MMG_TO_END : length, advice);
            CHECK_STATUS(status, status_of_advice(advice));
        }
        CHECK(check_is_pattern(span.data, 3, span.size));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
populate_makes_a_range_resident(void)
{
    uint64_t page = check_page();
    const char *path = check_file("file", 0);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    if (check_under_qemu()) {
        check_skip("qemu-user takes no advice, and answers that it did");
        return;
    }
    check_truncate(path,
                   100 * page); /* the pages of a hole are in no cache before somebody reads them, as Valgrind does
                                         with the first ones of each mapping */
    mmg_handle handle = check_open(path, &options);
    uint64_t bytes = 1;
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &bytes), MMG_OK);
    CHECK(bytes == 0 || (check_under_valgrind() && bytes < 100 * page));
    mmg_status status = mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE);
    CHECK_STATUS(status, status_of_advice(MMG_ADVICE_POPULATE));
    if (status == MMG_E_UNSUPPORTED) {
        check_skip("MADV_POPULATE_READ needs Linux 5.14");
    } else {
        CHECK_STATUS(status, MMG_OK);
        CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &bytes), MMG_OK);
        CHECK_U64(bytes, 100 * page);
        CHECK_STATUS(mmg_resident(handle, 10, 20, &bytes), MMG_OK);
        CHECK_U64(bytes, 20);
        CHECK_STATUS(mmg_resident(handle, page - 1, 2, &bytes), MMG_OK);
        CHECK_U64(bytes, 2);
        CHECK_STATUS(mmg_resident(handle, 5, 0, &bytes), MMG_OK);
        CHECK_U64(bytes, 0);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
populating_a_lost_range_is_a_status_and_not_a_signal(void)
{
    uint64_t page = check_page();
    const char *path = check_file("file", 100 * page);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    check_truncate(path, 10 * page);
    mmg_status status = mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE);
    CHECK_STATUS(status, check_kernel_populates() ? MMG_E_TRUNCATED : MMG_E_UNSUPPORTED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
advice_on_an_empty_range_touches_nothing(void)
{
    uint64_t page = check_page();
    const char *path = check_file("file", 10 * page);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    check_truncate(path, page);
    for (uint64_t offset = 0; offset <= 10 * page; offset += page / 2) {
        for (uint32_t advice = MMG_ADVICE_NORMAL; advice <= MMG_ADVICE_EVICT; advice++) {
            mmg_status status = mmg_advise(handle, offset, 0, advice);
            CHECK_STATUS(status, status_of_advice(advice));
        }
    }
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_copy_is_always_resident(void)
{
    mmg_options options = check_backing(MMG_BACKING_COPY);
    mmg_handle handle = check_open(check_file("file", 50000), &options);
    uint64_t bytes = 0;
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &bytes), MMG_OK);
    CHECK_U64(bytes, 50000);
    CHECK_STATUS(mmg_resident(handle, 49999, 1, &bytes), MMG_OK);
    CHECK_U64(bytes, 1);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Lowers the limit on descriptors. A child calls it. */
static void
limit_descriptors(rlim_t soft)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = soft;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/** Lowers the limit on the address space. A child calls it. */
static void
limit_address_space(rlim_t soft)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = soft;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void
use_up_descriptors(void *path)
{
    mmg_handle handles[64];
    size_t used = 0;
    mmg_error error = MMG_ERROR_INIT;
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    limit_descriptors(40);
    mmg_status status = MMG_OK;
    while (used < 64 && (status = mmg_open(path, NULL, &handles[used], &error)) == MMG_OK) {
        used++;
    }
    CHECK_STATUS(status, MMG_E_LIMIT);
    CHECK_I64(error.os_code, EMFILE);
    CHECK(strstr(error.message, "no descriptors left") != NULL);
    CHECK(used > 10 && used < 40);
    CHECK_STATUS(mmg_open(path, &copy, &handles[used], &error), MMG_E_LIMIT);
    CHECK_STATUS(mmg_check(handles[0]), MMG_OK);
    CHECK_STATUS(mmg_close(handles[0], 0), MMG_OK);
    for (unsigned round = 0; round < 100; round++) { /* one free descriptor is enough for any number of copies */
        REQUIRE_STATUS(mmg_open(path, &copy, &handles[0], &error), MMG_OK);
        REQUIRE_STATUS(mmg_close(handles[0], 0), MMG_OK);
    }
    REQUIRE_STATUS(mmg_open(path, NULL, &handles[0], &error), MMG_OK);
    for (size_t index = 0; index < used; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

static void
running_out_of_descriptors_is_a_limit(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", check_file("file", 300000));
    CHECK_EXITED(check_child(use_up_descriptors, path));
}

static void
use_up_address_space(void *path)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 1;
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    copy.max_bytes = MMG_NO_LIMIT;
    limit_address_space((rlim_t)1 << 30);
    CHECK_STATUS(mmg_open(path, &map, &handle, &error), MMG_E_LIMIT);
    CHECK_I64(error.os_code, ENOMEM);
    mmg_status status = mmg_open(path, &copy, &handle, &error);
    CHECK(status == MMG_E_NO_MEMORY || status == MMG_E_LIMIT);
    map.length = 1 << 20;
    CHECK_STATUS(mmg_open(path, &map, &handle, &error), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
running_out_of_address_space_is_a_limit(void)
{
    char path[4096];
    if (check_is_slow()) {
        check_skip("sanitizers and Valgrind need the address space themselves");
        return;
    }
    if (check_under_qemu()) {
        check_skip("qemu-user applies no limit on the address space to what it runs");
        return;
    }
    snprintf(path, sizeof path, "%s", check_file("file", 0));
    /* The file is larger than the limit, but not so large that the library refuses it at once. */
    check_truncate(path, sizeof(void *) < 8 ? UINT64_C(3) << 29 : UINT64_C(1) << 33);
    CHECK_EXITED(check_child(use_up_address_space, path));
}

static void
use_up_mappings(void *path)
{
    size_t page = (size_t)check_page();
    size_t pages = check_max_mappings() + 1000;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle first = check_open(path, NULL);
    mmg_handle handle = 1;
    mmg_options map = check_backing(MMG_BACKING_MAP);
    uint8_t *arena = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(arena != MAP_FAILED);
    size_t split = 0;
    while (split < pages && mprotect(arena + split * page, page, PROT_READ) == 0) {
        split += 2; /* every second page becomes a separate mapping */
    }
    REQUIRE(split < pages);
    while (mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
        ; /* use up the last one or two mappings */
    }
    CHECK_STATUS(mmg_open(path, &map, &handle, &error), MMG_E_LIMIT);
    CHECK_U64(handle, 0);
    CHECK_I64(error.os_code, ENOMEM);
    CHECK_TEXT(error.operation, "mmap");
    CHECK_STATUS(mmg_check(first), MMG_OK);
    munmap(arena, pages * page);
    REQUIRE_STATUS(mmg_open(path, &map, &handle, &error), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(first, 0), MMG_OK);
}

static void
running_out_of_mappings_is_a_limit(void)
{
    char path[4096];
    if (check_is_slow()) {
        check_skip("sanitizers and Valgrind need mappings themselves");
        return;
    }
    if (check_max_mappings() == 0 || check_max_mappings() > 1000000) {
        check_skip("vm.max_map_count is too large to be reached");
        return;
    }
    if (sizeof(void *) < 8 && check_under_qemu()) {
        check_skip("qemu-user keeps the whole of a 32-bit address space mapped, and has no mapping left to free one");
        return;
    }
    snprintf(path, sizeof path, "%s", check_file("file", 300000));
    CHECK_EXITED(check_child(use_up_mappings, path));
}

static const struct check_case cases[] = {
    {"writing through a span of a mapping is an access violation",
     writing_through_a_span_of_a_mapping_is_an_access_violation, 0},
    {"a mapping shows changes of the file", a_mapping_shows_changes_of_the_file, 0},
    {"a window maps its own pages only", a_window_maps_its_own_pages_only, 0},
    {"every mapping ends with its region", every_mapping_ends_with_its_region, 0},
    {"advice changes no byte", advice_changes_no_byte, 0},
    {"POPULATE makes a range resident", populate_makes_a_range_resident, 0},
    {"populating a lost range is a status and not a signal", populating_a_lost_range_is_a_status_and_not_a_signal, 0},
    {"advice on an empty range touches nothing", advice_on_an_empty_range_touches_nothing, 0},
    {"a copy is always resident", a_copy_is_always_resident, 0},
    {"running out of descriptors is a limit", running_out_of_descriptors_is_a_limit, 0},
    {"running out of address space is a limit", running_out_of_address_space_is_a_limit, 0},
    {"running out of mappings is a limit", running_out_of_mappings_is_a_limit, 0},
};

CHECK_MAIN(cases)
