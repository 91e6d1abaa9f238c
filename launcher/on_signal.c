/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keeps the guard on top of the handlers for SIGBUS. When the program installs a handler, this file installs it and
 * then puts the guard back on top. The guard passes signals that are not about lost pages on to that handler, which
 * gets them as it would without the guard. When the program asks for the action of SIGBUS, it gets its own action, and
 * never that of the guard.
 */
#include "preload.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include <mmapguard.h>

static atomic_flag is_busy = ATOMIC_FLAG_INIT;
static struct sigaction wanted; /* the action that the program has set */
static bool is_interrupting;    /* siginterrupt(3) was called, so signal(3) must not set SA_RESTART */

/* ------------------------------------------------------------------------------------------------ the first loss -- */

/* The handler of the guard, when end_at_loss() is on top of it. */
static void (*_Atomic covered)(int signo, siginfo_t *info, void *context);

/* Calls the guard, and ends the process when bytes were lost. It is the handler of SIGBUS with --on-loss=abort. */
static void
end_at_loss(int signo, siginfo_t *info, void *context)
{
    atomic_load (&covered)(signo, info, context);
    if (preload_is_here() && losses_are_there()) {
        losses_report(LOSSES_END_ABORT);
        NEXT(_exit)(EXIT_LOST); /* not the _exit() of this object, which would report again */
    }
}

/* Puts end_at_loss() on top of the guard. Returns false when the system refuses. */
static bool
cover_guard(void)
{
    struct sigaction action;

    if (NEXT(sigaction)(SIGBUS, NULL, &action) != 0)
        return false;
    if (action.sa_sigaction == end_at_loss)
        return true;
    atomic_store(&covered, action.sa_sigaction);
    action.sa_sigaction = end_at_loss;
    sigemptyset(&action.sa_mask); /* by its mask the guard recognises its own handler, which this is not */
    return NEXT(sigaction)(SIGBUS, &action, NULL) == 0;
}

/* ------------------------------------------------------------------------------------------------------- covering -- */

/*
 * Takes the lock and blocks all signals. A handler that interrupted this thread could otherwise install a handler, and
 * would wait for its own thread.
 */
static sigset_t
lock(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (atomic_flag_test_and_set_explicit(&is_busy, memory_order_acquire))
        usleep(50);
    return before;
}

static void
unlock(sigset_t before)
{
    atomic_flag_clear_explicit(&is_busy, memory_order_release);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Puts the guard on top. The caller has the lock. Returns false when the system refuses. */
static bool
cover(void)
{
    return mmg_guard_install() == MMG_OK && (preload_on_loss() != ON_LOSS_ABORT || cover_guard());
}

bool
signals_begin(void)
{
    sigset_t before = lock();
    bool is_guarded = NEXT(sigaction)(SIGBUS, NULL, &wanted) == 0 && mmg_guard_process(MMG_SCOPE_FILES, 0) == MMG_OK &&
                      cover();

    unlock(before);
    return is_guarded;
}

void
signals_after_fork(void)
{
    atomic_flag_clear(&is_busy);
}

bool
signals_are_ignored(void)
{
    return wanted.sa_handler == SIG_IGN;
}

/*
 * A program that is executed inherits that a signal is ignored, but no handler. So the program's SIG_IGN is set before
 * the execution.
 */
void
signals_uncover(void)
{
    /* A child of vfork(2) has actions of its own, but shares the variables of its parent. */
    if (!preload_is_here()) {
        (void)NEXT(sigaction)(SIGBUS, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
        return;
    }
    sigset_t before = lock();
    if (signals_are_ignored())
        (void)NEXT(sigaction)(SIGBUS, &wanted, NULL);
    unlock(before);
}

void
signals_cover(void)
{
    if (!preload_is_here())
        return;
    sigset_t before = lock();

    (void)cover();
    unlock(before);
}

/* -------------------------------------------------------------------------------------- functions of the C library -- */

/* Does the work of sigaction(3) for SIGBUS: sets the program's action and stores its old one. Returns 0 or -1. */
static int
exchange(const struct sigaction *fresh, struct sigaction *old)
{
    int result = 0, saved = errno;
    sigset_t before = lock();
    const struct sigaction was = wanted;

    if (fresh != NULL) {
        result = NEXT(sigaction)(SIGBUS, fresh, NULL);
        if (result == 0) {
            /* Until the guard is back on top, faults of other threads go to the program's handler. */
            (void)NEXT(sigaction)(SIGBUS, NULL, &wanted);
            (void)cover();
            errno = saved;
        }
    }
    unlock(before);
    if (result == 0 && old != NULL)
        *old = was;
    return result;
}

EXPORTED int
sigaction(int signo, const struct sigaction *restrict fresh, struct sigaction *restrict old)
{
    if (signo != SIGBUS || !preload_is_here())
        return NEXT(sigaction)(signo, fresh, old);
    return exchange(fresh, old);
}

/* glibc has this name for programs that define a sigaction() of their own. */
int __sigaction(int signo, const struct sigaction *fresh, struct sigaction *old);

EXPORTED int
__sigaction(int signo, const struct sigaction *fresh, struct sigaction *old)
{
    return sigaction(signo, fresh, old);
}

/*
 * Installs a handler with these flags. `blocks` says whether the signal is blocked while the handler runs. Returns the
 * old handler or SIG_ERR.
 */
static sighandler_t
install(sighandler_t handler, int flags, bool blocks)
{
    struct sigaction fresh = {.sa_flags = flags}, old;

    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    fresh.sa_handler = handler;
    sigemptyset(&fresh.sa_mask);
    if (blocks)
        sigaddset(&fresh.sa_mask, SIGBUS);
    return exchange(&fresh, &old) == 0 ? old.sa_handler : SIG_ERR;
}

EXPORTED sighandler_t
signal(int signo, sighandler_t handler)
{
    if (signo != SIGBUS || !preload_is_here())
        return NEXT(signal)(signo, handler);
    return install(handler, is_interrupting ? 0 : SA_RESTART, true);
}

sighandler_t bsd_signal(int signo, sighandler_t handler);
sighandler_t ssignal(int signo, sighandler_t handler);
sighandler_t sysv_signal(int signo, sighandler_t handler);
sighandler_t __sysv_signal(int signo, sighandler_t handler);

EXPORTED sighandler_t
bsd_signal(int signo, sighandler_t handler)
{
    return signal(signo, handler);
}

EXPORTED sighandler_t
ssignal(int signo, sighandler_t handler)
{
    return signal(signo, handler);
}

/* The signal() of System V, whose handler is called for one signal only. */
EXPORTED sighandler_t
__sysv_signal(int signo, sighandler_t handler)
{
    if (signo != SIGBUS || !preload_is_here())
        return NEXT(__sysv_signal)(signo, handler);
    return install(handler, (int)SA_RESETHAND | SA_NODEFER, false);
}

EXPORTED sighandler_t
sysv_signal(int signo, sighandler_t handler)
{
    return __sysv_signal(signo, handler);
}

/* Calls of System V that also change the signal mask. SIG_HOLD as the handler means that the signal is blocked. */
EXPORTED sighandler_t
sigset(int signo, sighandler_t handler)
{
    sigset_t bus, before;

    if (signo != SIGBUS || !preload_is_here())
        return NEXT(sigset)(signo, handler);
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    sighandler_t old;
    if (handler == SIG_HOLD)
        old = wanted.sa_handler;
    else
        old = install(handler, 0, false);
    if (old == SIG_ERR || pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &bus, &before) != 0)
        return SIG_ERR;
    return sigismember(&before, SIGBUS) == 1 ? SIG_HOLD : old;
}

EXPORTED int
sigignore(int signo)
{
    if (signo != SIGBUS || !preload_is_here())
        return NEXT(sigignore)(signo);
    return install(SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

EXPORTED int
siginterrupt(int signo, int interrupts)
{
    if (signo != SIGBUS || !preload_is_here())
        return NEXT(siginterrupt)(signo, interrupts);
    is_interrupting = interrupts != 0;
    struct sigaction fresh;
    if (exchange(NULL, &fresh) != 0)
        return -1;
    fresh.sa_flags = is_interrupting ? fresh.sa_flags & ~SA_RESTART : fresh.sa_flags | SA_RESTART;
    return exchange(&fresh, NULL);
}
