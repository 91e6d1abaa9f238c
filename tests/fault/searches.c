/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests searches of a file that is cut and filled meanwhile, where the guard cannot help: SIGBUS is blocked, or a handler of
 * the host is on top.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "filled.h"

static struct {
    const char *path;
    _Atomic bool stop;
} hammer;

static void *
cut_and_refill(void *argument __attribute__((unused)))
{
    while (!atomic_load(&hammer.stop)) {
        cut(hammer.path);
        sched_yield();
        refill(hammer.path);
        sched_yield();
    }
    return NULL;
}

static void
exit_of_the_host(int signo __attribute__((unused)))
{
    _exit(99);
}

/** Searches while another thread cuts and refills the file. The state of the guard must not matter. */
static void
search_unprotected(void *argument)
{
    bool displaced = argument != NULL;
    pthread_t thread;
    uint64_t position = 0;
    const char *path = filled_file("searched");
    mmg_handle handle = open_mapped(path);
    mmg_status status = MMG_OK;
    if (displaced) {
        signal(SIGBUS, exit_of_the_host);
    } else {
        check_block_bus(true);
    }
    CHECK_I64(mmg_guard_state(), displaced ? MMG_GUARD_DISPLACED : MMG_GUARD_BLOCKED);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position), MMG_OK);
    CHECK_U64(position, MMG_NOT_FOUND);
    hammer.path = path;
    atomic_store(&hammer.stop, false);
    start(&thread, cut_and_refill, NULL);
    const uint64_t rounds = check_scaled(2000);
    uint64_t whole = 0, lost = 0;
    for (uint64_t round = 0; (round < rounds || whole == 0 || lost == 0) && check_failures() == 0; round++) {
        mmg_handle fresh = 0;
        mmg_options options = check_backing(MMG_BACKING_MAP);
        status = mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position);
        CHECK(status == MMG_OK || status == MMG_E_TRUNCATED);
        CHECK(status != MMG_OK || position == MMG_NOT_FOUND);
        if (mmg_open(path, &options, &fresh, NULL) == MMG_OK) {
            if (displaced) { /* undo the open, which has put the guard back on top */
                CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
                signal(SIGBUS, exit_of_the_host);
            }
            status = mmg_find(fresh, 0, MMG_TO_END, "ZZZa", 4, &position);
            CHECK(status == MMG_OK || status == MMG_E_TRUNCATED);
            whole += status == MMG_OK && check_info(fresh).size == PAGES * check_page();
            lost += status == MMG_E_TRUNCATED;
            CHECK_STATUS(mmg_close(fresh, 0), MMG_OK);
        }
    }
    atomic_store(&hammer.stop, true);
    join(thread);
    cut(path);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_find(handle, 0, KEPT * check_page(), "ZZZZ", 4, &position), MMG_OK);
    CHECK_U64(position, 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
find_with_sigbus_blocked(void)
{
    CHECK_EXITED(check_child(search_unprotected, NULL));
}

static void
find_with_the_guard_displaced(void)
{
    int yes = 1;
    CHECK_EXITED(check_child(search_unprotected, &yes));
}

static const struct check_case cases[] = {
    {"find is a status while SIGBUS is blocked", find_with_sigbus_blocked, 0},
    {"find is a status while the guard is displaced", find_with_the_guard_displaced, 0},
};

CHECK_MAIN(cases)
