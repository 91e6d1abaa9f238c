/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests how the keeper of leases uses the time that the kernel lets a writer wait: it stops a copy half a second before the end,
 * so that readers hear of a loss before the writer is let in by force, and a flood of signals does not keep it from its work.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../stable/leases.h"
#include "os/clock.h"
#include "os/lease.h"
#include "standing_in.h"

#define PIECE (UINT64_C(4) << 20) /* the keeper looks at the clock before every piece of a copy */
#define SIZE (3 * PIECE)
#define FLOOD 100000u
#define HALF (LEASE_MIN_BREAK_NS / 2)
#define UNKNOWN (-1) /* the kernel's setting cannot be read */

bool __real_mmgi_lease_wait(int64_t timeout_ns, int *fd);
bool __wrap_mmgi_lease_wait(int64_t timeout_ns, int *fd);
int64_t __real_mmgi_lease_break_ns(const struct lease_reserve *reserve);
int64_t __wrap_mmgi_lease_break_ns(const struct lease_reserve *reserve);
int64_t __real_mmgi_clock_monotonic_ns(void);
int64_t __wrap_mmgi_clock_monotonic_ns(void);

/** What happens during a break. The first look at the clock tells when the break began, and the next ones are for the pieces. */
static struct {
    _Atomic int64_t start;    /**< the time, which stands still, or 0 before and after a break */
    _Atomic int64_t jump;     /**< the time that passes during the first piece */
    _Atomic int64_t patience; /**< how long the kernel lets the writer wait, 0 to ask the kernel, or UNKNOWN */
    atomic_uint looks;        /**< at the clock */
    atomic_uint flood;        /**< so many signals are there */
    atomic_uint news;         /**< so many signals were taken between two pieces */
    atomic_uint news_first;   /**< before the first piece */
} during;

int64_t
__wrap_mmgi_clock_monotonic_ns(void)
{
    const int64_t start = atomic_load(&during.start);
    if (start == 0) {
        return __real_mmgi_clock_monotonic_ns();
    }
    const unsigned look = atomic_fetch_add(&during.looks, 1) + 1;
    if (look == 2) {
        atomic_store(&during.news_first, atomic_load(&during.news));
    }
    return start + (look > 2 ? atomic_load(&during.jump) : 0);
}

int64_t
__wrap_mmgi_lease_break_ns(const struct lease_reserve *reserve)
{
    const int64_t patience = atomic_load(&during.patience);
    if (patience == UNKNOWN) {
        return 0;
    }
    return patience != 0 ? patience : __real_mmgi_lease_break_ns(reserve);
}

/** Only between two pieces the keeper does not wait. */
bool
__wrap_mmgi_lease_wait(int64_t timeout_ns, int *fd)
{
    if (timeout_ns == 0 && atomic_load(&during.news) < atomic_load(&during.flood)) {
        atomic_fetch_add(&during.news, 1);
        *fd = -1;
        return true;
    }
    return __real_mmgi_lease_wait(timeout_ns, fd);
}

/** Opens the file with a lease, and breaks it. Returns 0, and skips the case, where no bytes are copied. */
static mmg_handle
break_a_lease(int64_t patience, int64_t jump, unsigned flood)
{
    char path[4096];
    const mmg_options options = stable_options(MMG_BACKING_MAP);
    snprintf(path, sizeof path, "%s", check_file("file", SIZE));
    const mmg_handle handle = check_open(path, &options);
    if (!has_lease(handle)) {
        return 0;
    }
    atomic_store(&during.looks, 0);
    atomic_store(&during.news, 0);
    atomic_store(&during.news_first, 0);
    atomic_store(&during.flood, flood);
    atomic_store(&during.patience, patience);
    atomic_store(&during.jump, jump);
    atomic_store(&during.start, __real_mmgi_clock_monotonic_ns());
    const int writer = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(writer >= 0);
    close(writer);
    await_keeper();
    atomic_store(&during.start, 0);
    atomic_store(&during.patience, 0);
    atomic_store(&during.flood, 0);
    if (check_info(handle).means == MMG_MEANS_REFLINK) {
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        check_skip("the file system clones the file, so that no byte is copied");
        return 0;
    }
    return handle;
}

static void
a_copy_ends_half_a_second_before_the_writer_is_let_in(void)
{
    static const struct {
        int64_t patience, jump;
        bool is_whole;
    } breaks[] = {
        {LEASE_MIN_BREAK_NS, HALF - 1, true},
        {LEASE_MIN_BREAK_NS, HALF, false},
        {7 * LEASE_MIN_BREAK_NS, 7 * LEASE_MIN_BREAK_NS - HALF - 1, true},
        {7 * LEASE_MIN_BREAK_NS, 7 * LEASE_MIN_BREAK_NS - HALF, false},
        {INT64_MAX, 1000000 * LEASE_MIN_BREAK_NS, true}, /* the kernel never takes the lease by force */
        {UNKNOWN, HALF - 1, true},                       /* the kernel waits for a second at least */
        {UNKNOWN, HALF, false},
    };
    for (size_t index = 0; index < sizeof breaks / sizeof *breaks; index++) {
        const mmg_stats before = check_stats();
        const mmg_handle handle = break_a_lease(breaks[index].patience, breaks[index].jump, 0);
        if (handle == 0) {
            return;
        }
        CHECK_U64(check_stats().fallbacks_time - before.fallbacks_time, !breaks[index].is_whole);
        if (breaks[index].is_whole) {
            check_stable(handle);
        } else {
            CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
            CHECK_U64(check_info(handle).shortfall, MMG_SHORT_TIME);
            CHECK_U64(check_info(handle).fault_offset, PIECE); /* what was copied by then is kept */
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
a_flood_of_signals_does_not_stop_a_copy(void)
{
    const mmg_handle handle = break_a_lease(0, 0, FLOOD);
    if (handle == 0) {
        return;
    }
    CHECK(atomic_load(&during.news_first) > 0 && atomic_load(&during.news_first) < 1000);
    CHECK(atomic_load(&during.news) < FLOOD);
    check_stable(handle);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a copy ends half a second before the writer is let in", a_copy_ends_half_a_second_before_the_writer_is_let_in,
     CHECK_THREADS},
    {"a flood of signals does not stop a copy", a_flood_of_signals_does_not_stop_a_copy, CHECK_THREADS},
};

CHECK_MAIN(cases)
