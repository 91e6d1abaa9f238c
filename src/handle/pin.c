/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is rare about pins: lanes other than the first, tickets where the lanes are all taken, claims that meet a close
 * or turn out to be those of a stale handle, and the last pin of an object whose handle is gone.
 */
#include "handle/pin.h"

struct ticket {
    _Atomic uint32_t claim; /* as a lane */
    _Atomic uint32_t slot;
    _Atomic uint32_t next;
};

static struct table tickets;
static const struct table_shape ticket_shape = {sizeof(struct ticket), offsetof(struct ticket, next)};

static uint64_t
token_make(uint32_t claim, uint32_t lane, uint32_t index)
{
    return (uint64_t)claim << 32 | lane << INDEX_BITS | index;
}

/* Claim a lane if it is free; `*claim` is then what it will say once confirmed. */
static bool
lane_claim(_Atomic uint32_t *lane, uint32_t *claim)
{
    uint32_t seen = atomic_load_explicit(lane, memory_order_relaxed); /* only a guess; the exchange decides */

    *claim = seen | LANE_TAKEN;
    return (seen & LANE_TAKEN) == 0 && atomic_compare_exchange_strong(lane, &seen, seen | LANE_CLAIMED);
}

/* Does the handle still name this slot's object? Called with a lane claimed, so that it then goes on doing so. */
static struct handle_object *
slot_object(struct slot *slot, mmg_handle handle)
{
    uint64_t state = atomic_load(&slot->state);

    while (handle_of(state) == handle) {
        /* Relaxed: written before the state that was just read. */
        struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
        if (phase_of(state) == PHASE_LIVE)
            return object;
        if (phase_of(state) != PHASE_CHECKING)
            break;
        /* A strict close is counting and may have missed this pin: take the handle back. It will report BUSY. */
        if (atomic_compare_exchange_strong(&slot->state, &state, state_with(state_next_turn(state), PHASE_LIVE)))
            return object;
    }
    return NULL;
}

/* A claim on a lane becomes a pin, or is withdrawn. */
static struct pinned
decide(struct slot *slot, mmg_handle handle, _Atomic uint32_t *lane, uint64_t token)
{
    struct handle_object *object = slot_object(slot, handle);

    if (object != NULL) {
        /* Release: who sees the pin sees the object pinned. The lane is this thread's, so a store will do. */
        atomic_store_explicit(lane, token_claim(token), memory_order_release);
        return (struct pinned){object, token};
    }
    /* Sequentially consistent, as the end of a pin. */
    atomic_store(lane, token_claim(token) + 1);
    pin_over(slot, token);
    return (struct pinned){NULL, 0};
}

static struct pinned
settle_on_ticket(struct slot *slot, mmg_handle handle)
{
    uint32_t claim, number = table_take(&tickets, &ticket_shape);
    struct ticket *ticket = number == TABLE_NONE ? NULL : table_at(&tickets, sizeof(struct ticket), number);

    if (ticket == NULL)
        return (struct pinned){NULL, 1};
    /* Relaxed: published by the claim. */
    atomic_store_explicit(&ticket->slot, (uint32_t)(handle & INDEX_MASK), memory_order_relaxed);
    atomic_fetch_add(&slot->tickets, 1);
    lane_claim(&ticket->claim, &claim); /* succeeds: since table_take() the ticket is free and this thread's */
    return decide(slot, handle, &ticket->claim, token_make(claim, TICKET_LANE, number));
}

struct pinned
pin_settle(mmg_handle handle, uint64_t token)
{
    struct slot *slot = slot_at(handle);
    uint32_t claim;

    if (token != 0)
        return decide(slot, handle, &slot->lane[0], token);
    if (slot == NULL || handle_of(atomic_load_explicit(&slot->state, memory_order_relaxed)) != handle)
        return (struct pinned){NULL, 0};
    for (uint32_t i = 0; i < LANES; i++)
        if (lane_claim(&slot->lane[i], &claim))
            return decide(slot, handle, &slot->lane[i], token_make(claim, i, (uint32_t)(handle & INDEX_MASK)));
    return settle_on_ticket(slot, handle);
}

struct pin_place
pin_find_ticket(uint64_t token)
{
    struct pin_place none = {NULL, NULL}, found;
    struct ticket *ticket = token_lane(token) != TICKET_LANE
                                ? NULL
                                : table_at(&tickets, sizeof(struct ticket), (uint32_t)(token & INDEX_MASK));

    /* Acquire: while the claim stands, what was written before it is the slot that it is on. */
    if (ticket == NULL || (token_claim(token) & LANE_TAKEN) != LANE_TAKEN ||
        atomic_load_explicit(&ticket->claim, memory_order_acquire) != token_claim(token))
        return none;
    found.claim = &ticket->claim;
    found.slot = slot_at(atomic_load_explicit(&ticket->slot, memory_order_relaxed));
    return found;
}

/* A claim on a slot has ended: give a ticket back, and destroy what a close has left to whoever is last. MMG_OK, so that
   it can be the last that a caller does. */
mmg_status
pin_over(struct slot *slot, uint64_t token)
{
    if (token_lane(token) == TICKET_LANE) {
        table_give(&tickets, &ticket_shape, (uint32_t)(token & INDEX_MASK));
        atomic_fetch_sub(&slot->tickets, 1);
    }
    uint64_t state = atomic_load(&slot->state);
    if (phase_of(state) == PHASE_CLOSING)
        handle_reap(slot, state);
    return MMG_OK;
}

uint64_t
pin_count(uint64_t token)
{
    struct slot *slot = pin_find(token).slot;
    uint64_t count = 0;

    if (slot == NULL)
        return 0;
    for (uint32_t i = 0; i < LANES; i++)
        count += (atomic_load_explicit(&slot->lane[i], memory_order_relaxed) & LANE_CONFIRMED) != 0;
    return count + atomic_load_explicit(&slot->tickets, memory_order_relaxed);
}
