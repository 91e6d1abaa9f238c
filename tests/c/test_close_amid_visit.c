/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a close amid a visit: it makes all threads execute a barrier, and leaves the region to the visit. A close without a
 * visit makes none, since the barrier disturbs every processor that runs a thread of the program.
 */
#include "handle/visit.h"
#include "os/thread.h"
#include "standing_in.h"

STANDS_IN_SILENTLY(mmgi_thread_barrier, (void), ())

static void
a_close_without_a_visit_needs_no_barrier(void)
{
    const mmg_handle handle = check_open(check_file("file", 100), NULL);
    CHECK_STATUS(mmg_check(handle), MMG_OK); /* a visit that has ended */
    PLAN(mmgi_thread_barrier, GO_ON);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_U64(CALLS(mmgi_thread_barrier), 0);
}

static void
a_close_amid_a_visit_leaves_the_region_to_the_visit(void)
{
    const uint64_t regions = check_stats().regions;
    const mmg_handle handle = check_open(check_file("file", 100), NULL);
    const struct visit visit = visit_begin(handle);
    REQUIRE(visit.object != NULL);
    PLAN(mmgi_thread_barrier, GO_ON);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_U64(CALLS(mmgi_thread_barrier), 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_U64(CALLS(mmgi_thread_barrier), 1);
    CHECK_STATUS(mmg_check(handle), MMG_E_HANDLE);
    CHECK_U64(check_stats().regions, regions + 1);
    visit_end(visit.slot);
    CHECK_U64(check_stats().regions, regions);
    CHECK_U64(CALLS(mmgi_thread_barrier), 1);
}

static const struct check_case cases[] = {
    {"a close without a visit needs no barrier", a_close_without_a_visit_needs_no_barrier, 0},
    {"a close amid a visit leaves the region to the visit", a_close_amid_a_visit_leaves_the_region_to_the_visit, 0},
};

CHECK_MAIN(cases)
