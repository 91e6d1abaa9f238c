/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the system's leases behind the contract of os/lease.h: what a lease is before, during and after a break, who is told,
 * and what is left where the process has no descriptor or no right any more.
 */
#include "check.h"
#include "forbid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/lease.h"
#include "os/signal.h"

/** Opens a file with a lease, whose break this thread is told. */
static int
leased(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_I64(mmgi_lease_state(fd), LEASE_GONE);
    REQUIRE(mmgi_lease_take(fd, (int)syscall(SYS_gettid)) == 0);
    return fd;
}

/** Runs the body of a case in a child that blocks all signals, as the thread does that waits for breaks. */
static void
run_with_leases(void (*body)(void *argument))
{
    const int fd = open(check_file("probe", 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    const bool has_leases = !check_under_qemu() && mmgi_lease_take(fd, (int)syscall(SYS_gettid)) == 0;
    close(fd);
    if (!has_leases) {
        check_skip("the file system under TMPDIR gives no lease, or qemu-user does not deliver the signal of a break");
        return;
    }
    const uint64_t before = mmgi_signal_block_all();
    CHECK_EXITED(check_child(body, NULL));
    mmgi_signal_unblock(before);
}

/** Tries to open a file for writing. Returns true when no lease is in the way. */
static bool
may_write(const char *path)
{
    const int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0 || errno == EWOULDBLOCK);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/** Returns the state of a lease. The question leaves errno alone, whatever it was, and does not believe it. */
static enum lease_state
state_of(int fd)
{
    enum lease_state state = LEASE_GONE;
    static const int codes[] = {0, EINTR, EMFILE};
    for (size_t index = 0; index < sizeof codes / sizeof *codes; index++) {
        errno = codes[index];
        state = mmgi_lease_state(fd);
        CHECK_I64(check_errno(), codes[index]);
    }
    return state;
}

static void
break_a_lease(void *unused)
{
    (void)unused;
    const char *path = check_file("file", 5000);
    int told = 77;
    const int fd = leased(path);
    CHECK_I64(state_of(fd), LEASE_WHOLE);
    CHECK(!mmgi_lease_wait(0, &told));
    CHECK_I64(told, -1);
    CHECK(!may_write(path));
    CHECK_I64(state_of(fd), LEASE_BREAKING);
    CHECK(mmgi_lease_wait(INT64_C(60000000000), &told));
    CHECK_I64(told, fd);
    CHECK(!may_write(path));
    CHECK_I64(mmgi_lease_give_up(fd), 0);
    CHECK(may_write(path));
    CHECK_I64(state_of(fd), LEASE_GONE);
    CHECK_I64(mmgi_lease_give_up(fd), EAGAIN);
    close(fd);
    CHECK_I64(state_of(fd), LEASE_GONE);
}

static void
a_lease_is_whole_until_a_writer_comes(void)
{
    run_with_leases(break_a_lease);
}

CHECK_IN_A_CHILD(a_wait_ends_by_a_wake_or_by_its_time)
{
    int told = 77;
    mmgi_signal_block_all();
    CHECK(!mmgi_lease_wait(INT64_C(3000000), &told));
    mmgi_lease_wake((int)syscall(SYS_gettid));
    CHECK(mmgi_lease_wait(-1, &told));
    CHECK_I64(told, -1);
    CHECK(!mmgi_lease_wait(0, &told));
}

static void
wait_for_a_signal_of_this_process(void *unused)
{
    int told = 77;
    (void)unused;
    mmgi_signal_block_all();
    REQUIRE(kill(getpid(), SIGRTMAX - 1) == 0);
    CHECK(mmgi_lease_wait(INT64_C(60000000000), &told));
    CHECK_I64(told, -1);
}

/** A signal that another program sends names no descriptor, so any lease may be breaking. */
static void
a_signal_that_the_kernel_does_not_send_names_no_descriptor(void)
{
    if (check_under_qemu()) {
        check_skip("qemu-user keeps the last signals for itself");
        return;
    }
    CHECK_EXITED(check_child(wait_for_a_signal_of_this_process, NULL));
}

/** Sets how many descriptors this process may have: none that it could open, or as many as before. */
static void
allow_descriptors(bool allowed)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = allowed ? limit.rlim_max : 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    REQUIRE(allowed || (open("/", O_RDONLY | O_CLOEXEC) < 0 && errno == EMFILE));
}

static void
break_without_descriptors(void *unused)
{
    (void)unused;
    const char *path = check_file("file", 5000);
    const int fd = leased(path);
    CHECK(!may_write(path));
    CHECK_I64(state_of(fd), LEASE_BREAKING);
    allow_descriptors(false);
    CHECK_I64(state_of(fd), LEASE_HIDDEN);
    CHECK_I64(mmgi_lease_give_up(fd), 0);
    CHECK_I64(state_of(fd), LEASE_HIDDEN);
    allow_descriptors(true);
    CHECK_I64(state_of(fd), LEASE_GONE);
    close(fd);
}

static void
without_a_descriptor_a_lease_that_is_not_whole_is_hidden(void)
{
    run_with_leases(break_without_descriptors);
}

/** Returns the kernel's setting in nanoseconds. */
static int64_t
setting(void)
{
    FILE *file = fopen("/proc/sys/fs/lease-break-time", "re");
    long long seconds = 0;
    REQUIRE(file != NULL && fscanf(file, "%lld", &seconds) == 1);
    fclose(file);
    return seconds == 0 ? INT64_MAX : seconds * INT64_C(1000000000);
}

CHECK_IN_A_CHILD(the_time_of_a_break_is_known_by_the_reserve_when_no_descriptor_is_left)
{
    const int64_t expected = setting();
    struct lease_reserve reserve = {.fd = -1}, none = {.fd = -1};
    struct stat status;
    CHECK_I64(mmgi_lease_break_ns(&none), expected);
    mmgi_lease_reserve(&reserve);
    REQUIRE(reserve.fd >= 0);
    CHECK_I64(mmgi_lease_break_ns(&reserve), expected);
    CHECK_I64(mmgi_lease_break_ns(&reserve), expected);
    allow_descriptors(false);
    CHECK_I64(mmgi_lease_break_ns(&none), 0);
    CHECK_I64(mmgi_lease_break_ns(&reserve), expected);
    allow_descriptors(true);
    const int fd = reserve.fd;
    mmgi_lease_unreserve(&reserve);
    CHECK_I64(reserve.fd, -1);
    CHECK(fstat(fd, &status) != 0);
    mmgi_lease_unreserve(&reserve);
}

CHECK_IN_A_CHILD(a_reserve_that_the_host_has_replaced_is_the_hosts)
{
    const int64_t expected = setting();
    struct lease_reserve reserve = {.fd = -1};
    mmgi_lease_reserve(&reserve);
    const int host = open(check_file("of the host", 3), O_RDONLY | O_CLOEXEC);
    REQUIRE(host >= 0 && dup2(host, reserve.fd) == reserve.fd);
    CHECK_I64(mmgi_lease_break_ns(&reserve), expected);
    const int fd = reserve.fd;
    mmgi_lease_unreserve(&reserve);
    CHECK_I64(reserve.fd, -1);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    close(host);
}

/** The process has dropped its rights since it took the lease. The descriptor then serves fstat(2) only. */
static void
break_without_rights(void *unused)
{
    (void)unused;
    const char *path = check_file("file", 5000);
    struct stat before, after;
    const int lowest = open(path, O_RDONLY | O_CLOEXEC);
    const int fd = leased(path), whole = leased(check_file("whole", 10));
    REQUIRE(fstat(fd, &before) == 0);
    CHECK(!may_write(path));
    close(lowest); /* the description that takes the place of the old one has the lowest descriptor first */
    check_become_nobody();
    CHECK_I64(mmgi_lease_give_up(fd), 0);
    CHECK(fcntl(lowest, F_GETFD) < 0);
    REQUIRE(fstat(fd, &after) == 0);
    CHECK(before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    CHECK((fcntl(fd, F_GETFL) & O_PATH) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(mmgi_lease_give_up(whole) != 0); /* nobody waits for this one */
    close(whole);
    close(fd);
}

static void
a_lease_without_the_right_to_give_it_up_ends_with_its_description(void)
{
    if (geteuid() != 0) {
        check_skip("only root can lose the right to give up the lease of its own file");
        return;
    }
    run_with_leases(break_without_rights);
}

/** Breaks the lease of a process without rights that cannot open the file again, or cannot put it in place. */
static void
break_without_rights_and_calls(void *argument)
{
    const long missing = *(const long *)argument;
    const char *path = check_file("file", 5000);
    struct stat status;
    const int fd = leased(path);
    CHECK(!may_write(path));
    check_become_nobody();
    if (missing == SYS_openat) { /* there is no /proc */
        REQUIRE(forbid_opening(O_PATH | O_CLOEXEC, ENOENT));
    } else {
        REQUIRE(forbid(missing, EMFILE)); /* musl repeats a call that returns EBUSY */
    }
    CHECK_I64(mmgi_lease_give_up(fd), 0);
    CHECK_I64(fstat(fd, &status), missing == SYS_openat ? 0 : -1);
    CHECK(missing != SYS_openat || (fcntl(fd, F_GETFL) & O_PATH) != 0);
    CHECK_I64(fcntl(fd, F_GETLEASE), -1);
    close(fd);
}

static void
a_lease_that_cannot_be_exchanged_ends_with_its_descriptor(void)
{
    static long missing[] = {SYS_openat, SYS_dup3};
    if (geteuid() != 0 || check_is_slow() || check_under_qemu()) {
        check_skip("needs root, and a filter that applies to no sanitizer or emulator");
        return;
    }
    if (!check_kernel_has_leases()) {
        check_skip("the file system under TMPDIR gives no lease");
        return;
    }
    const uint64_t before = mmgi_signal_block_all();
    for (size_t index = 0; index < 2; index++) {
        CHECK_EXITED(check_child(break_without_rights_and_calls, &missing[index]));
    }
    mmgi_signal_unblock(before);
}

static void
reserve_without_proc(void *unused)
{
    struct lease_reserve reserve = {.fd = -1};
    (void)unused;
    REQUIRE(forbid_opening(O_RDONLY | O_CLOEXEC, ENOENT));
    mmgi_lease_reserve(&reserve);
    REQUIRE(reserve.fd >= 0);
    CHECK_I64(mmgi_lease_break_ns(&reserve), 0); /* an empty file: the time is not known */
    mmgi_lease_unreserve(&reserve);
    CHECK_I64(reserve.fd, -1);
    REQUIRE(forbid(SYS_memfd_create, ENOSYS));
    mmgi_lease_reserve(&reserve);
    CHECK_I64(reserve.fd, -1);
    CHECK_I64(mmgi_lease_break_ns(&reserve), 0);
    mmgi_lease_unreserve(&reserve);
}

static void
without_proc_a_file_in_memory_is_the_reserve(void)
{
    if (check_is_slow() || check_under_qemu()) {
        check_skip("the filter would apply to the sanitizer or the emulator as well");
        return;
    }
    CHECK_EXITED(check_child(reserve_without_proc, NULL));
}

static void
the_setting_is_read_as_the_kernel_writes_it(void)
{
    static const struct {
        const char *text;
        int64_t seconds; /**< -1: for ever */
    } settings[] = {{"45\n", 45}, {"10\n", 10}, {"10000000\n", 1000000},   {"1", 1},    {"0\n", -1},
                    {"", 0},      {"x", -1},    {"2147483647\n", 2147483}, {"9/\n", 9}, {"9:", 9}};
    for (size_t index = 0; index < sizeof settings / sizeof *settings; index++) {
        struct stat status;
        const char *path = check_file_with("setting", settings[index].text, strlen(settings[index].text));
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        REQUIRE(fd >= 0 && fstat(fd, &status) == 0);
        struct lease_reserve reserve = {.fd = fd, .device = status.st_dev, .inode = status.st_ino};
        const int64_t expected = settings[index].seconds;
        CHECK_I64(mmgi_lease_break_ns(&reserve), expected < 0 ? INT64_MAX : expected * INT64_C(1000000000));
        mmgi_lease_unreserve(&reserve);
    }
}

static const struct check_case cases[] = {
    {"a lease is whole until a writer comes", a_lease_is_whole_until_a_writer_comes, 0},
    {"a wait ends by a wake or by its time", a_wait_ends_by_a_wake_or_by_its_time, 0},
    {"a signal that the kernel does not send names no descriptor",
     a_signal_that_the_kernel_does_not_send_names_no_descriptor, 0},
    {"without a descriptor, a lease that is not whole is hidden",
     without_a_descriptor_a_lease_that_is_not_whole_is_hidden, 0},
    {"the time of a break is known by the reserve when no descriptor is left",
     the_time_of_a_break_is_known_by_the_reserve_when_no_descriptor_is_left, 0},
    {"a reserve that the host has replaced is the host's", a_reserve_that_the_host_has_replaced_is_the_hosts, 0},
    {"a lease without the right to give it up ends with its description",
     a_lease_without_the_right_to_give_it_up_ends_with_its_description, 0},
    {"a lease that cannot be exchanged ends with its descriptor",
     a_lease_that_cannot_be_exchanged_ends_with_its_descriptor, 0},
    {"without /proc a file in memory is the reserve", without_proc_a_file_in_memory_is_the_reserve, 0},
    {"the setting is read as the kernel writes it", the_setting_is_read_as_the_kernel_writes_it, 0},
};

CHECK_MAIN(cases)
