/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rare cases of visits: a close at the same time, and the question whether the system has a barrier for all threads.
 */
#include "handle/visit.h"

#include "os/thread.h"

_Atomic uint32_t mmgi_visits_are_light;

void
mmgi_visits_prepare(void)
{
    /* Relaxed: a close executes the barrier whatever a visit has read here. */
    if (mmgi_thread_has_barrier())
        atomic_store_explicit(&mmgi_visits_are_light, 1, memory_order_relaxed);
}

/* A close may have left the object to this visit, or to a claim that it took for one. */
void
mmgi_visit_finish(struct slot *slot)
{
    uint64_t state = atomic_load(&slot->state);

    if (phase_of(state) == PHASE_CLOSING)
        mmgi_handle_reap(slot, state);
}

void
mmgi_visit_withdraw(struct slot *slot)
{
    /* Sequentially consistent: the cell is free before the state is looked at. */
    atomic_store(&slot->cell[VISIT_CELL], 0);
    mmgi_visit_finish(slot);
}
