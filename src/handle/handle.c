/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handle table issues handles, closes them, and destroys objects that nobody holds any more. slot.h explains how a
 * close and a pin that race find out about each other.
 */
#include "handle/handle.h"

#include <stddef.h>

#include "handle/slot.h"
#include "handle/visit.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"

#define LAST_GENERATION ((UINT32_C(1) << GENERATION_BITS) - 1)
/*
 * A strict close waits for a claim to be confirmed or withdrawn. It first lets other threads of the processor run, then it
 * sleeps, since the claiming thread may wait for a processor behind many others, or behind this one at a higher priority.
 * A claim that stands for two seconds counts as a pin.
 */
#define MAX_YIELDS 1000
#define MAX_SLEEPS 10000
#define SLEEP_NS INT64_C(200000)

struct table mmgi_handle_slots;
static const struct table_shape slot_shape = {sizeof(struct slot), offsetof(struct slot, next)};
static _Atomic uint64_t retired_slots;

/*
 * Returns the generation that a slot starts with; the same for a slot each time. It is not 0, so no handle is 0. It is
 * random, so a small number or a handle of another process is hardly ever a handle here. It is low, so a slot has
 * nearly all of its generations ahead.
 */
static uint32_t
first_generation(uint32_t index)
{
    static _Atomic uint64_t seed;
    uint64_t mix = atomic_load_explicit(&seed, memory_order_relaxed), none = 0;

    if (mix == 0) {
        mix = mmgi_process_random() | 1u;
        mmgi_visits_prepare();
        if (!atomic_compare_exchange_strong_explicit(&seed, &none, mix, memory_order_relaxed, memory_order_relaxed))
            mix = none; /* another thread was first; its seed counts */
    }
    /* The finaliser of splitmix64 (Steele, Lea, Flood, 2014). */
    mix += (uint64_t)index * UINT64_C(0x9E3779B97F4A7C15);
    mix = (mix ^ (mix >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94D049BB133111EB);
    return 1u + (uint32_t)(mix >> 44);
}

mmg_status
mmgi_handle_issue(struct handle_object *object, mmg_handle *handle)
{
    uint32_t index = table_take(&mmgi_handle_slots, &slot_shape);

    if (index == TABLE_NONE)
        return MMG_E_NO_MEMORY;
    struct slot *slot = table_known(&mmgi_handle_slots, sizeof(struct slot), index);
    /* Relaxed: no other thread knows the slot until the state is published below. */
    uint64_t old = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t generation = handle_of(old) >> INDEX_BITS;
    generation = generation == 0 ? first_generation(index) : generation + 1;
    mmg_handle fresh = generation << INDEX_BITS | index;
    atomic_store_explicit(&slot->object, object, memory_order_relaxed);
    atomic_store_explicit(&slot->user_tag, object->user_tag, memory_order_relaxed);
    /* Release: a thread that sees the handle in the slot sees its object, too. */
    atomic_store_explicit(&slot->state, fresh << HANDLE_SHIFT | (old & ABA_TAG_MASK) | (uint64_t)PHASE_LIVE,
                          memory_order_release);
    *handle = fresh;
    return MMG_OK;
}

/*
 * Returns true when there are pins, or claims that may become some. The answer is exact once the state keeps new claims
 * out. Every close calls this function, so it is one straight line.
 */
static bool
slot_claimed(struct slot *slot)
{
    uint32_t cells = 0;

#pragma GCC unroll 9
    for (uint32_t i = 0; i < ALL_CELLS; i++)
        cells |= atomic_load(&slot->cell[i]) & CELL_TAKEN;
    return cells != 0 || atomic_load(&slot->overflow_pins) != 0;
}

/* Returns true when there are pins. Waits until every claim is either a pin or withdrawn. */
static bool
slot_pinned(struct slot *slot)
{
    for (uint32_t i = 0; i < ALL_CELLS; i++) {
        uint32_t cell = atomic_load(&slot->cell[i]);
        for (int turn = 0; turn < MAX_YIELDS + MAX_SLEEPS && (cell & CELL_TAKEN) == CELL_CLAIMED; turn++) {
            if (turn < MAX_YIELDS)
                mmgi_thread_yield();
            else
                mmgi_clock_sleep_ns(SLEEP_NS);
            cell = atomic_load(&slot->cell[i]);
        }
        if (cell & CELL_TAKEN)
            return true;
    }
    return atomic_load(&slot->overflow_pins) != 0;
}

/* Several threads may try at the same time; the exchange below lets exactly one of them destroy the object. */
void
mmgi_handle_reap(struct slot *slot, uint64_t state)
{
    if (slot_claimed(slot) || !atomic_compare_exchange_strong(&slot->state, &state, state_with(state, PHASE_FREE)))
        return;
    /* From here on the slot belongs to this thread: a slot leaves the phase FREE only through the free list. */
    struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    object->destroy(object);
    if (handle_of(state) >> INDEX_BITS >= LAST_GENERATION)
        atomic_fetch_add_explicit(&retired_slots, 1, memory_order_relaxed); /* a statistic, ordered with nothing */
    else
        table_give(&mmgi_handle_slots, &slot_shape, (uint32_t)(handle_of(state) & INDEX_MASK));
}

/* The end of the object is inline here, since nearly always nobody has a pin on it. */
__attribute__((flatten)) mmg_status
mmgi_handle_close(mmg_handle handle, bool strict)
{
    struct slot *slot = slot_at(handle);

    if (slot == NULL)
        return MMG_E_HANDLE;
    uint64_t state = atomic_load(&slot->state);
    for (;;) {
        if (handle_of(state) != handle || phase_of(state) == PHASE_FREE || phase_of(state) == PHASE_CLOSING)
            return MMG_E_HANDLE;
        if (strict) {
            if (slot_pinned(slot))
                return MMG_E_BUSY;
            /* Announce the count. The tag makes each announcement differ from the one before. Strict closes that meet share
               one: if each made its own, two of them could undo each other's for ever. */
            uint64_t checking = state_with(state_next_aba_tag(state), PHASE_CHECKING);
            if (phase_of(state) == PHASE_CHECKING)
                checking = state;
            else if (!atomic_compare_exchange_strong(&slot->state, &state, checking))
                continue;
            state = checking;
            if (slot_pinned(slot)) {
                /* If the exchange fails, a pin has turned the phase back, or another close was faster: there was a pin.
                   */
                atomic_compare_exchange_strong(&slot->state, &state, state_with(checking, PHASE_LIVE));
                return MMG_E_BUSY;
            }
        }
        uint64_t closing = state_with(state, PHASE_CLOSING);
        if (atomic_compare_exchange_strong(&slot->state, &state, closing)) {
            if (atomic_load(&slot->cell[VISIT_CELL]) != 0)
                mmgi_thread_barrier(); /* a visit that ends from here on sees the phase; visit.h has the reason */
            mmgi_handle_reap(slot, closing);
            return MMG_OK;
        }
    }
}

/*
 * Counters would be a cache line that every thread writes to at each open and close. So this function counts the slots
 * instead.
 */
void
mmgi_handle_count(mmg_stats *stats)
{
    /* Acquire: all chunks below the mark exist. */
    uint32_t limit = atomic_load_explicit(&mmgi_handle_slots.high_water, memory_order_acquire);

    for (uint32_t index = 0; index < limit; index++) {
        /* Relaxed: the count of each slot is that of some moment during this call. */
        uint64_t state = atomic_load_explicit(&slot_at(index)->state, memory_order_relaxed);
        uint64_t generation = handle_of(state) >> INDEX_BITS;
        if (generation == 0)
            continue; /* the slot is about to be used for the first time */
        stats->opened += generation - first_generation(index) + 1;
        stats->handles += phase_of(state) == PHASE_LIVE || phase_of(state) == PHASE_CHECKING;
        stats->regions += phase_of(state) != PHASE_FREE;
    }
    stats->retired_slots = atomic_load_explicit(&retired_slots, memory_order_relaxed);
}
