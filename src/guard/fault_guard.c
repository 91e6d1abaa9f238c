/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The SIGBUS handler, its place among other handlers, and what it passes on to them.
 *
 * A handler that is installed over another one is asked to pass on what is not its own. Some call the function they
 * found, some restore the action they found and let the instruction fault again, some restore it and raise the
 * signal. All three must find their way past us to the handler that was there before us, and none may run in a
 * circle. So there is not one entry point but a row of them, each with a predecessor of its own that never changes:
 * the action that was in force when that entry was put on top. A
 * handler that found entry 0 and passes on to it thus reaches what was below entry 0, and never itself.
 *
 * Nothing is ever uninstalled: the action below another handler cannot be taken out without breaking that one.
 */
#include "guard/fault_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "guard/contain.h"
#include "guard/prev_action.h"
#include "guard/registry.h"
#include "base/fork_hooks.h"
#include "os/process.h"
#include "os/thread.h"

#define CHAIN_LEVELS 8
/* Signals raised within each other, deeper than any honest chain: handlers that raise in a circle. No more, since each
   takes kilobytes of what may be a small alternate stack. */
#define MAX_NESTED_RAISES 4

typedef void action_function(int, siginfo_t *, void *);

static struct prev_action chain_actions[CHAIN_LEVELS];
static _Atomic int chain_length;
static atomic_flag installing = ATOMIC_FLAG_INIT;
static _Atomic int32_t outcome; /* of the last installation: MMG_GUARD_NONE, _TOP, _REFUSED */
static _Atomic uint64_t foreign;

/* The innermost call to a predecessor on this thread's stack. Initial-exec: a lazily allocated variable could call
   malloc(3) in the handler. */
struct chain_link {
    uintptr_t frame;     /* 0: none */
    const void *context; /* of the signal that it was about */
    int level;           /* which predecessor */
    int raised;          /* how many raised signals it is inside of */
};
static _Thread_local struct chain_link chain __attribute__((tls_model("initial-exec")));

static void chain_to(int number, int signo, siginfo_t *info, void *context);

static void
handle(int number, int signo, siginfo_t *info, void *context)
{
    int saved = errno;

    if (!mmgi_guard_handle_signal(signo, info))
        chain_to(number, signo, info, context);
    errno = saved;
}

#define TRAMPOLINE(n)                                                                                                  \
    static void trampoline_##n(int signo, siginfo_t *info, void *context)                                              \
    {                                                                                                                  \
        handle(n, signo, info, context);                                                                               \
    }
TRAMPOLINE(0)
TRAMPOLINE(1)
TRAMPOLINE(2)
TRAMPOLINE(3)
TRAMPOLINE(4)
TRAMPOLINE(5)
TRAMPOLINE(6)
TRAMPOLINE(7)
static action_function *const trampolines[CHAIN_LEVELS] = {trampoline_0, trampoline_1, trampoline_2, trampoline_3,
                                                           trampoline_4, trampoline_5, trampoline_6, trampoline_7};

static bool
is_ours(const struct sigaction *action)
{
    for (int i = 0; i < CHAIN_LEVELS; i++)
        if ((action->sa_flags & SA_SIGINFO) && action->sa_sigaction == trampolines[i])
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------ what a signal means -- */

/* Was this SIGBUS sent with raise(3), kill(2) or the like by this very process? */
static bool
is_from_ourselves(const siginfo_t *info)
{
    return (info->si_code == SI_TKILL || info->si_code == SI_USER) && info->si_pid == getpid();
}

bool
mmgi_guard_handle_signal(int signo, void *siginfo)
{
    const siginfo_t *info = siginfo;
    int saved = errno;
    bool done = false;

    if (signo != SIGBUS || info == NULL)
        return false;
    if (info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR)
        done = mmgi_contain_fault(info->si_addr, 0);
    else if (info->si_code == BUS_MCEERR_AR) /* sigaction(2): the low bit of the address that was hit */
        done = mmgi_contain_fault(info->si_addr, (size_t)1 << info->si_addr_lsb);
    else if (is_from_ourselves(info))
        /*
         * Either the host raises SIGBUS, or a handler on top of us (Python's faulthandler) had a fault of ours,
         * restored our action and raised the signal anew, without the address. A mapping with pages behind the end of
         * its file tells: it is put in order, and the instruction runs again. The host's own signal finds none and is
         * passed on.
         */
        done = mmgi_contain_truncated();
    errno = saved;
    return done;
}

/* ---------------------------------------------------------------------------------------------------- passing on -- */

static mmg_status install_on_top(void);

/* A predecessor that puts itself, or the default, in our place means that for its own signals. We stay on top, and
   what it wants is what we pass on to from now on. */
static void
stay_on_top(void)
{
    struct sigaction current = {.sa_flags = 0};

    if (sigaction(SIGBUS, NULL, &current) != 0 || is_ours(&current))
        return;
    if (!atomic_flag_test_and_set_explicit(&installing, memory_order_acquire)) {
        install_on_top();
        atomic_flag_clear_explicit(&installing, memory_order_release);
    }
}

static void
chain_to(int number, int signo, siginfo_t *info, void *context)
{
    char here;
    const uintptr_t frame = (uintptr_t)&here;
    const struct chain_link outer = chain;
    /* Stacks grow down on every platform we know, so a frame below the last one may have been called from it. A handler
       that left by longjmp(3) never came back to reset this; hence what else must be true. */
    bool inside = outer.frame != 0 && frame < outer.frame;

    chain.frame = frame;
    chain.context = context;
    chain.level = number;
    chain.raised = 0;
    /* The same signal again: a predecessor that found us on top of it, and passes on to us. What it wants is what was
       there before it. */
    if (inside && context == outer.context && outer.level <= number)
        chain.level = outer.level - 1;
    if (inside && is_from_ourselves(info))
        chain.raised = outer.raised + 1;
    atomic_fetch_add_explicit(&foreign, 1, memory_order_relaxed); /* a counter */
    if (chain.level < 0 || chain.raised > MAX_NESTED_RAISES)
        mmgi_prev_action_default(info);
    else if (mmgi_prev_action_deliver(&chain_actions[chain.level], signo, info, context))
        stay_on_top();
    chain = outer;
}

/* ------------------------------------------------------------------------------------------------- installation -- */

/* The level whose predecessor is this action, an old one where there is one; -1 when all are taken. */
static int
chain_level_for(const struct sigaction *action)
{
    int count = atomic_load(&chain_length);

    for (int i = 0; i < count; i++)
        if (mmgi_prev_action_equals(&chain_actions[i], action)) {
            atomic_store(&chain_actions[i].spent, 0); /* installed anew, it has its one signal again */
            return i;
        }
    if (count == CHAIN_LEVELS)
        return -1;
    chain_actions[count].action = *action;
    atomic_store(&chain_length, count + 1);
    return count;
}

/* The caller has the flag `installing`. */
static mmg_status
install_on_top(void)
{
    /* Cleared, since a sigaction(2) that is swallowed may report success and write nothing. */
    struct sigaction current = {.sa_flags = 0}, ours = {.sa_flags = 0};

    if (sigaction(SIGBUS, NULL, &current) != 0)
        return MMG_E_GUARD;
    if (is_ours(&current)) {
        atomic_store(&outcome, MMG_GUARD_TOP);
        return MMG_OK;
    }
    int level = chain_level_for(&current);
    if (level < 0)
        return MMG_E_GUARD;
    ours.sa_sigaction = trampolines[level];
    /* SA_NODEFER and an empty mask: a fault in a predecessor is its own affair, and leaving by longjmp(3) leaves
       nothing blocked. SA_ONSTACK: Go demands it. SA_RESTART as the predecessor has it, since system calls that a
       sent SIGBUS interrupts are the host's; to an ignored signal they pay no attention. */
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    if (current.sa_handler == SIG_IGN || (current.sa_flags & SA_RESTART))
        ours.sa_flags |= SA_RESTART;
    sigemptyset(&ours.sa_mask);
    /* Sanitizers with handle_sigbus=2, libjsig and sandboxes report success and do nothing: only reading back tells. */
    bool installed = sigaction(SIGBUS, &ours, NULL) == 0 && sigaction(SIGBUS, NULL, &current) == 0 && is_ours(&current);
    atomic_store(&outcome, installed ? MMG_GUARD_TOP : MMG_GUARD_REFUSED);
    return installed ? MMG_OK : MMG_E_GUARD;
}

/* In the child, only the forking thread is left: no handler is running, nobody is installing. */
static void
after_fork(void)
{
    mmgi_registry_after_fork();
    atomic_flag_clear(&installing);
}

static struct fork_hooks fork_hooks = {.child = after_fork};

static bool
is_disabled(void)
{
    return mmgi_process_environment_says("MMAPGUARD_NO_SIGNAL");
}

mmg_status
mmgi_guard_install(void)
{
    if (is_disabled())
        return MMG_E_UNSUPPORTED;
    if (!mmgi_fork_hooks_add(&fork_hooks))
        return MMG_E_GUARD;
    while (atomic_flag_test_and_set_explicit(&installing, memory_order_acquire))
        mmgi_thread_yield(); /* another thread is at it: three system calls */
    mmg_status status = install_on_top();
    atomic_flag_clear_explicit(&installing, memory_order_release);
    return status;
}

mmg_status
mmgi_guard_ensure(void)
{
    struct sigaction current;

    if (atomic_load(&outcome) != MMG_GUARD_TOP)
        return mmgi_guard_install();
    current.sa_handler = SIG_DFL; /* which it stays where sigaction(2) is swallowed; no more of it is looked at */
    /* Once installed it stays, perhaps below a handler that passes faults on; putting it back on top of that one is the
       host's decision. Where there is no handler at all, nothing passes anything on: a forked child that has reset its
       signals, or a host that forgot us. */
    if (sigaction(SIGBUS, NULL, &current) == 0 && current.sa_handler != SIG_DFL && current.sa_handler != SIG_IGN)
        return MMG_OK;
    return mmgi_guard_install();
}

int32_t
mmgi_guard_state(void)
{
    struct sigaction current = {.sa_flags = 0};
    sigset_t blocked;
    int32_t state = atomic_load(&outcome);

    if (state == MMG_GUARD_NONE)
        return is_disabled() ? MMG_GUARD_DISABLED : MMG_GUARD_NONE;
    if (state == MMG_GUARD_REFUSED)
        return state;
    if (sigaction(SIGBUS, NULL, &current) != 0 || !is_ours(&current))
        return MMG_GUARD_DISPLACED;
    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && sigismember(&blocked, SIGBUS) == 1)
        return MMG_GUARD_BLOCKED;
    return MMG_GUARD_TOP;
}

bool
mmgi_guard_is_armed(void)
{
    return mmgi_guard_state() == MMG_GUARD_TOP;
}

uint64_t
mmgi_guard_foreign_count(void)
{
    return atomic_load_explicit(&foreign, memory_order_relaxed);
}
