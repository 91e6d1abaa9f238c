/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests files that shrink under a reader. The process lives, the bytes before the cut are true, the bytes behind it
 * read as zeros, and pin, unpin, check and info report the loss. Every access that raises a signal has a twin on a
 * plain mapping in a child, which must die of SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64
#define TAIL 123 /* bytes in the last, partial page */
#define MARK 4711
#define GIBI (UINT64_C(1) << 30)
#define SPARSE (100 * GIBI)
#define SCANNED (UINT64_C(4) << 20)
#define WHOLE UINT64_C(0)
#define UNTOUCHED UINT64_MAX

static uint64_t
whole_file(void)
{
    return PAGES * check_page() + TAIL;
}

static mmg_handle
open_window(const char *path, uint64_t offset, uint64_t length)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.offset = offset;
    options.length = length;
    return check_open(path, &options);
}

/* ------------------------------------------------------------------------------------------------- the plain twin -- */

struct plain {
    const char *path;
    uint64_t cut;
    uint64_t from;
    uint64_t to;
};

/**
 * Does the same with open(2) and mmap(2): maps, cuts, reads [from, to), and checks that the bytes behind the cut are
 * zero.
 */
static void
read_plain(void *argument)
{
    const struct plain *plain = argument;
    signal(SIGBUS, SIG_DFL);
    int descriptor = open(plain->path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *bytes = mmap(NULL, plain->to, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    check_truncate(plain->path, plain->cut);
    for (uint64_t at = plain->from; at < plain->to; at++) {
        CHECK(check_touch(bytes, at) == 0 || at < plain->cut);
    }
}

static void
twin_dies(const char *path, uint64_t cut, uint64_t from, uint64_t to)
{
    struct plain plain = {path, cut, from, to};
    CHECK_KILLED(check_child(read_plain, &plain), SIGBUS);
}

/* ------------------------------------------------------------------------------------------------------ truncation -- */

/**
 * Checks `size` bytes that start at `file_offset` of the file: the pattern before the offset `lost`, and zeros from
 * there on.
 */
static void
check_cut_bytes(const uint8_t *bytes, uint64_t size, uint64_t file_offset, uint64_t lost)
{
    uint8_t *copy = malloc(size);
    REQUIRE(copy != NULL);
    memcpy(copy, bytes, size);
    CHECK(check_is_pattern(copy, file_offset, lost));
    CHECK(check_is_zero(copy + lost, size - lost));
    free(copy);
}

/**
 * Tests one window and one cut of the file. Either the window has whole pages behind the cut, so that reading them
 * faults; or it has only bytes of the page with the cut, which read as zeros without a signal.
 */
static void
cut_window(uint64_t offset, uint64_t length, uint64_t cut)
{
    uint64_t page = check_page();
    const char *path = check_file("cut", whole_file());
    uint64_t size = length == WHOLE ? whole_file() - offset : length;
    uint64_t lost = cut > offset ? cut - offset : 0;
    bool faults = (cut + page - 1) / page * page < offset + size;
    mmg_handle handle = open_window(path, offset, length);
    mmg_info info = check_info(handle);
    CHECK_U64(info.size, size);
    CHECK_U64(info.faults, 0);
    CHECK_U64(info.fault_offset, MMG_TO_END);
    CHECK_STATUS(info.fault_cause, MMG_OK);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_U64(info.means, MMG_MEANS_FAULT_GUARD);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);

    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    mmg_span before = check_pin(handle, 0, lost);
    mmg_span behind = check_pin(handle, lost, MMG_TO_END);
    mmg_span last = check_pin(handle, size - 1, 1);
    CHECK(check_is_pattern(whole.data, offset, size));
    check_truncate(path, cut);
    errno = MARK;
    uint8_t value = check_touch(whole.data, size - 1);
    CHECK_I64(check_errno(), MARK);
    CHECK_U64(value, 0);
    check_cut_bytes(whole.data, size, offset, lost);

    if (faults) {
        CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    }
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    info = check_info(handle);
    CHECK_U64(info.faults, faults ? 1 : 0);
    CHECK_U64(info.fault_offset, lost);
    CHECK_STATUS(info.fault_cause, MMG_E_TRUNCATED);
    CHECK_U64(info.size, size);
    if (!faults) {
        CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    }
    CHECK_STATUS(mmg_unpin(&before), MMG_OK);
    CHECK_STATUS(mmg_unpin(&behind), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&last), MMG_E_TRUNCATED);

    /* Bytes that are known to be lost cannot be pinned again; other bytes can. */
    mmg_span again = MMG_SPAN_INIT;
    CHECK_STATUS(mmg_pin(handle, lost, 1, &again), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &again), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, size - 1, 1, &again), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, 0, lost, &again), MMG_OK);
    CHECK(check_is_pattern(again.data, offset, lost));
    CHECK_STATUS(mmg_unpin(&again), MMG_OK);
    CHECK_U64(check_info(handle).pins, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);

    if (faults) {
        path = check_file("cut", whole_file());
        twin_dies(path, cut, offset, offset + size);
    }
}

static const uint64_t NOTHING[] = {0};

static void
cut_windows(const uint64_t *cuts, size_t count)
{
    uint64_t page = check_page();
    for (size_t index = 0; index < count; index++) {
        cut_window(0, WHOLE, cuts[index]);
        cut_window(5 * page + 1, WHOLE, cuts[index]);
        cut_window(page - 1, 60 * page, cuts[index]);
    }
}

static void
cut_to_nothing(void)
{
    cut_windows(NOTHING, 1);
}

static void
cut_at_a_page(void)
{
    const uint64_t cuts[] = {check_page(), 32 * check_page(), 48 * check_page()};
    cut_windows(cuts, 3);
}

static void
cut_inside_a_page(void)
{
    const uint64_t page = check_page();
    const uint64_t cuts[] = {1, page - 1, 6 * page + 1, 32 * page + 777, 57 * page - 1};
    cut_windows(cuts, 5);
}

static void
cut_inside_the_last_page(void)
{
    const uint64_t page = check_page();
    cut_window(0, WHOLE, PAGES * page + 1);
    cut_window(0, WHOLE, PAGES * page + TAIL - 1);
    cut_window(3, WHOLE, PAGES * page + 100);
    cut_window(PAGES * page + 10, WHOLE, PAGES * page + 60);
    cut_window(0, 10 * page - 7, 9 * page + 8);
}

/**
 * A reader of a plain mapping gets zeros there without any report. So the twin of the case above survives with wrong
 * bytes.
 */
static void
a_plain_mapping_is_not_told(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("cut", whole_file());
    struct plain plain = {path, PAGES * page + 1, 0, whole_file()};
    CHECK_EXITED(check_child(read_plain, &plain));
}

static void
a_cut_outside_the_window_is_no_loss(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("cut", whole_file());
    mmg_handle handle = open_window(path, 2 * page + 5, 10 * page);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, 12 * page + 5);
    CHECK(check_is_pattern(span.data, 2 * page + 5, span.size));
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_second_cut_is_reported_too(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("cut", whole_file());
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    mmg_span middle = check_pin(handle, 20 * page, 10 * page);
    mmg_span early = check_pin(handle, 0, 5 * page);
    check_truncate(path, 40 * page);
    CHECK_U64(check_touch(whole.data, 50 * page), 0);
    CHECK_U64(check_info(handle).fault_offset, 40 * page);
    check_truncate(path, 10 * page + 5);
    CHECK_U64(check_touch(whole.data, 30 * page), 0);
    check_cut_bytes(whole.data, whole.size, 0, 10 * page + 5);
    CHECK_STATUS(mmg_unpin(&middle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&early), MMG_OK);
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    mmg_info info = check_info(handle);
    CHECK_U64(info.faults, 2);
    CHECK_U64(info.fault_offset, 10 * page + 5);
    CHECK_STATUS(mmg_pin(handle, 15 * page, 1, &early), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

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
    usleep(20000); /* longer than a clock tick, in which file times advance */
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

/* ----------------------------------------------------------------------------------------------------- 100 gigabytes -- */

static const char *
sparse_file(void)
{
    const char *path = check_file("sparse", SCANNED);
    if (check_under_valgrind()) {
        check_skip("Valgrind has no room to map 100 GiB");
        return NULL;
    }
    if (check_under_qemu()) {
        check_skip("qemu-user reserves memory for the whole of a mapping first, and has none for 100 GiB");
        return NULL;
    }
    if (sizeof(void *) < 8) {
        check_skip("an address space of 32 bits has no room for 100 GiB");
        return NULL;
    }
    if (truncate(path, (off_t)SPARSE) != 0) {
        check_skip("the file system cannot hold a sparse file of 100 GiB");
        return NULL;
    }
    return path;
}

/** Cuts the file in the middle of a scan. The reader goes on, and reads a byte of every gibibyte up to the end. */
static void
cut_sparse(uint64_t cut)
{
    const uint64_t page = check_page();
    const char *path = sparse_file();
    if (path == NULL) {
        return;
    }
    mmg_handle handle = open_window(path, 0, WHOLE);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    CHECK_U64(whole.size, SPARSE);
    CHECK(check_is_pattern(whole.data, 0, SCANNED));
    check_truncate(path, cut);
    CHECK(check_is_zero(whole.data + SCANNED, 64 * page));
    for (uint64_t at = GIBI; at < SPARSE; at += GIBI) {
        CHECK_U64(check_touch(whole.data, at), 0);
    }
    CHECK_U64(check_touch(whole.data, SPARSE - 1), 0);
    if (cut >= SCANNED) {
        CHECK(check_is_pattern(whole.data, 0, SCANNED));
    } else {
        check_cut_bytes(whole.data, SCANNED, 0, cut);
    }
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    mmg_info info = check_info(handle);
    CHECK_U64(info.faults, 1);
    CHECK_U64(info.fault_offset, cut);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(truncate(path, (off_t)SPARSE) == 0);
    twin_dies(path, cut, SPARSE - page, SPARSE);
}

static void
a_hundred_gibibytes_cut_to_nothing_cost_one_signal(void)
{
    cut_sparse(0);
}

static void
a_hundred_gibibytes_cut_far_out_cost_one_signal(void)
{
    cut_sparse(10 * GIBI + 4321);
}

static const struct check_case cases[] = {
    {"a file cut to nothing is contained and reported", cut_to_nothing, 0},
    {"a file cut at a page is contained and reported", cut_at_a_page, 0},
    {"a file cut inside a page is contained and reported", cut_inside_a_page, 0},
    {"a cut inside the last page is reported by check", cut_inside_the_last_page, 0},
    {"a plain mapping that is cut inside the last page gets no report", a_plain_mapping_is_not_told, 0},
    {"a cut outside the window is no loss", a_cut_outside_the_window_is_no_loss, 0},
    {"a second, deeper cut is reported too", a_second_cut_is_reported_too, 0},
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
    {"100 GiB cut to nothing cost one signal", a_hundred_gibibytes_cut_to_nothing_cost_one_signal, 0},
    {"100 GiB cut far out cost one signal", a_hundred_gibibytes_cut_far_out_cost_one_signal, 0},
};

CHECK_MAIN(cases)
