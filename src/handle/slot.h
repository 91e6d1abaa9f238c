/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a handle and its pins are made of. A handle is a generation and the index of a slot; a slot is a cache line
 * that is never unmapped, so that any number at all can be looked up. Two words decide everything:
 *
 *   state   which handle the slot serves and in which phase it is. Closing (handle.c) changes the state first and
 *           looks for pins then.
 *   cells   each a pin, or free. Pinning (pin.h) claims a cell first and looks at the state then.
 *
 * Both sides use sequentially consistent operations, so of a racing pin and close at least one sees the other: either
 * the pin fails, or the close knows of it. A claim that has passed its look at the state is confirmed; until then it
 * may turn out to be that of a stale handle. A cell counts up with every claim, and a token carries that count, which
 * is how the second release of a copied span is told from the first. Where all cells of a slot are taken, overflow pins
 * from a second table serve as cells.
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

/* state: handle (53 bits), turn (9 bits), phase (2 bits) */
#define PHASE_MASK UINT64_C(3)
#define ABA_TAG_ONE UINT64_C(4)
#define ABA_TAG_MASK (UINT64_C(0x1FF) << 2)
#define HANDLE_SHIFT 11u

enum phase {
    PHASE_FREE,    /* no handle; also while the object is being destroyed */
    PHASE_LIVE,    /* the handle is good */
    PHASE_CLOSING, /* the handle is dead; the last pin destroys the object */
    PHASE_CHECKING /* a strict close is counting pins; whoever pins now turns this back into LIVE */
};
/* Set in the last two only: a close is under way. */
#define PHASE_CLOSE UINT64_C(2)

#define PIN_CELLS 9u
/* A cell: count (30 bits), confirmed, claimed. 0 in both: free. */
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
    _Atomic uint32_t cell[PIN_CELLS];
};
_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

/** All slots. Said to be hidden here too, so that the fast paths need no detour to find them. */
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

/** The slot at the index in a handle or token; NULL where there never was one. */
static inline struct slot *
slot_at(uint64_t handle_or_token)
{
    return table_at(&mmgi_handle_slots, sizeof(struct slot), (uint32_t)(handle_or_token & INDEX_MASK));
}

#endif
