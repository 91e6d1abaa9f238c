/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests memory errors, as a siginfo reports them: of a page, of units wider than a page, at the edges of a window, behind
 * a cut, and twice. A real one needs a broken machine, so the tests hand the siginfo to mmg_handle_fault().
 */
#include <signal.h>
#include <string.h>

#include "check.h"

/* A huge page of x86-64, in a file of three of them. */
#define UNIT_BITS 21
#define UNIT (UINT64_C(1) << UNIT_BITS)
#define SIZE (3 * UNIT)

static mmg_handle
open_window(const char *path, uint64_t offset, uint64_t length)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.offset = offset;
    options.length = length;
    return check_open(path, &options);
}

/** Says that the hardware has lost the unit of 2^bits bytes around an address. Returns what the hook returns. */
static int
poison(const uint8_t *address, int bits)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_MCEERR_AR;
    info.si_addr = (uint8_t *)(uintptr_t)address;
    info.si_addr_lsb = (short)bits;
    return mmg_handle_fault(SIGBUS, &info, NULL);
}

/** Checks that a window from `start` of the file shows zeros in [from, to) of the file, and the file elsewhere. */
static void
check_lost(mmg_handle handle, const mmg_span *span, uint64_t start, uint64_t from, uint64_t to)
{
    const uint64_t end = start + span->size;
    const uint64_t first = from > start ? from : start, last = to < end ? to : end;
    mmg_span part = MMG_SPAN_INIT;
    CHECK(check_is_pattern(span->data, start, first - start));
    CHECK(check_is_zero(span->data + (first - start), last - first));
    CHECK(check_is_pattern(span->data + (last - start), last, end - last));
    CHECK_STATUS(mmg_pin(handle, first - start, 1, &part), MMG_E_POISONED);
    CHECK_STATUS(mmg_pin(handle, last - 1 - start, 1, &part), MMG_E_POISONED);
    if (first > start) {
        CHECK_STATUS(mmg_pin(handle, 0, first - start, &part), MMG_OK);
        CHECK_STATUS(mmg_unpin(&part), MMG_OK);
    }
    if (last < end) {
        CHECK_STATUS(mmg_pin(handle, last - start, MMG_TO_END, &part), MMG_OK);
        CHECK_STATUS(mmg_unpin(&part), MMG_OK);
    }
    CHECK_U64(check_info(handle).fault_offset, first - start);
    CHECK_STATUS(check_info(handle).fault_cause, MMG_E_POISONED);
}

/** A unit is aligned in the file as in memory, wherever the window on the file begins. */
static void
a_wide_memory_error_costs_its_unit_of_the_file(void)
{
    const char *path = check_file("big", SIZE);
    const uint64_t starts[] = {0, UNIT / 2, UNIT / 2 + 777, UNIT + 5, UNIT - 1};
    for (size_t index = 0; index < sizeof starts / sizeof *starts; index++) {
        const uint64_t start = starts[index];
        const uint64_t hits[] = {UNIT, UNIT + UNIT / 4 + 3, 2 * UNIT - 1};
        for (size_t hit = 0; hit < sizeof hits / sizeof *hits; hit++) {
            if (hits[hit] < start) {
                continue;
            }
            mmg_handle handle = open_window(path, start, MMG_TO_END);
            mmg_span span = check_pin(handle, 0, MMG_TO_END);
            CHECK_I64(poison(span.data + (hits[hit] - start), UNIT_BITS), 1);
            check_lost(handle, &span, start, UNIT, 2 * UNIT);
            CHECK_U64(check_info(handle).faults, 1);
            CHECK_STATUS(mmg_unpin(&span), MMG_E_POISONED);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

/** A unit that reaches over both ends of a window costs the whole window, and nothing around it. */
static void
a_unit_that_is_wider_than_the_window_costs_the_window(void)
{
    const char *path = check_file("big", SIZE);
    mmg_handle handle = open_window(path, UNIT + UNIT / 2 + 9, 100000);
    mmg_handle other = open_window(path, 0, MMG_TO_END);
    mmg_span span = check_pin(handle, 0, MMG_TO_END), whole = check_pin(other, 0, MMG_TO_END);
    CHECK_I64(poison(span.data + 5000, UNIT_BITS), 1);
    CHECK(check_is_zero(span.data, span.size));
    CHECK(check_is_pattern(whole.data, 0, whole.size));
    CHECK_U64(check_info(handle).fault_offset, 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_POISONED);
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(other, 0), MMG_OK);
}

/** A report that is narrower than a page, or says nothing of a width, costs the page that was touched. */
static void
a_narrow_memory_error_costs_its_page(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("big", SIZE);
    for (int bits = 0; bits <= 6; bits += 6) {
        mmg_handle handle = open_window(path, 1000, MMG_TO_END);
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        CHECK_I64(poison(span.data + 7 * page, bits), 1);
        check_lost(handle, &span, 1000, 7 * page, 8 * page);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_POISONED);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

/** The siginfo says why the page is lost, so nobody looks at the size of the file, which is shorter by now. */
static void
a_memory_error_behind_a_cut_is_a_memory_error(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("big", SIZE);
    mmg_handle handle = open_window(path, 0, MMG_TO_END);
    mmg_span span = check_pin(handle, 0, MMG_TO_END), before = check_pin(handle, 0, 8 * page);
    check_truncate(path, 10 * page);
    CHECK_I64(poison(span.data + 20 * page, __builtin_ctzll(page)), 1);
    CHECK_U64(check_info(handle).fault_offset, 20 * page);
    CHECK_STATUS(check_info(handle).fault_cause, MMG_E_POISONED);
    CHECK_STATUS(mmg_unpin(&before), MMG_OK);
    /* The cut is found as well, and the cause stays that of the first loss, while the offset becomes the lowest one. */
    CHECK_STATUS(mmg_check(handle), MMG_E_POISONED);
    CHECK_U64(check_info(handle).fault_offset, 10 * page);
    CHECK_STATUS(check_info(handle).fault_cause, MMG_E_POISONED);
    CHECK(check_is_pattern(span.data, 0, 10 * page));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Two errors, one after the other, with good bytes between them. */
static void
each_memory_error_costs_its_own_unit(void)
{
    const char *path = check_file("big", SIZE);
    mmg_handle handle = open_window(path, 0, MMG_TO_END);
    mmg_span span = check_pin(handle, 0, MMG_TO_END), part = MMG_SPAN_INIT;
    CHECK_I64(poison(span.data + 2 * UNIT + 17, UNIT_BITS), 1);
    CHECK_I64(poison(span.data + UNIT / 2, UNIT_BITS), 1);
    CHECK(check_is_zero(span.data, UNIT));
    CHECK(check_is_pattern(span.data + UNIT, UNIT, UNIT));
    CHECK(check_is_zero(span.data + 2 * UNIT, UNIT));
    CHECK_STATUS(mmg_pin(handle, UNIT, UNIT, &part), MMG_OK);
    CHECK_STATUS(mmg_unpin(&part), MMG_OK);
    CHECK_U64(check_info(handle).faults, 2);
    CHECK_U64(check_info(handle).fault_offset, 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_POISONED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a wide memory error costs its unit of the file", a_wide_memory_error_costs_its_unit_of_the_file, 0},
    {"a unit that is wider than the window costs the window", a_unit_that_is_wider_than_the_window_costs_the_window, 0},
    {"a narrow memory error costs its page", a_narrow_memory_error_costs_its_page, 0},
    {"a memory error behind a cut is a memory error", a_memory_error_behind_a_cut_is_a_memory_error, 0},
    {"each memory error costs its own unit", each_memory_error_costs_its_own_unit, 0},
};

CHECK_MAIN(cases)
