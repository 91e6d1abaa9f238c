/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the states of the fault guard: when it is installed, what each state means, the environment variable that
 * switches it off, and a system that refuses it. The action of SIGBUS belongs to the process, so every case runs in a
 * child that has not used the library before.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "guarded.h"

/* ---------------------------------------------------------------------------------------------------- installation -- */

CHECK_IN_A_CHILD(nothing_is_installed_at_load)
{
    uintptr_t before = handler_now();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    CHECK_U64(mmg_abi_version() >> 16, MMG_ABI >> 16);
    CHECK_I64(check_stats().guard_state, MMG_GUARD_NONE);
    CHECK(handler_now() == before);
}

CHECK_IN_A_CHILD(a_wrong_call_installs_nothing)
{
    uintptr_t before = handler_now();
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 64), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_guard_process(17, 0), MMG_E_ARGUMENT);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    CHECK(handler_now() == before);
}

CHECK_IN_A_CHILD(copies_install_nothing)
{
    uintptr_t before = handler_now();
    mmg_handle small = check_open(check_file("small", 100), NULL);
    mmg_handle empty = check_open(check_file("empty", 0), NULL);
    mmg_handle copied = open_with(check_file("copied", file_size()), MMG_BACKING_COPY, 0);
    CHECK_U64(check_info(small).means, MMG_MEANS_PRIVATE_COPY);
    CHECK_U64(check_info(copied).means, MMG_MEANS_PRIVATE_COPY);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    CHECK(handler_now() == before);
    mmg_close(small, 0);
    mmg_close(empty, 0);
    mmg_close(copied, 0);
}

CHECK_IN_A_CHILD(a_region_that_declines_installs_nothing)
{
    uintptr_t before = handler_now();
    mmg_handle handle = open_with(check_file("big", file_size()), MMG_BACKING_MAP, MMG_FLAG_NO_FAULT_GUARD);
    mmg_info info = check_info(handle);
    CHECK_U64(info.backing, MMG_BACKING_MAP);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_NONE);
    CHECK_U64(info.means, MMG_MEANS_NONE);
    CHECK_U64(info.shortfall, MMG_SHORT_GUARD_OFF);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    CHECK(handler_now() == before);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    mmg_close(handle, 0);
}

CHECK_IN_A_CHILD(the_first_mapping_installs)
{
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    struct sigaction action;
    REQUIRE(sigaction(SIGBUS, NULL, &action) == 0);
    CHECK((action.sa_flags & SA_SIGINFO) != 0);
    CHECK((action.sa_flags & SA_ONSTACK) != 0);
    CHECK((action.sa_flags & SA_NODEFER) != 0);
    CHECK_I64(sigismember(&action.sa_mask, SIGBUS), 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_I64(check_stats().guard_state, MMG_GUARD_TOP);
    CHECK_U64(check_info(handle).means, MMG_MEANS_FAULT_GUARD);
    lose(path, handle);
    mmg_close(handle, 0);
    /* The guard cannot be uninstalled, since another handler may pass signals on to it. */
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
}

CHECK_IN_A_CHILD(a_large_file_installs_without_being_asked)
{
    const char *path = check_file("big", UINT64_C(4) << 20);
    mmg_handle handle = check_open(path, NULL);
    CHECK_U64(check_info(handle).backing, MMG_BACKING_MAP);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    lose(path, handle);
    mmg_close(handle, 0);
}

CHECK_IN_A_CHILD(the_host_can_install_first)
{
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    uintptr_t ours = handler_now();
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK(handler_now() == ours);
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    CHECK(handler_now() == ours);
    lose(path, handle);
    mmg_close(handle, 0);
}

/** Opens a file with these flags, cuts it, and reads: the guard must not be there. */
static void
lose_without_the_guard(uint64_t flags)
{
    const char *path = check_file("big", file_size());
    signal(SIGBUS, SIG_DFL);
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, flags);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, 0);
    CHECK(check_touch(span.data, 0) == 0);
}

static void
read_unguarded(void *argument __attribute__((unused)))
{
    lose_without_the_guard(MMG_FLAG_NO_FAULT_GUARD);
}

static void
a_region_that_declines_is_a_plain_mapping(void)
{
    CHECK_KILLED(check_child(read_unguarded, NULL), SIGBUS);
}

/* -------------------------------------------------------------------------------------------------- blocked, displaced -- */

CHECK_IN_A_CHILD(a_blocked_signal_is_reported_for_its_thread_only)
{
    mmg_handle handle = open_with(check_file("big", file_size()), MMG_BACKING_MAP, 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_I64(state_in_a_thread(true), MMG_GUARD_BLOCKED);
    CHECK_I64(state_in_a_thread(false), MMG_GUARD_TOP);
    check_block_bus(true);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_BLOCKED);
    CHECK_I64(state_in_a_thread(false), MMG_GUARD_BLOCKED);
    check_block_bus(false);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    mmg_close(handle, 0);
}

static void
read_blocked(void *argument __attribute__((unused)))
{
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, 0);
    check_block_bus(true);
    CHECK(check_touch(span.data, 0) == 0);
}

/** The state BLOCKED warns of this case, in which the kernel calls no handler. */
static void
a_fault_while_blocked_kills(void)
{
    if (check_under_qemu()) {
        check_skip("qemu-user repeats a fault for ever when its signal is blocked; the kernel kills the process");
        return;
    }
    CHECK_KILLED(check_child(read_blocked, NULL), SIGBUS);
}

static void
ignore_signal(int signo __attribute__((unused)))
{
}

CHECK_IN_A_CHILD(displaced_is_told_and_mended)
{
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    mmg_handle second;
    signal(SIGBUS, ignore_signal);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    CHECK_I64(check_stats().guard_state, MMG_GUARD_DISPLACED);
    check_block_bus(true);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    check_block_bus(false);
    mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_NONE);
    CHECK_U64(info.means, MMG_MEANS_NONE);
    CHECK_U64(info.shortfall, MMG_SHORT_DISPLACED);
    uintptr_t of_host = handler_now();
    mmg_handle copy = check_open(check_file("copied", 100), NULL);
    CHECK(handler_now() == of_host);
    CHECK_STATUS(mmg_close(copy, 0), MMG_OK);
    /* The next mapping puts the guard back. */
    second = open_with(check_file("second", file_size()), MMG_BACKING_MAP, 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_U64(check_info(handle).means, MMG_MEANS_FAULT_GUARD);
    CHECK_U64(check_info(second).means, MMG_MEANS_FAULT_GUARD);
    signal(SIGBUS, ignore_signal);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    check_block_bus(true);
    info = check_info(second);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_NONE);
    CHECK_U64(info.shortfall, MMG_SHORT_BLOCKED);
    check_block_bus(false);
    CHECK_U64(check_info(second).shortfall, MMG_SHORT_NOT_ASKED);
    lose(path, handle);
    mmg_close(handle, 0);
    mmg_close(second, 0);
}

/* ------------------------------------------------------------------------------------------- switched off, refused -- */

CHECK_IN_A_CHILD(the_environment_switches_it_off)
{
    REQUIRE(setenv("MMAPGUARD_NO_SIGNAL", "1", 1) == 0);
    uintptr_t before = handler_now();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISABLED);
    mmg_handle handle = open_with(check_file("big", file_size()), MMG_BACKING_MAP, 0);
    mmg_info info = check_info(handle);
    CHECK_U64(info.backing, MMG_BACKING_MAP);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_NONE);
    CHECK_U64(info.means, MMG_MEANS_NONE);
    CHECK_U64(info.shortfall, MMG_SHORT_ENVIRONMENT);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISABLED);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    CHECK(handler_now() == before);
    CHECK_I64(check_stats().guard_state, MMG_GUARD_DISABLED);
    mmg_close(handle, 0);
}

CHECK_IN_A_CHILD(an_empty_value_and_0_switch_nothing_off)
{
    static const char *const values[] = {"", "0"};
    for (size_t index = 0; index < 2; index++) {
        const char *path = check_file("big", file_size());
        REQUIRE(setenv("MMAPGUARD_NO_SIGNAL", values[index], 1) == 0);
        CHECK_I64(mmg_guard_state(), index == 0 ? MMG_GUARD_NONE : MMG_GUARD_TOP);
        mmg_handle handle = open_with(path, MMG_BACKING_MAP, MMG_FLAG_REQUIRE_GUARD);
        CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
        CHECK_U64(check_info(handle).means, MMG_MEANS_FAULT_GUARD);
        lose(path, handle);
        mmg_close(handle, 0);
    }
}

static void
read_disabled(void *argument __attribute__((unused)))
{
    REQUIRE(setenv("MMAPGUARD_NO_SIGNAL", "1", 1) == 0);
    lose_without_the_guard(0);
}

static void
switched_off_by_the_environment_a_region_is_a_plain_mapping(void)
{
    CHECK_KILLED(check_child(read_disabled, NULL), SIGBUS);
}

/** Calls that let the kernel copy return a status and raise no signal, so they need no guard. */
CHECK_IN_A_CHILD(calls_are_safe_without_the_guard)
{
    REQUIRE(setenv("MMAPGUARD_NO_SIGNAL", "1", 1) == 0);
    const char *path = check_file("big", file_size());
    uint8_t buffer[64];
    uint64_t got = 0;
    uint64_t position = 0;
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    check_truncate(path, check_page() + 10);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "absent", 6, &position), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_read(handle, check_page(), buffer, sizeof buffer, &got), MMG_E_TRUNCATED);
    CHECK_U64(got, 10);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, check_page() + 10);
    mmg_close(handle, 0);
}

/**
 * Runs with a preloaded sigaction(3) that does nothing for SIGBUS (see swallow.c). The guard uses the system call
 * instead.
 */
CHECK_IN_A_CHILD(a_swallowed_sigaction_does_not_matter)
{
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_U64(check_info(handle).means, MMG_MEANS_FAULT_GUARD);
    lose(path, handle);
    mmg_close(handle, 0);
}

/** Makes rt_sigaction(2) return this error and do nothing, when it should change the action of SIGBUS. */
static void
forbid_actions(uint32_t error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIGBUS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void
open_where_refused(void *error)
{
    uint32_t code = *(uint32_t *)error;
    mmg_handle handle = 0;
    mmg_error details = MMG_ERROR_INIT;
    const char *path = check_file("big", file_size());
    mmg_options options = check_backing(MMG_BACKING_MAP);
    forbid_actions(code);
    CHECK_STATUS(mmg_open(path, &options, &handle, &details), MMG_E_GUARD);
    CHECK_U64(handle, 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_REFUSED);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_REFUSED);

    /* When the library may choose, it copies, so nothing that happens to the file can kill the process. */
    options = check_backing(MMG_BACKING_AUTO);
    path = check_file("large", UINT64_C(4) << 20);
    handle = check_open(path, &options);
    mmg_info info = check_info(handle);
    CHECK_U64(info.backing, MMG_BACKING_COPY);
    CHECK_U64(info.backing_reason, MMG_REASON_NO_GUARD);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    check_truncate(path, 0);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    mmg_close(handle, 0);

    /* A caller can still ask for a mapping without the guard. */
    handle = open_with(check_file("plain", file_size()), MMG_BACKING_MAP, MMG_FLAG_NO_FAULT_GUARD);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_NONE);
    mmg_close(handle, 0);
}

/** A sandbox that refuses the call may report an error or success. */
static void
a_refusal_is_noticed(void)
{
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("a filter of system calls would apply to valgrind or qemu, too");
        return;
    }
    uint32_t loud = EPERM;
    uint32_t silent = 0;
    CHECK_EXITED(check_child(open_where_refused, &loud));
    CHECK_EXITED(check_child(open_where_refused, &silent));
}

static const struct check_case everywhere[] = {
    {"nothing is installed at load", nothing_is_installed_at_load, 0},
    {"a wrong call installs nothing", a_wrong_call_installs_nothing, 0},
    {"copies install nothing", copies_install_nothing, 0},
    {"a region that declines the guard installs nothing", a_region_that_declines_installs_nothing, 0},
    {"a region that declines the guard is a plain mapping", a_region_that_declines_is_a_plain_mapping, 0},
    {"the first mapping installs the guard", the_first_mapping_installs, 0},
    {"a large file installs the guard without being asked", a_large_file_installs_without_being_asked, 0},
    {"the host can install the guard first", the_host_can_install_first, 0},
    {"a blocked signal is reported for its thread only", a_blocked_signal_is_reported_for_its_thread_only, 0},
    {"a fault while SIGBUS is blocked kills", a_fault_while_blocked_kills, 0},
    {"a displaced guard is reported, and goes back on top on demand", displaced_is_told_and_mended, 0},
    {"the environment switches the guard off", the_environment_switches_it_off, 0},
    {"an empty value and 0 in the environment switch nothing off", an_empty_value_and_0_switch_nothing_off, 0},
    {"switched off by the environment a region is a plain mapping",
     switched_off_by_the_environment_a_region_is_a_plain_mapping, 0},
    {"a refusal is noticed", a_refusal_is_noticed, 0},
    {"calls are safe without the guard", calls_are_safe_without_the_guard, 0},
};

static const struct check_case swallowed[] = {
    {"a swallowed sigaction does not matter", a_swallowed_sigaction_does_not_matter, 0},
};

int
main(int argc, char **argv)
{
    unsetenv("MMAPGUARD_NO_SIGNAL");
    if (getenv("SWALLOW_SIGACTION") != NULL) {
        return check_main(argc, argv, swallowed, sizeof swallowed / sizeof *swallowed);
    }
    return check_main(argc, argv, everywhere, sizeof everywhere / sizeof *everywhere);
}
