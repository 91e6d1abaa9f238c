/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Handles and pins are made of slots. A handle is a generation and the index of a slot. A slot is a cache line that is
 * never unmapped, so any number at all can be looked up. Two parts of a slot decide who holds what:
 *
 *   state   says which handle the slot serves, and its phase. A close (handle.c) changes the state, then looks for
 *           pins.
 *   cells   hold pins. Pinning (pin.h) claims a cell, then looks at the state.
 *
 * Both sides use sequentially consistent operations, so when a pin and a close race, at least one sees the other: the
 * pin fails, or the close counts the pin. A claim is confirmed after the look at the state; an unconfirmed claim may
 * belong to a stale handle. Every claim increases the count in its cell, and the token of a pin carries that count; so
 * the second release of a copied span fails. When all cells of a slot are taken, entries of a second table, overflow
 * pins, serve as cells. The last cell is for visits (visit.h), which are the pins of short calls of the library.
 */
#ifndef MMGI_HANDLE_SLOT_H
#define MMGI_HANDLE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mmapguard.h"
#include "base/table.h"

#define INDEX_BITS 26u
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define GENERATION_BITS 27u
_Static_assert(INDEX_BITS + GENERATION_BITS == 53, "handles must survive in a double");
_Static_assert(TABLE_CAPACITY <= (UINT32_C(1) << INDEX_BITS), "an index must fit into a handle");

/* A state: handle (53 bits), a tag against ABA (9 bits), phase (2 bits). */
#define PHASE_MASK UINT64_C(3)
#define ABA_TAG_ONE UINT64_C(4)
#define ABA_TAG_MASK (UINT64_C(0x1FF) << 2)
#define HANDLE_SHIFT 11u

enum phase {
    PHASE_FREE,    /* the slot has no handle, or its object is being destroyed */
    PHASE_LIVE,    /* the handle is valid */
    PHASE_CLOSING, /* the handle is dead; the last pin destroys the object */
    PHASE_CHECKING /* a strict close is counting pins; whoever pins now turns this back into LIVE */
};
/* This bit is set in the last two phases, while a close is under way. */
#define PHASE_CLOSE UINT64_C(2)

#define PIN_CELLS 8u
#define VISIT_CELL PIN_CELLS
#define ALL_CELLS (PIN_CELLS + 1)
/* A cell: count (30 bits), confirmed (1 bit), claimed (1 bit). A free cell has neither bit, a pin has both. A pin that is
   being ended has only the first, so that no token fits it. */
#define CELL_CLAIMED 1u
#define CELL_CONFIRMED 2u
#define CELL_TAKEN (CELL_CLAIMED | CELL_CONFIRMED)
#define CELL_NEXT 4u

struct handle_object;

struct slot {
    _Atomic uint64_t state;
    _Atomic(struct handle_object *) object;
    _Atomic uint32_t overflow_pins; /* pins beyond the cells */
    _Atomic uint32_t next;
    _Atomic uint32_t user_tag;
    _Atomic uint32_t cell[ALL_CELLS];
};
_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

/** All slots. The declaration has the attribute, too, so that the fast paths address the table directly. */
extern struct table mmgi_handle_slots __attribute__((visibility("hidden")));

static inline enum phase
phase_of(uint64_t state)
{
    return (enum phase)(state & PHASE_MASK); /* the mask leaves just the four phases */
}

static inline mmg_handle
handle_of(uint64_t state)
{
    return state >> HANDLE_SHIFT;
}

static inline uint64_t
state_with(uint64_t state, enum phase phase)
{
    return (state & ~PHASE_MASK) | (uint64_t)phase;
}

static inline uint64_t
state_next_aba_tag(uint64_t state)
{
    return (state & ~ABA_TAG_MASK) | ((state + ABA_TAG_ONE) & ABA_TAG_MASK);
}

/** Returns the slot at the index in a handle or a token, or NULL when that slot was never used. */
static inline struct slot *
slot_at(uint64_t handle_or_token)
{
    return table_at(&mmgi_handle_slots, sizeof(struct slot), (uint32_t)(handle_or_token & INDEX_MASK));
}

#endif
