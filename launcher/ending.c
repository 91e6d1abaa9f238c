/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The end of a process. The report is written when exit(3) is called or main() returns, while standard error is open:
 * many programs close it themselves at the very end. What is lost later is told later, if it still can be.
 *
 * An exit status of 0 becomes EXIT_LOST here. A process that a signal kills is told apart anyway, and writes no report.
 */
#include "preload.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Reports, and returns the status to end with. */
static int
settle(int status)
{
    if (!losses_are_there() || !preload_is_here())
        return status;
    /* The parent gets eight bits. */
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
    NEXT(exit)(settle(status));
    __builtin_unreachable();
}

EXPORTED _Noreturn void
_exit(int status)
{
    NEXT(_exit)(settle(status));
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
    NEXT(quick_exit)(settle(status));
    __builtin_unreachable();
}

EXPORTED _Noreturn void
abort(void)
{
    (void)settle(1); /* any status but 0: it stays */
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

/* Every program begins here, with its main() and what the start file of its time hands over. */
start_function __libc_start_main;

EXPORTED int
__libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                  void (*loader_fini)(void), void *stack_end)
{
    own_main = main;
    return NEXT(__libc_start_main)(main_and_report, argc, argv, init, fini, loader_fini, stack_end);
}

#endif

/* --------------------------------------------------------------------------------------------------- the last word -- */

#ifdef __GLIBC__

/* Registered before main() runs, so called last. The last thread that ends, by pthread_exit(3), comes here only. */
static void
at_last(int status, void *unused)
{
    (void)unused;
    int settled = settle(status);
    if (settled != status)
        NEXT(exit)(settled); /* glibc goes on with what is left to do, which is to flush streams */
}

void
ending_begin(void)
{
    (void)on_exit(at_last, NULL); /* what is lost after exit(3) was called may stay untold then */
}

#else

void
ending_begin(void)
{
}

#endif
