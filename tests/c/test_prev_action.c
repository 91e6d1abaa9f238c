/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what becomes of a signal that the guard passes on: a handler gets it as the kernel would have delivered it, and
 * without a handler the process ends, or goes on where the signal was ignored. Each case runs in a process of its own.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"
#include "forbid.h"
#include "guard/prev_action.h"

#define BIT(signo) (UINT64_C(1) << ((signo)-1))

static volatile sig_atomic_t calls, given;
static uint64_t blocked;
static const void *seen_info, *seen_context;

static uint64_t
blocked_now(void)
{
    const uint64_t before = mmgi_signal_block_all();

    mmgi_signal_unblock(before);
    return before;
}

static void
with_details(int signo, void *info, void *context)
{
    calls++;
    given = signo;
    seen_info = info;
    seen_context = context;
    blocked = blocked_now();
}

static void
without_details(int signo)
{
    calls++;
    given = signo;
}

static siginfo_t
sent(void)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = SI_USER;
    info.si_pid = getpid();
    info.si_uid = getuid();
    return info;
}

static struct prev_action
handler_with(unsigned long flags, uint64_t mask)
{
    return (struct prev_action){.action = {(uintptr_t)with_details, flags | SA_SIGINFO, mask}};
}

/* Makes the action of the signal one that is none of those under test, as the guard's is. */
static void
stand_on_top(void)
{
    const struct signal_action top = {(uintptr_t)without_details, SA_NODEFER, 0};

    REQUIRE(mmgi_signal_action_swap(&top, NULL) == 0);
}

static uintptr_t
handler_now(void)
{
    struct signal_action action;

    REQUIRE(mmgi_signal_action_get(&action) == 0);
    return action.handler;
}

CHECK_IN_A_CHILD(a_handler_runs_as_the_kernel_would_run_it)
{
    struct prev_action previous = handler_with(0, BIT(SIGUSR1) | BIT(SIGUSR2));
    siginfo_t info = sent();
    ucontext_t context;
    memset(&context, 0, sizeof context);
    const uint64_t before = blocked_now();
    stand_on_top();
    CHECK(mmgi_prev_action_deliver(&previous, SIGBUS, &info, &context));
    CHECK_I64(calls, 1);
    CHECK_I64(given, SIGBUS);
    CHECK(seen_info == &info && seen_context == &context);
    CHECK_U64(blocked, before | BIT(SIGBUS) | BIT(SIGUSR1) | BIT(SIGUSR2));
    CHECK_U64(blocked_now(), before);
    CHECK(mmgi_prev_action_deliver(&previous, SIGBUS, &info, &context));
    CHECK_I64(calls, 2);
    CHECK_U64(handler_now(), (uintptr_t)without_details);
}

CHECK_IN_A_CHILD(a_handler_that_may_be_interrupted_by_itself_is_not_kept_from_it)
{
    struct prev_action previous = handler_with(SA_NODEFER, BIT(SIGUSR1));
    siginfo_t info = sent();
    const uint64_t before = blocked_now();
    CHECK(mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_U64(blocked, before | BIT(SIGUSR1));
}

CHECK_IN_A_CHILD(a_handler_of_one_argument_gets_one)
{
    struct prev_action previous = {.action = {(uintptr_t)without_details, 0, 0}};
    siginfo_t info = sent();
    CHECK(mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_I64(calls, 1);
    CHECK_I64(given, SIGBUS);
}

CHECK_IN_A_CHILD(a_handler_for_one_signal_gets_one)
{
    struct prev_action previous = handler_with((unsigned long)SA_RESETHAND, 0);
    const uint8_t byte = 0;
    siginfo_t info = check_fault(&byte);
    stand_on_top();
    CHECK(mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_U64(handler_now(), (uintptr_t)without_details);
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_I64(calls, 1);
    CHECK_U64(handler_now(), (uintptr_t)SIG_DFL);
}

CHECK_IN_A_CHILD(a_fault_without_a_handler_comes_again_and_ends_the_process)
{
    struct prev_action previous = {.action = {(uintptr_t)SIG_DFL, 0, 0}};
    const uint8_t byte = 0;
    siginfo_t info = check_fault(&byte);
    ucontext_t context;
    memset(&context, 0, sizeof context);
    stand_on_top();
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, &context));
    CHECK_U64(handler_now(), (uintptr_t)SIG_DFL);
    CHECK_I64(sigismember(&context.uc_sigmask, SIGBUS), 0);
}

CHECK_IN_A_CHILD(a_fault_cannot_be_ignored)
{
    struct prev_action previous = {.action = {(uintptr_t)SIG_IGN, 0, 0}};
    const uint8_t byte = 0;
    siginfo_t info = check_fault(&byte);
    stand_on_top();
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_U64(handler_now(), (uintptr_t)SIG_IGN);
}

CHECK_IN_A_CHILD(a_signal_that_was_sent_can_be_ignored)
{
    struct prev_action previous = {.action = {(uintptr_t)SIG_IGN, 0, 0}};
    siginfo_t info = sent();
    stand_on_top();
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_U64(handler_now(), (uintptr_t)without_details);
    CHECK_I64(calls, 0);
}

static void
send_to_nobody(void *unused)
{
    struct prev_action previous = {.action = {(uintptr_t)SIG_DFL, 0, 0}};
    siginfo_t info = sent();
    (void)unused;
    stand_on_top();
    mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL);
}

static void
a_signal_that_was_sent_ends_a_process_without_a_handler(void)
{
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("the emulator does not send a signal with the details that it had");
        return;
    }
    CHECK_KILLED(check_child(send_to_nobody, NULL), SIGBUS);
}

static void
send_to_a_thread_that_blocks(void *unused)
{
    (void)unused;
    struct prev_action previous = {.action = {(uintptr_t)SIG_DFL, 0, 0}};
    siginfo_t info = sent(), again;
    const struct timespec no_time = {0, 0};
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    memset(&again, 0, sizeof again);
    info.si_code = SI_QUEUE;
    info.si_pid = 4711;
    info.si_value.sival_int = 12;
    check_block_bus(true);
    stand_on_top();
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, NULL));
    CHECK_U64(handler_now(), (uintptr_t)SIG_DFL);
    CHECK_I64(sigtimedwait(&bus, &again, &no_time), SIGBUS);
    CHECK_I64(again.si_code, SI_QUEUE);
    CHECK_I64(again.si_pid, 4711);
    CHECK_I64(again.si_value.sival_int, 12);
    CHECK(sigtimedwait(&bus, &again, &no_time) < 0);
}

/** The guard cannot call a default action. It sends the signal again, which waits here, since the thread has blocked it. */
static void
a_signal_that_is_sent_again_has_its_first_sender(void)
{
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("the emulator does not send a signal with the details that it had");
        return;
    }
    CHECK_EXITED(check_child(send_to_a_thread_that_blocks, NULL));
}

/* Makes rt_sigaction(2) fail in this process. Returns false where the system has no filters. */
static bool
forbid_actions(void)
{
    struct signal_action action;

    return forbid(SYS_rt_sigaction, EPERM) && mmgi_signal_action_get(&action) == EPERM;
}

/* Where the guard cannot restore the action, the next fault must end the process: else the fault would come for ever. */
static void
lose_in_a_sandbox(void *argument)
{
    const uintptr_t handlers[] = {(uintptr_t)SIG_DFL, (uintptr_t)SIG_IGN};
    const uint8_t byte = 0;
    siginfo_t info = check_fault(&byte);
    (void)argument;
    stand_on_top();
    if (!forbid_actions()) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        struct prev_action previous = {.action = {handlers[i], 0, 0}};
        ucontext_t context;
        memset(&context, 0, sizeof context);
        CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, &context));
        CHECK_I64(sigismember(&context.uc_sigmask, SIGBUS), 1);
        CHECK_I64(sigismember(&context.uc_sigmask, SIGUSR1), 0);
    }
}

/* A signal that was sent is no fault, so the thread goes on, and faults of the library are contained as before. */
static void
send_in_a_sandbox(void *unused)
{
    struct prev_action previous = {.action = {(uintptr_t)SIG_DFL, 0, 0}};
    siginfo_t info = sent();
    ucontext_t context;
    (void)unused;
    memset(&context, 0, sizeof context);
    stand_on_top();
    if (!forbid_actions()) {
        return;
    }
    CHECK(!mmgi_prev_action_deliver(&previous, SIGBUS, &info, &context));
    CHECK_I64(sigismember(&context.uc_sigmask, SIGBUS), 0);
    CHECK_I64(calls, 1); /* it was sent again, and came to the handler on top */
}

static void
in_a_sandbox_a_signal_that_was_sent_leaves_the_next_fault_alone(void)
{
    CHECK_EXITED(check_child(send_in_a_sandbox, NULL));
}

static void
in_a_sandbox_the_next_fault_ends_the_process(void)
{
    CHECK_EXITED(check_child(lose_in_a_sandbox, NULL));
}

static const struct check_case cases[] = {
    {"a handler runs as the kernel would run it", a_handler_runs_as_the_kernel_would_run_it, 0},
    {"a handler that may be interrupted by itself is not kept from it",
     a_handler_that_may_be_interrupted_by_itself_is_not_kept_from_it, 0},
    {"a handler of one argument gets one", a_handler_of_one_argument_gets_one, 0},
    {"a handler for one signal gets one", a_handler_for_one_signal_gets_one, 0},
    {"a fault without a handler comes again and ends the process",
     a_fault_without_a_handler_comes_again_and_ends_the_process, 0},
    {"a fault cannot be ignored", a_fault_cannot_be_ignored, 0},
    {"a signal that was sent can be ignored", a_signal_that_was_sent_can_be_ignored, 0},
    {"a signal that was sent ends a process without a handler", a_signal_that_was_sent_ends_a_process_without_a_handler,
     0},
    {"a signal that is sent again has its first sender", a_signal_that_is_sent_again_has_its_first_sender, 0},
    {"in a sandbox the next fault ends the process", in_a_sandbox_the_next_fault_ends_the_process, 0},
    {"in a sandbox a signal that was sent leaves the next fault alone",
     in_a_sandbox_a_signal_that_was_sent_leaves_the_next_fault_alone, 0},
};

CHECK_MAIN(cases)
