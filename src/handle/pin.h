/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A pin is a reference that keeps an object alive when its handle is closed. This file has the fast path of every
 * access through a span: one exchange to pin, one to unpin. pin.c has the slow paths: several pins at once, and a close
 * at the same time. Every function is lock-free and works in a forked child.
 */
#ifndef MMGI_HANDLE_PIN_H
#define MMGI_HANDLE_PIN_H

#include <stddef.h>

#include "handle/handle.h"
#include "handle/slot.h"

/*
 * A token: claim (32 bits), cell number (6 bits), index (26 bits). Of the cell numbers, OVERFLOW_CELL means an overflow
 * pin.
 */
#define OVERFLOW_CELL 15u

/** A pinned object. Small enough to be returned in registers. */
struct pinned {
    struct handle_object *object; /* NULL: there is no pin */
    uint64_t token;               /* names the pin, never 0; without a pin 0 (wrong handle) or 1 (no memory) */
};

/** Where the pin of a token is. */
struct pin_place {
    _Atomic uint32_t *claim; /* NULL: the token is forged, or the pin has ended */
    struct slot *slot;
};

/* The slow paths of the functions below, whose comments say when a caller needs them. */
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
 * Pins the object that a handle names, on the fast path. On failure `object` is NULL; the caller then passes `token` to
 * mmgi_pin_acquire_slow(). The two are apart so that a caller can keep the slow path out of its own stack frame.
 */
static inline struct pinned
pin_acquire_fast(mmg_handle handle)
{
    struct slot *slot = slot_at(handle);

    /* The first look keeps wrong handles from writing to the slot of another; it also refuses numbers that are too
       large for a handle. Relaxed: the second look, below, decides. */
    if (slot == NULL)
        return (struct pinned){NULL, 0};
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    if (handle_of(state) != handle || phase_of(state) != PHASE_LIVE)
        return (struct pinned){NULL, 0};
    uint32_t seen = atomic_load_explicit(&slot->cell[0],
                                         memory_order_relaxed); /* a guess that the exchange below confirms */
    if ((seen & CELL_TAKEN) != 0 || !atomic_compare_exchange_strong(&slot->cell[0], &seen, seen | CELL_CLAIMED))
        return (struct pinned){NULL, 0};
    uint64_t token = (uint64_t)(seen | CELL_TAKEN) << 32 | (handle & INDEX_MASK);
    if (atomic_load(&slot->state) != state)
        return (struct pinned){NULL, token};
    /* Relaxed: the object was written before the state that was just read. */
    struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    if (object == NULL)
        __builtin_unreachable(); /* a live slot has an object; this lets the compiler drop the check in callers */
    /* Release: a thread that sees the pin sees the object. The claim made the cell this thread's, so a store suffices.
       */
    atomic_store_explicit(&slot->cell[0], seen | CELL_TAKEN, memory_order_release);
    return (struct pinned){object, token};
}

/** Pins the object that a handle names. On failure `object` is NULL, and `token` tells why. */
static inline struct pinned
pin_acquire(mmg_handle handle)
{
    struct pinned pinned = pin_acquire_fast(handle);

    return pinned.object != NULL ? pinned : mmgi_pin_acquire_slow(handle, pinned.token);
}

/** Returns true when a token names no pin on a cell: an overflow pin, or nothing at all. */
static inline bool
pin_needs_slow_path(uint64_t token)
{
    /* One comparison for both: the bits of cell numbers that are too large are 0, and the claim has both of its bits. */
    const uint64_t taken = (uint64_t)CELL_TAKEN << 32, no_cell = (uint64_t)(63u & ~(PIN_CELLS - 1)) << INDEX_BITS;

    _Static_assert((PIN_CELLS & (PIN_CELLS - 1)) == 0, "bits tell whether a number is that of a cell");
    return (token & (taken | no_cell)) != taken;
}

/**
 * Finds the place of a pin. Any number may be given. The place is safe to look at even if the pin has ended; only
 * pin_release() and pin_begin_end() find out whether it has.
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

/** Returns the user tag of the object of a live pin. */
static inline uint32_t
pin_user_tag(struct pin_place place)
{
    return atomic_load_explicit(&place.slot->user_tag, memory_order_relaxed);
}

/* Does what is left to do when the cell of a pin has become free. */
static inline mmg_status
pin_left(struct pin_place place, uint64_t token)
{
    if (token_cell(token) >= PIN_CELLS || (atomic_load(&place.slot->state) & PHASE_CLOSE) != 0)
        return mmgi_pin_finish(place.slot, token);
    return MMG_OK;
}

/** Finds and ends a pin. Returns MMG_OK, or MMG_E_HANDLE when the pin has ended before or never was. */
static inline mmg_status
pin_release(uint64_t token)
{
    struct pin_place place = pin_find(token);
    uint32_t claim = token_claim(token);

    /* A taken cell plus one is a free cell with the next count. Sequentially consistent: the cell is free before the
       state is looked at. */
    _Static_assert(CELL_TAKEN + 1 == CELL_NEXT, "the count follows the two bits");
    if (place.claim == NULL || !atomic_compare_exchange_strong(place.claim, &claim, claim + 1))
        return MMG_E_HANDLE;
    return pin_left(place, token);
}

/**
 * Begins the end of a pin: from now on the token is dead, while the object stays until pin_finish_end(). So a caller can
 * ask a last question about the object, even if another thread has a copy of the token. Returns false when the pin has
 * ended before or never was.
 */
static inline bool
pin_begin_end(struct pin_place place, uint64_t token)
{
    uint32_t claim = token_claim(token);

    return place.claim != NULL && atomic_compare_exchange_strong(place.claim, &claim, claim & ~CELL_CLAIMED);
}

/** Ends a pin whose end pin_begin_end() has begun. Returns MMG_OK. */
static inline mmg_status
pin_finish_end(struct pin_place place, uint64_t token)
{
    /* Sequentially consistent, for the same reason as in pin_release(). */
    atomic_store(place.claim, token_claim(token) + 1);
    return pin_left(place, token);
}

/** Does the same for a token of which pin_needs_slow_path() returned false. */
static inline mmg_status
pin_release_fast(uint64_t token)
{
    if (token_cell(token) >= PIN_CELLS || (token_claim(token) & CELL_TAKEN) != CELL_TAKEN)
        __builtin_unreachable(); /* lets the compiler drop these checks */
    return pin_release(token);
}

/** Returns the number of pins on the object that a live token pins, including that pin. */
uint64_t mmgi_pin_count(uint64_t token);

#endif
