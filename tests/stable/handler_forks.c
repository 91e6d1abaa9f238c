/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a signal handler that forks while a child gives up its part of a lease. The program defines flock(2), which the library
 * calls amid that work, so the signal comes at the worst moment.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

static mmg_handle handle;
static volatile sig_atomic_t is_armed;
static volatile pid_t inner = -1;

int
flock(int fd, int operation)
{
    if (is_armed) {
        is_armed = 0;
        raise(SIGUSR1);
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void
fork_now(int signal_number)
{
    (void)signal_number;
    inner = fork();
}

static void
ask_with_such_a_handler(void *unused)
{
    (void)unused;
    int wait_status = 0;
    signal(SIGUSR1, fork_now);
    is_armed = 1;
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    REQUIRE(is_armed == 0 && inner >= 0);
    if (inner == 0) {
        alarm(30); /* ends a close that waits for a hold that nobody ends */
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        check_child_end();
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(waitpid(inner, &wait_status, 0) == inner);
    CHECK_EXITED(wait_status);
}

static void
a_handler_that_forks_leaves_no_hold_in_its_child(void)
{
    mmg_options options = stable_options(MMG_BACKING_MAP);
    options.lock = MMG_LOCK_SHARED;
    handle = check_open(check_file("file", 200000), &options);
    if (has_lease(handle)) {
        CHECK_EXITED(check_child(ask_with_such_a_handler, NULL));
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"a handler that forks leaves no hold in its child", a_handler_that_forks_leaves_no_hold_in_its_child, 0},
};

CHECK_MAIN(cases)
