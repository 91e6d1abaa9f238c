/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for read leases. While a read lease is whole, the kernel keeps everybody out who opens the file for
 * writing or truncates it. When somebody tries, the lease breaks: the kernel tells one thread, and lets the writer in when
 * the lease is given up, or by force when a time set by the administrator is over. That time is at least one second.
 */
#ifndef MMGI_OS_LEASE_H
#define MMGI_OS_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/** The kernel never takes a lease away earlier than this after the break began, in nanoseconds. */
#define LEASE_MIN_BREAK_NS INT64_C(1000000000)

enum lease_state {
    LEASE_WHOLE,    /* no writer has asked, so none can have written */
    LEASE_BREAKING, /* a writer waits; none can have written yet */
    LEASE_GONE      /* given up, or taken by force, or it cannot be told */
};

/**
 * Takes a read lease on an open file description that is the caller's own. A break is told to the thread of that number,
 * which must wait for it in mmgi_lease_wait(). Does not block.
 *
 * @return 0; EACCES (another's file), EAGAIN (somebody has it open for writing), EINVAL (the administrator has switched
 *   leases off, or the file system has none), or another errno
 */
int mmgi_lease_take(int fd, int thread_id);

/**
 * Returns the state of the lease on a descriptor. It takes one system call while the lease is whole; afterwards it reads
 * /proc, and without /proc a lease that is not whole counts as gone. Async-signal-safe. Does not block.
 */
enum lease_state mmgi_lease_state(int fd);

/**
 * Gives a lease up, and so lets a waiting writer in. Async-signal-safe. Does not block.
 *
 * @return 0, or EAGAIN when there was no lease any more: the kernel has taken it by force
 */
int mmgi_lease_give_up(int fd);

/**
 * Waits for news of breaks in the thread that leases were taken for, which has every signal blocked. A negative timeout
 * waits for ever, 0 does not wait.
 *
 * @param fd  receives the descriptor whose lease breaks, or -1 when any of them may
 * @return true when there is news, false when the time is over
 */
bool mmgi_lease_wait(int64_t timeout_ns, int *fd);

/** Ends a wait of that thread of this process early. Async-signal-safe. Does not block. */
void mmgi_lease_wake(int thread_id);

/** Returns the time from break to force in nanoseconds; INT64_MAX: there is no force. Does not block. */
int64_t mmgi_lease_break_ns(void);

#endif
