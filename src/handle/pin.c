/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The slow paths of pins: cells other than the first, overflow pins when all cells are taken, claims that meet a close
 * or belong to a stale handle, and the last pin of an object whose handle is closed.
 */
#include "handle/pin.h"

struct overflow_pin {
    _Atomic uint32_t claim; /* has the layout of a cell */
    _Atomic uint32_t slot;
    _Atomic uint32_t next;
};

static struct table overflow_pins;
static const struct table_shape overflow_shape = {sizeof(struct overflow_pin), offsetof(struct overflow_pin, next)};

static uint64_t
token_make(uint32_t claim, uint32_t cell, uint32_t index)
{
    return (uint64_t)claim << 32 | cell << INDEX_BITS | index;
}

/* Claims a cell if it is free. `*claim` is the value that the cell gets when the claim is confirmed. */
static bool
pin_cell_claim(_Atomic uint32_t *cell, uint32_t *claim)
{
    uint32_t seen = atomic_load_explicit(cell, memory_order_relaxed); /* a guess that the exchange below confirms */

    *claim = seen | CELL_TAKEN;
    return (seen & CELL_TAKEN) == 0 && atomic_compare_exchange_strong(cell, &seen, seen | CELL_CLAIMED);
}

/*
 * Returns the object of a slot if the handle still names it. The caller has claimed a cell, so the answer stays true.
 */
static struct handle_object *
slot_object(struct slot *slot, mmg_handle handle)
{
    uint64_t state = atomic_load(&slot->state);

    while (handle_of(state) == handle) {
        /* Relaxed: the object was written before the state that was just read. */
        struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
        if (phase_of(state) == PHASE_LIVE)
            return object;
        if (phase_of(state) != PHASE_CHECKING)
            break;
        /* A strict close is counting and may have missed this pin. Turn its phase back; the close then reports BUSY. */
        if (atomic_compare_exchange_strong(&slot->state, &state, state_with(state_next_aba_tag(state), PHASE_LIVE)))
            return object;
    }
    return NULL;
}

/* Turns a claim on a cell into a pin, or withdraws it. */
static struct pinned
claim_confirm(struct slot *slot, mmg_handle handle, _Atomic uint32_t *cell, uint64_t token)
{
    struct handle_object *object = slot_object(slot, handle);

    if (object != NULL) {
        /* Release: a thread that sees the pin sees the object. The claim made the cell this thread's, so a store
           suffices. */
        atomic_store_explicit(cell, token_claim(token), memory_order_release);
        return (struct pinned){object, token};
    }
    /* Sequentially consistent, for the same reason as in pin_release(). */
    atomic_store(cell, token_claim(token) + 1);
    mmgi_pin_finish(slot, token);
    return (struct pinned){NULL, 0};
}

/* Pins an object by an entry of the second table. */
static struct pinned
overflow_acquire(struct slot *slot, mmg_handle handle)
{
    uint32_t claim, number = table_take(&overflow_pins, &overflow_shape);
    struct overflow_pin *overflow = number == TABLE_NONE
                                        ? NULL
                                        : table_at(&overflow_pins, sizeof(struct overflow_pin), number);

    if (overflow == NULL)
        return (struct pinned){NULL, 1};
    /* Relaxed: the claim publishes the number. */
    atomic_store_explicit(&overflow->slot, (uint32_t)(handle & INDEX_MASK), memory_order_relaxed);
    atomic_fetch_add(&slot->overflow_pins, 1);
    /* The claim succeeds: table_take() has made the entry this thread's. */
    pin_cell_claim(&overflow->claim, &claim);
    return claim_confirm(slot, handle, &overflow->claim, token_make(claim, OVERFLOW_CELL, number));
}

struct pinned
mmgi_pin_acquire_slow(mmg_handle handle, uint64_t token)
{
    struct slot *slot = slot_at(handle);
    uint32_t claim;

    if (token != 0)
        return claim_confirm(slot, handle, &slot->cell[0], token);
    if (slot == NULL || handle_of(atomic_load_explicit(&slot->state, memory_order_relaxed)) != handle)
        return (struct pinned){NULL, 0};
    for (uint32_t i = 0; i < PIN_CELLS; i++)
        if (pin_cell_claim(&slot->cell[i], &claim))
            return claim_confirm(slot, handle, &slot->cell[i], token_make(claim, i, (uint32_t)(handle & INDEX_MASK)));
    return overflow_acquire(slot, handle);
}

struct pin_place
mmgi_pin_find_overflow(uint64_t token)
{
    struct pin_place none = {NULL, NULL}, found;
    struct overflow_pin *overflow = token_cell(token) != OVERFLOW_CELL
                                        ? NULL
                                        : table_at(&overflow_pins, sizeof(struct overflow_pin),
                                                   (uint32_t)(token & INDEX_MASK));

    /* Acquire: while the claim stands, the slot that was written before it is the right one. */
    if (overflow == NULL || (token_claim(token) & CELL_TAKEN) != CELL_TAKEN ||
        atomic_load_explicit(&overflow->claim, memory_order_acquire) != token_claim(token))
        return none;
    found.claim = &overflow->claim;
    found.slot = slot_at(atomic_load_explicit(&overflow->slot, memory_order_relaxed));
    return found;
}

/*
 * Finishes the end of a pin: gives an overflow pin back, and destroys the object if a close has left that to the last
 * pin. Returns MMG_OK always, so that a caller can end with this call.
 */
mmg_status
mmgi_pin_finish(struct slot *slot, uint64_t token)
{
    if (token_cell(token) == OVERFLOW_CELL) {
        table_give(&overflow_pins, &overflow_shape, (uint32_t)(token & INDEX_MASK));
        atomic_fetch_sub(&slot->overflow_pins, 1);
    }
    uint64_t state = atomic_load(&slot->state);
    if (phase_of(state) == PHASE_CLOSING)
        mmgi_handle_reap(slot, state);
    return MMG_OK;
}

uint64_t
mmgi_pin_count(uint64_t token)
{
    struct slot *slot = pin_find(token).slot;
    uint64_t count = 0;

    if (slot == NULL)
        return 0;
    for (uint32_t i = 0; i < ALL_CELLS; i++)
        count += (atomic_load_explicit(&slot->cell[i], memory_order_relaxed) & CELL_CONFIRMED) != 0;
    return count + atomic_load_explicit(&slot->overflow_pins, memory_order_relaxed);
}
