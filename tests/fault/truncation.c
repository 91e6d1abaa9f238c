/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests files that shrink under a reader. The process lives, the bytes before the cut are true, the bytes behind it
 * read as zeros, and pin, unpin, check and info report the loss. Every access that raises a signal has a twin on a
 * plain mapping in a child, which must die of SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "window.h"

#define MARK 4711
#define GIBI (UINT64_C(1) << 30)
#define SPARSE (100 * GIBI)
#define SCANNED (UINT64_C(4) << 20)
#define WHOLE UINT64_C(0)

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
    munmap(bytes, plain->to);
    close(descriptor);
}

static void
twin_dies(const char *path, uint64_t cut, uint64_t from, uint64_t to)
{
    struct plain plain = {path, cut, from, to};
    CHECK_KILLED(check_child(read_plain, &plain), SIGBUS);
}

/* ------------------------------------------------------------------------------------------------------ truncation -- */

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
    {"100 GiB cut to nothing cost one signal", a_hundred_gibibytes_cut_to_nothing_cost_one_signal, 0},
    {"100 GiB cut far out cost one signal", a_hundred_gibibytes_cut_far_out_cost_one_signal, 0},
};

CHECK_MAIN(cases)
