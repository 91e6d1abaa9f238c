/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for noticing a fork without a fork hook. The mark is a number that becomes 0 in every child, whether the child
 * was made by fork(2), _Fork(3), or clone(2) without CLONE_VM. Reading the mark costs one load.
 */
#ifndef MMGI_OS_FORK_MARK_H
#define MMGI_OS_FORK_MARK_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic(_Atomic uint32_t *) mmgi_fork_mark_place __attribute__((visibility("hidden")));

/**
 * Returns the mark of this process: 0 before the first mmgi_fork_mark_set() and in a child that has not called it, else
 * the number that was set. Async-signal-safe.
 */
static inline uint32_t
fork_mark(void)
{
    /* The place of the mark is read with acquire, since it is published once. The mark itself is only compared, so
       relaxed suffices. */
    return atomic_load_explicit(atomic_load_explicit(&mmgi_fork_mark_place, memory_order_acquire),
                                memory_order_relaxed);
}

/**
 * Sets the mark of this process to a number that no ancestor has had. Before that it calls `first`, while other threads
 * that call this function wait. Does nothing when the mark is set already. Not async-signal-safe.
 */
void mmgi_fork_mark_set(void (*first)(void));

/** Clears the mark. The fork hooks call this where the kernel cannot clear it (before Linux 4.14). */
void mmgi_fork_mark_clear(void);

#endif
