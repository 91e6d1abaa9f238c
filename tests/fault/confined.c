/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Mappings that others made, where the guard gets no answer, no mapping, or the answer for all mappings only: what cannot be
 * contained ends the process as it would without the guard, and mmg_supports() tells. The program asks the library about
 * nothing but in children, since an answer is remembered.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "foreign.h"

#ifndef SYS_mmap
#define SYS_mmap SYS_mmap2
#endif

/* PROCMAP_QUERY of linux/fs.h, whose argument has 104 bytes. */
#define MAP_QUERY _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, 104)

/** Have a system call fail from now on; with `argument` only those whose second argument is that. */
static void
forbid(long call, uint32_t argument, int code)
{
    const uint32_t second = offsetof(struct seccomp_data, args[1]);
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, argument != 0 ? 3 : 1),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument != 0 ? second : offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument != 0 ? argument : (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof lines / sizeof *lines, .filter = lines};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

/** What is taken away, and when. */
struct confinement {
    void (*enter)(void);
    bool is_late; /* after the process was guarded */
    bool is_left; /* what is left is enough to contain a loss */
    int query;    /* mmg_supports() of the query for one mapping */
};

static void
without_proc(void)
{
    REQUIRE(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    REQUIRE(mount("none", "/proc", "tmpfs", 0, NULL) == 0);
}

static void
without_openat(void)
{
    forbid(SYS_openat, 0, EPERM);
}

static void
without_mmap(void)
{
    forbid(SYS_mmap, 0, EPERM);
}

static void
without_ioctl(void)
{
    forbid(SYS_ioctl, 0, EPERM);
}

static void
without_the_query(void)
{
    forbid(SYS_ioctl, MAP_QUERY, ENOTTY);
}

static uint8_t *
map_and_cut(void)
{
    const char *path = check_path("confined");
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    check_truncate(path, 3 * check_page() + 5);
    return bytes;
}

static void
lose_confined(void *argument)
{
    const struct confinement *confinement = argument;
    signal(SIGBUS, SIG_DFL);
    uint8_t *bytes = map_and_cut();
    const mmg_status expected = confinement->is_late || confinement->is_left ? MMG_OK : MMG_E_UNSUPPORTED;
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;

    if (!confinement->is_late) {
        confinement->enter();
        CHECK_I64(mmg_supports(MMG_FEATURE_FOREIGN), confinement->is_left ? 1 : 0);
        CHECK_I64(mmg_supports(MMG_FEATURE_FOREIGN_QUERY), confinement->query);
    }
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), expected);
    if (confinement->is_late) {
        confinement->enter();
    }
    if (!confinement->is_left && confinement->enter != without_mmap) { /* what is mapped there is not to be had */
        CHECK_STATUS(mmg_adopt(bytes, whole(), -1, NULL, &handle, &error), MMG_E_UNSUPPORTED);
        CHECK(strstr(error.message, "does not tell what is mapped") != NULL);
    }
    if (check_failures() > 0) {
        check_child_end();
    }
    const uint64_t mark = ledger_mark();
    CHECK(touch(bytes, whole() - 1) == 0);
    ledger_has_one(mark, MMG_E_TRUNCATED, check_path("confined"), 3 * check_page() + 5, whole() - 3 * check_page() - 5);
    check_child_end();
}

static void
plain_reader(void *unused)
{
    (void)unused;
    signal(SIGBUS, SIG_DFL);
    touch(map_and_cut(), whole() - 1);
}

static bool
may_run(bool needs_root)
{
    if (check_under_valgrind() || check_under_qemu() || sizeof(long) < sizeof(uint64_t)) {
        check_skip("valgrind and qemu make system calls of their own; 32 bits have other names");
        return false;
    }
    if (needs_root && geteuid() != 0) {
        check_skip("only root mounts");
        return false;
    }
    return true;
}

/** Before the process is guarded, and after it. */
static void
confine(void (*enter)(void), bool is_left, int query)
{
    for (int late = 0; late < 2; late++) {
        struct confinement confinement = {.enter = enter, .is_late = late != 0, .is_left = is_left, .query = query};
        check_file("confined", whole());
        CHECK_KILLED(check_child(plain_reader, NULL), SIGBUS);
        check_file("confined", whole());
        const int end = check_child(lose_confined, &confinement);
        if (is_left) {
            CHECK_EXITED(end);
        } else {
            CHECK_KILLED(end, SIGBUS);
        }
    }
}

static void
without_proc_a_fault_is_passed_on(void)
{
    if (may_run(true)) {
        confine(without_proc, false, 0);
    }
}

static void
without_openat_a_fault_is_passed_on(void)
{
    if (may_run(false)) {
        confine(without_openat, false, 0);
    }
}

static void
without_mmap_a_fault_is_passed_on(void)
{
    if (check_is_slow()) {
        check_skip("sanitizers map memory of their own");
    } else if (may_run(false)) {
        confine(without_mmap, false, 0);
    }
}

static void
without_ioctl_the_list_is_read(void)
{
    if (may_run(false)) {
        confine(without_ioctl, true, 0);
    }
}

static void
without_the_query_the_list_is_read(void)
{
    if (may_run(false)) {
        confine(without_the_query, true, 0);
    }
}

/* ---------------------------------------------------------------------------------------------- no descriptor left -- */

static void
lose_without_descriptors(void *argument)
{
    const bool may_raise = *(const bool *)argument;
    struct rlimit limit;
    signal(SIGBUS, SIG_DFL);
    uint8_t *bytes = map_and_cut();
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    const uint64_t mark = ledger_mark();
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > 32);
    limit.rlim_cur = 32;
    limit.rlim_max = may_raise ? limit.rlim_max : 32;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (dup(STDERR_FILENO) >= 0) {
    }
    CHECK(touch(bytes, whole() - 1) == 0);
    ledger_has_one(mark, MMG_E_TRUNCATED, check_path("confined"), 3 * check_page() + 5, whole() - 3 * check_page() - 5);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_U64(limit.rlim_cur, 32);
    check_child_end();
}

static void
without_a_descriptor_the_hard_limit_decides(void)
{
    bool may_raise = true;
    if (may_run(false)) {
        check_file("confined", whole());
        CHECK_KILLED(check_child(plain_reader, NULL), SIGBUS);
        check_file("confined", whole());
        CHECK_EXITED(check_child(lose_without_descriptors, &may_raise));
        may_raise = false;
        check_file("confined", whole());
        CHECK_KILLED(check_child(lose_without_descriptors, &may_raise), SIGBUS);
    }
}

/* ------------------------------------------------------------------------------------------------- a long list -- */

enum {
    NEIGHBOURS = 60000,
    STACK_UNUSED = 0x5C
};

/** As many neighbours as this process may have, so that the list is long. Those above and below are all in the way. */
static unsigned
map_neighbours(void)
{
    unsigned made = 0;
    int small = open(check_path("small"), O_RDONLY | O_CLOEXEC);
    REQUIRE(small >= 0);
    while (made < NEIGHBOURS) {
        /* Those of one kind side by side would become one. */
        void *place = mmap(NULL, check_page(), PROT_READ, made % 2 == 0 ? MAP_SHARED : MAP_PRIVATE, small, 0);
        if (place == MAP_FAILED) {
            break;
        }
        made++;
    }
    close(small);
    return made;
}

static void *
touch_in_a_thread(void *bytes)
{
    return touch(bytes, whole() - 1) == 0 ? bytes : NULL;
}

/** On a stack of 16 KiB, with canaries below it: neither the list nor a path is on the stack. */
static void
lose_on_a_small_stack(void *unused)
{
    const size_t size = 16384, page = check_page();
    uint8_t *room = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    void *result = NULL;
    (void)unused;

    signal(SIGBUS, SIG_DFL);
    REQUIRE(room != MAP_FAILED);
    memset(room, STACK_UNUSED, size + page);
    uint8_t *bytes = map_and_cut();
    const unsigned neighbours = map_neighbours();
    CHECK(neighbours >= NEIGHBOURS);
    without_the_query();
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    CHECK_I64(mmg_supports(MMG_FEATURE_FOREIGN_QUERY), 0);
    const uint64_t mark = ledger_mark();
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstack(&attributes, room + page, size) == 0);
    REQUIRE(pthread_create(&thread, &attributes, touch_in_a_thread, bytes) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    CHECK(result == bytes);
    ledger_has_one(mark, MMG_E_TRUNCATED, check_path("confined"), 3 * page + 5, whole() - 3 * page - 5);
    size_t left = 0;
    while (left < size + page && room[left] == STACK_UNUSED) {
        left++;
    }
    CHECK(left > page);
    printf("(%zu of %zu bytes of the stack unused) ", left - page, size);
    fflush(stdout);
    check_child_end();
}

static void
a_list_of_60_000_mappings_needs_no_stack(void)
{
    if (check_is_slow()) {
        check_skip("sanitizers need more stack, and mappings of their own");
    } else if (check_max_mappings() < NEIGHBOURS + 1000) {
        check_skip("vm.max_map_count allows fewer than 61 000 mappings");
    } else if (may_run(false)) {
        check_file("small", check_page());
        check_file("confined", whole());
        CHECK_EXITED(check_child(lose_on_a_small_stack, NULL));
    }
}

static const struct check_case cases[] = {
    {"without /proc a fault is passed on", without_proc_a_fault_is_passed_on, 0},
    {"without openat(2) a fault is passed on", without_openat_a_fault_is_passed_on, 0},
    {"without mmap(2) a fault is passed on", without_mmap_a_fault_is_passed_on, 0},
    {"without ioctl(2) the list is read", without_ioctl_the_list_is_read, 0},
    {"without the query the list is read", without_the_query_the_list_is_read, 0},
    {"without a descriptor the hard limit decides", without_a_descriptor_the_hard_limit_decides, 0},
    {"a list of 60 000 mappings needs no stack", a_list_of_60_000_mappings_needs_no_stack, CHECK_ONCE},
};

CHECK_MAIN(cases)
