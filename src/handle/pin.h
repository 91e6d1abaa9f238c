/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pins: references that keep an object alive past the end of its handle. What every access through a span costs stands
 * here, inline: one exchange to pin, one to unpin. What is rare (several pins at once, a close at the same time) is in
 * pin.c. Everything is lock-free and works in a forked child.
 */
#ifndef MMGI_HANDLE_PIN_H
#define MMGI_HANDLE_PIN_H

#include <stddef.h>

#include "handle/handle.h"
#include "handle/slot.h"

/* A token: claim (32 bits), cell number (6 bits), index (26 bits). Of the cell numbers, OVERFLOW_CELL means an overflow pin. */
#define OVERFLOW_CELL 15u

/** A pinned object. Small enough to be returned in registers. */
struct pinned {
    struct handle_object *object; /* NULL: no pin */
    uint64_t token;               /* for pin_release(), never 0; without a pin, 0: wrong handle, 1: no memory */
};

/** A pin that is to end, found by its token. */
struct pin_place {
    _Atomic uint32_t *claim; /* NULL: the token is forged, or the pin has ended */
    struct slot *slot;
};

/* The rare ways through the calls below. */
struct pinned mmgi_pin_acquire_slow(mmg_handle handle, uint64_t token);
struct pin_place mmgi_pin_find_overflow(uint64_t token);
mmg_status mmgi_pin_finish(struct slot *slot, uint64_t token);

static inline uint32_t
token_claim(uint64_t token)
{
    return (uint32_t)(token >> 32);
}

static inline uint32_t
token_cell(uint64_t token)
{
    return (uint32_t)(token >> INDEX_BITS) & 63u;
}

/**
 * Pin the object that a handle names, if that is as simple as it nearly always is. If not, no object is returned, and
 * mmgi_pin_acquire_slow() has to be called with the token that is: of a cell that is claimed and not decided upon, or 0. Two
 * steps, so that a caller whose every instruction counts can leave the second to another function's frame.
 */
static inline struct pinned
pin_acquire_fast(mmg_handle handle)
{
    struct slot *slot = slot_at(handle);

    /* A first look, so that wrong handles do not disturb the slot's present owner; it also refuses what has bits above
       those of a handle. Relaxed: it decides nothing else. */
    if (slot == NULL)
        return (struct pinned){NULL, 0};
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    if (handle_of(state) != handle || phase_of(state) != PHASE_LIVE)
        return (struct pinned){NULL, 0};
    uint32_t seen = atomic_load_explicit(&slot->cell[0], memory_order_relaxed); /* a guess; the exchange decides */
    if ((seen & CELL_TAKEN) != 0 || !atomic_compare_exchange_strong(&slot->cell[0], &seen, seen | CELL_CLAIMED))
        return (struct pinned){NULL, 0};
    uint64_t token = (uint64_t)(seen | CELL_TAKEN) << 32 | (handle & INDEX_MASK);
    if (atomic_load(&slot->state) != state)
        return (struct pinned){NULL, token};
    /* Relaxed: written before the state that was just read. */
    struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    if (object == NULL)
        __builtin_unreachable(); /* a live slot has one, which saves callers the question */
    /* Release: who sees the pin sees the object pinned. The cell is this thread's, so a store will do. */
    atomic_store_explicit(&slot->cell[0], seen | CELL_TAKEN, memory_order_release);
    return (struct pinned){object, token};
}

/** Pin the object that a handle names. */
static inline struct pinned
pin_acquire(mmg_handle handle)
{
    struct pinned pinned = pin_acquire_fast(handle);

    return pinned.object != NULL ? pinned : mmgi_pin_acquire_slow(handle, pinned.token);
}

/** Is this no token of a pin on a cell? The calls below then have a longer way to go, or nothing to find. */
static inline bool
pin_needs_slow_path(uint64_t token)
{
    return token_cell(token) >= PIN_CELLS || (token_claim(token) & CELL_TAKEN) != CELL_TAKEN;
}

/**
 * Find a pin. Any number may be given; whether the pin still stands is for pin_end() to say, and what is found is safe
 * to look at even if it does not.
 */
static inline struct pin_place
pin_find(uint64_t token)
{
    uint32_t cell = token_cell(token);

    if (cell >= PIN_CELLS)
        return mmgi_pin_find_overflow(token);
    struct slot *slot = slot_at(token);
    if (slot == NULL || (token_claim(token) & CELL_TAKEN) != CELL_TAKEN)
        return (struct pin_place){NULL, NULL};
    return (struct pin_place){&slot->cell[cell], slot};
}

/** The note of the object that is pinned, if it is; 0 if there is no such pin. */
static inline uint32_t
pin_user_tag(struct pin_place place)
{
    return place.claim == NULL ? 0 : atomic_load_explicit(&place.slot->user_tag, memory_order_relaxed);
}

/** End a pin that was found, once: MMG_OK, or MMG_E_HANDLE if it has ended meanwhile or never was. */
static inline mmg_status
pin_end(struct pin_place place, uint64_t token)
{
    uint32_t claim = token_claim(token);

    /* Taken plus one is free, and the next count. Sequentially consistent: the release of the cell comes before the
       look at the state. */
    _Static_assert(CELL_TAKEN + 1 == CELL_NEXT, "the count follows the two bits");
    if (place.claim == NULL || !atomic_compare_exchange_strong(place.claim, &claim, claim + 1))
        return MMG_E_HANDLE;
    if (token_cell(token) >= PIN_CELLS || (atomic_load(&place.slot->state) & PHASE_CLOSE) != 0)
        return mmgi_pin_finish(place.slot, token);
    return MMG_OK;
}

/** Both in one. */
static inline mmg_status
pin_release(uint64_t token)
{
    return pin_end(pin_find(token), token);
}

/** The number of pins on the object that a live token pins, that one included. */
uint64_t mmgi_pin_count(uint64_t token);

#endif
