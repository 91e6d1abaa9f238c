/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The faults and signals that the host causes.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static void
touch(volatile uint8_t *address, int file)
{
    touching_file = file;
    touching = address;
    uint8_t value = *address;
    touching = NULL;
    touching_file = -1;
    struct line line = {{0}, 0};
    put(&line, "read ");
    put_number(&line, value, 10);
    flush_line(&line, STDOUT_FILENO);
}

/**
 * Sends SIGBUS from another process, and returns when that process has ended and the signal was delivered. The signal
 * waits until fork(2) has returned, since a handler that jumps out of fork(2) would leave the locks of fork(2) locked.
 */
static void
send_from_another(bool queue, int value)
{
    pid_t parent = getpid();
    sigset_t bus, before;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    need(pthread_sigmask(SIG_BLOCK, &bus, &before) == 0, "pthread_sigmask");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        union sigval extra;
        memset(&extra, 0, sizeof extra);
        extra.sival_int = value;
        _exit((queue ? sigqueue(parent, SIGBUS, extra) : kill(parent, SIGBUS)) == 0 ? 0 : 1);
    }
    need(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0, "pthread_sigmask");
    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0) {
        need(errno == EINTR, "waitpid");
    }
    need(wait_status == 0, "the sender");
}

/**
 * Sends this process a SIGBUS that looks like one of the kernel, which only the process itself may do
 * (rt_sigqueueinfo(2)). This comes closest to a memory error on a machine without one.
 */
static void
send_as_kernel(int code)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = code;
    info.si_addr = files[0].base + WITHIN;
    need(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &info) == 0, "tgsigqueueinfo");
}

/**
 * The first function returns true when SIGBUS is pending, by /proc/PID/status. The second one returns the state of the
 * process, by /proc/PID/stat, or 0 when it has ended.
 */
static bool
is_pending(pid_t process)
{
    char path[48];
    char text[256];
    bool pending = false;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *status = fopen(path, "re");
    if (status == NULL) {
        return false;
    }
    while (fgets(text, sizeof text, status) != NULL) {
        if (strncmp(text, "SigPnd:", 7) == 0 || strncmp(text, "ShdPnd:", 7) == 0) {
            pending = pending || (strtoull(text + 7, NULL, 16) >> (SIGBUS - 1) & 1) != 0;
        }
    }
    fclose(status);
    return pending;
}

static char
state_of(pid_t process)
{
    char path[48];
    char text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *stat = fopen(path, "re");
    if (stat == NULL) {
        return 0;
    }
    const char *name_end = fgets(text, sizeof text, stat) == NULL ? NULL : strrchr(text, ')');
    fclose(stat);
    return name_end == NULL ? 0 : name_end[2];
}

/**
 * Waits until a process sleeps and has no pending SIGBUS. It sleeps only in read(2). Returns false when that takes too
 * long.
 */
static bool
wait_until_asleep(pid_t process)
{
    for (int seen = 0; seen < 3;) {
        char state = state_of(process);
        if (state == 0 || state == 'Z') {
            return false;
        }
        seen = state == 'S' && !is_pending(process) ? seen + 1 : 0;
        usleep(500);
    }
    return true;
}

/** Gets a SIGBUS from another process while blocked in read(2), and writes whether the read was interrupted. */
static void
interrupted_read(void)
{
    int pipes[2];
    pid_t parent = getpid();
    need(pipe(pipes) == 0, "pipe");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        bool alive = wait_until_asleep(parent) && kill(parent, SIGBUS) == 0 && wait_until_asleep(parent);
        _exit(alive && write(pipes[1], "x", 1) == 1 ? 0 : 1);
    }
    char byte = 0;
    ssize_t got;
    while ((got = read(pipes[0], &byte, 1)) < 0) {
        need(errno == EINTR, "read");
        say("read(2) was interrupted");
    }
    need(got == 1, "read");
    say("read(2) returned a byte");
    while (waitpid(child, NULL, 0) < 0) {
        need(errno == EINTR, "waitpid");
    }
    close(pipes[0]);
    close(pipes[1]);
}

static void
block(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    need(pthread_sigmask(how, &set, NULL) == 0, "pthread_sigmask");
}

static void
event(const char *step)
{
    if (strncmp(step, "fault:", 6) == 0 || strncmp(step, "blocked:", 8) == 0) {
        int file = strchr(step, ':')[1] - 'a';
        need(files[file].next < HOST_PAGES, "out of pages");
        if (step[0] == 'b') {
            block(SIG_BLOCK);
        }
        touch(files[file].base + files[file].next++ * page + WITHIN, file);
        if (step[0] == 'b') {
            block(SIG_UNBLOCK);
        }
    } else if (strcmp(step, "raise") == 0) {
        raise(SIGBUS);
    } else if (strcmp(step, "kill") == 0) {
        send_from_another(false, 0);
    } else if (strncmp(step, "sigqueue:", 9) == 0) {
        send_from_another(true, number_in(step + 9));
    } else if (strcmp(step, "mce-ao") == 0) {
        send_as_kernel(BUS_MCEERR_AO);
    } else if (strcmp(step, "mce-ar") == 0) {
        send_as_kernel(BUS_MCEERR_AR);
    } else if (strcmp(step, "adraln") == 0) {
        send_as_kernel(BUS_ADRALN);
    } else if (strcmp(step, "read") == 0) {
        interrupted_read();
    } else {
        fail(step, 0);
    }
}

void
run_event(const char *step)
{
    if (sigsetjmp(leave, 1) == 0) {
        may_leave = 1;
        event(step);
    } else {
        touching = NULL;
        touching_file = -1;
        say("left by a jump");
    }
    may_leave = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

void
many_faults(int count)
{
    volatile uint8_t *address = files[0].base + files[0].next * page + WITHIN;
    volatile int jumps = 0;
    volatile int round = 0;
    for (; round < count; round++) {
        if (sigsetjmp(leave, 1) == 0) {
            may_leave = 1;
            touching_file = 0;
            touching = address;
            (void)*address;
        } else {
            jumps++;
        }
        may_leave = 0;
        touching = NULL;
        touching_file = -1;
    }
    struct line line = {{0}, 0};
    put(&line, "jumps ");
    put_number(&line, (uint64_t)jumps, 10);
    flush_line(&line, STDOUT_FILENO);
}

/*
 * The handler jumps back, and the function then calls itself to do so again. The call must be neither inlined nor a tail
 * call.
 */
__attribute__((noinline)) int
deeper_faults(int count) // NOLINT(misc-no-recursion): that is what it is for
{
    volatile char room[256];
    room[0] = (char)count;
    many_faults(1);
    if (count > 1) {
        deeper_faults(count - 1);
    }
    return room[0];
}
