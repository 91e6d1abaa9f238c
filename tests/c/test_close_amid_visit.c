/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a close amid a visit: it makes all threads execute a barrier, and leaves the region to the visit. A close without a
 * visit makes none, since the barrier disturbs every processor that runs a thread of the program.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/** The barrier is there wherever the kernel has it. Without the barrier each visit costs much more. */
static void
the_barrier_is_used_where_the_kernel_has_it(void)
{
    const long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    errno = EDOM;
    CHECK(mmgi_thread_has_barrier() == (commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0));
    CHECK_I64(errno, EDOM);
}

static const struct check_case cases[] = {
    {"the barrier is used where the kernel has it", the_barrier_is_used_where_the_kernel_has_it, 0},
    {"a close without a visit needs no barrier", a_close_without_a_visit_needs_no_barrier, 0},
    {"a close amid a visit leaves the region to the visit", a_close_amid_a_visit_leaves_the_region_to_the_visit, 0},
};

CHECK_MAIN(cases)
