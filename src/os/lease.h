/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for read leases. While a read lease is whole, no process can open the file for writing or
 * truncate it. When a process tries, the lease breaks: the process waits, and the kernel sends a signal to one thread. The
 * kernel lets the writer in when the lease is given up, or by force after a time that the administrator has set. That time
 * is at least one second.
 */
#ifndef MMGI_OS_LEASE_H
#define MMGI_OS_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/** The kernel never takes a lease away earlier than this after the break began, in nanoseconds. */
#define LEASE_MIN_BREAK_NS INT64_C(1000000000)

enum lease_state {
    LEASE_WHOLE,    /* no writer has tried, so none can have written */
    LEASE_BREAKING, /* a writer waits; none can have written yet */
    LEASE_HIDDEN,   /* a writer waits, or the lease is gone: no descriptor is left to find out which */
    LEASE_GONE      /* the lease was given up or taken by force, or its state is not known */
};

/**
 * Takes a read lease on an open file description that is the caller's own. The kernel signals a break to the thread of
 * that number, which must wait for it in mmgi_lease_wait(). Does not block.
 *
 * @return 0; EACCES (the file belongs to another user), EAGAIN (a process has the file open for writing), EINVAL (the
 *         administrator has switched leases off, or the file system has none), or another errno
 */
int mmgi_lease_take(int fd, int thread_id);

/**
 * Returns the state of the lease on a descriptor. It takes one system call while the lease is whole; afterwards it reads
 * /proc, and without /proc a lease that is not whole counts as gone. Async-signal-safe. Does not block.
 */
enum lease_state mmgi_lease_state(int fd);

/**
 * Gives a lease up, and so lets a waiting writer in. Where this process has lost the right to do so, the descriptor is good for
 * fstat(2) only from then on, or is closed. Async-signal-safe. Does not block.
 *
 * @return 0, or EAGAIN when there was no lease any more: the kernel has taken it by force
 */
int mmgi_lease_give_up(int fd);

/**
 * Waits until a lease breaks. Only the thread for which the leases were taken may call this, with every signal blocked. A
 * negative timeout waits for ever, 0 does not wait.
 *
 * @param fd  receives the descriptor whose lease breaks, or -1 when any of them may
 * @return true when a lease may be breaking, false after the timeout
 */
bool mmgi_lease_wait(int64_t timeout_ns, int *fd);

/** Ends a wait of that thread of this process early. Async-signal-safe. Does not block. */
void mmgi_lease_wake(int thread_id);

/**
 * A descriptor that the process keeps for the time of a break, in which no other descriptor may be left. It names the kernel's
 * setting of how long a lease breaks, so that the setting can be read at that time.
 */
struct lease_reserve {
    int fd; /* -1: none */
    uint64_t device, inode;
};

/**
 * Reserve a descriptor, or close it so that the next call can have it. If other code has closed the descriptor and its
 * number names another file now, the second call leaves that file alone. Not async-signal-safe. Do not block.
 */
void mmgi_lease_reserve(struct lease_reserve *reserve);
void mmgi_lease_unreserve(struct lease_reserve *reserve);

/**
 * Returns the time in nanoseconds from the start of a break until the kernel takes the lease by force; INT64_MAX when the kernel
 * never does; 0 when the time cannot be read, as without a reserve when no descriptor is left. Does not block.
 */
int64_t mmgi_lease_break_ns(const struct lease_reserve *reserve);

#endif
