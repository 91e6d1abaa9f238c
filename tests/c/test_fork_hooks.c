/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the library where the C library has no memory for the hooks around a fork. What needs a hook is refused then, or done in
 * a way that needs none, and works as soon as there is memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fork_hooks.h"
#include "standing_in.h"

STANDS_IN(int, mmgi_thread_at_fork, (void (*before)(void), void (*parent)(void), void (*child)(void)),
          (before, parent, child))

#define SIZE 300000

/** Returns true when another open file description may lock the file for itself. */
static bool
may_lock(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    const bool result = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return result;
}

CHECK_IN_A_CHILD(without_memory_for_hooks_the_guard_is_refused)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    PLAN(mmgi_thread_at_fork, ENOMEM);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    CHECK_U64(CALLS(mmgi_thread_at_fork), 1);
    PLAN(mmgi_thread_at_fork, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
    options.flags = MMG_FLAG_REQUIRE_GUARD;
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    CHECK_STATUS(mmg_open(check_file("file", SIZE), &options, &handle, NULL), MMG_E_GUARD);
    PLAN(mmgi_thread_at_fork, GO_ON);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_U64(CALLS(mmgi_thread_at_fork), 1);
    CHECK_STATUS(mmg_open(check_path("file"), &options, &handle, NULL), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

#define MANY 20 /* regions of one file, of which most would share a lock */

/** Each region has a lock of its own then, on its own descriptor. */
CHECK_IN_A_CHILD(without_memory_for_hooks_no_lock_is_shared)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handles[MANY];
    options.flags = MMG_FLAG_NO_FAULT_GUARD | MMG_FLAG_REQUIRE_LOCK;
    options.lock = MMG_LOCK_SHARED;
    options.backing = MMG_BACKING_MAP;
    for (size_t index = 0; index < MANY; index++) {
        PLAN(mmgi_thread_at_fork, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
        REQUIRE_STATUS(mmg_open(path, &options, &handles[index], NULL), MMG_OK);
        CHECK_U64(check_info(handles[index]).lock, MMG_LOCK_SHARED);
    }
    for (size_t index = 0; index < MANY; index++) {
        CHECK(!may_lock(path));
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    CHECK(may_lock(path));
}

CHECK_IN_A_CHILD(without_memory_for_hooks_no_lease_is_taken)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.lock = MMG_LOCK_NONE;
    PLAN(mmgi_thread_at_fork, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
    REQUIRE_STATUS(mmg_open(check_file("file", SIZE), &options, &handle, NULL), MMG_OK);
    const mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK(info.means != MMG_MEANS_LEASE);
    CHECK_U64(check_stats().leases, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* ---------------------------------------------------------------------------------------------- the hooks themselves -- */

static char calls[32];

static void
note(char what)
{
    const size_t used = strlen(calls);
    REQUIRE(used + 1 < sizeof calls);
    calls[used] = what;
}

static void
before_one(void)
{
    note('b');
}

static void
before_two(void)
{
    note('B');
}

static void
parent_one(void)
{
    note('p');
}

static void
parent_two(void)
{
    note('P');
}

static void
child_one(void)
{
    note('c');
}

static void
forget(void *unused)
{
    (void)unused;
    CHECK_TEXT(calls, "Bbc"); /* the second has no hook in the child */
}

CHECK_IN_A_CHILD(hooks_run_in_their_order_and_only_once)
{
    static struct fork_hooks one = {.before = before_one, .parent = parent_one, .child = child_one};
    static struct fork_hooks two = {.before = before_two, .parent = parent_two};
    PLAN(mmgi_thread_at_fork, ENOMEM);
    CHECK(!mmgi_fork_hooks_add(&one));
    CHECK(mmgi_fork_hooks_add(&one));
    CHECK(mmgi_fork_hooks_add(&two));
    CHECK(mmgi_fork_hooks_add(&one));
    CHECK_U64(CALLS(mmgi_thread_at_fork), 2);
    CHECK_EXITED(check_child(forget, NULL));
    CHECK_TEXT(calls, "BbpP");
}

static const struct check_case cases[] = {
    {"without memory for hooks the guard is refused", without_memory_for_hooks_the_guard_is_refused, 0},
    {"without memory for hooks no lock is shared", without_memory_for_hooks_no_lock_is_shared, 0},
    {"without memory for hooks no lease is taken", without_memory_for_hooks_no_lease_is_taken, 0},
    {"hooks run in their order and only once", hooks_run_in_their_order_and_only_once, 0},
};

CHECK_MAIN(cases)
