/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A process with one thread, and without a clock and an environment. That is enough for a library that opens no file.
 */
#include "os/process.h"

#include <errno.h>

#include "os/clock.h"
#include "os/thread.h"

const char *
mmgi_process_environment(const char *name)
{
    (void)name;
    return NULL;
}

bool
mmgi_process_environment_says(const char *name)
{
    return mmgi_process_environment(name) != NULL;
}

void
mmgi_process_keep_loaded(void)
{
}

int
mmgi_process_id(void)
{
    return 1;
}

enum process_space_state
mmgi_process_space_lift(struct process_space *before)
{
    *before = (struct process_space){.soft = UINT64_MAX, .hard = UINT64_MAX};
    return PROCESS_SPACE_FREE;
}

void
mmgi_process_space_restore(const struct process_space *before)
{
    (void)before;
}

uint64_t
mmgi_process_random(void)
{
    return 1;
}

int64_t
mmgi_clock_monotonic_ns(void)
{
    return 0;
}

int64_t
mmgi_clock_realtime_ns(void)
{
    return 0;
}

int64_t
mmgi_clock_tick_ns(void)
{
    return 0;
}

void
mmgi_clock_sleep_ns(int64_t nanoseconds)
{
    (void)nanoseconds;
}

void
mmgi_mutex_lock(os_mutex *mutex)
{
    (void)mutex;
}

void
mmgi_mutex_unlock(os_mutex *mutex)
{
    (void)mutex;
}

void
mmgi_condition_wait(os_condition *condition, os_mutex *mutex)
{
    (void)condition;
    (void)mutex;
}

void
mmgi_condition_broadcast(os_condition *condition)
{
    (void)condition;
}

void
mmgi_mutex_reset(os_mutex *mutex)
{
    (void)mutex;
}

void
mmgi_condition_reset(os_condition *condition)
{
    (void)condition;
}

void
mmgi_thread_yield(void)
{
}

void
mmgi_thread_sleep_briefly(void)
{
}

void
mmgi_thread_wait_on(_Atomic uint32_t *word, uint32_t value)
{
    (void)word;
    (void)value;
}

void
mmgi_thread_wake(_Atomic uint32_t *word)
{
    (void)word;
}

bool
mmgi_thread_has_barrier(void)
{
    return false;
}

void
mmgi_thread_barrier(void)
{
}

int
mmgi_thread_id(void)
{
    return 1;
}

int
mmgi_thread_start(void *(*body)(void *argument), void *argument, size_t stack_size)
{
    (void)body;
    (void)argument;
    (void)stack_size;
    return ENOTSUP;
}

int
mmgi_thread_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before;
    (void)parent;
    (void)child;
    return 0;
}
