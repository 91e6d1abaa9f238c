/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Takes leases by fcntl(2). The kernel sends the signal for a break to one thread only (F_OWNER_TID). That thread
 * blocks the signal and waits for it, so the handlers and masks of the program do not change. The signal is only a
 * hint, and F_GETLEASE tells whether a lease is really breaking, so a signal from another process does no harm. When
 * the queue of real-time signals is full, the kernel sends a plain SIGIO without a descriptor.
 */
#include "os/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/file.h"

/* Any real-time signal would do, since only the waiting thread gets it. Valgrind uses the last one itself. */
#define BREAK_SIGNAL (SIGRTMAX - 1)
/* open_tree(2), Linux 5.2: opens the file behind a descriptor as open(2) with O_PATH does. It has this number on every processor
   but one. */
#define OPEN_TREE_NUMBER 428
#define OPEN_TREE_OF_DESCRIPTOR (O_CLOEXEC | 0x1000)  /* OPEN_TREE_CLOEXEC, AT_EMPTY_PATH */
#define BREAK_SETTING "/proc/sys/fs/lease-break-time" /* see proc(5) */

int
mmgi_lease_take(int fd, int thread_id)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread_id};

    /* Set the owner and the signal before the lease. Otherwise the kernel would send SIGIO to the whole process, which
       kills it. */
    if (fcntl(fd, F_SETOWN_EX, &owner) != 0 || fcntl(fd, F_SETSIG, BREAK_SIGNAL) != 0 ||
        fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno;
    return 0;
}

/* Appends a number in decimal. Async-signal-safe, unlike snprintf(3). */
static void
append_number(char *text, unsigned number)
{
    char digits[12];
    size_t count = 0, end = strlen(text);

    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        text[end++] = digits[--count];
    text[end] = '\0';
}

/*
 * Returns the state of a lease that is not whole. The kernel lists the lease of this descriptor while it is breaking
 * (proc(5), fdinfo). F_GETLEASE cannot tell such a lease from one that is gone.
 */
static enum lease_state
state_by_list(int fd)
{
    char path[48] = "/proc/thread-self/fdinfo/", text[1024];
    size_t used = 0;

    append_number(path, (unsigned)fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return errno == EMFILE || errno == ENFILE ? LEASE_HIDDEN : LEASE_GONE;
    for (ssize_t n; used < sizeof text - 1; used += (size_t)n) {
        n = read(info, text + used, sizeof text - 1 - used);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n <= 0)
            break;
    }
    close(info);
    text[used] = '\0';
    return strstr(text, "LEASE  BREAKING") != NULL ? LEASE_BREAKING : LEASE_GONE;
}

enum lease_state
mmgi_lease_state(int fd)
{
    int before = errno;
    enum lease_state state = LEASE_WHOLE;

    if (fcntl(fd, F_GETLEASE) != F_RDLCK)
        state = state_by_list(fd);
    errno = before;
    return state;
}

/* Returns a descriptor with another open file description, which is good for fstat(2) only, or -1. */
static int
open_for_status(int fd)
{
    char path[48] = "/proc/thread-self/fd/";

    append_number(path, (unsigned)fd);
    int fresh = open(path, O_PATH | O_CLOEXEC);
    if (fresh < 0) /* /proc is not there, as after chroot(2) */
        fresh = (int)syscall(OPEN_TREE_NUMBER, fd, "", OPEN_TREE_OF_DESCRIPTOR);
    return fresh;
}

/*
 * A process that has dropped its privileges since it took a lease may not give it up (EACCES). Then the descriptor gets
 * another open file description, which still serves fstat(2), or is closed where there is none to be had. The lease ends
 * with the old description, once its mapping is gone, too.
 */
static int
exchange_description(int fd)
{
    if (fcntl(fd, F_GETLEASE) != F_UNLCK)
        return EACCES;
    bool was_breaking = state_by_list(fd) == LEASE_BREAKING;
    int fresh = open_for_status(fd);
    if (fresh < 0 || dup3(fresh, fd, O_CLOEXEC) < 0)
        close(fd);
    if (fresh >= 0)
        close(fresh);
    return was_breaking ? 0 : EAGAIN;
}

int
mmgi_lease_give_up(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_UNLCK) == 0)
        return 0;
    return errno == EACCES ? exchange_description(fd) : EAGAIN;
}

bool
mmgi_lease_wait(int64_t timeout_ns, int *fd)
{
    const struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                                     .tv_nsec = (long)(timeout_ns % 1000000000)};
    siginfo_t info = {.si_signo = 0}; /* for valgrind, which does not know that the kernel fills the struct */
    sigset_t signals;

    *fd = -1;
    sigemptyset(&signals);
    sigaddset(&signals, BREAK_SIGNAL);
    sigaddset(&signals, SIGIO);
    int signo = timeout_ns >= 0 ? sigtimedwait(&signals, &info, &timeout) : sigwaitinfo(&signals, &info);
    if (signo < 0)
        return errno == EINTR;
    if (signo == BREAK_SIGNAL && info.si_code > 0)
        *fd = info.si_fd;
    return true;
}

void
mmgi_lease_wake(int thread_id)
{
    /* A plain signal needs no room in the queue, so it always arrives. */
    syscall(SYS_tgkill, getpid(), thread_id, SIGIO);
}

void
mmgi_lease_reserve(struct lease_reserve *reserve)
{
    struct file_status status;

    reserve->fd = open(BREAK_SETTING, O_RDONLY | O_CLOEXEC);
    if (reserve->fd < 0) /* /proc is not there; no other process has a file in memory open */
        reserve->fd = (int)syscall(SYS_memfd_create, "mmapguard reserve", 1u /* MFD_CLOEXEC */);
    if (reserve->fd < 0 || mmgi_file_status(reserve->fd, &status) != 0)
        return;
    reserve->device = status.device;
    reserve->inode = status.inode;
}

void
mmgi_lease_unreserve(struct lease_reserve *reserve)
{
    if (reserve->fd >= 0)
        mmgi_file_close_if(reserve->fd, reserve->device, reserve->inode);
    reserve->fd = -1;
}

/* Reads the setting into `text`. Returns the number of bytes, or a negative number. */
static ssize_t
read_setting(const struct lease_reserve *reserve, char *text, size_t size)
{
    struct file_status status;

    if (reserve->fd >= 0 && mmgi_file_status_if(reserve->fd, reserve->device, reserve->inode, &status) == 0)
        return pread(reserve->fd, text, size, 0);
    int fd = open(BREAK_SETTING, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    ssize_t n = read(fd, text, size);
    close(fd);
    return n;
}

int64_t
mmgi_lease_break_ns(const struct lease_reserve *reserve)
{
    char text[32] = "";
    long seconds = 0;

    if (read_setting(reserve, text, sizeof text - 1) <= 0)
        return 0;
    for (const char *digit = text; *digit >= '0' && *digit <= '9' && seconds < 1000000; digit++)
        seconds = seconds * 10 + (*digit - '0');
    return seconds <= 0 ? INT64_MAX : seconds * INT64_C(1000000000); /* 0 means that the kernel waits for ever */
}
