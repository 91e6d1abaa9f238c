/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Delivering a signal as the kernel would have, had it not been for us.
 */
#include "guard/prev_action.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's signal for the instruction that is running, as opposed to one that was sent or is merely advice. */
static bool
is_synchronous(const siginfo_t *info)
{
    return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

void
mmgi_prev_action_default(siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(SIGBUS, &action, NULL);
    /* A fault happens again as soon as we return, now without a handler: the core dump shows its very instruction. */
    if (!is_synchronous(info))
        /* rt_tgsigqueueinfo(2): a process may send itself any siginfo, so the sender stays visible. */
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, info);
}

/* Call a handler with the signals blocked that the kernel would have blocked. */
static void
call_handler(const struct sigaction *action, int signo, siginfo_t *info, void *context)
{
    sigset_t blocked = action->sa_mask, before;

    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&blocked, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signo, info, context);
    else
        action->sa_handler(signo);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool
mmgi_prev_action_deliver(struct prev_action *predecessor, int signo, siginfo_t *info, void *context)
{
    const struct sigaction *action = &predecessor->action;

    if (action->sa_handler == SIG_DFL || atomic_load(&predecessor->spent) != 0) {
        mmgi_prev_action_default(info);
    } else if (action->sa_handler == SIG_IGN) {
        /* An ignored signal is ignored. A fault cannot be: the kernel kills, once we are out of its way. */
        if (is_synchronous(info))
            sigaction(SIGBUS, action, NULL);
    } else {
        if ((action->sa_flags & (int)SA_RESETHAND) && atomic_exchange(&predecessor->spent, 1) != 0) {
            mmgi_prev_action_default(info); /* another thread's signal was the one */
            return false;
        }
        call_handler(action, signo, info, context);
        return true;
    }
    return false;
}

bool
mmgi_prev_action_equals(const struct prev_action *predecessor, const struct sigaction *action)
{
    const struct sigaction *ours = &predecessor->action;

    if (ours->sa_flags != action->sa_flags || ours->sa_handler != action->sa_handler)
        return false;
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(&ours->sa_mask, signo) != sigismember(&action->sa_mask, signo))
            return false;
    return true;
}
