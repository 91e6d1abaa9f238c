/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for threads: mutexes and condition variables, the thread of the library, and functions to call around a
 * fork. The two types are those of the platform.
 */
#ifndef MMGI_OS_THREAD_H
#define MMGI_OS_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef pthread_mutex_t os_mutex;
typedef pthread_cond_t os_condition;

#define OS_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define OS_CONDITION_INIT PTHREAD_COND_INITIALIZER

/**
 * Lock, unlock, wait and wake as the pthread functions do. Not async-signal-safe. None of them is a cancellation point.
 */
void mmgi_mutex_lock(os_mutex *mutex);
void mmgi_mutex_unlock(os_mutex *mutex);
void mmgi_condition_wait(os_condition *condition, os_mutex *mutex);
void mmgi_condition_broadcast(os_condition *condition);

/** Makes a mutex and a condition variable usable in the child of a fork, whatever their state in the parent was. */
void mmgi_mutex_reset(os_mutex *mutex);
void mmgi_condition_reset(os_condition *condition);

/** Lets other threads go first. Async-signal-safe. */
void mmgi_thread_yield(void);

/**
 * Sleeps for a moment that is shorter than most system calls on files. In a loop that waits for another thread this lets
 * the other run even where the caller has a real-time priority. Async-signal-safe.
 */
void mmgi_thread_sleep_briefly(void);

/**
 * Sleeps while a word has the value `value`, until mmgi_thread_wake() is called for that word or 10 ms have passed. The call
 * may return at any time, so the caller must look at the word again. Both calls are async-signal-safe.
 */
void mmgi_thread_wait_on(_Atomic uint32_t *word, uint32_t value);
void mmgi_thread_wake(_Atomic uint32_t *word);

/**
 * Returns true when mmgi_thread_barrier() is a barrier on this system. Takes one system call. Preserves errno.
 * Async-signal-safe.
 */
bool mmgi_thread_has_barrier(void);

/**
 * Makes every thread of the process that runs now execute a full memory barrier before the call returns. Where a sandbox
 * forbids that, the call sleeps for a millisecond, in which every processor writes its pending stores to memory. Takes
 * microseconds; the first call may take some milliseconds. Preserves errno. Async-signal-safe.
 */
void mmgi_thread_barrier(void);

/* Compilers that know where a thread keeps its own variables read that address in one instruction. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define OS_THREAD_MARK() __builtin_thread_pointer()
#endif
#endif
#ifndef OS_THREAD_MARK
#define OS_THREAD_MARK() pthread_self() /* a number or a pointer, which depends on the C library */
#endif

/** Returns a number that no other living thread of the process has. Makes no system call. Async-signal-safe. */
static inline uintptr_t
thread_mark(void)
{
    return (uintptr_t)OS_THREAD_MARK();
}

/** Returns the kernel's number of the calling thread. Async-signal-safe. */
int mmgi_thread_id(void);

/**
 * Starts a detached thread with every signal blocked. Its stack has at least `stack_size` bytes, whatever the default of the
 * process is. Returns 0, EAGAIN or ENOMEM.
 */
int mmgi_thread_start(void *(*body)(void *argument), void *argument, size_t stack_size);

/**
 * Makes the C library call three functions around every fork(2): before it, after it in the parent, and after it in the
 * child. Each function may be NULL. Returns 0 or ENOMEM. The functions cannot be removed. _Fork(3) and clone(2) do not call
 * them.
 */
int mmgi_thread_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

#endif
