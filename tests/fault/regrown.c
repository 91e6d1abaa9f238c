/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what a reader learns when a file that was cut grows again, is replaced or only grows, and when other regions or the
 * library itself read the lost bytes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "window.h"

#define GIBI (UINT64_C(1) << 30)
#define WHOLE UINT64_C(0)
#define UNTOUCHED UINT64_MAX

/* ------------------------------------------------------------------------------------------- grown again, replaced -- */

static void
write_pattern(const char *path, uint64_t offset, uint64_t size)
{
    uint8_t *bytes = malloc(size);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(bytes != NULL && descriptor >= 0);
    check_fill(bytes, offset, size);
    REQUIRE(pwrite(descriptor, bytes, size, (off_t)offset) == (ssize_t)size);
    close(descriptor);
    free(bytes);
}

/** Cuts the file, lets the library notice it in one of two ways, and lets the file grow again with the same bytes. */
static void
cut_and_grow(bool by_fault)
{
    const uint64_t page = check_page();
    const uint64_t cut = 20 * page + 9;
    const char *path = check_file("grown", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    mmg_span before = check_pin(handle, 0, cut);
    check_truncate(path, cut);
    if (by_fault) {
        CHECK_U64(check_touch(whole.data, 30 * page), 0);
    } else {
        CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    }
    write_pattern(path, cut, whole_file() - cut);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, cut);
    CHECK_U64(check_info(handle).faults, by_fault ? 1 : 0);
    if (by_fault) {
        /* The page with the cut shows the file again. The pages behind it were replaced, and stay zero. */
        CHECK(check_is_pattern(whole.data, 0, 21 * page));
        CHECK(check_is_zero(whole.data + 21 * page, whole.size - 21 * page));
    }
    mmg_span again = MMG_SPAN_INIT;
    CHECK_STATUS(mmg_pin(handle, 40 * page, 1, &again), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&before), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);

    /* A handle that is opened now does not report the old loss. */
    handle = open_window(path, 0, WHOLE);
    whole = check_pin(handle, 0, MMG_TO_END);
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
grown_after_a_fault_stays_reported(void)
{
    cut_and_grow(true);
}

static void
grown_after_a_check_stays_reported(void)
{
    cut_and_grow(false);
}

/** No page was touched while the file was short, so only its times show the cut. */
static void
grown_unseen_is_seen_by_changed(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("grown", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    uint32_t what = 0;
    CHECK_STATUS(mmg_changed(handle, &what), MMG_OK);
    CHECK_U64(what, 0);
    check_await_tick();
    check_truncate(path, page);
    check_truncate(path, whole_file());
    check_cut_bytes(whole.data, whole.size, 0, page);
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_changed(handle, &what), MMG_OK);
    CHECK_U64(what, MMG_CHANGED_MTIME | MMG_CHANGED_CTIME);
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_replaced_or_removed_file_keeps_its_bytes(void)
{
    const char *path = check_file("kept", whole_file());
    const char *other = check_file("other", 100);
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    uint32_t what = 0;
    REQUIRE(rename(other, path) == 0);
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_changed(handle, &what), MMG_OK);
    CHECK((what & MMG_CHANGED_PATH) != 0 && (what & MMG_CHANGED_SIZE) == 0);
    REQUIRE(unlink(path) == 0);
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_changed(handle, &what), MMG_OK);
    CHECK((what & MMG_CHANGED_PATH) != 0);
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
growth_is_no_loss(void)
{
    const char *path = check_file("longer", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    write_pattern(path, whole_file(), 5 * check_page());
    CHECK_U64(whole.size, whole_file());
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_U64(check_info(handle).size, whole_file());
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* --------------------------------------------------------------------------------------------- the kernel's copies -- */

static void
read_find_and_populate_give_statuses(void)
{
    const uint64_t page = check_page();
    const uint64_t cut = 30 * page + 11;
    const char *path = check_file("cut", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    uint8_t *buffer = malloc(whole_file());
    REQUIRE(buffer != NULL);
    uint64_t got = UNTOUCHED;
    uint64_t position = UNTOUCHED;
    check_truncate(path, cut);
    CHECK_STATUS(mmg_read(handle, 0, buffer, whole_file(), &got), MMG_E_TRUNCATED);
    CHECK_U64(got, cut);
    CHECK(check_is_pattern(buffer, 0, cut));
    CHECK_STATUS(mmg_read(handle, 40 * page, buffer, 10, &got), MMG_E_TRUNCATED);
    CHECK_U64(got, 0);
    CHECK_STATUS(mmg_read(handle, 10 * page, buffer, page, &got), MMG_OK);
    CHECK_U64(got, page);
    CHECK(check_is_pattern(buffer, 10 * page, page));
    CHECK_STATUS(mmg_find(handle, 31 * page, MMG_TO_END, "absent from there", 17, &position), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "absent from there", 17, &position), MMG_E_TRUNCATED);
    check_fill(buffer, 12 * page + 3, 32);
    CHECK_STATUS(mmg_find(handle, 10 * page, 5 * page, buffer, 32, &position), MMG_OK);
    CHECK_U64(position, 12 * page + 3);
    CHECK_STATUS(mmg_advise(handle, 0, 10 * page, MMG_ADVICE_POPULATE), MMG_OK);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &got), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, cut);
    free(buffer);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* ---------------------------------------------------------------------------------------------------- other regions -- */

static void
a_copy_does_not_care(void)
{
    const char *path = check_file("copied", whole_file());
    mmg_options options = check_backing(MMG_BACKING_COPY);
    mmg_handle handle = check_open(path, &options);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, 0);
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
pinned_bytes_of_a_closed_region_are_contained(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("closed", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    mmg_span before = check_pin(handle, 0, page);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    check_truncate(path, 3 * page + 1);
    check_cut_bytes(whole.data, whole.size, 0, 3 * page + 1);
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&before), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_E_HANDLE);
}

static void
memory_files_are_contained(void)
{
    const uint64_t page = check_page();
    uint8_t bytes[16];
    int descriptor = memfd_create("mmapguard", MFD_CLOEXEC);
    REQUIRE(descriptor >= 0 && ftruncate(descriptor, (off_t)(100 * page)) == 0);
    check_fill(bytes, 0, sizeof bytes);
    REQUIRE(pwrite(descriptor, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = 0;
    REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_OK);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    CHECK(check_is_pattern(whole.data, 0, sizeof bytes));
    REQUIRE(ftruncate(descriptor, 0) == 0);
    CHECK(check_is_zero(whole.data, whole.size));
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    mmg_info info = check_info(handle);
    CHECK_U64(info.faults, 1);
    CHECK_U64(info.fault_offset, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(descriptor);
}

static void
two_regions_of_one_file_know_their_own_losses(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("shared", whole_file());
    mmg_handle early = open_window(path, 0, 10 * page);
    mmg_handle late = open_window(path, 10 * page, WHOLE);
    mmg_span early_span = check_pin(early, 0, MMG_TO_END);
    mmg_span late_span = check_pin(late, 0, MMG_TO_END);
    uint64_t faults = check_stats().faults;
    check_truncate(path, 12 * page);
    check_cut_bytes(late_span.data, late_span.size, 10 * page, 2 * page);
    CHECK(check_is_pattern(early_span.data, 0, early_span.size));
    CHECK_STATUS(mmg_unpin(&early_span), MMG_OK);
    CHECK_STATUS(mmg_unpin(&late_span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(early), MMG_OK);
    CHECK_STATUS(mmg_check(late), MMG_E_TRUNCATED);
    CHECK_U64(check_info(early).faults, 0);
    CHECK_U64(check_info(late).fault_offset, 2 * page);
    CHECK_U64(check_stats().faults, faults + 1);
    CHECK_STATUS(mmg_close(early, 0), MMG_OK);
    CHECK_STATUS(mmg_close(late, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a file grown again after a fault stays reported", grown_after_a_fault_stays_reported, 0},
    {"a file grown again after a check stays reported", grown_after_a_check_stays_reported, 0},
    {"a file cut and grown unseen is seen by changed", grown_unseen_is_seen_by_changed, 0},
    {"a replaced or removed file keeps its bytes", a_replaced_or_removed_file_keeps_its_bytes, 0},
    {"growth is no loss", growth_is_no_loss, 0},
    {"read, find and populate give statuses", read_find_and_populate_give_statuses, 0},
    {"a copy does not change when its file is cut", a_copy_does_not_care, 0},
    {"pinned bytes of a closed region are contained", pinned_bytes_of_a_closed_region_are_contained, 0},
    {"memory files are contained", memory_files_are_contained, 0},
    {"two regions of one file know their own losses", two_regions_of_one_file_know_their_own_losses, 0},
};

CHECK_MAIN(cases)
