/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a sandbox that kills the process at the first system call that is not on its list. The lists are those of
 * SAFETY.md; another test compares them. With such a list a loss is contained, and with a shorter one it is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#define CALLS_TO_CONTAIN(X) X(rt_sigprocmask) X(fstat) X(newfstatat) X(pread64) X(mmap) X(gettid) X(rt_sigreturn)
#define CALLS_ON_OVERLAY(X) X(process_vm_readv) X(getpid)
#define CALLS_AT_A_LIMIT(X) X(munmap) X(mremap) X(munlock) X(prlimit64)
/* clang-format off */
#define CALLS_FOR_OTHERS(X) X(openat) X(ioctl) X(read) X(lseek) X(close) X(lstat) X(newfstatat) X(statfs) X(process_vm_readv) X(getpid) X(rt_sigprocmask) X(mmap) X(gettid) X(clock_nanosleep) X(rt_sigreturn)
/* clang-format on */
#define CALLS_TO_PASS_ON(X) X(getpid) X(rt_sigprocmask) X(rt_sigaction) X(rt_tgsigqueueinfo) X(gettid)

#ifndef SYS_newfstatat
#define SYS_newfstatat SYS_fstat /* 32-bit: neither is what fstat(3) makes, and the cases are skipped */
#endif
#ifndef SYS_lstat
#define SYS_lstat SYS_newfstatat /* newer processors have the one only */
#endif
#ifndef SYS_mmap
#define SYS_mmap SYS_mmap2
#endif
#define NUMBER(name) SYS_##name,

static const long to_contain[] = {CALLS_TO_CONTAIN(NUMBER)};
static const long on_overlay[] = {CALLS_ON_OVERLAY(NUMBER)};
static const long at_a_limit[] = {CALLS_AT_A_LIMIT(NUMBER)};
static const long for_others[] = {CALLS_FOR_OTHERS(NUMBER)};
static const long to_pass_on[] = {CALLS_TO_PASS_ON(NUMBER)};
/* The calls that a case itself makes in the sandbox: it raises a signal, writes what is wrong, and ends. */
static const long of_the_case[] = {SYS_tgkill, SYS_tkill, SYS_write, SYS_exit_group};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define MOST_CALLS 32

/** A filter that is being built, with one comparison for each allowed call. */
struct sandbox {
    struct sock_filter line[2 * MOST_CALLS];
    unsigned short count;
};

static void
allow(struct sandbox *sandbox, const long *calls, size_t count, long but)
{
    for (size_t index = 0; index < count; index++) {
        if (calls[index] == but) {
            continue;
        }
        const struct sock_filter lines[] = {
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[index], 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        memcpy(sandbox->line + sandbox->count, lines, sizeof lines);
        sandbox->count = (unsigned short)(sandbox->count + COUNT(lines));
    }
}

/** Allows what contains a loss in the program's directory. */
static void
allow_to_contain(struct sandbox *sandbox, long but)
{
    allow(sandbox, to_contain, COUNT(to_contain), but);
    if (check_is_stacked()) {
        allow(sandbox, on_overlay, COUNT(on_overlay), but);
    }
}

static struct sandbox
sandbox_begin(void)
{
    struct sandbox sandbox = {.line = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))},
                              .count = 1};
    allow(&sandbox, of_the_case, COUNT(of_the_case), -1);
    return sandbox;
}

static void
sandbox_enter(struct sandbox *sandbox)
{
    sandbox->line[sandbox->count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog filter = {.len = sandbox->count, .filter = sandbox->line};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static mmg_handle handle;
static mmg_span span;
enum {
    PAGES = 64
};

/** Opens a file, changes it so that the guard must find out why a page fails, and cuts it. */
static void
open_and_cut(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", PAGES * check_page());
    handle = check_open(path, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, 8 * check_page());
}

/** Touches a page behind the end of the file, and reports a failure of a page inside the file. */
static void
lose(void)
{
    siginfo_t info = check_fault(span.data + 3 * check_page());
    CHECK(((const volatile uint8_t *)span.data)[20 * check_page()] == 0);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK(((const volatile uint8_t *)span.data)[3 * check_page()] == 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
}

static void
lose_in_a_sandbox(void *missing)
{
    struct sandbox sandbox = sandbox_begin();
    allow_to_contain(&sandbox, *(const long *)missing);
    open_and_cut();
    sandbox_enter(&sandbox);
    lose();
    _exit(check_failures() == 0 ? 0 : 1);
}

/** Skips the case and returns false where a filter would apply to valgrind, qemu or a sanitizer as well. */
static bool
may_run(void)
{
    if (check_under_valgrind() || check_under_qemu() || check_is_slow() || sizeof(long) < sizeof(uint64_t)) {
        check_skip("valgrind, qemu and sanitizers make system calls themselves, and 32-bit systems have other ones");
        return false;
    }
    return true;
}

static void
with_the_calls_of_the_list_a_loss_is_contained(void)
{
    long none = -1;
    if (may_run()) {
        CHECK_EXITED(check_child(lose_in_a_sandbox, &none));
    }
}

static void
with_a_shorter_list_the_sandbox_kills(void)
{
    static const long needed[] = {SYS_rt_sigprocmask, SYS_mmap, SYS_rt_sigreturn, SYS_pread64};
    if (!may_run()) {
        return;
    }
    for (size_t index = 0; index < COUNT(needed); index++) {
        long missing = needed[index];
        CHECK_KILLED(check_child(lose_in_a_sandbox, &missing), SIGSYS);
    }
}

static void
lose_at_a_limit(void *unused)
{
    struct sandbox sandbox = sandbox_begin();
    const struct rlimit small = {.rlim_cur = 1, .rlim_max = RLIM_INFINITY};
    (void)unused;
    allow_to_contain(&sandbox, -1);
    allow(&sandbox, at_a_limit, COUNT(at_a_limit), -1);
    open_and_cut();
    REQUIRE(setrlimit(RLIMIT_AS, &small) == 0);
    sandbox_enter(&sandbox);
    lose();
    _exit(check_failures() == 0 ? 0 : 1);
}

static void
below_a_limit_the_second_list_is_needed(void)
{
    if (may_run()) {
        CHECK_EXITED(check_child(lose_at_a_limit, NULL));
    }
}

/** In a mapping that somebody else has made, of a file with a path and of one without. */
static void
lose_anothers_in_a_sandbox(void *missing)
{
    struct sandbox sandbox = sandbox_begin();
    const uint64_t size = PAGES * check_page();
    const volatile uint8_t *bytes[2];
    uint64_t count = 0, mark = 0;
    allow(&sandbox, for_others, COUNT(for_others), *(const long *)missing);
    for (int index = 0; index < 2; index++) {
        const char *path = check_file(index == 0 ? "named" : "nameless", size);
        int descriptor = open(path, O_RDWR | O_CLOEXEC);
        REQUIRE(descriptor >= 0);
        bytes[index] = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
        REQUIRE(bytes[index] != MAP_FAILED && ftruncate(descriptor, (off_t)check_page()) == 0);
        REQUIRE(index == 0 || unlink(path) == 0);
    }
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    sandbox_enter(&sandbox);
    CHECK(bytes[0][size - 1] == 0 && bytes[1][size - 1] == 0);
    CHECK_STATUS(mmg_losses_get(0, NULL, 0, &count, &mark), MMG_OK);
    CHECK_U64(mark, 2);
    _exit(check_failures() == 0 ? 0 : 1);
}

static void
a_mapping_of_somebody_else_needs_the_fourth_list(void)
{
    static const long needed[] = {SYS_openat, SYS_ioctl, SYS_statfs, SYS_process_vm_readv, SYS_mmap};
    long missing = -1;
    if (!may_run()) {
        return;
    }
    if (mmg_supports(MMG_FEATURE_FOREIGN) != 1) {
        check_skip("the kernel does not say what is mapped here");
        return;
    }
    CHECK_EXITED(check_child(lose_anothers_in_a_sandbox, &missing));
    for (size_t index = 0; index < COUNT(needed); index++) {
        missing = needed[index];
        CHECK_KILLED(check_child(lose_anothers_in_a_sandbox, &missing), SIGSYS);
    }
}

static volatile sig_atomic_t heard;

static void
hear(int signo)
{
    (void)signo;
    heard++;
}

static void
pass_on_in_a_sandbox(void *unused)
{
    struct sandbox sandbox = sandbox_begin();
    (void)unused;
    allow_to_contain(&sandbox, -1);
    allow(&sandbox, to_pass_on, COUNT(to_pass_on), -1);
    signal(SIGBUS, hear);
    open_and_cut();
    sandbox_enter(&sandbox);
    lose();
    raise(SIGBUS);
    CHECK_I64(heard, 1);
    _exit(check_failures() == 0 ? 0 : 1);
}

static void
with_the_third_list_a_signal_of_the_host_arrives(void)
{
    if (may_run()) {
        CHECK_EXITED(check_child(pass_on_in_a_sandbox, NULL));
    }
}

static const struct check_case cases[] = {
    {"with the calls of the list a loss is contained", with_the_calls_of_the_list_a_loss_is_contained, 0},
    {"with a shorter list the sandbox kills", with_a_shorter_list_the_sandbox_kills, 0},
    {"below a limit the second list is needed", below_a_limit_the_second_list_is_needed, 0},
    {"a mapping of somebody else needs the fourth list", a_mapping_of_somebody_else_needs_the_fourth_list, 0},
    {"with the third list a signal of the host arrives", with_the_third_list_a_signal_of_the_host_arrives, 0},
};

int
main(int argc, char **argv)
{
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
