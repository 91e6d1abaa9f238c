/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A visit is a pin that begins and ends within one call of the library. It has no token, since no caller holds it, and it
 * takes one locked instruction, where a pin takes two. A slot has one cell for visits; where another thread visits the
 * object, or the object is in any other state than the usual one, the caller pins it instead (pin.h).
 *
 * A pin frees its cell and then looks at the state. A close changes the state and then looks at the cells. Each side puts a
 * full barrier between the two steps, so at least one of the two finds out that the object is to be destroyed. The end of
 * a visit has no barrier of its own. Instead the close executes one for all threads when it finds a visit, which is rare
 * (handle.c). A visit that ended before that barrier is seen by the close afterwards; a visit that ends later sees the
 * state. Where the system has no such barrier, a visit ends like a pin.
 */
#ifndef MMGI_HANDLE_VISIT_H
#define MMGI_HANDLE_VISIT_H

#include <stddef.h>

#include "handle/handle.h"
#include "handle/slot.h"

/** A visited object. Small enough to be returned in registers. */
struct visit {
    struct handle_object *object; /* NULL: there is no visit */
    struct slot *slot;
};

/** Not 0 when visits may end without a barrier. mmgi_visits_prepare() sets it. */
extern _Atomic uint32_t mmgi_visits_are_light __attribute__((visibility("hidden")));

/** Asks the system whether visits may end without a barrier. The first issue of a handle calls it, so
    that a sandbox that the process enters later does not meet a new system call here. Async-signal-safe. */
void mmgi_visits_prepare(void);

/** Withdraws a claim of visit_begin(). */
void mmgi_visit_withdraw(struct slot *slot);

/** Destroys the object if a close has left that to a visit that has ended. */
void mmgi_visit_finish(struct slot *slot);

/** Begins a visit of the object that a handle names. On failure `object` is NULL, and the caller must use a pin. */
static inline struct visit
visit_begin(mmg_handle handle)
{
    struct slot *slot = slot_at(handle);

    /* The first look keeps wrong handles from writing to the slot of another. Relaxed: the second look, below, decides. */
    if (slot == NULL)
        return (struct visit){NULL, NULL};
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    /* The bit is set by one instruction. It changes nothing in a cell that another thread has claimed. */
    if (handle_of(state) != handle || phase_of(state) != PHASE_LIVE ||
        (atomic_fetch_or(&slot->cell[VISIT_CELL], CELL_CLAIMED) & CELL_CLAIMED) != 0)
        return (struct visit){NULL, NULL};
    if (atomic_load(&slot->state) != state) {
        mmgi_visit_withdraw(slot);
        return (struct visit){NULL, NULL};
    }
    /* A strict close waits for a claim, and says BUSY to a visit. The claim made the cell this thread's, so a store
       suffices. */
    atomic_store_explicit(&slot->cell[VISIT_CELL], CELL_TAKEN, memory_order_relaxed);
    /* Relaxed: the object was written before the state that was just read. */
    struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    if (object == NULL)
        __builtin_unreachable(); /* a live slot has an object; this lets the compiler drop the check in callers */
    return (struct visit){object, slot};
}

/** Ends a visit. */
static inline void
visit_end(struct slot *slot)
{
    if (atomic_load_explicit(&mmgi_visits_are_light, memory_order_relaxed) != 0) {
        /* Release: the thread that destroys the object does so after this visit. */
        atomic_store_explicit(&slot->cell[VISIT_CELL], 0, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst); /* keeps the compiler from moving the look before the store */
    } else {
        atomic_store(&slot->cell[VISIT_CELL], 0);
    }
    if ((atomic_load(&slot->state) & PHASE_CLOSE) != 0)
        mmgi_visit_finish(slot);
}

#endif
