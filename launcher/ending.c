/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The end of a process. The report is written when the program calls exit(3) or returns from main(), since standard
 * error is still open then: many programs close it at the very end. A loss after that moment gets a report of its own,
 * if standard error is still open.
 *
 * An exit status of 0 becomes EXIT_LOST here. A process that is killed by a signal writes no report; its parent sees
 * the failure anyway.
 */
#include "preload.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Writes the report, if bytes were lost, and returns the exit status for the process. */
static int
report_and_get_status(int status)
{
    if (!losses_are_there() || !preload_is_here())
        return status;
    /* The parent process sees only the low eight bits of a status. */
    if ((status & 0xff) == 0 && preload_on_loss() != ON_LOSS_REPORT) {
        losses_report(LOSSES_END_STATUS);
        return EXIT_LOST;
    }
    losses_report(LOSSES_END_NONE);
    return status;
}

EXPORTED _Noreturn void
exit(int status)
{
    NEXT(exit)(report_and_get_status(status));
    __builtin_unreachable();
}

EXPORTED _Noreturn void
_exit(int status)
{
    NEXT(_exit)(report_and_get_status(status));
    __builtin_unreachable();
}

EXPORTED _Noreturn void
_Exit(int status)
{
    _exit(status);
}

EXPORTED _Noreturn void
quick_exit(int status)
{
    NEXT(quick_exit)(report_and_get_status(status));
    __builtin_unreachable();
}

EXPORTED _Noreturn void
abort(void)
{
    (void)report_and_get_status(
        1); /* the status is not used; one other than 0 keeps the report from naming a new status */
    NEXT(abort)();
    __builtin_unreachable();
}

/* -------------------------------------------------------------------------------------------- returning from main -- */

#ifndef __powerpc64__ /* where __libc_start_main() has other arguments */

static main_function *own_main;

static int
main_and_report(int argc, char **argv, char **environment)
{
    exit(own_main(argc, argv, environment));
}

/*
 * Every program starts with a call of this function, which gets main() as an argument. The other arguments depend on
 * the version of the C library that the program was linked with, and are passed on.
 */
start_function __libc_start_main;

EXPORTED int
__libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                  void (*loader_fini)(void), void *stack_end)
{
    own_main = main;
    return NEXT(__libc_start_main)(main_and_report, argc, argv, init, fini, loader_fini, stack_end);
}

#endif

/* --------------------------------------------------------------------------------------------------- late losses -- */

#ifdef __GLIBC__

/*
 * Runs as the last exit function, since it was registered before main(). A process that ends because its last thread
 * has called pthread_exit(3) does not come through the functions above, only through this one.
 */
static void
report_last(int status, void *unused)
{
    (void)unused;
    int reported_status = report_and_get_status(status);
    if (reported_status != status)
        NEXT(exit)(reported_status); /* in glibc a second call does what is left to do, which is to flush streams */
}

void
ending_begin(void)
{
    (void)on_exit(report_last, NULL); /* if this fails, losses after the call of exit(3) are not reported */
}

#else

void
ending_begin(void)
{
}

#endif
