/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Threads, mutexes and condition variables by pthreads(7).
 */
#include "os/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/process.h"

void
mmgi_mutex_lock(os_mutex *mutex)
{
    pthread_mutex_lock(mutex); /* cannot fail: it is a plain mutex, and this thread does not hold it */
}

void
mmgi_mutex_unlock(os_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

void
mmgi_condition_wait(os_condition *condition, os_mutex *mutex)
{
    int before;

    /* pthread_cond_wait(3) is a cancellation point; ending a thread here would leave the mutex locked. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_cond_wait(condition, mutex);
    pthread_setcancelstate(before, NULL);
}

void
mmgi_condition_broadcast(os_condition *condition)
{
    pthread_cond_broadcast(condition);
}

void
mmgi_mutex_reset(os_mutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

void
mmgi_condition_reset(os_condition *condition)
{
    pthread_cond_init(condition, NULL);
}

void
mmgi_thread_yield(void)
{
    sched_yield();
}

void
mmgi_thread_sleep_briefly(void)
{
    const struct timespec moment = {.tv_nsec = 20000};

    /* The system call itself, since nanosleep(3) is a cancellation point. */
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &moment, NULL);
}

/* futex(2) reads a plain 32-bit word. On Linux an atomic word of 32 bits has the same representation. */
void
mmgi_thread_wait_on(_Atomic uint32_t *word, uint32_t value)
{
    const struct timespec moment = {.tv_nsec = 10000000};

    syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, &moment, NULL, 0);
}

void
mmgi_thread_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

bool
mmgi_thread_has_barrier(void)
{
    int saved = errno;
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    errno = saved;
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
}

void
mmgi_thread_barrier(void)
{
    int saved = errno;

    /* The kernel asks a process to register first. The child of a fork may have to do so again. */
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0 &&
        (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 ||
         syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0))
        mmgi_clock_sleep_ns(INT64_C(1000000));
    errno = saved;
}

int
mmgi_thread_id(void)
{
    return (int)syscall(SYS_gettid); /* a pid_t is an int on Linux */
}

int
mmgi_thread_start(void *(*body)(void *argument), void *argument, size_t stack_size)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    mmgi_process_keep_loaded();
    if (pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const size_t least = (size_t)PTHREAD_STACK_MIN; /* positive, though glibc 2.34 and later declare it as long */
    pthread_attr_setstacksize(&attributes, stack_size < least ? least : stack_size);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits the mask */
    int os_code = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return os_code;
}

int
mmgi_thread_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return pthread_atfork(before, parent, child);
}
