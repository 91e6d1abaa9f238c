/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handle table. A handle is a generation and the index of a slot; a slot is a cache line that is never unmapped, so
 * that any number at all can be looked up. Two words decide everything:
 *
 *   state   which handle the slot serves and in which phase it is. Closing changes the state first and looks for
 *           pins then.
 *   lanes   each a pin, or free. Pinning claims a lane first and looks at the state then.
 *
 * Both sides use sequentially consistent operations, so of a racing pin and close at least one sees the other: either
 * the pin fails, or the close knows of it. A claim that has passed its look at the state is confirmed; until then it
 * may turn out to be that of a stale handle. A lane counts up with every claim, and a token carries that count, which
 * is how the second release of a copied span is told from the first. Where all lanes of a slot are taken, tickets
 * from a second table serve as lanes.
 */
#include "handle.h"

#include <sched.h>
#include <stddef.h>
#include <unistd.h>

#include "table.h"

#define INDEX_BITS 26u
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define GENERATION_BITS 27u
#define LAST_GENERATION ((UINT32_C(1) << GENERATION_BITS) - 1)
_Static_assert(INDEX_BITS + GENERATION_BITS == 53, "handles must survive in a double");
_Static_assert(TABLE_CAPACITY <= (UINT32_C(1) << INDEX_BITS), "an index must fit into a handle");

/* state: handle (53 bits), turn (9 bits), phase (2 bits) */
#define PHASE_MASK UINT64_C(3)
#define TURN_ONE UINT64_C(4)
#define TURN_MASK (UINT64_C(0x1FF) << 2)
#define HANDLE_SHIFT 11u

enum phase {
    PHASE_FREE,     /* no handle; also while the object is being destroyed */
    PHASE_LIVE,     /* the handle is good */
    PHASE_CHECKING, /* a strict close is counting pins; whoever pins now turns this back into LIVE */
    PHASE_CLOSING   /* the handle is dead; the last pin destroys the object */
};

#define LANES 9u
/* A lane: count (30 bits), confirmed, claimed. 0 in both: free. */
#define LANE_CLAIMED 1u
#define LANE_CONFIRMED 2u
#define LANE_TAKEN (LANE_CLAIMED | LANE_CONFIRMED)
#define LANE_NEXT 4u
/* How often a strict close lets other threads go first, for a claim to be confirmed or withdrawn, before it takes it
   for a pin. A thread that was interrupted in these few instructions comes to its turn long before. */
#define PATIENCE 100000
/* In a token, the lane number that means: a ticket. */
#define TICKET_LANE 15u

struct slot {
    _Atomic uint64_t state;
    _Atomic(struct handle_object *) object;
    _Atomic uint32_t tickets; /* pins beyond the lanes */
    _Atomic uint32_t next;
    _Atomic uint32_t note;
    _Atomic uint32_t lane[LANES];
};
_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

struct ticket {
    _Atomic uint32_t claim; /* as a lane */
    _Atomic uint32_t slot;
    _Atomic uint32_t next;
};

static struct table slots, tickets;
static const struct table_shape slot_shape = {sizeof(struct slot), offsetof(struct slot, next)};
static const struct table_shape ticket_shape = {sizeof(struct ticket), offsetof(struct ticket, next)};
static _Atomic uint64_t open_handles;
static _Atomic uint64_t retired_slots;

static enum phase
phase_of(uint64_t state)
{
    return (enum phase)(state & PHASE_MASK); /* the mask leaves just the four phases */
}

static mmg_handle
handle_of(uint64_t state)
{
    return state >> HANDLE_SHIFT;
}

static uint64_t
state_with(uint64_t state, enum phase phase)
{
    return (state & ~PHASE_MASK) | (uint64_t)phase;
}

static uint64_t
state_next_turn(uint64_t state)
{
    return (state & ~TURN_MASK) | ((state + TURN_ONE) & TURN_MASK);
}

static struct slot *
slot_at(uint64_t handle_or_index)
{
    return table_at(&slots, sizeof(struct slot), (uint32_t)(handle_or_index & INDEX_MASK));
}

/*
 * The generation that a slot starts with. Not 0, so that no handle is; scattered, so that a small number, or a handle
 * of another process, is not by chance one of ours. Low, so that nearly all generations are still to come.
 */
static uint32_t
first_generation(uint32_t index)
{
    static _Atomic uint64_t seed;
    uint64_t mix = atomic_load_explicit(&seed, memory_order_relaxed); /* any thread's seed is as good */

    if (mix == 0) {
        if (getentropy(&mix, sizeof mix) != 0)
            mix = (uintptr_t)&mix; /* no such call: the address of the stack is random enough for telling mistakes */
        atomic_store_explicit(&seed, mix | 1u, memory_order_relaxed);
    }
    /* The finaliser of splitmix64 (Steele, Lea, Flood, 2014). */
    mix += (uint64_t)index * UINT64_C(0x9E3779B97F4A7C15);
    mix = (mix ^ (mix >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94D049BB133111EB);
    return 1u + (uint32_t)(mix >> 44);
}

mmg_status
handle_issue(struct handle_object *object, mmg_handle *handle)
{
    uint32_t index = table_take(&slots, &slot_shape);

    if (index == TABLE_NONE)
        return MMG_E_NO_MEMORY;
    struct slot *slot = slot_at(index);
    /* Relaxed: the slot is this thread's alone until the state is published below. */
    uint64_t old = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t generation = handle_of(old) >> INDEX_BITS;
    generation = generation == 0 ? first_generation(index) : generation + 1;
    mmg_handle fresh = generation << INDEX_BITS | index;
    atomic_store_explicit(&slot->object, object, memory_order_relaxed);
    atomic_store_explicit(&slot->note, object->note, memory_order_relaxed);
    /* Sequentially consistent, as every change of the state. */
    atomic_store(&slot->state, fresh << HANDLE_SHIFT | (old & TURN_MASK) | (uint64_t)PHASE_LIVE);
    atomic_fetch_add_explicit(&open_handles, 1, memory_order_relaxed); /* a counter, ordered with nothing */
    *handle = fresh;
    return MMG_OK;
}

/* Are there pins, or claims that may become some? Exact once the state keeps new ones out. */
static bool
slot_claimed(struct slot *slot)
{
    for (uint32_t i = 0; i < LANES; i++)
        if (atomic_load(&slot->lane[i]) & LANE_TAKEN)
            return true;
    return atomic_load(&slot->tickets) != 0;
}

/* Are there pins? Waits for claims to be decided. */
static bool
slot_pinned(struct slot *slot)
{
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t lane = atomic_load(&slot->lane[i]);
        for (int turn = 0; turn < PATIENCE && (lane & LANE_TAKEN) == LANE_CLAIMED; turn++) {
            sched_yield();
            lane = atomic_load(&slot->lane[i]);
        }
        if (lane & LANE_TAKEN)
            return true;
    }
    return atomic_load(&slot->tickets) != 0;
}

/* Destroy the object of a closing slot if no pin is left; of several threads that try, one does. */
static void
slot_reap(struct slot *slot, uint64_t state)
{
    if (slot_claimed(slot) || !atomic_compare_exchange_strong(&slot->state, &state, state_with(state, PHASE_FREE)))
        return;
    /* From here on the slot is this thread's: no state leads out of FREE but through the free list. */
    struct handle_object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    atomic_store_explicit(&slot->note, 0, memory_order_relaxed);
    object->destroy(object);
    if (handle_of(state) >> INDEX_BITS >= LAST_GENERATION)
        atomic_fetch_add_explicit(&retired_slots, 1, memory_order_relaxed);
    else
        table_give(&slots, &slot_shape, (uint32_t)(handle_of(state) & INDEX_MASK));
}

mmg_status
handle_close(mmg_handle handle, bool strict)
{
    struct slot *slot = handle >> 53 ? NULL : slot_at(handle);

    if (slot == NULL)
        return MMG_E_HANDLE;
    uint64_t state = atomic_load(&slot->state);
    for (;;) {
        if (handle_of(state) != handle || phase_of(state) == PHASE_FREE || phase_of(state) == PHASE_CLOSING)
            return MMG_E_HANDLE;
        if (strict) {
            if (slot_pinned(slot))
                return MMG_E_BUSY;
            /* Announce the count; the turn makes it this thread's own, also against another strict close. */
            uint64_t checking = state_with(state_next_turn(state), PHASE_CHECKING);
            if (!atomic_compare_exchange_strong(&slot->state, &state, checking))
                continue;
            state = checking;
            if (slot_pinned(slot)) {
                /* If this fails, somebody has turned it back already, or closed. Either way: there was a pin. */
                atomic_compare_exchange_strong(&slot->state, &state, state_with(checking, PHASE_LIVE));
                return MMG_E_BUSY;
            }
        }
        uint64_t closing = state_with(state, PHASE_CLOSING);
        if (atomic_compare_exchange_strong(&slot->state, &state, closing)) {
            atomic_fetch_sub_explicit(&open_handles, 1, memory_order_relaxed);
            slot_reap(slot, closing);
            return MMG_OK;
        }
    }
}

/* Claim a lane if it is free; `*claim` is then what it will say once confirmed. */
static bool
lane_claim(_Atomic uint32_t *lane, uint32_t *claim)
{
    uint32_t seen = atomic_load_explicit(lane, memory_order_relaxed); /* only a guess; the exchange decides */

    *claim = seen | LANE_TAKEN;
    return (seen & LANE_TAKEN) == 0 && atomic_compare_exchange_strong(lane, &seen, seen | LANE_CLAIMED);
}

static uint64_t
token_make(uint32_t claim, uint32_t lane, uint32_t index)
{
    return (uint64_t)claim << 32 | lane << INDEX_BITS | index;
}

/* A lane or ticket, and the slot that it is on. */
struct claim {
    _Atomic uint32_t *lane; /* NULL: none */
    uint64_t token;
};

/* Claim a lane of a slot, or a ticket for it. */
static struct claim
pin_claim(struct slot *slot, uint32_t index)
{
    struct claim none = {NULL, 0};
    uint32_t claim;

    for (uint32_t i = 0; i < LANES; i++)
        if (lane_claim(&slot->lane[i], &claim))
            return (struct claim){&slot->lane[i], token_make(claim, i, index)};
    uint32_t number = table_take(&tickets, &ticket_shape);
    if (number == TABLE_NONE)
        return none;
    struct ticket *ticket = table_at(&tickets, sizeof(struct ticket), number);
    if (ticket == NULL)
        return none;                                                   /* cannot be: the number was just handed out */
    atomic_store_explicit(&ticket->slot, index, memory_order_relaxed); /* published by the claim */
    atomic_fetch_add(&slot->tickets, 1);
    lane_claim(&ticket->claim, &claim); /* succeeds: since table_take() the ticket is free and this thread's */
    return (struct claim){&ticket->claim, token_make(claim, TICKET_LANE, number)};
}

static bool
is_ticket(uint64_t token)
{
    return ((uint32_t)(token >> INDEX_BITS) & 63u) == TICKET_LANE;
}

struct pin_place
pin_find(uint64_t token)
{
    uint32_t number = (uint32_t)(token >> INDEX_BITS) & 63u;
    uint32_t claim = (uint32_t)(token >> 32);
    struct pin_place none = {NULL, NULL}, found;
    struct ticket *ticket = NULL;

    if (number < LANES) {
        found.slot = slot_at(token);
        found.claim = found.slot == NULL ? NULL : &found.slot->lane[number];
    } else {
        if (number == TICKET_LANE)
            ticket = table_at(&tickets, sizeof(struct ticket), (uint32_t)(token & INDEX_MASK));
        found.claim = ticket == NULL ? NULL : &ticket->claim;
    }
    /* Acquire: while the claim stands, what was written before it is what it is on. */
    if (found.claim == NULL || (claim & LANE_TAKEN) != LANE_TAKEN ||
        atomic_load_explicit(found.claim, memory_order_acquire) != claim)
        return none;
    if (ticket != NULL)
        found.slot = slot_at(atomic_load_explicit(&ticket->slot, memory_order_relaxed));
    return found;
}

uint32_t
pin_note(struct pin_place place)
{
    return place.claim == NULL ? 0 : atomic_load_explicit(&place.slot->note, memory_order_relaxed);
}

/* A claim on a slot has ended: give a ticket back, and destroy what a close has left to whoever is last. */
static void
claim_over(struct slot *slot, uint64_t token)
{
    if (is_ticket(token)) {
        table_give(&tickets, &ticket_shape, (uint32_t)(token & INDEX_MASK));
        atomic_fetch_sub(&slot->tickets, 1);
    }
    uint64_t state = atomic_load(&slot->state);
    if (phase_of(state) == PHASE_CLOSING)
        slot_reap(slot, state);
}

mmg_status
pin_end(struct pin_place place, uint64_t token)
{
    uint32_t claim = (uint32_t)(token >> 32);
    uint32_t free = (claim & ~LANE_TAKEN) + LANE_NEXT;

    /* Sequentially consistent: the release of the lane comes before the look at the state. */
    if (place.claim == NULL || !atomic_compare_exchange_strong(place.claim, &claim, free))
        return MMG_E_HANDLE;
    claim_over(place.slot, token);
    return MMG_OK;
}

/* Does the handle still name this slot's object? Called with a lane claimed, so that it then goes on doing so. */
static inline struct handle_object *
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

struct pinned
pin_acquire(mmg_handle handle)
{
    struct slot *slot = handle >> 53 ? NULL : slot_at(handle);

    /* A first look, so that wrong handles do not disturb the slot's present owner. Relaxed: it decides nothing. */
    if (slot == NULL || handle_of(atomic_load_explicit(&slot->state, memory_order_relaxed)) != handle)
        return (struct pinned){NULL, 0};
    struct claim claim = pin_claim(slot, (uint32_t)(handle & INDEX_MASK));
    if (claim.lane == NULL)
        return (struct pinned){NULL, 1};
    struct handle_object *object = slot_object(slot, handle);
    uint32_t confirmed = (uint32_t)(claim.token >> 32);
    if (object != NULL) {
        /* Release: who sees the pin sees the object pinned. The lane is this thread's, so a store will do. */
        atomic_store_explicit(claim.lane, confirmed, memory_order_release);
        return (struct pinned){object, claim.token};
    }
    /* Withdrawn. Sequentially consistent, as the end of a pin. */
    atomic_store(claim.lane, (confirmed & ~LANE_TAKEN) + LANE_NEXT);
    claim_over(slot, claim.token);
    return (struct pinned){NULL, 0};
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

void
handle_count(uint64_t *open, uint64_t *retired)
{
    *open = atomic_load_explicit(&open_handles, memory_order_relaxed);
    *retired = atomic_load_explicit(&retired_slots, memory_order_relaxed);
}
