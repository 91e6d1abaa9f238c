/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Installs the guard with the first mapping that needs it, and puts it back on top with every later mapping. Decides
 * what a signal is about, and reports the state of the guard. The code asks the kernel for the current action each
 * time, since any code of the process may install a handler.
 */
#include "guard/fault_guard.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/fork_hooks.h"
#include "guard/ask.h"
#include "guard/chain.h"
#include "guard/contain.h"
#include "guard/foreign.h"
#include "guard/ledger.h"
#include "guard/process_guard.h"
#include "guard/registry.h"
#include "guard/spares.h"
#include "os/process.h"
#include "os/signal.h"
#include "os/thread.h"

static atomic_flag is_climbing = ATOMIC_FLAG_INIT;
static _Atomic int32_t outcome; /* the result of the last installation: MMG_GUARD_NONE, _TOP or _REFUSED */

/* ------------------------------------------------------------------------------------------ what a signal means -- */

bool
mmgi_guard_handle_foreign(int signo, void *info)
{
    struct signal_report report;
    int saved = errno;

    mmgi_signal_describe(signo, info, &report);
    bool done = false;
    if (report.cause == SIGNAL_CAUSE_PAGE || report.cause == SIGNAL_CAUSE_POISON)
        done = mmgi_foreign_contain(report.address, report.poisoned);
    else if (report.cause == SIGNAL_CAUSE_RAISED) /* for the reason that mmgi_guard_handle_own() gives */
        done = mmgi_foreign_contain_truncated();
    errno = saved;
    return done;
}

bool
mmgi_guard_handle_own(int signo, void *info, bool at_end)
{
    struct signal_report report;
    int saved = errno;
    bool done = false;

    mmgi_signal_describe(signo, info, &report);
    switch (report.cause) {
    case SIGNAL_CAUSE_PAGE:
    case SIGNAL_CAUSE_POISON:
        done = mmgi_contain_fault(report.address, report.poisoned, at_end);
        break;
    case SIGNAL_CAUSE_RAISED:
        /*
         * A program has raised the signal. Perhaps the host raised it for its own purposes. Or a handler on top of the guard,
          * such as Python's faulthandler, had a fault in a guarded mapping, restored the guard's action and raised the
          * signal again, without the address. In the second case some mapping has pages behind the end of its file: the
          * guard replaces them, and the instruction runs again. In the first case there is no such mapping, and the signal
          * is passed on.
         */
        done = mmgi_contain_truncated();
        break;
    case SIGNAL_CAUSE_OTHER:
        break;
    }
    errno = saved;
    return done;
}

bool
mmgi_guard_handle_signal(int signo, void *info)
{
    return mmgi_guard_handle_own(signo, info, false) || mmgi_guard_handle_foreign(signo, info);
}

bool
mmgi_guard_comes_second(const struct signal_action *predecessor)
{
    return mmgi_signal_action_kind(predecessor) == SIGNAL_ACTION_HANDLER &&
           !mmgi_signal_action_is_marked(predecessor) && mmgi_process_guard_comes_second(predecessor->handler);
}

uint64_t
mmgi_guard_foreign_count(void)
{
    return mmgi_chain_foreign_count();
}

/* ------------------------------------------------------------------------------------------------- installation -- */

/* The child of a fork has only the thread that forked, so no handler runs and no thread installs the guard. */
static void
after_fork(void)
{
    mmgi_registry_after_fork();
    mmgi_ask_after_fork();
    mmgi_ledger_after_fork();
    atomic_flag_clear(&is_climbing);
}

static struct fork_hooks fork_hooks = {.child = after_fork};

static bool
is_disabled(void)
{
    return mmgi_process_environment_says("MMAPGUARD_NO_SIGNAL");
}

/* Installs the guard. The caller has set the flag `is_climbing`. */
static mmg_status
climb(void)
{
    bool is_on_top = mmgi_chain_climb();

    atomic_store(&outcome, is_on_top ? MMG_GUARD_TOP : MMG_GUARD_REFUSED);
    return is_on_top ? MMG_OK : MMG_E_GUARD;
}

void
mmgi_guard_climb_if_free(void)
{
    if (atomic_flag_test_and_set_explicit(&is_climbing, memory_order_acquire))
        return;
    climb();
    atomic_flag_clear_explicit(&is_climbing, memory_order_release);
}

static __attribute__((noinline)) mmg_status
install_slow(void)
{
    if (is_disabled())
        return MMG_E_UNSUPPORTED;
    if (!mmgi_fork_hooks_add(&fork_hooks))
        return MMG_E_GUARD;
    mmgi_process_keep_loaded();
    mmgi_spares_fill();
    /* Another thread is installing the guard, which takes a few system calls. Sleeping lets it run, even where this thread
       has a higher priority. */
    while (atomic_flag_test_and_set_explicit(&is_climbing, memory_order_acquire))
        mmgi_thread_sleep_briefly();
    mmg_status status = climb();
    atomic_flag_clear_explicit(&is_climbing, memory_order_release);
    return status;
}

mmg_status
mmgi_guard_install(void)
{
    /* Relaxed: the value is only a guess, and mmgi_chain_place() asks the kernel. */
    if (atomic_load_explicit(&outcome, memory_order_relaxed) == MMG_GUARD_TOP && spares_are_full() &&
        mmgi_chain_place() == CHAIN_TOP)
        return MMG_OK;
    return install_slow();
}

int32_t
mmgi_guard_state(void)
{
    int32_t state = atomic_load(&outcome);

    if (state == MMG_GUARD_NONE)
        return is_disabled() ? MMG_GUARD_DISABLED : MMG_GUARD_NONE;
    if (state == MMG_GUARD_REFUSED)
        return state;
    if (mmgi_chain_place() != CHAIN_TOP)
        return MMG_GUARD_DISPLACED;
    return mmgi_signal_is_blocked() ? MMG_GUARD_BLOCKED : MMG_GUARD_TOP;
}

uint32_t
mmgi_guard_shortfall(void)
{
    switch (mmgi_guard_state()) {
    case MMG_GUARD_TOP:
        return MMG_SHORT_NONE;
    case MMG_GUARD_BLOCKED:
        return MMG_SHORT_BLOCKED;
    default:
        return MMG_SHORT_DISPLACED;
    }
}

bool
mmgi_guard_is_armed(void)
{
    return mmgi_guard_state() == MMG_GUARD_TOP;
}
